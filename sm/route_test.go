package sm_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// homes are the ways in which a user can be at home: the resources of juliet
// with their priorities, "-" for one that is not available.
var homes = map[string][][2]string{
	"nobody":      nil,
	"one":         {{"a", "0"}},
	"equals":      {{"a", "5"}, {"b", "5"}},
	"unequal":     {{"a", "5"}, {"b", "1"}},
	"negative":    {{"a", "-1"}},
	"mixed":       {{"a", "1"}, {"b", "-1"}},
	"unavailable": {{"a", "-"}},
	"half":        {{"a", "-"}, {"b", "3"}},
}

// routes is the table of how a stanza from somebody else is routed (RFC 6121
// §8.5, ejabberd's session manager). got names the resources that have it,
// answer what the sender is told, offline whether the stanza was offered to who
// stores.
var routes = []struct {
	home, to, stanza, got, answer string
	offline                       bool
}{
	// Messages to a bare address.
	{"one", "juliet", "message/chat", "a", "", false},
	{"one", "juliet", "message/normal", "a", "", false},
	{"one", "juliet", "message", "a", "", false},
	{"one", "juliet", "message/unheard-of", "a", "", false},
	{"one", "juliet", "message/headline", "a", "", false},
	{"one", "juliet", "message/groupchat", "", "service-unavailable", false},
	{"one", "juliet", "message/error", "", "", false},
	{"equals", "juliet", "message/chat", "a b", "", false},
	{"equals", "juliet", "message/headline", "a b", "", false},
	{"unequal", "juliet", "message/chat", "a", "", false},
	{"unequal", "juliet", "message/normal", "a", "", false},
	{"unequal", "juliet", "message/headline", "a b", "", false},
	{"mixed", "juliet", "message/chat", "a", "", false},
	{"mixed", "juliet", "message/headline", "a", "", false},
	{"half", "juliet", "message/chat", "b", "", false},
	{"half", "juliet", "message/headline", "b", "", false},
	{"nobody", "juliet", "message/chat", "", "service-unavailable", true},
	{"nobody", "juliet", "message/normal", "", "service-unavailable", true},
	{"nobody", "juliet", "message/headline", "", "", true},
	{"nobody", "juliet", "message/groupchat", "", "service-unavailable", false},
	{"nobody", "juliet", "message/error", "", "", false},
	{"negative", "juliet", "message/chat", "", "service-unavailable", true},
	{"negative", "juliet", "message/headline", "", "", true},
	{"unavailable", "juliet", "message/chat", "", "service-unavailable", true},
	{"unavailable", "juliet", "message/headline", "", "", true},

	// Messages to a full address.
	{"unequal", "juliet/b", "message/chat", "b", "", false},
	{"negative", "juliet/a", "message/chat", "a", "", false},
	{"unavailable", "juliet/a", "message/chat", "a", "", false},
	{"one", "juliet/a", "message/groupchat", "a", "", false},
	{"one", "juliet/a", "message/error", "a", "", false},
	{"one", "juliet/a", "message/headline", "a", "", false},
	{"unequal", "juliet/gone", "message/chat", "a", "", false},
	{"equals", "juliet/gone", "message/normal", "a b", "", false},
	{"one", "juliet/gone", "message/headline", "", "", false},
	{"one", "juliet/gone", "message/groupchat", "", "service-unavailable", false},
	{"one", "juliet/gone", "message/error", "", "", false},
	{"nobody", "juliet/gone", "message/chat", "", "service-unavailable", true},
	{"negative", "juliet/gone", "message/chat", "", "service-unavailable", true},

	// Presence.
	{"half", "juliet", "presence", "b", "", false},
	{"unequal", "juliet", "presence", "a b", "", false},
	{"mixed", "juliet", "presence/unavailable", "a b", "", false},
	{"negative", "juliet", "presence/error", "a", "", false},
	{"nobody", "juliet", "presence", "", "", false},
	{"unavailable", "juliet", "presence", "", "", false},
	{"unequal", "juliet/b", "presence", "b", "", false},
	{"unavailable", "juliet/a", "presence", "a", "", false},
	{"one", "juliet/a", "presence/error", "a", "", false},
	{"one", "juliet/gone", "presence", "", "", false},
	{"one", "juliet/gone", "presence/unavailable", "", "", false},
	{"one", "juliet/gone", "presence/error", "", "", false},
	{"half", "juliet", "presence/subscribe", "b", "", false},
	{"mixed", "juliet/a", "presence/subscribed", "a b", "", false},
	{"mixed", "juliet/gone", "presence/unsubscribe", "a b", "", false},
	{"unequal", "juliet", "presence/unsubscribed", "a b", "", false},
	{"unavailable", "juliet", "presence/subscribe", "", "", false},

	// Requests and answers.
	{"one", "juliet", "iq/get", "", "service-unavailable", false},
	{"one", "juliet", "iq/set", "", "service-unavailable", false},
	{"nobody", "juliet", "iq/get", "", "service-unavailable", false},
	{"one", "juliet", "iq/result", "", "", false},
	{"one", "juliet", "iq/error", "", "", false},
	{"one", "juliet", "iq/unheard-of", "", "bad-request", false},
	{"one", "juliet", "iq", "", "bad-request", false},
	{"one", "juliet/a", "iq/get", "a", "", false},
	{"unavailable", "juliet/a", "iq/set", "a", "", false},
	{"one", "juliet/a", "iq/result", "a", "", false},
	{"one", "juliet/a", "iq/error", "a", "", false},
	{"one", "juliet/gone", "iq/get", "", "service-unavailable", false},
	{"one", "juliet/gone", "iq/set", "", "service-unavailable", false},
	{"one", "juliet/gone", "iq/result", "", "", false},
	{"one", "juliet/gone", "iq/error", "", "", false},

	// A user who does not exist.
	{"nobody", "tybalt", "message/chat", "", "service-unavailable", false},
	{"nobody", "tybalt", "message/headline", "", "", false},
	{"nobody", "tybalt/x", "message/chat", "", "service-unavailable", false},
	{"nobody", "tybalt", "message/groupchat", "", "service-unavailable", false},
	{"nobody", "tybalt", "message/error", "", "", false},
	{"nobody", "tybalt", "iq/get", "", "service-unavailable", false},
	{"nobody", "tybalt/x", "iq/get", "", "service-unavailable", false},
	{"nobody", "tybalt", "presence", "", "", false},
	{"nobody", "tybalt", "presence/subscribe", "", "", false},
	{"nobody", "tybalt", "presence/subscribed", "", "", false},
	{"nobody", "tybalt", "presence/unsubscribe", "", "", false},
	{"nobody", "tybalt", "presence/probe", "", "", false},
}

