package sm_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

func TestNewSessionReplacesTheOld(t *testing.T) {
	for _, policy := range []sm.Conflict{sm.AcceptNew, sm.CloseOld} {
		h := newHouse(t)
		h.settings.conflict = policy
		old, other := h.available("romeo@localhost/a", "1"), h.available("romeo@localhost/b", "1")
		if h.Conflict() != policy || !h.Taken(old.JID) || h.Taken(xmpp.MustParse("romeo@localhost/c")) {
			t.Fatalf("%s: %v", policy, h.Taken(old.JID))
		}
		young := h.connected("romeo@localhost/a")
		if old.why() != "conflict" || other.why() != "" || young.why() != "" {
			t.Errorf("%s: old %q, other %q, young %q", policy, old.why(), other.why(), young.why())
		}
		if h.Find(old.JID) != young.Session || h.Count() != 2 {
			t.Errorf("%s: %v", policy, h.All())
		}
	}
}

func TestOpenWaitsForTheReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.settings.wait = time.Second
		old := h.unopened("romeo@localhost/a")
		old.slow = true
		if err := h.Open(context.Background(), old.Session); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		go func() {
			time.Sleep(300 * time.Millisecond)
			old.leave()
		}()
		h.connected("romeo@localhost/a")
		if d := time.Since(begun); d != 300*time.Millisecond {
			t.Errorf("Open returned after %v, want when the old session is gone", d)
		}
		// One that does not go is not waited for longer than the option says.
		stuck := h.unopened("romeo@localhost/b")
		stuck.slow = true
		if err := h.Open(context.Background(), stuck.Session); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		h.connected("romeo@localhost/b")
		if d := time.Since(begun); d != time.Second {
			t.Errorf("Open returned after %v, want after a second", d)
		}
	})
}

func TestTooManySessionsEndTheOldest(t *testing.T) {
	h := newHouse(t)
	h.settings.limit = 2
	a, b := h.connected("romeo@localhost/a"), h.available("romeo@localhost/b", "1")
	h.connected("juliet@localhost/a")
	c := h.connected("romeo@localhost/c")
	if a.why() != "conflict" || b.why() != "" || c.why() != "" {
		t.Errorf("a %q, b %q, c %q", a.why(), b.why(), c.why())
	}
	h.settings.limit = 0
	h.connected("romeo@localhost/d")
	if b.why() != "" {
		t.Error("without a limit a session was ended")
	}
}

func TestHooksOfASessionsLife(t *testing.T) {
	h := newHouse(t)
	var seen []string
	note := func(what string) func(context.Context, *sm.Session) {
		return func(_ context.Context, s *sm.Session) {
			seen = append(seen, fmt.Sprintf("%s %s %v", what, s.JID.Resource(), h.Find(s.JID) != nil))
		}
	}
	sm.Opened.Add(h, hooks.Normal, note("opened"))
	sm.Present.Add(h, hooks.Normal, note("present"))
	sm.Closed.Add(h, hooks.Normal, note("closed"))
	sm.Unpresent.Add(h, hooks.Normal, func(_ context.Context, l sm.Leaving) { seen = append(seen, "unpresent "+l.Session.JID.Resource()) })
	romeo := h.available("romeo@localhost/a", "1")
	romeo.leave()
	h.CloseSession(context.Background(), romeo.Session, "") // a second time is nothing
	if got := strings.Join(seen, ", "); got != "opened a true, present a true, closed a false, unpresent a" {
		t.Errorf("got %s", got)
	}
}

func TestSubmitAsksTheSendersHook(t *testing.T) {
	h := newHouse(t)
	romeo := h.connected("romeo@localhost/a")
	sm.UserSend.Add(h, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if s != romeo.Session || st.ID == "drop" {
			return nil, hooks.Stop
		}
		return st, hooks.Next
	})
	romeo.say(`<message to='nurse@away.example' id='drop'/>`)
	romeo.say(`<message to='nurse@away.example' id='keep'/>`)
	if got := brief(h.away.inbox()); got != "message from romeo@localhost/a #keep" {
		t.Errorf("went out: %s", got)
	}
}

