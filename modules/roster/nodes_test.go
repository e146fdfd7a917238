package roster_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func startNodes(t *testing.T, options string) *modtest.Nodes {
	t.Helper()
	return modtest.StartNodes(t, 2, "modules:\n  mod_roster: {"+options+"}\n"+rules, roster.Module)
}

// told waits until a client has got exactly that, in whatever order.
func told(c *modtest.Nodes, who *modtest.Client, want ...string) {
	var all []string
	slices.Sort(want)
	c.Await(who.JID.String()+" is told "+strings.Join(want, ", "), func() bool {
		all = append(all, got(who)...)
		slices.Sort(all)
		return slices.Equal(all, want)
	})
}

// pushes waits until a client has got so many pushes, and returns them.
func pushes(c *modtest.Nodes, who *modtest.Client, n int) (list []*xmpp.Element) {
	c.Await(who.JID.String()+" is told "+strconv.Itoa(n)+" times", func() bool {
		for _, st := range who.Inbox() {
			if st.Kind == xmpp.IQ && st.Type == "set" {
				list = append(list, st.Payload())
			}
		}
		return len(list) >= n
	})
	return list
}

// TestPushReachesClientsOfAnotherNode: those that have asked for the roster, and
// no others (RFC 6121 §2.1.6).
func TestPushReachesClientsOfAnotherNode(t *testing.T) {
	c := startNodes(t, "")
	here, there := c.List[0], c.List[1]
	one := interested(t, here, "romeo@localhost/orchard")
	two := interested(t, there, "romeo@localhost/street")
	silent := there.Available("romeo@localhost/tomb")
	one.Inbox()
	two.Inbox()
	silent.Inbox()
	if got := set(one, `<item jid='juliet@localhost' name='Juliet'/>`); got != "result" {
		t.Fatal(got)
	}
	c.Settle()
	told(c, one, "push juliet@localhost none")
	told(c, two, "push juliet@localhost none")
	expect(t, silent)
	if got := set(two, `<item jid='juliet@localhost' subscription='remove'/>`); got != "result" {
		t.Fatal(got)
	}
	c.Settle()
	told(c, one, "push juliet@localhost remove")
	told(c, two, "push juliet@localhost remove")
	expect(t, silent)
}

// TestSubscriptionIsSeenByBothNodes: what presence needs of a roster is in the
// memory of both nodes, and must go from both.
func TestSubscriptionIsSeenByBothNodes(t *testing.T) {
	c := startNodes(t, "")
	romeo, juliet := interested(t, c.List[0], "romeo@localhost/orchard"), interested(t, c.List[1], "juliet@localhost/balcony")
	sees := func(s *modtest.Server, user, who string) bool {
		return sm.JIDInfo.Run(t.Context(), s.Parts.Hooks, sm.Contact{}, sm.Pair{User: xmpp.MustParse(user), Other: xmpp.MustParse(who)}).SeesUser()
	}
	both := func() []bool {
		return []bool{sees(c.List[0], "juliet@localhost", "romeo@localhost"), sees(c.List[1], "juliet@localhost", "romeo@localhost")}
	}
	if slices.Contains(both(), true) {
		t.Fatal("romeo sees juliet already")
	}
	romeo.Say(`<presence type='subscribe' to='juliet@localhost'/>`)
	juliet.Say(`<presence type='subscribed' to='romeo@localhost'/>`)
	c.Settle()
	if slices.Contains(both(), false) {
		t.Errorf("romeo sees juliet: %v", both())
	}
	// Pushes and stanzas come from there on ways of their own.
	told(c, romeo, "push juliet@localhost none subscribe", "subscribed from juliet@localhost", "push juliet@localhost to", "from juliet@localhost/balcony")
	juliet.Say(`<presence type='unsubscribed' to='romeo@localhost'/>`)
	c.Settle()
	if slices.Contains(both(), true) {
		t.Errorf("romeo does not see juliet any more: %v", both())
	}
}

