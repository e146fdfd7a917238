package roster_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func TestTwoUsersSubscribe(t *testing.T) {
	s := start(t, "")
	romeo, juliet := interested(t, s, "romeo@localhost/orchard"), interested(t, s, "juliet@localhost/balcony")
	romeo.Say(`<presence type='subscribe' to='juliet@localhost/ignored'/>`)
	expect(t, romeo, "push juliet@localhost none subscribe")
	expect(t, juliet, "subscribe from romeo@localhost")
	if g := ask(t, juliet); strings.Contains(g, "item") {
		t.Errorf("a request is in juliet's roster: %s", g)
	}
	juliet.Say(`<presence type='subscribed' to='romeo@localhost'/>`)
	expect(t, juliet, "push romeo@localhost from")
	expect(t, romeo, "push juliet@localhost to", "subscribed from juliet@localhost", "from juliet@localhost/balcony")
	juliet.Say(`<presence type='subscribe' to='romeo@localhost'/>`)
	romeo.Say(`<presence type='subscribed' to='juliet@localhost'/>`)
	expect(t, romeo, "subscribe from juliet@localhost", "push juliet@localhost both")
	expect(t, juliet, "push romeo@localhost from subscribe", "push romeo@localhost both",
		"subscribed from romeo@localhost", "from romeo@localhost/orchard")

	romeo.Say(`<presence><show>away</show></presence>`)
	expect(t, juliet, "from romeo@localhost/orchard")
	romeo.Inbox()

	// Romeo takes it back, then he leaves her.
	romeo.Say(`<presence type='unsubscribed' to='juliet@localhost'/>`)
	expect(t, romeo, "push juliet@localhost to")
	expect(t, juliet, "unavailable from romeo@localhost/orchard", "push romeo@localhost from", "unsubscribed from romeo@localhost")
	romeo.Say(`<presence type='unsubscribe' to='juliet@localhost'/>`)
	expect(t, romeo, "push juliet@localhost none", "unavailable from juliet@localhost/balcony")
	expect(t, juliet, "push romeo@localhost none", "unsubscribe from romeo@localhost")
	juliet.Say(`<presence><show>away</show></presence>`)
	expect(t, romeo)
}

func TestRemovalEndsBothDirections(t *testing.T) {
	s := start(t, "")
	romeo, juliet := friends(t, s)
	if r := set(romeo, `<item jid='juliet@localhost' subscription='remove'/>`); r != "result" {
		t.Fatalf("the answer is %s", r)
	}
	expect(t, romeo, "push juliet@localhost remove", "unavailable from juliet@localhost/balcony")
	expect(t, juliet, "push romeo@localhost to", "unsubscribe from romeo@localhost",
		"unavailable from romeo@localhost/orchard", "push romeo@localhost none", "unsubscribed from romeo@localhost")
}

// friends are romeo and juliet, who see each other.
func friends(t *testing.T, s *modtest.Server) (romeo, juliet *modtest.Client) {
	t.Helper()
	romeo, juliet = interested(t, s, "romeo@localhost/orchard"), interested(t, s, "juliet@localhost/balcony")
	for _, x := range [][2]*modtest.Client{{romeo, juliet}, {juliet, romeo}} {
		x[0].Say(`<presence type='subscribe' to='` + x[1].JID.Bare().String() + `'/>`)
		x[1].Say(`<presence type='subscribed' to='` + x[0].JID.Bare().String() + `'/>`)
	}
	if l := standing(t, s, "romeo@localhost", "juliet@localhost"); l != "both" {
		t.Fatalf("they are %s", l)
	}
	romeo.Inbox()
	juliet.Inbox()
	return romeo, juliet
}

func standing(t *testing.T, s *modtest.Server, user, other string) string {
	t.Helper()
	c := sm.JIDInfo.Run(t.Context(), s.Parts.Hooks, sm.Contact{}, sm.Pair{User: xmpp.MustParse(user), Other: xmpp.MustParse(other)})
	return c.Subscription
}

