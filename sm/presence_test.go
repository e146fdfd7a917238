package sm_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// friends makes juliet and benvolio@away.example contacts of romeo, and him one
// of theirs.
func (h *house) friends() {
	benvolio := xmpp.MustParse("benvolio@away.example")
	romeo, juliet := xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
	of := map[xmpp.JID][]xmpp.JID{romeo: {juliet, benvolio}, juliet: {romeo}}
	sm.Subscriptions.Add(h, hooks.Normal, func(_ context.Context, c sm.Contacts, user xmpp.JID) (sm.Contacts, hooks.Flow) {
		return sm.Contacts{To: of[user], From: of[user]}, hooks.Next
	})
	sm.JIDInfo.Add(h, hooks.Normal, func(_ context.Context, c sm.Contact, p sm.Pair) (sm.Contact, hooks.Flow) {
		for _, j := range of[p.User] {
			if j == p.Other {
				c.Subscription = "both"
			}
		}
		return c, hooks.Next
	})
}

func TestInitialPresence(t *testing.T) {
	h := newHouse(t)
	h.friends()
	other := h.available("romeo@localhost/phone", "3")
	juliet := h.available("juliet@localhost/balcony", "1")
	away := h.connected("juliet@localhost/unavailable")
	h.away.inbox()
	other.inbox()
	romeo := h.connected("romeo@localhost/orchard")
	romeo.say(`<presence id='p'><show>away</show></presence>`)
	for _, c := range []struct {
		who  *client
		want string
	}{
		// RFC 6121 §4.2.2: contacts and all own resources, the new one included;
		// §4.3: the presence of those that are here already.
		{romeo, "presence from romeo@localhost/orchard #p, presence from romeo@localhost/phone, presence from juliet@localhost/balcony"},
		{other, "presence from romeo@localhost/orchard #p"},
		{juliet, "presence from romeo@localhost/orchard #p"},
		{away, ""},
		{h.away, "presence from romeo@localhost/orchard #p, presence/probe from romeo@localhost/orchard"},
	} {
		if got := brief(c.who.inbox()); got != c.want {
			t.Errorf("%v got %s\nwant %s", c.who.Session, got, c.want)
		}
	}
	// A change is no initial presence: nobody is asked again.
	romeo.say(`<presence id='q'/>`)
	for _, c := range []struct {
		who  *client
		want string
	}{
		{romeo, "presence from romeo@localhost/orchard #q"}, {other, "presence from romeo@localhost/orchard #q"},
		{juliet, "presence from romeo@localhost/orchard #q"}, {h.away, "presence from romeo@localhost/orchard #q"},
	} {
		if got := brief(c.who.inbox()); got != c.want {
			t.Errorf("after a change %v got %s, want %s", c.who.Session, got, c.want)
		}
	}
}

func TestUnavailablePresence(t *testing.T) {
	for _, c := range []struct {
		what   string
		end    func(*client)
		status string
		own    bool // the client itself hears of it
	}{
		{"at the client's word", func(c *client) { c.say(`<presence type='unavailable'><status>good night</status></presence>`) }, "good night", true},
		{"addressed to itself", func(c *client) {
			c.say(`<presence type='unavailable' to='romeo@localhost'><status>bye</status></presence>`)
		}, "bye", true},
		{"when the connection is cut", func(c *client) { c.leave() }, "", false},
		{"when the server gives a reason", func(c *client) {
			c.h.CloseSession(context.Background(), c.Session, "Ping timeout")
		}, "Ping timeout", false},
	} {
		h := newHouse(t)
		h.friends()
		var left []string
		sm.Unpresent.Add(h, hooks.Normal, func(_ context.Context, l sm.Leaving) { left = append(left, l.Status) })
		juliet := h.available("juliet@localhost/balcony", "1")
		romeo, other := h.available("romeo@localhost/orchard", "1"), h.available("romeo@localhost/phone", "1")
		romeo.say(`<presence to='nurse@away.example/x'/>`)
		romeo.say(`<presence to='juliet@localhost'/>`) // she hears of it anyway
		for _, x := range []*client{juliet, romeo, other, h.away} {
			x.inbox()
		}
		c.end(romeo)
		want := "presence/unavailable from romeo@localhost/orchard"
		for _, x := range []*client{juliet, other} {
			got := x.inbox()
			if brief(got) != want || got[0].Child(xmpp.NSClient, "status").Text() != c.status {
				t.Errorf("%s: %s got %v", c.what, x.JID, got)
			}
		}
		if got := romeo.inbox(); c.own != (brief(got) == want) || !c.own && len(got) > 0 {
			t.Errorf("%s: the client itself got %v", c.what, got)
		}
		var to []string
		for _, st := range h.away.inbox() {
			to = append(to, st.To.String()+" "+st.Type)
		}
		if s := strings.Join(to, ", "); s != "benvolio@away.example unavailable, nurse@away.example/x unavailable" {
			t.Errorf("%s: abroad %s", c.what, s)
		}
		if len(left) != 1 || left[0] != c.status {
			t.Errorf("%s: unset_presence_hook saw %q", c.what, left)
		}
		if _, ok := romeo.Priority(); ok {
			t.Errorf("%s: still available", c.what)
		}
	}
}

