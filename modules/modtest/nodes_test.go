package modtest_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
)

func TestMessageReachesAnotherNode(t *testing.T) {
	c := modtest.StartNodes(t, 3, "")
	romeo, juliet := c.List[0].Available("romeo@localhost/orchard"), c.List[2].Available("juliet@localhost/balcony")
	romeo.Say(`<message to='juliet@localhost' type='chat'><body>hi</body></message>`)
	if in := juliet.Inbox(); len(in) != 1 || in[0].Body() != "hi" {
		t.Fatalf("juliet got %v", in)
	}
	for i, s := range c.List {
		c.Await("everybody knows two sessions", func() bool { return s.Sessions.Count() == 2 })
		if here := len(s.Sessions.Here()); here != []int{1, 0, 1}[i] {
			t.Errorf("node %d has %d sessions", i, here)
		}
	}
	for _, s := range c.List[1].Sessions.All() {
		if !s.Remote() {
			t.Errorf("%s is on node 1", s.JID)
		}
	}
}

// witness owns handlers of a test.
type witness struct{ s *modtest.Server }

func (witness) Name() string          { return "test" }
func (w witness) Hooks() *hooks.Table { return w.s.Parts.Hooks }
func (witness) OnStop(func())         {}

// removals counts remove_user of a name on both nodes.
type removals struct {
	mu sync.Mutex
	n  int
}

func (r *removals) watch(c *modtest.Nodes) *removals {
	for _, s := range c.List {
		auth.Removed.Add(witness{s}, hooks.Normal, func(context.Context, xmpp.JID) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.n++
		})
	}
	return r
}

func (r *removals) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

var guest = xmpp.MustParse("guest@localhost")

const anonymous = "auth_method: [anonymous, sql]\nanonymous_protocol: login_anon\n"

func enter(t *testing.T, s *modtest.Server, full string) *modtest.Client {
	t.Helper()
	g, err := s.Guest(full)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAnonymousUserOfAnotherNodeExists(t *testing.T) {
	c := modtest.StartNodes(t, 2, anonymous)
	exists := func(s *modtest.Server) bool {
		ok, err := s.Auth.Exists(t.Context(), guest)
		return err == nil && ok
	}
	if exists(c.List[0]) || exists(c.List[1]) {
		t.Fatal("the guest is here already")
	}
	if err := c.List[0].Auth.Check(t.Context(), guest, "anything"); err != nil {
		t.Errorf("the name is free: %v", err)
	}
	g := enter(t, c.List[1], "guest@localhost/1")
	c.Await("both nodes know the guest", func() bool { return exists(c.List[0]) && exists(c.List[1]) })
	// The name is somebody's now.
	if err := c.List[0].Auth.Check(t.Context(), guest, "anything"); err == nil {
		t.Error("another one is let in on the other node")
	}
	if _, err := c.List[1].Guest("guest@localhost/2"); !errors.Is(err, auth.ErrTaken) {
		t.Errorf("another one is let in on the same node: %v", err)
	}
	g.Logout()
	c.Await("both nodes have forgotten the guest", func() bool { return !exists(c.List[0]) && !exists(c.List[1]) })
}

// TestOneNameTakenOnTwoNodes: both were let in at the same moment. The first one
// stays, and what the second one's end does is not done to him.
func TestOneNameTakenOnTwoNodes(t *testing.T) {
	c := modtest.StartNodes(t, 2, anonymous)
	gone := new(removals).watch(c)
	first, second := enter(t, c.List[0], "guest@localhost/1"), enter(t, c.List[1], "guest@localhost/2")
	c.Await("the second one ends", func() bool { return second.Closed() == "conflict" })
	<-second.Done()
	c.Settle()
	if first.Closed() != "" || gone.count() != 0 {
		t.Errorf("the first one ended with %q, and was removed %d times", first.Closed(), gone.count())
	}
	first.Logout()
	c.Settle()
	if gone.count() != 1 {
		t.Errorf("when nobody is left the user is removed %d times", gone.count())
	}
}

func TestSharedNameIsRemovedWithItsLastSession(t *testing.T) {
	c := modtest.StartNodes(t, 2, anonymous+"allow_multiple_connections: true\n")
	gone := new(removals).watch(c)
	one, two := enter(t, c.List[0], "guest@localhost/1"), enter(t, c.List[1], "guest@localhost/2")
	one.Logout()
	c.Settle()
	if two.Closed() != "" || gone.count() != 0 {
		t.Errorf("the other session ended with %q, removed %d times", two.Closed(), gone.count())
	}
	two.Logout()
	if gone.count() != 1 {
		t.Errorf("removed %d times", gone.count())
	}
}

func TestClearCacheIsHeardOnItsHost(t *testing.T) {
	c := modtest.StartNodes(t, 2, "")
	heard := make(chan *local.Host, 2)
	for _, s := range c.List {
		local.ClearCache.AddEverywhere(witness{s}, hooks.Normal, func(_ context.Context, h *local.Host) { heard <- h })
	}
	local.ClearCache.Run(t.Context(), c.List[0].Parts.Hooks, c.List[0].Host)
	if a, b := <-heard, <-heard; a != c.List[0].Host || b != c.List[1].Host {
		t.Errorf("heard on %v and %v", a, b)
	}
	if err := hooks.Hear(t.Context(), c.List[0].Global, "clear_cache", nil); err == nil {
		t.Error("it is heard in the server's table, where there is no host")
	}
}