func TestRoutes(t *testing.T) {
	for _, r := range routes {
		t.Run(r.home+" "+r.to+" "+r.stanza, func(t *testing.T) {
			h := newHouse(t)
			sm.InSubscribe.Add(h, hooks.Normal, func(context.Context, bool, *xmpp.Stanza) (bool, hooks.Flow) { return true, hooks.Next })
			offered := false
			sm.Offline.Add(h, hooks.Normal, func(_ context.Context, f sm.Fate, _ *xmpp.Stanza) (sm.Fate, hooks.Flow) {
				offered = true
				return f, hooks.Next
			})
			at := map[string]*client{}
			for _, x := range homes[r.home] {
				if x[1] == "-" {
					at[x[0]] = h.connected("juliet@localhost/" + x[0])
				} else {
					at[x[0]] = h.available("juliet@localhost/"+x[0], x[1])
				}
			}
			for _, c := range at {
				c.inbox()
			}
			h.router.Route(context.Background(), stanza(t, r.stanza, r.to))
			var got []string
			for _, name := range []string{"a", "b"} {
				if c := at[name]; c != nil {
					for _, st := range c.inbox() {
						if st.From.String() != "romeo@away.example/x" {
							t.Errorf("%s got %v", name, st)
						}
						got = append(got, name)
					}
				}
			}
			if s := strings.Join(got, " "); s != r.got {
				t.Errorf("it went to %q, want %q", s, r.got)
			}
			if a := answer(h.away.inbox()); a != r.answer {
				t.Errorf("the sender was told %q, want %q", a, r.answer)
			}
			if offered != r.offline {
				t.Errorf("offered to who stores: %v, want %v", offered, r.offline)
			}
		})
	}
}

