package roster_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "jabber:iq:roster"

func start(t testing.TB, options string) *modtest.Server {
	t.Helper()
	return modtest.Start(t, "modules:\n  mod_roster: {"+options+"}\n"+rules, roster.Module)
}

const rules = `
acl:
  banned: {user: [banned@localhost]}
access_rules:
  notbanned: [{deny: banned}, {allow: all}]
`

// ask is the query of a roster as a client gets it.
func ask(t *testing.T, c *modtest.Client) string {
	t.Helper()
	return c.Ask(`<iq type='get' id='r'><query xmlns='` + ns + `'/></iq>`).Payload().XML()
}

// set sets an item and returns the type of the answer and its condition.
func set(c *modtest.Client, item string) string {
	st := c.Ask(`<iq type='set' id='s'><query xmlns='` + ns + `'>` + item + `</query></iq>`)
	if e := xmpp.ParseError(st); e != nil {
		return string(e.Condition)
	}
	return st.Type
}

// got is what a client has got, each as short as it can be told: a push as its
// item, presence by type and sender.
func got(c *modtest.Client) []string {
	out := []string{}
	for _, st := range c.Inbox() {
		switch {
		case st.Kind == xmpp.IQ && st.Type == "set":
			item := st.Payload().Child(ns, "item")
			out = append(out, strings.TrimSpace("push "+item.Attr("jid")+" "+item.Attr("subscription")+" "+item.Attr("ask")))
		case st.Kind == xmpp.Presence:
			out = append(out, strings.TrimSpace(st.Type+" from "+st.From.String()))
		default:
			out = append(out, st.String())
		}
	}
	return out
}

func expect(t *testing.T, who *modtest.Client, want ...string) {
	t.Helper()
	if g := got(who); !slices.Equal(g, append([]string{}, want...)) {
		t.Errorf("%s got  %q\nwant %q", who.JID, g, want)
	}
}

// interested logs a client in that asks for its roster and becomes available.
func interested(t *testing.T, s *modtest.Server, jid string) *modtest.Client {
	t.Helper()
	c := s.Login(jid)
	ask(t, c)
	c.Say(`<presence/>`)
	c.Inbox()
	return c
}

func TestContactsAreSetPushedAndRead(t *testing.T) {
	s := start(t, "")
	romeo := interested(t, s, "romeo@localhost/orchard")
	other := interested(t, s, "romeo@localhost/hall")
	blind := s.Available("romeo@localhost/street")
	for _, c := range []*modtest.Client{romeo, other, blind} {
		c.Inbox()
	}
	if r := set(romeo, `<item jid='juliet@localhost' name='Julia &amp; co' subscription='both' ask='subscribe' approved='true'><group>B</group><group>A</group></item>`); r != "result" {
		t.Fatalf("the answer is %s", r)
	}
	expect(t, romeo, "push juliet@localhost none")
	expect(t, other, "push juliet@localhost none")
	expect(t, blind)
	want := `<query xmlns='jabber:iq:roster'><item jid='juliet@localhost' name='Julia &amp; co' subscription='none'><group>A</group><group>B</group></item></query>`
	if g := ask(t, other); g != want {
		t.Errorf("the roster is %s\nwant %s", g, want)
	}
	// Setting it again changes nothing, and is told all the same (§2.4).
	set(romeo, `<item jid='juliet@localhost' name='Julia &amp; co'><group>A</group><group>B</group></item>`)
	expect(t, other, "push juliet@localhost none")
	if r := set(romeo, `<item jid='juliet@localhost' subscription='remove'/>`); r != "result" {
		t.Fatalf("the answer is %s", r)
	}
	expect(t, other, "push juliet@localhost remove")
	if g := ask(t, other); g != `<query xmlns='jabber:iq:roster'/>` {
		t.Errorf("the roster is %s", g)
	}
}

func TestPushComesFromTheOwnAccount(t *testing.T) {
	s := start(t, "")
	romeo := interested(t, s, "romeo@localhost/orchard")
	set(romeo, `<item jid='juliet@localhost'/>`)
	in := romeo.Inbox()
	if len(in) != 1 || in[0].From != romeo.JID.Bare() || in[0].To != romeo.JID || in[0].ID == "" {
		t.Errorf("got %v", in)
	}
}

