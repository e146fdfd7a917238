package carboncopy_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/carboncopy"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:xmpp:carbons:2"

func enable(t *testing.T, c *modtest.Client) *modtest.Client {
	t.Helper()
	if got := c.Ask(`<iq type='set' id='c'><enable xmlns='` + ns + `'/></iq>`); got.Type != "result" {
		t.Fatalf("%s: %v", c.JID, got)
	}
	c.Inbox()
	return c
}

// gets is what a client was sent, in short: "m1" is a message with that id,
// "sent m1" and "received m1" are copies of it.
func gets(t *testing.T, c *modtest.Client) []string {
	t.Helper()
	var out []string
	for _, st := range c.Inbox() {
		if st.Kind != xmpp.Message {
			continue
		}
		what := st.ID
		for _, direction := range []string{"sent", "received"} {
			el := st.Child(ns, direction)
			if el == nil || st.From != c.JID.Bare() {
				continue
			}
			inside := el.Child("urn:xmpp:forward:0", "forwarded").Child(xmpp.NSClient, "message")
			what = direction + " " + inside.Attr("id")
			if st.To != c.JID || st.Type != inside.Attr("type") {
				t.Errorf("a copy is to %s and of type %q: %v", st.To, st.Type, st)
			}
		}
		out = append(out, what)
	}
	return out
}

func want(t *testing.T, c *modtest.Client, list ...string) {
	t.Helper()
	if got := gets(t, c); !slices.Equal(got, list) {
		t.Errorf("%s got %q, want %q", c.JID, got, list)
	}
}

func chat(to, id string) string {
	return `<message to='` + to + `' type='chat' id='` + id + `'><body>It is the east</body></message>`
}

func TestEveryDeviceHasEachMessageOnce(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module)
	romeo := s.Available("romeo@localhost/orchard")
	phone := enable(t, s.Available("romeo@localhost/phone"))
	plain := s.Available("romeo@localhost/plain")
	a, b := enable(t, s.Available("juliet@localhost/a")), enable(t, s.Available("juliet@localhost/b"))
	low, hidden := s.Login("juliet@localhost/low"), s.Login("juliet@localhost/hidden")
	low.Say(`<presence><priority>-1</priority></presence>`)
	enable(t, low)
	enable(t, hidden)
	for _, c := range []*modtest.Client{romeo, phone, plain, a, b, low, hidden} {
		c.Inbox()
	}

	romeo.Say(chat("juliet@localhost", "1")) // a and b have the highest priority
	romeo.Say(chat("juliet@localhost/a", "2"))
	want(t, a, "1", "2")
	want(t, b, "1", "received 2")
	want(t, low, "received 1", "received 2")
	want(t, hidden, "received 1", "received 2")
	want(t, romeo)
	want(t, phone, "sent 1", "sent 2")
	want(t, plain)

	phone.Say(chat("juliet@localhost/gone", "3")) // goes to the bare address
	want(t, a, "3")
	want(t, low, "received 3")
	want(t, romeo) // it has not asked for copies
	want(t, phone)
	want(t, plain)
}

func TestSwitchedOffAndOnAsOftenAsOneLikes(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module)
	romeo, phone := s.Available("romeo@localhost/orchard"), s.Available("romeo@localhost/phone")
	s.Available("juliet@localhost/a")
	phone.Inbox()
	for _, on := range []bool{true, true, false, false, true} {
		what := "disable"
		if on {
			what = "enable"
		}
		if got := phone.Ask(`<iq type='set' id='c'><` + what + ` xmlns='` + ns + `'/></iq>`); got.Type != "result" {
			t.Fatalf("%s: %v", what, got)
		}
		romeo.Say(chat("juliet@localhost/a", "1"))
		if got := gets(t, phone); (len(got) == 1) != on {
			t.Errorf("after %s: %q", what, got)
		}
	}
}

