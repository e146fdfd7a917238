package roster_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

var errNobody = errors.New("nobody")

func befriend(t *testing.T, s *modtest.Server, user, contact string, mutual bool) error {
	t.Helper()
	b := roster.Befriend.Run(t.Context(), s.Hooks, roster.Befriended{}, roster.Friendship{User: xmpp.MustParse(user), Contact: xmpp.MustParse(contact), Mutual: mutual})
	if b.Err == nil && !b.Done {
		return errNobody
	}
	return b.Err
}

func shown(c *modtest.Client) (out string) {
	for i := range c.Ask(`<iq type='get' id='shown'><query xmlns='jabber:iq:roster'/></iq>`).Payload().Children() {
		out += i.Attr("jid") + " " + i.Attr("subscription") + " " + i.Attr("ask") + i.Attr("approved") + ";"
	}
	return out
}

func TestModulesMakeFriends(t *testing.T) {
	s := modtest.Start(t, "", roster.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	if err := befriend(t, s, "juliet@localhost", "romeo@localhost", true); err != nil {
		t.Fatal(err)
	}
	if err := befriend(t, s, "romeo@localhost", "juliet@localhost", true); err != nil {
		t.Fatal(err)
	}
	// Each sees that the other is there, and nobody is asked.
	for c, other := range map[*modtest.Client]*modtest.Client{romeo: juliet, juliet: romeo} {
		seen := false
		for _, st := range c.Inbox() {
			if st.Kind == xmpp.Presence && st.Type != "" {
				t.Errorf("%s gets %v", c.JID, st)
			}
			seen = seen || st.Kind == xmpp.Presence && st.From == other.JID
		}
		if got := shown(c); got != other.JID.Bare().String()+" both ;" || !seen {
			t.Errorf("%s has %q, sees the other: %v", c.JID, got, seen)
		}
	}
}

func TestFriendshipsThatWereBegun(t *testing.T) {
	for _, x := range []struct{ romeo, juliet, want string }{
		{"", "", "juliet@localhost from subscribe;"},
		{"<presence type='subscribe' to='juliet@localhost'/>", "", "juliet@localhost from subscribe;"},
		{"<presence type='subscribed' to='juliet@localhost'/>", "", "juliet@localhost from subscribe;"},
		{"<presence type='subscribe' to='juliet@localhost'/>", "<presence type='subscribed' to='romeo@localhost'/>", "juliet@localhost both ;"},
		{"", "<presence type='subscribe' to='romeo@localhost'/>", "juliet@localhost from subscribe;"},
	} {
		s := modtest.Start(t, "", roster.Module)
		romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
		if x.romeo != "" {
			romeo.Say(x.romeo)
		}
		if x.juliet != "" {
			juliet.Say(x.juliet)
		}
		if err := befriend(t, s, "romeo@localhost", "juliet@localhost", false); err != nil {
			t.Fatal(err)
		}
		if got := shown(romeo); got != x.want {
			t.Errorf("after %q and %q romeo has %q, want %q", x.romeo, x.juliet, got, x.want)
		}
		// Nothing waits for romeo's answer any more.
		if n := roster.Waiting.Run(t.Context(), s.Hooks, 0, romeo.JID.Bare()); n != 0 {
			t.Errorf("%d requests wait", n)
		}
	}
}

func TestModulesMakeNoFriendsAgainstTheRules(t *testing.T) {
	s := modtest.Start(t, `
acl: {romeo: {user: [romeo@localhost]}}
access_rules: {subscribers: [{deny: romeo}, {allow: all}]}
modules: {mod_roster: {access: subscribers}}`, roster.Module)
	romeo := s.Available("romeo@localhost/orchard")
	for _, mutual := range []bool{false, true} {
		if err := befriend(t, s, "romeo@localhost", "juliet@localhost", mutual); !errors.Is(err, xmpp.Forbidden) {
			t.Errorf("romeo: %v", err)
		}
	}
	if err := befriend(t, s, "juliet@localhost", "juliet@localhost", true); !errors.Is(err, xmpp.Forbidden) {
		t.Errorf("herself: %v", err)
	}
	if got := shown(romeo); got != "" {
		t.Errorf("romeo has %q", got)
	}
	s.Stop()
	if err := befriend(t, s, "juliet@localhost", "mercutio@localhost", true); !errors.Is(err, errNobody) || strings.Contains(s.Log(), "panic") {
		t.Errorf("without a roster: %v", err)
	}
}
