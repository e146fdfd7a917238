package invites_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/modules/blocking"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/privacy"
	"github.com/gabberd/gabberd/xmpp"
)

// asks has a client ask to become a contact, with a token.
func asks(c *modtest.Client, to, token string) {
	c.Say(`<presence type='subscribe' to='` + to + `'><preauth xmlns='urn:xmpp:pars:0' token='` + token + `'/></presence>`)
}

// contactToken is the token of an invitation to become a client's contact.
func contactToken(t testing.TB, c *modtest.Client) string {
	t.Helper()
	uri, _ := invite(c, nodeInvite, "")
	return tokenOf(t, uri)
}

// requests are the subscription requests that a client was shown.
func requests(c *modtest.Client) (from []string) {
	for _, st := range c.Inbox() {
		if st.Kind == xmpp.Presence && st.Type == "subscribe" {
			from = append(from, st.From.String())
		}
	}
	return from
}

func TestContactByInvitation(t *testing.T) {
	s := start(t)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	token := contactToken(t, romeo)
	rosterOf(romeo) // from now on it is told of changes
	asks(juliet, "romeo@localhost", token)
	if got := rosterOf(romeo); got != "juliet@localhost from subscribe" {
		t.Errorf("romeo has %q", got)
	}
	in := romeo.Inbox()
	for _, st := range in {
		if st.Kind == xmpp.Presence && st.Type == "subscribe" {
			t.Errorf("romeo is asked: %v", st)
		}
	}
	if len(in) == 0 || in[0].Kind != xmpp.IQ {
		t.Errorf("romeo's client hears %v", in)
	}
	var heard []string
	for _, st := range juliet.Inbox() {
		if st.Kind == xmpp.Presence {
			heard = append(heard, st.Type)
		}
	}
	// The approval, the question, and then the presence.
	if got := strings.Join(heard, ","); got != "subscribed,subscribe," {
		t.Errorf("juliet hears %s", got)
	}
	juliet.Say(`<presence type='subscribed' to='romeo@localhost'/>`)
	for c, want := range map[*modtest.Client]string{romeo: "juliet@localhost both", juliet: "romeo@localhost both"} {
		if got := rosterOf(c); got != want {
			t.Errorf("%s has %q", c.JID, got)
		}
	}
	// Nobody else gets in by the same token.
	tybalt := s.Available("tybalt@localhost/x")
	romeo.Inbox()
	asks(tybalt, "romeo@localhost", token)
	if got := requests(romeo); len(got) != 1 {
		t.Errorf("the second time romeo is asked by %v", got)
	}
	if got := rosterOf(romeo); got != "juliet@localhost both" {
		t.Errorf("romeo has %q", got)
	}
	secretive(t, s, token)
}

// TestContactApprovedBeforehand: with that (XEP-0379 §3.4) nobody is asked.
func TestContactApprovedBeforehand(t *testing.T) {
	s := start(t)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	juliet.Say(`<presence type='subscribed' to='romeo@localhost'/>`)
	asks(juliet, "romeo@localhost", contactToken(t, romeo))
	if got := requests(juliet); len(got) != 0 {
		t.Errorf("juliet is asked by %v", got)
	}
	for c, want := range map[*modtest.Client]string{romeo: "juliet@localhost both", juliet: "romeo@localhost both"} {
		if got := rosterOf(c); got != want {
			t.Errorf("%s has %q", c.JID, got)
		}
	}
}

// TestContactsNeedNoInvitation: who is one already does not use it up.
func TestContactsNeedNoInvitation(t *testing.T) {
	s := start(t)
	romeo, juliet, mercutio := s.Available("romeo@localhost/x"), s.Available("juliet@localhost/x"), s.Available("mercutio@localhost/x")
	asks(juliet, "romeo@localhost", contactToken(t, romeo))
	token := contactToken(t, romeo)
	asks(juliet, "romeo@localhost", token)
	asks(mercutio, "romeo@localhost", token)
	if got := rosterOf(romeo); got != "juliet@localhost from subscribe, mercutio@localhost from subscribe" {
		t.Errorf("romeo has %q", got)
	}
}