func TestBadSetsAreRefused(t *testing.T) {
	s := start(t, "")
	romeo := interested(t, s, "romeo@localhost/orchard")
	long := strings.Repeat("x", 1024)
	many := ""
	for i := range 101 {
		many += "<group>" + strings.Repeat("g", i+1) + "</group>"
	}
	for _, x := range []struct{ item, want string }{
		{``, "bad-request"},
		{`<item/>`, "bad-request"},
		{`<item jid=''/>`, "bad-request"},
		{`<item jid='@localhost'/>`, "bad-request"},
		{`<other jid='juliet@localhost'/>`, "bad-request"},
		{`<item jid='juliet@localhost'/><item jid='nurse@localhost'/>`, "bad-request"},
		{`<item jid='juliet@localhost'><group>A</group><group>A</group></item>`, "bad-request"},
		{`<item jid='juliet@localhost'><group/></item>`, "not-acceptable"},
		{`<item jid='juliet@localhost'><group>` + long + `</group></item>`, "not-acceptable"},
		{`<item jid='juliet@localhost' name='` + long + `'/>`, "not-acceptable"},
		{`<item jid='juliet@localhost'>` + many + `</item>`, "not-acceptable"},
		{`<item jid='juliet@localhost' subscription='remove'/>`, "item-not-found"},
	} {
		if r := set(romeo, x.item); r != x.want {
			t.Errorf("%.80s is answered %s, want %s", x.item, r, x.want)
		}
	}
	expect(t, romeo)
	if g := ask(t, romeo); g != `<query xmlns='jabber:iq:roster'/>` {
		t.Errorf("the roster is %s", g)
	}
}

func TestRosterIsForItsOwner(t *testing.T) {
	s := start(t, "")
	juliet := interested(t, s, "juliet@localhost/balcony")
	set(juliet, `<item jid='romeo@localhost'/>`)
	juliet.Inbox()
	before := ask(t, juliet)
	tybalt := s.Available("tybalt@localhost/street")
	for _, attack := range []string{
		`<iq type='get' id='x' to='juliet@localhost'><query xmlns='jabber:iq:roster'/></iq>`,
		`<iq type='set' id='x' to='juliet@localhost'><query xmlns='jabber:iq:roster'><item jid='tybalt@localhost' subscription='both'/></query></iq>`,
		`<iq type='set' id='x' to='juliet@localhost'><query xmlns='jabber:iq:roster'><item jid='romeo@localhost' subscription='remove'/></query></iq>`,
	} {
		st := tybalt.Ask(attack)
		if e := xmpp.ParseError(st); e == nil || !e.Is(xmpp.Forbidden) || st.Has(ns, "item") {
			t.Errorf("%s is answered %v", attack, st)
		}
	}
	expect(t, juliet)
	if after := ask(t, juliet); after != before {
		t.Errorf("juliet's roster was %s and is %s", before, after)
	}
	// A request that names an account of nobody's is no way around.
	if st := tybalt.Ask(`<iq type='get' id='x' to='localhost'><query xmlns='jabber:iq:roster'/></iq>`); st.Type != "error" {
		t.Errorf("the server answers %v", st)
	}
}

func TestVersions(t *testing.T) {
	for _, options := range []string{"versioning: true", "versioning: true, store_current_id: true"} {
		t.Run(options, func(t *testing.T) {
			s := start(t, options)
			romeo := s.Login("romeo@localhost/orchard")
			get := func(ver string) *xmpp.Element {
				return romeo.Ask(`<iq type='get' id='1'><query xmlns='jabber:iq:roster' ver='` + ver + `'/></iq>`).Payload()
			}
			first := get("")
			version := first.Attr("ver")
			if version == "" {
				t.Fatalf("no version in %s", first)
			}
			if q := get(version); q != nil {
				t.Errorf("a client that is up to date gets %s", q)
			}
			set(romeo, `<item jid='juliet@localhost'/>`)
			push := romeo.Inbox()[0].Payload()
			if v := push.Attr("ver"); v == "" || v == version {
				t.Errorf("pushed %s after version %s", push, version)
			}
			if q := get(push.Attr("ver")); q != nil {
				t.Errorf("a client that has had the push gets %s", q)
			}
			if q := get(version); q.Child(ns, "item") == nil || q.Attr("ver") != push.Attr("ver") {
				t.Errorf("a client that is behind gets %s", q)
			}
		})
	}
	s := start(t, "")
	romeo := s.Login("romeo@localhost/orchard")
	if q := romeo.Ask(`<iq type='get' id='1'><query xmlns='jabber:iq:roster' ver=''/></iq>`).Payload(); q.Attr("ver") != "" {
		t.Errorf("without versioning there is a version in %s", q)
	}
}