func TestWhoMayNotEnable(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/a")
	tybalt := s.Available("tybalt@localhost/x")
	for _, x := range []struct{ xml, want string }{
		{`<iq type='set' id='1' to='romeo@localhost'><enable xmlns='` + ns + `'/></iq>`, "not-allowed"},
		{`<iq type='set' id='1' to='romeo@localhost'><disable xmlns='` + ns + `'/></iq>`, "not-allowed"},
		{`<iq type='get' id='1'><enable xmlns='` + ns + `'/></iq>`, "not-allowed"},
		{`<iq type='set' id='1'><everything xmlns='` + ns + `'/></iq>`, "bad-request"},
	} {
		if got := tybalt.Ask(x.xml); got.Type != "error" || !got.Child("", "error").Child(xmpp.NSStanzas, x.want).Is(xmpp.NSStanzas, x.want) {
			t.Errorf("%s: got %v, want %s", x.xml, got, x.want)
		}
	}
	romeo.Say(chat("juliet@localhost/a", "1"))
	juliet.Say(chat("romeo@localhost/orchard", "2"))
	want(t, tybalt)
}

// TestNobodyForgesACopy: what others send as a copy arrives as theirs, and nothing
// is copied with a copy in it.
func TestNobodyForgesACopy(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module)
	tybalt := s.Available("tybalt@localhost/x")
	a, b := enable(t, s.Available("juliet@localhost/a")), enable(t, s.Available("juliet@localhost/b"))
	a.Inbox()
	tybalt.Say(`<message from='juliet@localhost' to='juliet@localhost/a' type='chat' id='f'><received xmlns='` + ns + `'>
		<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='romeo@localhost/x' to='juliet@localhost/a' id='in'><body>Meet me</body></message></forwarded></received></message>`)
	got := a.Inbox()
	if len(got) != 1 || got[0].From != tybalt.JID {
		t.Errorf("got %v", got)
	}
	want(t, b)
	if sm.IsCopy(got[0]) {
		t.Error("a forged copy counts as one")
	}
	// Nor does a user's own client make copies for his others.
	a.Say(`<message to='juliet@localhost/b' type='chat' id='g'><sent xmlns='` + ns + `'/></message>`)
	if got := b.Inbox(); len(got) != 1 || sm.IsCopy(got[0]) {
		t.Errorf("got %v", got)
	}
}

func TestToOneself(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module)
	a, b, c := enable(t, s.Available("juliet@localhost/a")), enable(t, s.Available("juliet@localhost/b")), enable(t, s.Available("juliet@localhost/c"))
	a.Inbox()
	b.Inbox()
	a.Say(chat("juliet@localhost/b", "1"))
	want(t, a)
	want(t, b, "1")
	want(t, c, "received 1")
	a.Say(chat("juliet@localhost", "2"))
	want(t, a, "2")
	want(t, b, "2")
	want(t, c, "2")
}

func TestErrorsOfCopiedMessagesAreCopied(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module)
	romeo, phone := s.Available("romeo@localhost/orchard"), enable(t, s.Available("romeo@localhost/phone"))
	s.Register("juliet@localhost", "secret")
	romeo.Inbox()
	romeo.Say(chat("juliet@localhost", "1")) // nobody is there, and nobody stores
	want(t, romeo, "1")
	want(t, phone, "sent 1", "received 1")
	// An error that answers nothing of which there were copies.
	s.Router.Route(t.Context(), xmpp.NewMessage("error", xmpp.MustParse("juliet@localhost"), romeo.JID).WithID("7"))
	romeo.Say(`<message to='juliet@localhost' type='chat' id='2'><body>b</body><private xmlns='` + ns + `'/></message>`)
	want(t, romeo, "7", "2")
	want(t, phone)
	// The same error again is an answer to nothing.
	s.Router.Route(t.Context(), xmpp.NewMessage("error", xmpp.MustParse("juliet@localhost"), romeo.JID).WithID("1"))
	want(t, phone)
}

// TestACopyIsLostAlone: a copy that nobody can be given is neither stored nor given
// to others, and its error comes to nobody.
func TestACopyIsLostAlone(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module, offline.Module)
	romeo, phone := s.Available("romeo@localhost/orchard"), s.Available("romeo@localhost/phone")
	romeo.Inbox()
	c := xmpp.NewMessage("chat", romeo.JID.Bare(), xmpp.MustParse("romeo@localhost/gone"), xmpp.El(ns, "sent"))
	if !sm.IsCopy(c) {
		t.Fatal("that is a copy")
	}
	s.Sessions.Reroute(t.Context(), c)
	want(t, romeo)
	want(t, phone)
	s.Router.Bounce(t.Context(), c, xmpp.ResourceConstraint)
	want(t, romeo)
	want(t, phone)
}