// TestRequestsWithoutAGoodToken are left to the user, as they are.
func TestRequestsWithoutAGoodToken(t *testing.T) {
	s := start(t)
	romeo, tybalt, mercutio := s.Available("romeo@localhost/x"), s.Available("tybalt@localhost/x"), s.Available("mercutio@localhost/x")
	uri, _ := invite(romeo, nodeCreate, filled("", "1"))
	for what, token := range map[string]string{
		"none":               "",
		"a guess":            "guess",
		"another user's":     contactToken(t, mercutio),
		"that of an account": tokenOf(t, uri),
		"an operator's":      command(t, s, "generate_invite", "localhost"),
		"a reset":            command(t, s, "generate_reset_token", "romeo", "localhost"),
	} {
		asks(tybalt, "romeo@localhost", token)
		if got := requests(romeo); len(got) != 1 || got[0] != "tybalt@localhost" {
			t.Errorf("%s: romeo is asked by %v", what, got)
		}
		tybalt.Say(`<presence type='unsubscribe' to='romeo@localhost'/>`)
		romeo.Inbox()
	}
	// Nobody becomes his own contact, and a good one is still good.
	token := contactToken(t, romeo)
	asks(romeo, "romeo@localhost", token)
	if got := rosterOf(romeo); strings.Contains(got, "romeo") {
		t.Errorf("romeo is his own contact: %q", got)
	}
	asks(tybalt, "romeo@localhost", token)
	if got := rosterOf(romeo); got != "tybalt@localhost from subscribe" {
		t.Errorf("romeo has %q", got)
	}
}

// TestBlocked: who is blocked is not let in by a token, and does not use it up.
func TestBlocked(t *testing.T) {
	s := modtest.Start(t, closed(), append(slices.Clone(everything), privacy.Module, blocking.Module)...)
	romeo, tybalt, juliet := s.Available("romeo@localhost/x"), s.Available("tybalt@localhost/x"), s.Available("juliet@localhost/x")
	if got := romeo.Ask(`<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='tybalt@localhost'/></block></iq>`); got.Type != "result" {
		t.Fatal(got)
	}
	token := contactToken(t, romeo)
	asks(tybalt, "romeo@localhost", token)
	if got := rosterOf(romeo); got != "" {
		t.Errorf("romeo has %q", got)
	}
	asks(juliet, "romeo@localhost", token)
	if got := rosterOf(romeo); got != "juliet@localhost from subscribe" {
		t.Errorf("romeo has %q", got)
	}
}

func TestGuessingAContactIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t)
		romeo, tybalt := s.Available("romeo@localhost/x"), s.Available("tybalt@localhost/x")
		token := contactToken(t, romeo)
		for i := range 20 {
			asks(tybalt, "romeo@localhost", fmt.Sprint("guess", i))
		}
		asks(tybalt, "romeo@localhost", token)
		if got := rosterOf(romeo); got != "" {
			t.Errorf("romeo has %q", got)
		}
		time.Sleep(600 * time.Second)
		asks(tybalt, "romeo@localhost", token)
		if got := rosterOf(romeo); got != "tybalt@localhost from subscribe" {
			t.Errorf("later romeo has %q", got)
		}
	})
}

// TestContactByAnAccount: who makes an account by an invitation of a contact becomes
// one; so does who was invited to make an account and become one, and nobody else.
func TestContactByAnAccount(t *testing.T) {
	s := start(t)
	romeo := s.Available("romeo@localhost/orchard")
	rosterOf(romeo)
	var tokens []string
	for name, link := range map[string]func() string{
		"juliet":   func() string { uri, _ := invite(romeo, nodeInvite, ""); return uri },
		"mercutio": func() string { uri, _ := invite(romeo, nodeCreate, filled("mercutio", "1")); return uri },
		"tybalt":   func() string { uri, _ := invite(romeo, nodeCreate, filled("", "0")); return uri },
	} {
		token := tokenOf(t, link())
		tokens = append(tokens, token)
		x := newStranger(t, s)
		if got := x.shows(token); got != "result" {
			t.Fatalf("%s: %s", name, got)
		}
		if got := x.makes(name, "secret"); got != "result" {
			t.Fatalf("%s: %s", name, got)
		}
		if got := newStranger(t, s).shows(token); got != "item-not-found" {
			t.Errorf("%s, again: %s", name, got)
		}
	}
	if got := rosterOf(romeo); got != "juliet@localhost both, mercutio@localhost both" {
		t.Errorf("romeo has %q", got)
	}
	pushes := 0
	for _, st := range romeo.Inbox() {
		if st.Kind == xmpp.IQ && strings.Contains(st.String(), "subscription='both'") {
			pushes++
		}
	}
	if pushes != 2 {
		t.Errorf("romeo's client heard of %d", pushes)
	}
	juliet := s.Available("juliet@localhost/balcony")
	if got := rosterOf(juliet); got != "romeo@localhost both" {
		t.Errorf("juliet has %q", got)
	}
	// Clients send the token once more, to become contacts: they are already.
	asks(juliet, "romeo@localhost", tokens[0])
	asks(juliet, "romeo@localhost", tokens[1])
	if got := requests(romeo); len(got) != 0 {
		t.Errorf("romeo is asked by %v", got)
	}
	if got := rosterOf(romeo); got != "juliet@localhost both, mercutio@localhost both" {
		t.Errorf("romeo has %q", got)
	}
	secretive(t, s, tokens...)
}

