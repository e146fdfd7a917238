package sm_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis/redistest"
	"github.com/gabberd/gabberd/xmpp"
)

var mercutio = xmpp.MustParse("mercutio@localhost")

// With Redis away everybody gets an answer, and nobody a wrong one: what is known
// stays known, and what is not is said to be unknown.
func TestAway(t *testing.T) {
	for name, away := range map[string]func(*redistest.Server) (back func()){
		"stopped": func(s *redistest.Server) func() { s.Stop(); return s.Resume },
		"killed":  func(s *redistest.Server) func() { s.Kill(); return s.Resume },
		"frozen":  func(s *redistest.Server) func() { s.Freeze(); return s.Thaw },
	} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			w := newWorld(t, server)
			a, b := w.join("a"), w.join("b")
			s, own := sessionOn("a", "romeo@localhost/orchard"), sessionOn("b", "romeo@localhost/balcony")
			add(t, a.store, s, sessionOn("a", "mercutio@localhost/street"))
			add(t, b.store, own)
			cached(t, server, b, romeo)

			back := away(server)
			if all, err := b.store.User(romeo); err != nil || ids(all) != ids([]*sm.Session{s, own}) {
				t.Errorf("of what was cached: %s, %v", ids(all), err)
			}
			unknown(t, b, mercutio)
			if all, err := b.store.All(); !errors.Is(err, sm.ErrAway) || !holds(all, own) {
				t.Errorf("All: %v, %v", all, err)
			}
			if n, err := b.store.Count(); !errors.Is(err, sm.ErrAway) || n != 1 {
				t.Errorf("Count: %d, %v", n, err)
			}
			late := sessionOn("b", "romeo@localhost/late")
			add(t, b.store, late)
			b.store.Changed(context.Background(), late)
			remove(t, b.store, own)
			if all := b.store.Local(romeo); !holds(all, late) {
				t.Errorf("Local: %v", all)
			}
			if !b.store.Behind() {
				t.Error("b does not know that something was not written")
			}

			back()
			for _, n := range []*node{a, b} {
				rewritten(t, n)
			}
			for _, n := range []*node{a, b} {
				n.sees(s, late)
				if c := must[int](t)(n.store.Count()); c != 3 {
					t.Errorf("Count on %s is %d", n.name, c)
				}
			}
		})
	}
}

// unknown checks that a node says that it cannot tell who a user is connected as.
func unknown(t *testing.T, n *node, user xmpp.JID) {
	t.Helper()
	for name, ask := range map[string]func(xmpp.JID) ([]*sm.Session, error){"User": n.store.User, "Fresh": n.store.Fresh} {
		if all, err := ask(user); !errors.Is(err, sm.ErrAway) || len(all) != 0 {
			t.Errorf("%s of somebody unknown: %v, %v", name, all, err)
		}
	}
}