// stanza makes one of "kind/type" and "user/resource".
func stanza(t *testing.T, kind, to string) *xmpp.Stanza {
	name, typ, _ := strings.Cut(kind, "/")
	user, res, _ := strings.Cut(to, "/")
	j := user + "@localhost"
	if res != "" {
		j += "/" + res
	}
	attr := ""
	if typ != "" {
		attr = " type='" + typ + "'"
	}
	child := "<body>hi</body>"
	if name == "iq" {
		child = "<query xmlns='none'/>"
	}
	return parse(t, "<"+name+" xmlns='jabber:client' id='1' from='romeo@away.example/x' to='"+j+"'"+attr+">"+child+"</"+name+">")
}

// answer is the error in what came back, or the type of a presence.
func answer(list []*xmpp.Stanza) string {
	var out []string
	for _, st := range list {
		switch e := xmpp.ParseError(st); {
		case e != nil && st.Type == "error":
			out = append(out, string(e.Condition))
		default:
			out = append(out, st.Type)
		}
	}
	return strings.Join(out, " ")
}

func TestFateDecidesWhetherTheSenderIsTold(t *testing.T) {
	for _, f := range []sm.Fate{sm.Bounce, sm.Pass, sm.Archived, sm.Stored} {
		h := newHouse(t)
		keep := func(_ context.Context, was sm.Fate, _ *xmpp.Stanza) (sm.Fate, hooks.Flow) {
			if was != sm.Bounce {
				t.Errorf("the fate was %v already", was)
			}
			return f, hooks.Next
		}
		sm.Offline.Add(h, hooks.Normal, keep)
		sm.BounceUser.Add(h, hooks.Normal, keep)
		for _, s := range []*xmpp.Stanza{stanza(t, "message/chat", "juliet"), stanza(t, "iq/get", "juliet/gone")} {
			h.router.Route(context.Background(), s)
			want := ""
			if f == sm.Bounce {
				want = "service-unavailable"
			}
			if got := answer(h.away.inbox()); got != want {
				t.Errorf("%v: the sender of %v was told %q, want %q", f, s, got, want)
			}
		}
	}
}

func TestSubscriptionIsShownOnlyWhenTheRosterSaysSo(t *testing.T) {
	h := newHouse(t)
	juliet := h.available("juliet@localhost/a", "1")
	h.router.Route(context.Background(), stanza(t, "presence/subscribe", "juliet"))
	if got := juliet.inbox(); len(got) != 0 {
		t.Errorf("without a roster that wants it juliet saw %v", got)
	}
}

func TestRequestToAUserIsAnsweredForHim(t *testing.T) {
	h := newHouse(t)
	remove := h.UserIQ.Handle("none", func(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
		return xmpp.TextEl("none", "query", iq.To.Local()), nil
	})
	h.router.Route(context.Background(), stanza(t, "iq/get", "juliet"))
	got := h.away.inbox()
	if len(got) != 1 || got[0].Type != "result" || got[0].ID != "1" || got[0].From.String() != "juliet@localhost" || got[0].Payload().Text() != "juliet" {
		t.Errorf("got %v", got)
	}
	remove()
	h.router.Route(context.Background(), stanza(t, "iq/get", "juliet"))
	if got := answer(h.away.inbox()); got != "service-unavailable" {
		t.Errorf("after the handler has left: %q", got)
	}
}

func TestFullAddressMeansTheNewestSession(t *testing.T) {
	h := newHouse(t)
	old := h.unopened("juliet@localhost/a")
	old.slow = true
	if err := h.Open(context.Background(), old.Session); err != nil {
		t.Fatal(err)
	}
	young := h.connected("juliet@localhost/a")
	for _, kind := range []string{"message/chat", "iq/get", "presence"} {
		h.router.Route(context.Background(), stanza(t, kind, "juliet/a"))
		if o, y := old.inbox(), young.inbox(); len(o) != 0 || len(y) != 1 {
			t.Errorf("%s: the old session got %v, the new one %v", kind, o, y)
		}
	}
}

// For a moment a session is there twice, when it moves to another node or its address is
// bound again: what is for the user goes to one of them.
func TestBareAddressMeansTheNewestSessionOfEachClient(t *testing.T) {
	h := newHouse(t)
	old := h.available("juliet@localhost/a", "0")
	old.slow = true
	young := h.available("juliet@localhost/a", "0")
	other := h.available("juliet@localhost/b", "0")
	for _, c := range []*client{old, young, other} {
		c.inbox()
	}
	h.router.Route(context.Background(), stanza(t, "message/chat", "juliet"))
	if a, b, c := old.inbox(), young.inbox(), other.inbox(); len(a) != 0 || len(b) != 1 || len(c) != 1 {
		t.Errorf("the old session got %v, the new one %v, the other client %v", a, b, c)
	}
}