// TestWhoMayNotInviteUsers: his invitations of contacts make no accounts.
func TestWhoMayNotInviteUsers(t *testing.T) {
	s := start(t)
	tybalt, juliet := s.Available("tybalt@localhost/x"), s.Available("juliet@localhost/x")
	token := contactToken(t, tybalt)
	x := newStranger(t, s)
	if got := x.shows(token); got != "item-not-found" {
		t.Errorf("shown: %s", got)
	}
	if got := x.makes("mercutio", "secret"); got != "forbidden" || exists(t, s, "mercutio@localhost") {
		t.Errorf("made: %s", got)
	}
	asks(juliet, "tybalt@localhost", token)
	if got := rosterOf(tybalt); got != "juliet@localhost from subscribe" {
		t.Errorf("tybalt has %q", got)
	}
}

// TestAccountsOfContactsCount for max_invites.
func TestAccountsOfContactsCount(t *testing.T) {
	s := start(t, "max_invites: 1")
	romeo := s.Login("romeo@localhost/x")
	one, two := contactToken(t, romeo), contactToken(t, romeo)
	x := newStranger(t, s)
	x.shows(one)
	if got := x.makes("juliet", "secret"); got != "result" {
		t.Fatal(got)
	}
	if got := newStranger(t, s).shows(two); got != "item-not-found" {
		t.Errorf("one too many: %s", got)
	}
	if _, got := invite(romeo, nodeCreate, filled("", "0")); condition(got) != "bad-request" {
		t.Errorf("one too many: %v", got)
	}
}

// TestContactOnAnotherNode: the inviter's clients hear of it wherever they are.
func TestContactOnAnotherNode(t *testing.T) {
	c := modtest.StartNodes(t, 2, closed(), everything...)
	romeo, juliet := c.List[0].Available("romeo@localhost/orchard"), c.List[1].Available("juliet@localhost/balcony")
	rosterOf(romeo)
	token := contactToken(t, romeo)
	c.Await("the other node knows romeo", func() bool { return c.List[1].Sessions.Count() == 2 })
	asks(juliet, "romeo@localhost", token)
	c.Settle()
	if got := rosterOf(romeo); got != "juliet@localhost from subscribe" {
		t.Errorf("romeo has %q", got)
	}
	pushed := false
	c.Await("romeo's client is told", func() bool {
		for _, st := range romeo.Inbox() {
			pushed = pushed || st.Kind == xmpp.IQ && strings.Contains(st.String(), "jid='juliet@localhost'")
		}
		return pushed
	})
	tybalt := c.List[0].Available("tybalt@localhost/x")
	asks(tybalt, "romeo@localhost", token)
	if got := rosterOf(romeo); got != "juliet@localhost from subscribe" {
		t.Errorf("the second time romeo has %q", got)
	}
	// A new account on one node, its inviter on the other.
	x := newStranger(t, c.List[1])
	x.shows(contactToken(t, romeo))
	if got := x.makes("mercutio", "secret"); got != "result" {
		t.Fatal(got)
	}
	c.Settle()
	if got := rosterOf(romeo); got != "juliet@localhost from subscribe, mercutio@localhost both" {
		t.Errorf("romeo has %q", got)
	}
}

// TestRosterRefuses: an invitation that cannot be answered is not used up.
func TestRosterRefuses(t *testing.T) {
	s := modtest.Start(t, `
acl: {romeo: {user: [romeo@localhost]}}
access_rules: {subscribers: [{deny: romeo}, {allow: all}]}
modules: {mod_roster: {access: subscribers}}`, everything...)
	romeo, juliet := s.Available("romeo@localhost/x"), s.Available("juliet@localhost/x")
	asks(juliet, "romeo@localhost", contactToken(t, romeo))
	if got := rosterOf(romeo); got != "" {
		t.Errorf("romeo has %q", got)
	}
	if got := requests(romeo); len(got) != 1 {
		t.Errorf("romeo is asked by %v", got)
	}
	if list, err := s.Command("list_invites", "localhost"); !strings.Contains(list, "\ttrue\t") || err != nil {
		t.Errorf("listed %q, %v", list, err)
	}
}