// rewritten has a node write everything again as soon as that is possible.
func rewritten(t *testing.T, n *node) {
	t.Helper()
	var err error
	await(t, n.name+" has written its sessions again", func() bool {
		err = n.store.Rewrite(context.Background(), func(s *sm.Session, all []*sm.Session) { n.Settle(s, all) })
		return err == nil || !errors.Is(err, sm.ErrAway)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n.store.Behind() {
		t.Errorf("%s is still behind", n.name)
	}
}

// hgetalls is how often the hash of a user was read.
func hgetalls(server *redistest.Server) (n int) {
	var text string
	for line := range lines(server.Do("INFO", "commandstats")) {
		if _, err := fmt.Sscanf(line, "cmdstat_hgetall:calls=%d,%s", &n, &text); err == nil {
			return n
		}
	}
	return 0
}

// cached waits until a node knows of a user without asking.
func cached(t *testing.T, server *redistest.Server, n *node, user xmpp.JID) {
	t.Helper()
	await(t, user.String()+" is cached", func() bool {
		before := hgetalls(server)
		_, err := n.store.User(user)
		return err == nil && hgetalls(server) == before
	})
}

// A failed read is no user without sessions: nobody looks offline when Redis is
// back, although nothing was written and no subscription was lost.
func TestFailedReadIsNotRemembered(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	s := sessionOn("a", "romeo@localhost/orchard")
	add(t, a.store, s)
	cached(t, server, b, mercutio) // its subscription stands
	server.Freeze()
	if all, err := b.store.User(romeo); !errors.Is(err, sm.ErrAway) || len(all) != 0 {
		t.Errorf("frozen: %v, %v", all, err)
	}
	server.Thaw()
	var all []*sm.Session
	await(t, "b can ask again", func() (ok bool) {
		var err error
		all, err = b.store.User(romeo)
		return err == nil
	})
	if ids(all) != s.ID.String() {
		t.Errorf("after it could be asked again: %s", ids(all))
	}
}

// A Redis that was emptied is filled again by all nodes.
func TestEmptied(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	c := a.available("romeo@localhost/orchard", "5")
	for i := range 300 {
		add(t, a.store, sessionOn("a", fmt.Sprintf("u%d@localhost/x", i)))
		add(t, b.store, sessionOn("b", fmt.Sprintf("u%d@localhost/y", i)))
	}
	server.Flush()
	server.Do("SCRIPT", "FLUSH")
	if n := must[int](t)(b.store.Count()); n != 300 {
		t.Fatalf("after Redis was emptied there are %d", n)
	}
	if all, err := b.store.Fresh(romeo); !errors.Is(err, sm.ErrAway) {
		t.Errorf("because Redis was emptied romeo is believed to be there as %q: %v", ids(all), err)
	}
	for _, n := range []*node{a, b} {
		n.beat()
		if err := n.store.Rewrite(context.Background(), func(*sm.Session, []*sm.Session) { t.Error("there is nothing to settle") }); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []*node{a, b} {
		if all := must[[]*sm.Session](t)(n.store.All()); len(all) != 601 {
			t.Errorf("%s sees %d", n.name, len(all))
		}
	}
	all := must[[]*sm.Session](t)(b.store.Fresh(romeo))
	if len(all) != 1 {
		t.Fatalf("romeo is there as %s", ids(all))
	}
	if p, ok := all[0].Priority(); p != 5 || !ok {
		t.Errorf("with priority %d, %v", p, ok)
	}
	c.leave()
}

// What came and went while Redis was away is put right when it is back, with all
// that it had before: also an address that was bound on two nodes.
func TestRewriteSettles(t *testing.T) {
	server := redistest.Start(t, "appendonly yes")
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	lost := a.connected("romeo@localhost/lost")
	b.sees(lost.Session)
	server.Stop()
	lost.leave()
	old, young := a.connected("romeo@localhost/orchard"), b.connected("romeo@localhost/orchard")
	server.Resume()
	rewritten(t, a)
	rewritten(t, b)
	<-old.done
	if old.why() != "conflict" || young.why() != "" {
		t.Errorf("the old one has ended with %q, the new one with %q", old.why(), young.why())
	}
	a.sees(young.Session)
	b.sees(young.Session)
	if got := fmt.Sprint(server.Do("HGETALL", a.client.Key("sm", "localhost", "node", "a"))); got != "[]" {
		t.Errorf("the index of a has %s", got)
	}
	young.leave()
}

// More than may wait is an error, and leaves no session behind.
func TestFull(t *testing.T) {
	server := redistest.Start(t)
	a := newWorld(t, server).join("a")
	s := sessionOn("a", "romeo@localhost/orchard")
	add(t, a.store, s)
	server.Freeze()
	defer server.Thaw()
	nobody, cancel := context.WithCancel(context.Background())
	cancel()
	for range 11_000 {
		a.store.Changed(nobody, s)
	}
	late := sessionOn("a", "romeo@localhost/late")
	if all, err := a.store.Add(context.Background(), late); !errors.Is(err, sm.ErrFull) {
		t.Errorf("got %v, %v", all, err)
	}
	if all := a.store.Local(romeo); !holds(all, s) {
		t.Errorf("Local is %v", all)
	}
	if !a.store.Behind() {
		t.Error("it does not know that it is behind")
	}
}

// A node that was taken for dead writes nothing, and hears of it.
func TestFenced(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a, b := w.join("a"), w.join("b")
	old := sessionOn("a", "romeo@localhost/old")
	add(t, a.store, old)
	b.sees(old)
	server.Do("SET", a.client.Key("{nodes}", "epoch", "a"), "5")
	late := sessionOn("a", "romeo@localhost/late")
	add(t, a.store, late)
	a.store.Changed(context.Background(), old)
	if epoch := <-a.fenced; epoch != 5 || len(a.fenced) != 0 {
		t.Errorf("fenced by %d, and %d times more", epoch, len(a.fenced))
	}
	b.sees(old)
	if gone := a.store.Forget(); !holds(gone, old, late) || !holds(a.store.Here(), old, late) {
		t.Errorf("forgotten: %v, left: %v", gone, a.store.Here())
	}
	if _, ok := old.Priority(); ok {
		t.Error("a session of which others have said that it is gone is available here")
	}
	for _, s := range []*sm.Session{old, late} { // their streams end
		remove(t, a.store, s)
	}
	b.sees(old) // a node whose epoch is over removes nothing
	a.begin(5)
	fresh := sessionOn("a", "romeo@localhost/new")
	add(t, a.store, fresh)
	if err := a.store.Rewrite(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	b.sees(fresh)
	var gone tally // Rewrite has left to a sweep, which tells of it, what is of a former epoch
	if n, err := b.store.Sweep(context.Background(), "a", 4, gone.gone); n != 1 || gone.of[old.ID] != 1 || err != nil {
		t.Errorf("swept %d, %v, %v", n, gone.of, err)
	}
	if len(a.fenced) != 0 {
		t.Error("fenced in its new epoch")
	}
}