// A client that has bound its address anew and has sent no presence yet is not there, and
// the session that it had before takes nothing for it.
func TestMessageIsKeptForWhoHasBoundAnew(t *testing.T) {
	h := newHouse(t)
	old := h.available("juliet@localhost/a", "0")
	old.slow = true
	young := h.connected("juliet@localhost/a")
	old.inbox()
	young.inbox()
	kept := 0
	sm.Offline.Add(h, hooks.Normal, func(_ context.Context, _ sm.Fate, _ *xmpp.Stanza) (sm.Fate, hooks.Flow) {
		kept++
		return sm.Stored, hooks.Stop
	})
	h.router.Route(context.Background(), stanza(t, "message/chat", "juliet"))
	if a, b := old.inbox(), young.inbox(); len(a) != 0 || len(b) != 0 || kept != 1 {
		t.Errorf("the old session got %v, the new one %v, and %d messages were kept", a, b, kept)
	}
}

func TestMessageIsNotLostWhenAccountsCannotBeRead(t *testing.T) {
	h := newHouse(t)
	h.accounts.err = errDatabase
	h.router.Route(context.Background(), stanza(t, "message/chat", "juliet"))
	if got := answer(h.away.inbox()); got != "resource-constraint" {
		t.Errorf("the sender was told %q", got)
	}
	if !strings.Contains(h.log.String(), errDatabase.Error()) {
		t.Error("the operator was not told")
	}
}

func TestReceiveCanDropAndChange(t *testing.T) {
	h := newHouse(t)
	juliet := h.available("juliet@localhost/a", "1")
	sm.Receive.Add(h, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, ss *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
		if ss != h.Sessions || st.Type == "headline" {
			return nil, hooks.Stop
		}
		return st.WithID("changed"), hooks.Next
	})
	h.router.Route(context.Background(), stanza(t, "message/headline", "juliet"))
	h.router.Route(context.Background(), stanza(t, "message/chat", "juliet"))
	if got := brief(juliet.inbox()); got != "message/chat from romeo@away.example/x #changed" {
		t.Errorf("juliet got %s", got)
	}
}

func TestBlockedSender(t *testing.T) {
	for _, c := range []struct{ home, stanza, to, want string }{
		{"one", "message/chat", "juliet/a", "service-unavailable"},
		{"one", "message/chat", "juliet", "service-unavailable"},
		{"equals", "message/chat", "juliet", "service-unavailable"}, // once
		{"equals", "message/headline", "juliet", ""},
		{"one", "message/groupchat", "juliet/a", ""},
		{"nobody", "message/chat", "juliet", "service-unavailable"},
		{"one", "presence", "juliet", ""},
		{"one", "presence/subscribe", "juliet", ""},
		{"one", "iq/get", "juliet/a", "service-unavailable"},
		{"one", "iq/get", "juliet", "service-unavailable"},
		{"one", "iq/result", "juliet/a", ""},
		{"one", "message/error", "juliet/a", ""},
	} {
		t.Run(c.home+" "+c.stanza+" "+c.to, func(t *testing.T) {
			h := newHouse(t)
			sm.InSubscribe.Add(h, hooks.Normal, func(context.Context, bool, *xmpp.Stanza) (bool, hooks.Flow) { return true, hooks.Next })
			var all []*client
			for _, x := range homes[c.home] {
				all = append(all, h.available("juliet@localhost/"+x[0], x[1]))
			}
			sm.Privacy.Add(h, hooks.Normal, func(_ context.Context, ok bool, p sm.PrivacyCheck) (bool, hooks.Flow) {
				return ok && (p.Direction == sm.Out || p.Stanza.From.Domain() != "away.example"), hooks.Next
			})
			for _, x := range all {
				x.inbox()
			}
			h.router.Route(context.Background(), stanza(t, c.stanza, c.to))
			for _, x := range all {
				if got := x.inbox(); len(got) != 0 {
					t.Errorf("%s got %v", x.JID, got)
				}
			}
			if got := answer(h.away.inbox()); got != c.want {
				t.Errorf("the sender was told %q, want %q", got, c.want)
			}
		})
	}
}