func TestRequestWaitsForTheNextClient(t *testing.T) {
	s := start(t, "")
	s.Register("juliet@localhost", "secret")
	romeo := interested(t, s, "romeo@localhost/orchard")
	romeo.Say(`<presence type='subscribe' to='juliet@localhost'><status>hi</status><nick xmlns='http://jabber.org/protocol/nick'>R</nick></presence>`)
	romeo.Say(`<presence type='subscribe' to='juliet@localhost'/>`)
	for range 2 {
		juliet := s.Login("juliet@localhost/balcony")
		juliet.Say(`<presence/>`)
		var asked []*xmpp.Stanza
		for _, st := range juliet.Inbox() {
			if st.Type == "subscribe" {
				asked = append(asked, st)
			}
		}
		if len(asked) != 1 || asked[0].Child("http://jabber.org/protocol/nick", "nick").Text() != "R" || asked[0].From != romeo.JID.Bare() {
			t.Fatalf("juliet is asked %v", asked)
		}
		juliet.Say(`<presence><show>away</show></presence>`)
		for _, st := range juliet.Inbox() {
			if st.Type == "subscribe" {
				t.Errorf("juliet is asked again: %v", st)
			}
		}
		juliet.Logout()
	}
	juliet := s.Available("juliet@localhost/balcony")
	juliet.Say(`<presence type='unsubscribed' to='romeo@localhost'/>`)
	if got := romeo.Inbox(); len(got) == 0 || got[len(got)-1].Type != "unsubscribed" {
		t.Errorf("romeo got %v", got)
	}
	juliet.Logout()
	juliet = s.Login("juliet@localhost/balcony")
	juliet.Say(`<presence/>`)
	expect(t, juliet, "from juliet@localhost/balcony")
}

func TestPreApproved(t *testing.T) {
	s := start(t, "")
	romeo, juliet := interested(t, s, "romeo@localhost/orchard"), interested(t, s, "juliet@localhost/balcony")
	juliet.Say(`<presence type='subscribed' to='romeo@localhost'/>`)
	push := juliet.Inbox()
	if len(push) != 1 || push[0].Payload().Child(ns, "item").Attr("approved") != "true" {
		t.Fatalf("juliet got %v", push)
	}
	expect(t, romeo) // he hears nothing of it
	romeo.Say(`<presence type='subscribe' to='juliet@localhost'/>`)
	expect(t, romeo, "push juliet@localhost none subscribe", "push juliet@localhost to",
		"subscribed from juliet@localhost", "from juliet@localhost/balcony")
	expect(t, juliet, "push romeo@localhost from")
}

func TestSubscribedContactIsAnsweredBySelf(t *testing.T) {
	s := start(t, "")
	romeo, juliet := friends(t, s)
	// Romeo's server has forgotten, and asks again.
	s.Send(t.Context(), xmpp.NewPresence("subscribe", romeo.JID.Bare(), juliet.JID.Bare()))
	expect(t, juliet)
	expect(t, romeo) // the answer is no news
}

func TestNobodySmugglesHimselfIn(t *testing.T) {
	s := start(t, "")
	juliet := interested(t, s, "juliet@localhost/balcony")
	tybalt := interested(t, s, "tybalt@localhost/street")
	// From one of our own clients: none of it leaves.
	tybalt.Say(`<presence type='subscribed' to='juliet@localhost'/>`)
	tybalt.Say(`<presence type='unsubscribed' to='juliet@localhost'/>`)
	expect(t, juliet)
	// From a server that says what it likes.
	evil, to := xmpp.MustParse("tybalt@evil.example"), juliet.JID.Bare()
	for _, typ := range []string{"subscribed", "unsubscribed", "unsubscribe"} {
		s.Send(t.Context(), xmpp.NewPresence(typ, evil, to))
	}
	expect(t, juliet)
	for _, who := range []string{"tybalt@evil.example", "tybalt@localhost"} {
		if got := standing(t, s, "juliet@localhost", who); got != "" && got != "none" {
			t.Errorf("%s is %s", who, got)
		}
	}
	contacts := sm.Subscriptions.Run(t.Context(), s.Parts.Hooks, sm.Contacts{}, to)
	if len(contacts.From)+len(contacts.To) > 0 {
		t.Errorf("juliet's contacts are %+v", contacts)
	}
	if g := ask(t, juliet); strings.Contains(g, "item") {
		t.Errorf("juliet's roster is %s", g)
	}
	// A roster set cannot make a subscription either.
	set(tybalt, `<item jid='juliet@localhost' subscription='both'/>`)
	tybalt.Inbox()
	juliet.Say(`<presence/>`)
	expect(t, tybalt)
}

