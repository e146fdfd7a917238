package local_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// peer is another domain; it keeps what comes.
type peer struct{ got []*xmpp.Stanza }

func (p *peer) Route(_ context.Context, st *xmpp.Stanza) { p.got = append(p.got, st) }

// nobody is a host's accounts: none.
type nobody struct{}

func (nobody) Exists(context.Context, xmpp.JID) (bool, error) { return false, nil }

// owner adds handlers to a table.
type owner struct{ t *hooks.Table }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.t }
func (owner) OnStop(func())         {}

func newHost() (*local.Host, *peer) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	table := hooks.NewTable(log)
	r := router.New(hooks.NewTable(log), log)
	ss := sm.New("localhost", sm.Parts{Hooks: table, Router: r, Store: sm.NewMemory(), Accounts: nobody{}, Log: log})
	h := local.New(xmpp.MustParse("localhost"), local.Parts{Router: r, Hooks: table, Sessions: ss, Log: log})
	p := new(peer)
	r.Register("localhost", "localhost", h)
	r.Register("away.example", "", p)
	return h, p
}

func TestRoute(t *testing.T) {
	for _, c := range []struct {
		kind   xmpp.Kind
		typ    string
		to     string
		hooked bool // local_send_to_resource_hook saw it
		want   string
	}{
		{xmpp.IQ, "get", "localhost", false, "result"},
		{xmpp.IQ, "set", "localhost", false, "result"},
		{xmpp.IQ, "result", "localhost", false, ""},
		{xmpp.IQ, "error", "localhost", false, ""},
		{xmpp.IQ, "push", "localhost", false, "bad-request"},
		{xmpp.IQ, "get", "localhost/x", true, "item-not-found"},
		{xmpp.IQ, "result", "localhost/x", false, ""},
		{xmpp.IQ, "error", "localhost/x", false, ""},
		{xmpp.Message, "chat", "localhost", true, "service-unavailable"},
		{xmpp.Message, "", "localhost", true, "service-unavailable"},
		{xmpp.Message, "headline", "localhost", true, ""},
		{xmpp.Message, "error", "localhost", false, ""},
		{xmpp.Message, "chat", "localhost/x", true, "item-not-found"},
		{xmpp.Message, "headline", "localhost/x", true, ""},
		{xmpp.Presence, "", "localhost", true, ""},
		{xmpp.Presence, "subscribe", "localhost", true, ""},
		{xmpp.Presence, "", "localhost/x", true, ""},
		{xmpp.Presence, "error", "localhost", false, ""},
		{xmpp.Message, "chat", "nobody@localhost", false, "service-unavailable"},
		{xmpp.IQ, "get", "nobody@localhost/x", false, "service-unavailable"},
	} {
		h, p := newHost()
		h.Handle("ns", func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { return nil, nil })
		hooked := false
		local.ToResource.Add(owner{h.Parts.Hooks}, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, on *local.Host) (*xmpp.Stanza, hooks.Flow) {
			hooked = on == h
			return st, hooks.Next
		})
		st := xmpp.New(c.kind, c.typ, xmpp.MustParse("romeo@away.example/x"), xmpp.MustParse(c.to), "1", xmpp.El("ns", "q"))
		h.Send(context.Background(), st)
		got := ""
		for _, st := range p.got {
			got += st.Type
			if e := xmpp.ParseError(st); e != nil {
				got = string(e.Condition)
			}
		}
		if got != c.want || hooked != c.hooked {
			t.Errorf("%s %q to %s: the sender got %q, want %q; the hook ran: %v, want %v", c.kind, c.typ, c.to, got, c.want, hooked, c.hooked)
		}
	}
}

func TestWhatAHookHasTakenIsNotRefused(t *testing.T) {
	h, p := newHost()
	local.ToResource.Add(owner{h.Parts.Hooks}, hooks.Normal, func(context.Context, *xmpp.Stanza, *local.Host) (*xmpp.Stanza, hooks.Flow) {
		return nil, hooks.Stop
	})
	h.Send(context.Background(), xmpp.NewMessage("chat", xmpp.MustParse("a@away.example"), xmpp.MustParse("localhost/announce")))
	if len(p.got) != 0 {
		t.Errorf("the sender got %v", p.got)
	}
}

func TestAskIsFromTheHost(t *testing.T) {
	h, _ := newHost()
	h.Handle("ns", func(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
		if iq.Type == "set" {
			return nil, xmpp.Forbidden
		}
		return xmpp.TextEl("ns", "q", iq.From.String()), nil
	})
	st, err := h.Ask(context.Background(), h.JID, xmpp.El("ns", "q"), "get")
	if err != nil || st.Payload().Text() != "localhost" {
		t.Errorf("got %v, %v", st, err)
	}
	if _, err := h.Ask(context.Background(), h.JID, xmpp.El("ns", "q"), "set"); !errors.Is(err, xmpp.Forbidden) {
		t.Errorf("got %v", err)
	}
}

func TestFeaturesAreCounted(t *testing.T) {
	h, _ := newHost()
	for _, c := range []struct {
		add  func(string) func()
		list func() []string
	}{{h.AddFeature, h.Features}, {h.AddUserFeature, h.UserFeatures}} {
		first, second := c.add("b"), c.add("b")
		other := c.add("a")
		if got := c.list(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("features %q", got)
		}
		first()
		first() // counts once
		if got := c.list(); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("somebody still has b, but the features are %q", got)
		}
		second()
		other()
		if got := c.list(); len(got) != 0 {
			t.Errorf("features %q are left", got)
		}
	}
	if h.AddFeature("x"); len(h.UserFeatures()) != 0 {
		t.Error("a feature of the server is announced of its users")
	}
}

func TestFeaturesAtOnce(t *testing.T) {
	h, _ := newHost()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				remove := h.AddFeature("x")
				h.Features()
				remove()
			}
		})
	}
	wg.Wait()
	if got := h.Features(); len(got) != 0 {
		t.Errorf("left: %q", got)
	}
}

func TestUser(t *testing.T) {
	h, _ := newHost()
	if j, err := h.User("Romeo"); err != nil || j.String() != "romeo@localhost" {
		t.Errorf("got %v, %v", j, err)
	}
	if _, err := h.User("a@b"); !errors.Is(err, xmpp.ErrJID) {
		t.Errorf("got %v", err)
	}
}