func TestStreamFeatures(t *testing.T) {
	for options, want := range map[string]string{
		"":                 "sub",
		"versioning: true": "ver sub",
	} {
		s := start(t, options)
		var names []string
		for _, el := range sm.PostAuth.Run(t.Context(), s.Parts.Hooks, nil, &sm.Stream{Sessions: s.Sessions}) {
			names = append(names, el.Name)
		}
		if g := strings.Join(names, " "); g != want {
			t.Errorf("%q: offered %q, want %q", options, g, want)
		}
	}
}

func TestAccessRule(t *testing.T) {
	s := start(t, "access: notbanned")
	s.Register("romeo@localhost", "secret")
	c := interested(t, s, "banned@localhost/x")
	if r := set(c, `<item jid='romeo@localhost'/>`); r != "not-allowed" {
		t.Errorf("a set is answered %s", r)
	}
	c.Say(`<presence type='subscribe' to='romeo@localhost'/>`)
	in := c.Inbox()
	if len(in) != 1 || in[0].Type != "error" || !xmpp.ParseError(in[0]).Is(xmpp.Forbidden) {
		t.Errorf("a request is answered %v", in)
	}
	if g := ask(t, c); g != `<query xmlns='jabber:iq:roster'/>` {
		t.Errorf("the roster is %s", g)
	}
}

// extra is a module that adds to everybody's roster, as shared rosters do.
func extra() modules.Module {
	return modules.Define("mod_extra", modules.Spec[none]{Doc: "A test.", Start: func(h *modules.Host, _ none) error {
		roster.Get.Add(h, 70, func(_ context.Context, c roster.Contents, _ xmpp.JID) (roster.Contents, hooks.Flow) {
			c.Items = append(c.Items, roster.Item{JID: xmpp.MustParse("boss@localhost"), State: roster.Both})
			return c, false
		})
		roster.RemoteAccess.Add(h, 50, func(_ context.Context, ok bool, iq *xmpp.Stanza) (bool, hooks.Flow) {
			return ok || iq.From.Domain() == "component.localhost", false
		})
		return nil
	}})
}

func TestOtherModulesAddContactsAndGrantAccess(t *testing.T) {
	s := modtest.Start(t, "", roster.Module, extra())
	romeo := interested(t, s, "romeo@localhost/orchard")
	if g := ask(t, romeo); !strings.Contains(g, "jid='boss@localhost' subscription='both'") {
		t.Errorf("the roster is %s", g)
	}
	s.Send(t.Context(), xmpp.NewIQ("set", xmpp.MustParse("component.localhost"), romeo.JID.Bare(), "1",
		xmpp.Build(ns, "query").Open("", "item").Attr("jid", "juliet@localhost").Done()))
	expect(t, romeo, "push juliet@localhost none")
}

type none struct{}

func (*none) Fields(*config.Fields) {}

func TestRosterIsReadByHand(t *testing.T) {
	s := start(t, "")
	romeo := interested(t, s, "romeo@localhost/orchard")
	set(romeo, `<item jid='juliet@localhost'/>`)
	var calls []hooks.Call
	see := func(c hooks.Call) { calls = append(calls, c) }
	if err := s.Parts.Hooks.RunByHand(t.Context(), "roster_get", []string{"romeo@localhost"}, see); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 1 || !strings.Contains(calls[0].Result, "juliet@localhost") {
		t.Errorf("calls %+v", calls)
	}
	if err := s.Parts.Hooks.RunByHand(t.Context(), "roster_get", nil, see); err == nil {
		t.Error("nobody's roster was read")
	}
}