func TestAvailableIsInOrder(t *testing.T) {
	h := newHouse(t)
	for _, r := range []string{"c", "a", "b"} {
		h.available("romeo@localhost/"+r, "1")
	}
	h.connected("romeo@localhost/0")
	var got []string
	for _, s := range h.Available(xmpp.MustParse("romeo@localhost")) {
		got = append(got, s.JID.Resource())
	}
	if s := strings.Join(got, ""); s != "abc" {
		t.Errorf("got %q", s)
	}
}

func TestIDsAreInOrder(t *testing.T) {
	last := sm.NewID()
	for range 1000 {
		id := sm.NewID()
		if !id.After(last) || last.After(id) || id.After(id) {
			t.Fatalf("%v after %v", id, last)
		}
		last = id
	}
}

func TestSlots(t *testing.T) {
	first, second := sm.NewSlot[string]("one"), sm.NewSlot[string]("one")
	count := sm.NewSlot[int]("count")
	s := newHouse(t).connected("romeo@localhost/a").Session
	if _, ok := first.Get(s); ok {
		t.Error("an empty slot is full")
	}
	first.Set(s, "a")
	second.Set(s, "b")
	count.Set(s, 1)
	first.Set(s, "c")
	a, _ := first.Get(s)
	b, _ := second.Get(s)
	n, ok := count.Get(s)
	if a != "c" || b != "b" || n != 1 || !ok {
		t.Errorf("got %q, %q, %d", a, b, n)
	}
	first.Delete(s)
	if _, ok := first.Get(s); ok {
		t.Error("what was deleted is still there")
	}
	if b, _ := second.Get(s); b != "b" {
		t.Error("a slot of the same name went with it")
	}
}

// key is that of some value in a context.
type key struct{}

// flusher counts.
type flusher struct{ n int }

func (f *flusher) Flush() { f.n++ }

func TestBurst(t *testing.T) {
	var b sm.Burst
	ctx := context.WithValue(sm.WithBurst(context.Background(), &b), key{}, "value")
	f := new(flusher)
	if sm.Hold(context.Background(), f) || sm.Hold(ctx, f) {
		t.Error("held without an open burst")
	}
	b.Begin()
	if sm.BurstOf(ctx) != &b || !sm.Hold(ctx, f) {
		t.Error("not held in an open burst")
	}
	if f.n != 0 {
		t.Error("flushed before the end")
	}
	b.End()
	if f.n != 1 || sm.Hold(ctx, f) {
		t.Errorf("flushed %d times", f.n)
	}
	b.Begin()
	b.End()
	if f.n != 1 {
		t.Error("flushed again for nothing")
	}
}

func TestBurstAllocatesNothing(t *testing.T) {
	var b sm.Burst
	ctx := sm.WithBurst(context.Background(), &b)
	f := new(flusher)
	if n := testing.AllocsPerRun(100, func() {
		b.Begin()
		sm.Hold(ctx, f)
		b.End()
	}); n != 0 {
		t.Errorf("a burst allocates %v times", n)
	}
}

// Logins, presence, messages and cuts of the same few users, all at once: the
// race detector is the judge, and nothing may be left.
func TestManyAtOnce(t *testing.T) {
	h := newHouse(t)
	h.friends()
	h.settings.limit = 6
	var wg sync.WaitGroup
	for i := range 8 {
		user := []string{"romeo", "juliet"}[i%2]
		wg.Go(func() {
			for k := range 30 {
				c := h.connected(fmt.Sprintf("%s@localhost/r%d", user, k%3))
				c.say("<presence/>")
				c.say("<message to='romeo@localhost' type='chat'><body>x</body></message>")
				c.say("<presence to='juliet@localhost/r1'/>")
				h.Available(c.JID.Bare())
				c.Close(stream.Conflict)
			}
		})
	}
	wg.Wait()
	if n := h.Count(); n != 0 || len(h.All()) != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if s := h.log.String(); s != "" {
		t.Errorf("logged:\n%s", s)
	}
}
