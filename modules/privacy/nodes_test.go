package privacy_test

import (
	"slices"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
)

// TestListsOfAnotherNode: a list that was changed there holds here, a client's
// active list is asked wherever the sender is, and only that.
func TestListsOfAnotherNode(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", all()...)
	here, there := c.List[0], c.List[1]
	romeo, phone := here.Available("romeo@localhost/orchard"), there.Available("romeo@localhost/phone")
	juliet := there.Available("juliet@localhost/balcony")
	c.Settle()
	drain := func() {
		for _, x := range []*modtest.Client{romeo, phone, juliet} {
			x.Inbox()
		}
	}
	say := func(to string, want map[*modtest.Client]string) {
		t.Helper()
		c.Settle()
		drain()
		juliet.Say(`<message to='` + to + `' type='chat'><body>hi</body></message>`)
		for _, x := range []*modtest.Client{romeo, phone, juliet} {
			in := got(x)
			if want[x] == "" && len(in) > 0 || want[x] != "" && !slices.Equal(in, []string{want[x]}) {
				t.Errorf("%s: %s got %q, want %q", to, x.JID, in, want[x])
			}
		}
	}
	const hi = "message chat juliet@localhost/balcony hi"
	say("romeo@localhost", map[*modtest.Client]string{romeo: hi, phone: hi})

	set(t, romeo, `<list name='no juliet'>`+deny+`</list>`)
	set(t, romeo, `<active name='no juliet'/>`)
	c.Await("the other node knows of the active list", func() bool {
		for _, s := range there.Sessions.User(romeo.JID.Bare()) {
			if s.JID == romeo.JID && s.ActiveList() == "no juliet" {
				return true
			}
		}
		return false
	})
	say("romeo@localhost", map[*modtest.Client]string{phone: hi})
	say("romeo@localhost/orchard", map[*modtest.Client]string{juliet: "message error romeo@localhost/orchard hiservice-unavailable"})

	// The other way round: what the default denies, the active list lets through.
	set(t, romeo, `<list name='all'><item action='allow' order='1'/></list>`)
	set(t, romeo, `<default name='no juliet'/>`)
	set(t, romeo, `<active name='all'/>`)
	c.Await("the other node knows of the other active list", func() bool {
		for _, s := range there.Sessions.User(romeo.JID.Bare()) {
			if s.JID == romeo.JID && s.ActiveList() == "all" {
				return true
			}
		}
		return false
	})
	say("romeo@localhost", map[*modtest.Client]string{romeo: hi})
	say("romeo@localhost/phone", map[*modtest.Client]string{juliet: "message error romeo@localhost/phone hiservice-unavailable"})

	// All clients on both nodes are told of a change.
	set(t, phone, `<list name='all'>`+deny+`</list>`)
	c.Settle()
	if a, b := got(romeo), got(phone); !slices.Contains(a, "push") || !slices.Contains(b, "push") {
		t.Errorf("told: %v, %v", a, b)
	}
	say("romeo@localhost", map[*modtest.Client]string{juliet: "message error romeo@localhost hiservice-unavailable"})
}

func TestPresenceOfClientsOnTwoNodes(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", all()...)
	here, there := c.List[0], c.List[1]
	here.Register("romeo@localhost", "x")
	here.Register("juliet@localhost", "x")
	befriend(t, here, "romeo", "juliet")
	romeo, phone := here.Available("romeo@localhost/orchard"), there.Available("romeo@localhost/phone")
	juliet := there.Available("juliet@localhost/balcony")
	c.Settle()
	juliet.Inbox()
	set(t, romeo, `<list name='x'>`+deny+`</list>`)
	set(t, romeo, `<default name='x'/>`)
	c.Settle()
	in := got(juliet)
	slices.Sort(in)
	if want := []string{"presence unavailable romeo@localhost/orchard", "presence unavailable romeo@localhost/phone"}; !slices.Equal(in, want) {
		t.Errorf("juliet got %q", in)
	}
	phone.Say(`<presence><show>away</show></presence>`)
	expect(t, juliet)
}