// A client whose connection has broken comes back while its old session is still taking
// its leave: nobody hears of that behind the new one's presence, the client itself least.
func TestFarewellDoesNotFollowTheSuccessor(t *testing.T) {
	for _, of := range []sm.Contacts{{}, {From: []xmpp.JID{xmpp.MustParse("juliet@localhost")}}} {
		h := newHouse(t)
		var back *client
		juliet, romeo := h.available("juliet@localhost/a", "1"), h.available("romeo@localhost/a", "1")
		sm.Subscriptions.Add(h, hooks.Normal, func(context.Context, sm.Contacts, xmpp.JID) (sm.Contacts, hooks.Flow) {
			if back == nil { // he leaves
				back = h.connected("romeo@localhost/a")
				back.say(`<presence/>`)
			}
			return of, hooks.Stop
		})
		juliet.inbox()
		romeo.leave()
		if got := brief(back.inbox()); got != "presence from romeo@localhost/a" {
			t.Errorf("he hears %s", got)
		}
		if got := brief(juliet.inbox()); strings.Contains(got, "unavailable") || len(of.From) > 0 && got != "presence from romeo@localhost/a" {
			t.Errorf("she hears %s", got)
		}
	}
}

func TestSessionThatWasNeverAvailableLeavesQuietly(t *testing.T) {
	h := newHouse(t)
	h.friends()
	heard := 0
	sm.Unpresent.Add(h, hooks.Normal, func(context.Context, sm.Leaving) { heard++ })
	juliet, romeo := h.available("juliet@localhost/a", "1"), h.connected("romeo@localhost/a")
	juliet.inbox()
	romeo.say(`<presence to='nurse@away.example'/>`)
	h.away.inbox()
	romeo.leave()
	if got := juliet.inbox(); len(got) != 0 || heard != 0 {
		t.Errorf("juliet got %v, unset_presence_hook ran %d times", got, heard)
	}
	if got := brief(h.away.inbox()); got != "presence/unavailable from romeo@localhost/a" {
		t.Errorf("who had directed presence got %q", got)
	}
}

func TestPriority(t *testing.T) {
	for _, c := range []struct {
		xml  string
		want int
		bad  bool
	}{
		{`<presence/>`, 0, false},
		{`<presence><priority/></presence>`, 0, false},
		{`<presence><priority>127</priority></presence>`, 127, false},
		{`<presence><priority>-128</priority></presence>`, -128, false},
		{"<presence><priority>\n 7 </priority></presence>", 7, false},
		{`<presence><priority>128</priority></presence>`, 0, true},
		{`<presence><priority>-129</priority></presence>`, 0, true},
		{`<presence><priority>high</priority></presence>`, 0, true},
		{`<presence><priority>1.5</priority></presence>`, 0, true},
	} {
		h := newHouse(t)
		romeo := h.connected("romeo@localhost/a")
		romeo.say(c.xml)
		p, ok := romeo.Priority()
		if ok == c.bad || p != c.want {
			t.Errorf("%s: priority %d, available %v", c.xml, p, ok)
		}
		got := romeo.inbox()
		if c.bad != (answer(got) == "bad-request") {
			t.Errorf("%s: the client got %v", c.xml, got)
		}
	}
}

func TestPresenceThatMakesNoSense(t *testing.T) {
	for _, c := range []struct{ xml, want string }{
		{`<presence type='subscribe'/>`, "bad-request"},
		{`<presence type='unheard-of'/>`, "bad-request"},
		{`<presence type='unheard-of' to='juliet@localhost'/>`, "bad-request"},
		{`<presence type='error'/>`, ""},
		{`<presence type='probe'/>`, ""},
	} {
		h := newHouse(t)
		romeo, juliet := h.connected("romeo@localhost/a"), h.available("juliet@localhost/a", "1")
		romeo.say(c.xml)
		if got := answer(romeo.inbox()); got != c.want {
			t.Errorf("%s: got %q, want %q", c.xml, got, c.want)
		}
		if got := juliet.inbox(); len(got) != 0 {
			t.Errorf("%s: juliet got %v", c.xml, got)
		}
	}
}

