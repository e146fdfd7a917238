package router_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A place is a domain that keeps what comes, and may do something with it.
type place struct {
	mu  sync.Mutex
	got []*xmpp.Stanza
	do  func(context.Context, *xmpp.Stanza)
}

func (p *place) Route(ctx context.Context, st *xmpp.Stanza) {
	p.mu.Lock()
	p.got = append(p.got, st)
	p.mu.Unlock()
	if p.do != nil {
		p.do(ctx, st)
	}
}

// inbox is what has come since the last time.
func (p *place) inbox() []*xmpp.Stanza {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// owner adds handlers to a table.
type owner struct{ t *hooks.Table }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.t }
func (owner) OnStop(func())         {}

func newRouter() (*router.Router, *hooks.Table, *bytes.Buffer) {
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, nil))
	t := hooks.NewTable(log)
	return router.New(t, log), t, &b
}

func parse(t testing.TB, xml string) *xmpp.Stanza {
	t.Helper()
	st, err := xmpp.ParseXML([]byte(xml))
	if err != nil {
		t.Fatalf("%s: %v", xml, err)
	}
	return st
}

func condition(list []*xmpp.Stanza) string {
	if len(list) == 0 {
		return ""
	}
	e := xmpp.ParseError(list[0])
	if len(list) > 1 || e == nil || list[0].Type != "error" {
		return fmt.Sprint(list)
	}
	return string(e.Condition)
}

func TestRoutesComeAndGo(t *testing.T) {
	r, _, _ := newRouter()
	ctx := context.Background()
	first, second, other := new(place), new(place), new(place)
	st := parse(t, `<message from='a@one' to='b@two'/>`)
	leaveFirst := r.Register("two", "one", first)
	leaveOther := r.Register("one", "one", other)
	r.Route(ctx, st)
	leaveSecond := r.Register("two", "one", second)
	r.Route(ctx, st)
	if a, b := first.inbox(), second.inbox(); len(a) != 1 || len(b) != 1 {
		t.Errorf("the first got %v, the second %v", a, b)
	}
	var list []string
	for _, x := range r.Routes() {
		list = append(list, x.Domain+" of "+x.Host)
	}
	if got := strings.Join(list, ", "); got != "one of one, two of one" {
		t.Errorf("routes: %s", got)
	}
	leaveSecond()
	leaveSecond() // is nothing
	r.Route(ctx, st)
	if a, b := first.inbox(), second.inbox(); len(a) != 1 || len(b) != 0 {
		t.Errorf("after the second has left: %v, %v", a, b)
	}
	leaveFirst()
	if r.Serves("two") || !r.Serves("one") {
		t.Error("a route stays behind")
	}
	r.Route(ctx, st)
	if got := condition(other.inbox()); got != "remote-server-not-found" {
		t.Errorf("the sender was told %s", got)
	}
	leaveOther()
	r.Route(ctx, st) // nobody to tell: it ends here
}

// A host may be stopped before what took its place.
func TestRoutesLeaveInAnyOrder(t *testing.T) {
	r, _, _ := newRouter()
	first, second := new(place), new(place)
	leaveFirst := r.Register("x", "x", first)
	leaveSecond := r.Register("x", "x", second)
	leaveFirst()
	r.Route(context.Background(), parse(t, `<message to='x'/>`))
	if len(first.inbox()) != 0 || len(second.inbox()) != 1 {
		t.Error("the first that left took the second with it")
	}
	leaveSecond()
	if r.Serves("x") {
		t.Error("when both have left the first is back")
	}
}

func TestFilter(t *testing.T) {
	r, table, _ := newRouter()
	p := new(place)
	r.Register("x", "x", p)
	router.Filter.Add(owner{table}, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ struct{}) (*xmpp.Stanza, hooks.Flow) {
		if st.ID == "drop" {
			return nil, hooks.Stop
		}
		return st.WithID("seen"), hooks.Next
	})
	r.Route(context.Background(), parse(t, `<message to='x' id='drop'/>`))
	r.Route(context.Background(), parse(t, `<message to='x' id='keep'/>`))
	if got := p.inbox(); len(got) != 1 || got[0].ID != "seen" {
		t.Errorf("got %v", got)
	}
}

func TestBounce(t *testing.T) {
	for _, c := range []struct {
		xml  string
		back bool
	}{
		{`<message from='a@x' to='b@y'/>`, true},
		{`<message from='a@x' to='b@y' type='chat'/>`, true},
		{`<message from='a@x' to='b@y' type='error'/>`, false},
		{`<message to='b@y'/>`, false},
		{`<iq from='a@x' to='b@y' type='get'/>`, true},
		{`<iq from='a@x' to='b@y' type='set'/>`, true},
		{`<iq from='a@x' to='b@y' type='result'/>`, false},
		{`<iq from='a@x' to='b@y' type='error'/>`, false},
		{`<presence from='a@x' to='b@y'/>`, true},
		{`<presence from='a@x' to='b@y' type='probe'/>`, true},
		{`<presence from='a@x' to='b@y' type='subscribe'/>`, true},
		{`<presence from='a@x' to='b@y' type='unavailable'/>`, false},
		{`<presence from='a@x' to='b@y' type='error'/>`, false},
	} {
		r, _, _ := newRouter()
		p := new(place)
		r.Register("x", "x", p)
		r.Bounce(context.Background(), parse(t, c.xml), xmpp.ItemNotFound.WithText("no"))
		got := p.inbox()
		if want := map[bool]string{true: "item-not-found"}[c.back]; condition(got) != want {
			t.Errorf("%s: %v", c.xml, got)
		}
		if c.back && (got[0].To.String() != "a@x" || got[0].From.String() != "b@y") {
			t.Errorf("%s: %v", c.xml, got)
		}
	}
}

