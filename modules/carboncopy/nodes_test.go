package carboncopy_test

import (
	"slices"
	"testing"

	"github.com/gabberd/gabberd/modules/carboncopy"
	"github.com/gabberd/gabberd/modules/modtest"
)

// TestCopiesReachOtherNodes: which clients want copies is known on all nodes, and
// each of them has each message once, wherever it comes from.
func TestCopiesReachOtherNodes(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", carboncopy.Module)
	one, two := c.List[0], c.List[1]
	a, b := enable(t, one.Available("juliet@localhost/a")), enable(t, two.Available("juliet@localhost/b"))
	low := two.Login("juliet@localhost/low")
	low.Say(`<presence><priority>-1</priority></presence>`)
	romeo, phone := one.Available("romeo@localhost/orchard"), enable(t, two.Available("romeo@localhost/phone"))
	enable(t, low)
	for _, s := range c.List {
		c.Await("both nodes know who wants copies", func() bool {
			n := 0
			for _, x := range append(slices.Clone(s.Sessions.User(a.JID.Bare())), s.Sessions.User(phone.JID.Bare())...) {
				if _, available := x.Priority(); available && (x.Copied() || x.JID == romeo.JID) {
					n++
				}
			}
			return n == 5
		})
	}
	for _, x := range []*modtest.Client{romeo, phone, a, b, low} {
		x.Inbox()
	}
	for _, x := range []struct {
		from *modtest.Client
		copy []string // that phone gets
		own  []string // what it gets as the sender
	}{{romeo, []string{"sent 1", "sent 2", "sent 3"}, nil}, {phone, nil, nil}} {
		x.from.Say(chat("juliet@localhost", "1"))
		x.from.Say(chat("juliet@localhost/a", "2"))
		x.from.Say(chat("juliet@localhost/low", "3"))
		want(t, a, "1", "2", "received 3")
		want(t, b, "1", "received 2", "received 3")
		want(t, low, "received 1", "received 2", "3")
		want(t, phone, x.copy...)
		want(t, romeo)
	}
	if got := b.Ask(`<iq type='set' id='d'><disable xmlns='` + ns + `'/></iq>`); got.Type != "result" {
		t.Fatal(got)
	}
	c.Await("the other node knows that b wants none", func() bool {
		for _, x := range one.Sessions.User(b.JID.Bare()) {
			if x.JID == b.JID {
				return !x.Copied()
			}
		}
		return false
	})
	romeo.Say(chat("juliet@localhost/a", "4"))
	want(t, b)
	want(t, low, "received 4")
}