func TestDirectedPresenceIsBounded(t *testing.T) {
	h := newHouse(t)
	romeo := h.connected("romeo@localhost/a")
	for i := range 1000 {
		romeo.say(fmt.Sprintf(`<presence to='u%d@away.example'/>`, i))
	}
	if got := romeo.inbox(); len(got) != 0 {
		t.Fatalf("the first thousand: %v", got)
	}
	romeo.say(`<presence to='u0@away.example'/>`)
	romeo.say(`<presence to='one@away.example'/>`)
	if got := answer(romeo.inbox()); got != "resource-constraint" {
		t.Errorf("one too many: %q", got)
	}
	romeo.say(`<presence to='u0@away.example' type='unavailable'/>`)
	romeo.say(`<presence to='one@away.example'/>`)
	if got := romeo.inbox(); len(got) != 0 {
		t.Errorf("after one was taken back: %v", got)
	}
}

func TestProbes(t *testing.T) {
	for _, c := range []struct{ what, from, to, want string }{
		{"a contact", "juliet@localhost", "romeo@localhost", "presence from romeo@localhost/a #a, presence from romeo@localhost/b #b"},
		{"a contact, one resource", "juliet@localhost", "romeo@localhost/b", "presence from romeo@localhost/b #b"},
		{"a contact, a resource that is not there", "juliet@localhost", "romeo@localhost/x", ""},
		{"a stranger", "tybalt@localhost", "romeo@localhost", ""},
		{"a stranger with directed presence", "nurse@localhost", "romeo@localhost", "presence from romeo@localhost/a #a"},
	} {
		h := newHouse(t)
		h.friends()
		h.accounts.names += " tybalt nurse"
		asker := h.available(c.from+"/x", "1")
		a, b := h.available("romeo@localhost/a", "1"), h.available("romeo@localhost/b", "1")
		h.connected("romeo@localhost/unavailable")
		a.say(`<presence id='a'/>`)
		b.say(`<presence id='b'/>`)
		a.say(`<presence to='nurse@localhost'/>`)
		asker.inbox()
		asker.say(`<presence type='probe' to='` + c.to + `'/>`)
		got := asker.inbox()
		if brief(got) != c.want {
			t.Errorf("%s: got %s\nwant %s", c.what, brief(got), c.want)
		}
		for _, st := range got {
			if strings.HasPrefix(c.what, "a contact") != st.Has("urn:xmpp:delay", "delay") {
				t.Errorf("%s: %v: when was that?", c.what, st)
			}
		}
	}
}

func TestSubscriptionGoesOutBetweenBareAddresses(t *testing.T) {
	h := newHouse(t)
	romeo := h.connected("romeo@localhost/a")
	for _, typ := range []string{"subscribe", "subscribed", "unsubscribe", "unsubscribed"} {
		romeo.say(`<presence type='` + typ + `' to='nurse@away.example/x'/>`)
		got := h.away.inbox()
		if len(got) != 1 || got[0].Type != typ || got[0].From.String() != "romeo@localhost" || got[0].To.String() != "nurse@away.example" {
			t.Errorf("%s: %v", typ, got)
		}
	}
	sm.OutSubscribe.Add(h, hooks.Normal, func(context.Context, *xmpp.Stanza, *sm.Session) (*xmpp.Stanza, hooks.Flow) { return nil, hooks.Stop })
	romeo.say(`<presence type='subscribe' to='nurse@away.example'/>`)
	if got := h.away.inbox(); len(got) != 0 {
		t.Errorf("what the roster has stopped went out: %v", got)
	}
}

func TestPresenceToSomebodyWhoIsBlocked(t *testing.T) {
	h := newHouse(t)
	sm.Privacy.Add(h, hooks.Normal, func(_ context.Context, ok bool, p sm.PrivacyCheck) (bool, hooks.Flow) {
		return ok && p.Direction == sm.In, hooks.Next
	})
	romeo := h.connected("romeo@localhost/a")
	for typ, want := range map[string]string{"": "not-acceptable", "subscribe": "not-acceptable", "probe": "not-acceptable", "unavailable": "", "error": ""} {
		romeo.say(`<presence to='nurse@away.example' type='` + typ + `'/>`)
		if got := answer(romeo.inbox()); got != want {
			t.Errorf("type %q: romeo was told %q, want %q", typ, got, want)
		}
		if got := h.away.inbox(); len(got) != 0 {
			t.Errorf("type %q: the blocked one got %v", typ, got)
		}
	}
}

func TestSelfPresenceCanBeChangedAndStopped(t *testing.T) {
	h := newHouse(t)
	romeo := h.connected("romeo@localhost/a")
	sm.SelfPresent.Add(h, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if st.ID == "drop" {
			return nil, hooks.Stop
		}
		return st.WithID("changed"), hooks.Next
	})
	romeo.say(`<presence id='drop'/>`)
	if _, ok := romeo.Priority(); ok || len(romeo.inbox()) != 0 {
		t.Error("presence that was stopped made the session available")
	}
	romeo.say(`<presence id='x'/>`)
	if p, since := romeo.Presence(); p == nil || p.ID != "changed" || since.IsZero() {
		t.Errorf("kept: %v", p)
	}
}