func TestAsk(t *testing.T) {
	host, user := xmpp.MustParse("x"), xmpp.MustParse("b@y/r")
	for _, c := range []struct {
		what   string
		answer func(*xmpp.Stanza) *xmpp.Stanza // nil: none
		err    error
	}{
		{"a result", func(iq *xmpp.Stanza) *xmpp.Stanza { return iq.Reply(xmpp.El("ns", "yes")) }, nil},
		{"an error", func(iq *xmpp.Stanza) *xmpp.Stanza { return iq.Bounce(xmpp.NotAllowed) }, xmpp.NotAllowed},
		{"an error without a reason", func(iq *xmpp.Stanza) *xmpp.Stanza { return iq.Reply(nil).WithType("error") }, xmpp.UndefinedCondition},
		{"no answer", nil, context.DeadlineExceeded},
		{"somebody else's answer", func(iq *xmpp.Stanza) *xmpp.Stanza {
			return iq.Reply(nil).Readdressed(xmpp.MustParse("eve@y/r"), host)
		}, context.DeadlineExceeded},
		{"another resource's answer", func(iq *xmpp.Stanza) *xmpp.Stanza {
			return iq.Reply(nil).Readdressed(xmpp.MustParse("b@y/other"), host)
		}, context.DeadlineExceeded},
		{"an answer from the bare address", func(iq *xmpp.Stanza) *xmpp.Stanza {
			return iq.Reply(nil).Readdressed(user.Bare(), host)
		}, context.DeadlineExceeded},
		{"another id", func(iq *xmpp.Stanza) *xmpp.Stanza { return iq.Reply(nil).WithID("gd-guessed") }, context.DeadlineExceeded},
		{"a request of the same id", func(iq *xmpp.Stanza) *xmpp.Stanza { return iq.Reply(nil).WithType("get") }, context.DeadlineExceeded},
		{"an IQ of no known type", func(iq *xmpp.Stanza) *xmpp.Stanza { return iq.Reply(nil).WithType("push") }, context.DeadlineExceeded},
		{"a message of the same id", func(iq *xmpp.Stanza) *xmpp.Stanza {
			return xmpp.NewMessage("", iq.To, iq.From).WithID(iq.ID)
		}, context.DeadlineExceeded},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, _, _ := newRouter()
			here, there := new(place), new(place)
			r.Register("x", "x", here)
			r.Register("y", "y", there)
			there.do = func(ctx context.Context, iq *xmpp.Stanza) {
				if c.answer != nil {
					r.Route(ctx, c.answer(iq))
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			st, err := r.Ask(ctx, xmpp.NewIQ("get", host, user, "mine", xmpp.El("ns", "query")))
			if !errors.Is(err, c.err) || (err == nil) != (st != nil) {
				t.Errorf("%s: %v, %v, want %v", c.what, st, err, c.err)
			}
			// What was no answer went where it was addressed to.
			if forged := errors.Is(c.err, context.DeadlineExceeded) && c.answer != nil; forged != (len(here.inbox()) == 1) {
				t.Errorf("%s: it was swallowed, or came twice", c.what)
			}
			if asked := there.inbox(); len(asked) != 1 || asked[0].ID == "mine" || len(asked[0].ID) < 20 {
				t.Errorf("%s: asked %v", c.what, asked)
			}
		})
	}
}

func TestAnswerThatComesTooLateGoesOn(t *testing.T) {
	r, _, _ := newRouter()
	here, there := new(place), new(place)
	r.Register("x", "x", here)
	r.Register("y", "y", there)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Ask(ctx, xmpp.NewIQ("get", xmpp.MustParse("x"), xmpp.MustParse("y"), "", nil)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	r.Route(context.Background(), there.inbox()[0].Reply(nil))
	if got := here.inbox(); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestAskNobody(t *testing.T) {
	r, _, _ := newRouter()
	r.Register("x", "x", new(place))
	_, err := r.Ask(context.Background(), xmpp.NewIQ("get", xmpp.MustParse("x"), xmpp.MustParse("nowhere"), "", nil))
	if !errors.Is(err, xmpp.RemoteServerNotFound) {
		t.Errorf("got %v", err)
	}
}

// So many questions may wait, and no more: whoever does not answer must not use
// up the memory.
func TestQuestionsAreBounded(t *testing.T) {
	r, _, _ := newRouter()
	ctx, cancel := context.WithCancel(context.Background())
	asked := make(chan struct{})
	silent := &place{do: func(context.Context, *xmpp.Stanza) { asked <- struct{}{} }}
	r.Register("y", "y", silent)
	iq := xmpp.NewIQ("get", xmpp.MustParse("x"), xmpp.MustParse("y"), "", nil)
	var wg sync.WaitGroup
	for range 50_000 {
		wg.Go(func() {
			if _, err := r.Ask(ctx, iq); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		<-asked
	}
	if _, err := r.Ask(ctx, iq); !errors.Is(err, router.ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	wg.Wait()
	go func() { <-asked }()
	if _, err := r.Ask(ctx, iq); !errors.Is(err, context.Canceled) {
		t.Errorf("when they have gone: %v", err)
	}
}