// TestWhoseRulesRefuseTheMessageHasNoCopy: one device has blocked the sender.
func TestWhoseRulesRefuseTheMessageHasNoCopy(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module)
	romeo := s.Available("romeo@localhost/orchard")
	a, b := enable(t, s.Available("juliet@localhost/a")), enable(t, s.Available("juliet@localhost/b"))
	a.Inbox()
	blocks := ""
	sm.Privacy.Add(owner{s}, hooks.Normal, func(_ context.Context, ok bool, c sm.PrivacyCheck) (bool, hooks.Flow) {
		return ok && !(c.Direction == sm.In && c.User.Resource() == blocks && c.Stanza.From == romeo.JID), hooks.Next
	})
	blocks = "b"
	romeo.Say(chat("juliet@localhost/a", "1"))
	want(t, a, "1")
	want(t, b)
	blocks = "a"
	romeo.Say(chat("juliet@localhost/a", "2"))
	want(t, a)
	want(t, b)
}

// owner adds handlers to a virtual host, until the test ends.
type owner struct{ *modtest.Server }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.Parts.Hooks }
func (owner) OnStop(func())         {}

// TestTheArchivesIDGoesAlong: an archive puts it in before copies are made.
func TestTheArchivesIDGoesAlong(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module)
	stamp := func(_ context.Context, st *xmpp.Stanza) *xmpp.Stanza {
		if st.Kind != xmpp.Message {
			return st
		}
		return st.With(xmpp.Build("urn:xmpp:sid:0", "stanza-id").Attr("id", "17").Attr("by", st.To.Bare().String()).Done())
	}
	sm.UserSend.Add(owner{s}, 88, func(ctx context.Context, st *xmpp.Stanza, _ *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		return stamp(ctx, st), hooks.Next
	})
	sm.Receive.Add(owner{s}, hooks.Normal, func(ctx context.Context, st *xmpp.Stanza, _ *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
		return stamp(ctx, st), hooks.Next
	})
	romeo, phone := s.Available("romeo@localhost/orchard"), enable(t, s.Available("romeo@localhost/phone"))
	s.Available("juliet@localhost/a")
	b := enable(t, s.Available("juliet@localhost/b"))
	phone.Inbox()
	romeo.Say(chat("juliet@localhost/a", "1"))
	for _, c := range []*modtest.Client{phone, b} {
		if got := c.Inbox(); len(got) != 1 || !strings.Contains(got[0].String(), "stanza-id") {
			t.Errorf("%s: %v", c.JID, got)
		}
	}
}

func TestNothingIsLeft(t *testing.T) {
	s := modtest.Start(t, "", disco.Module, carboncopy.Module)
	if got := s.Features(); !slices.Contains(got, ns) || !slices.Contains(got, "urn:xmpp:carbons:rules:0") {
		t.Errorf("features: %q", got)
	}
	romeo, phone := s.Available("romeo@localhost/orchard"), enable(t, s.Available("romeo@localhost/phone"))
	s.Available("juliet@localhost/a")
	romeo.Say(chat("juliet@localhost/a", "1"))
	want(t, phone, "sent 1")
	s.Stop()
	romeo.Say(chat("juliet@localhost/a", "2"))
	want(t, phone)
	if got := phone.Ask(`<iq type='set' id='c'><enable xmlns='` + ns + `'/></iq>`); got.Type != "error" {
		t.Errorf("got %v", got)
	}
}

func TestBind2SwitchesThemOn(t *testing.T) {
	s := modtest.Start(t, "", carboncopy.Module)
	if in := sm.InlineFeatures.Run(t.Context(), s.Parts.Hooks, sm.Inline{}, nil); !slices.Equal(in.Bind, []string{ns}) {
		t.Errorf("offered: %q", in.Bind)
	}
	romeo, phone, other := s.Available("romeo@localhost/orchard"), s.Available("romeo@localhost/phone"), s.Available("romeo@localhost/other")
	s.Available("juliet@localhost/a")
	for c, inside := range map[*modtest.Client][]*xmpp.Element{phone: {xmpp.El(ns, "enable")}, other: nil} {
		sm.InlineBind.Run(t.Context(), s.Parts.Hooks, nil, sm.Binding{Session: c.Session, Request: xmpp.El("urn:xmpp:bind:0", "bind", inside...)})
		c.Inbox()
	}
	romeo.Say(chat("juliet@localhost/a", "1"))
	want(t, phone, "sent 1")
	want(t, other)
}