func TestNobodySubscribesToHimself(t *testing.T) {
	s := start(t, "")
	romeo := interested(t, s, "romeo@localhost/orchard")
	for _, typ := range []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"} {
		romeo.Say(`<presence type='` + typ + `' to='romeo@localhost'/>`)
	}
	expect(t, romeo)
}

func TestRequestDoesNotHideAContact(t *testing.T) {
	s := start(t, "")
	juliet := interested(t, s, "juliet@localhost/balcony")
	set(juliet, `<item jid='romeo@localhost'/>`)
	s.Send(t.Context(), xmpp.NewPresence("subscribe", xmpp.MustParse("romeo@localhost"), juliet.JID.Bare()))
	expect(t, juliet, "push romeo@localhost none", "subscribe from romeo@localhost")
	if g := ask(t, juliet); !strings.Contains(g, "romeo@localhost") {
		t.Errorf("the contact has gone: %s", g)
	}
	juliet.Say(`<presence type='unsubscribed' to='romeo@localhost'/>`)
	if g := ask(t, juliet); !strings.Contains(g, "romeo@localhost") {
		t.Errorf("the contact has gone with the request: %s", g)
	}
}

func TestRemovedUserTakesLeave(t *testing.T) {
	s := start(t, "")
	romeo, juliet := friends(t, s)
	if err := s.Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	if got := standing(t, s, "juliet@localhost", "romeo@localhost"); got != "none" {
		t.Errorf("juliet is left with %s", got)
	}
	expect(t, juliet, "push romeo@localhost to", "unsubscribe from romeo@localhost",
		"unavailable from romeo@localhost/orchard", "push romeo@localhost none", "unsubscribed from romeo@localhost")
	if got := standing(t, s, "romeo@localhost", "juliet@localhost"); got != "" {
		t.Errorf("romeo's roster is still there: %s", got)
	}
}

func TestPrivacyRulesKeepPresenceBack(t *testing.T) {
	s := start(t, "")
	romeo, juliet := interested(t, s, "romeo@localhost/orchard"), interested(t, s, "juliet@localhost/balcony")
	romeo.Say(`<presence type='subscribe' to='juliet@localhost'/>`)
	juliet.Inbox()
	romeo.Inbox()
	block(t, s, juliet.JID.Bare(), romeo.JID.Bare())
	juliet.Say(`<presence type='subscribed' to='romeo@localhost'/>`)
	expect(t, romeo)
	if got := standing(t, s, "juliet@localhost", "romeo@localhost"); got != "" {
		t.Errorf("the blocked stanza has made romeo %s", got)
	}
	if in := juliet.Inbox(); len(in) != 1 || in[0].Type != "error" {
		t.Errorf("juliet got %v", in)
	}
}

type owner struct{ s *modtest.Server }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.s.Parts.Hooks }
func (owner) OnStop(func())         {}

// block has user's rules refuse what goes to other.
func block(t *testing.T, s *modtest.Server, user, other xmpp.JID) {
	t.Helper()
	sm.Privacy.Add(owner{s}, hooks.Normal, func(_ context.Context, ok bool, p sm.PrivacyCheck) (bool, hooks.Flow) {
		if p.User.Bare() == user && p.Direction == sm.Out && p.Stanza.To.Bare() == other {
			return false, hooks.Stop
		}
		return ok, hooks.Next
	})
}