// TestRemovedUserIsForgottenOnBothNodes and so is everything when an operator
// says so.
func TestRemovedUserIsForgottenOnBothNodes(t *testing.T) {
	c := startNodes(t, "")
	romeo := interested(t, c.List[1], "romeo@localhost/orchard")
	set(romeo, `<item jid='juliet@localhost'/>`)
	known := func(s *modtest.Server) bool {
		return sm.JIDInfo.Run(t.Context(), s.Parts.Hooks, sm.Contact{}, sm.Pair{User: romeo.JID.Bare(), Other: xmpp.MustParse("juliet@localhost")}).Subscription != ""
	}
	if c.Settle(); !known(c.List[0]) || !known(c.List[1]) {
		t.Fatal("juliet is in romeo's roster")
	}
	if err := c.List[0].Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	if c.Settle(); known(c.List[0]) || known(c.List[1]) {
		t.Error("the roster is remembered, but its owner is gone")
	}
	if romeo.Closed() != "conflict" {
		t.Errorf("the session on the other node: %q", romeo.Closed())
	}
}

// TestPushSaysWhatIsStored has two nodes change a contact, and hear of each
// other's change when both are done: nobody is left with the older one.
func TestPushSaysWhatIsStored(t *testing.T) {
	for _, o := range []string{"versioning: true", "versioning: true, store_current_id: true"} {
		t.Run(o, func(t *testing.T) {
			c := startNodes(t, o)
			clients := []*modtest.Client{interested(t, c.List[0], "romeo@localhost/1"), interested(t, c.List[1], "romeo@localhost/2")}
			c.Hold()
			for i := range 6 {
				set(clients[i%2], `<item jid='juliet@localhost' name='`+strconv.Itoa(i)+`'/>`)
			}
			c.Settle()
			for _, x := range clients {
				name, version := "", ""
				for _, query := range pushes(c, x, 6) {
					name = query.Child(ns, "item").Attr("name")
					if v := query.Attr("ver"); v != "" {
						version = v
					}
				}
				if name != "5" {
					t.Errorf("%s was told last that the name is %q", x.JID, name)
				}
				// Whoever comes again with the version that it has must get the roster, or have it.
				if st := x.Ask(`<iq type='get' id='v'><query xmlns='` + ns + `' ver='` + version + `'/></iq>`); st.Payload() != nil && st.Payload().Child(ns, "item").Attr("name") != "5" {
					t.Errorf("%s was answered %v", x.JID, st)
				}
			}
		})
	}
}

// TestStalePushHasNoVersion: a client that was told of one change with the version
// after two would never ask for the other.
func TestStalePushHasNoVersion(t *testing.T) {
	c := startNodes(t, "versioning: true, store_current_id: true")
	one, two := interested(t, c.List[0], "romeo@localhost/1"), interested(t, c.List[1], "romeo@localhost/2")
	c.Hold()
	set(one, `<item jid='juliet@localhost'/>`)
	set(one, `<item jid='tybalt@localhost'/>`)
	c.Settle()
	var versions []bool
	for _, query := range pushes(c, two, 2) {
		versions = append(versions, query.Attr("ver") != "")
	}
	if !slices.Equal(versions, []bool{false, true}) {
		t.Errorf("pushes with a version: %v, want only the last", versions)
	}
}

// TestMalformedChangesAreRefused: they come from outside of the process.
func TestMalformedChangesAreRefused(t *testing.T) {
	s := start(t, "")
	romeo := interested(t, s, "romeo@localhost/1")
	for _, payload := range []string{``, `[]`, `{}`, `{"user":"romeo@localhost"}`, `{"user":"@","contact":"juliet@localhost"}`, `{"user":"romeo@localhost","contact":"a@b@c","visible":true}`} {
		if err := hooks.Hear(context.Background(), s.Parts.Hooks, "roster_changed", []byte(payload)); err == nil {
			t.Errorf("%s was heard", payload)
		}
	}
	expect(t, romeo)
}
