package adhoc_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

type none struct{}

func (*none) Fields(*config.Fields) {}

// greeter offers a command with a form to everybody, and one to romeo as long
// as open says so.
func greeter(open *atomic.Bool) modules.Module {
	ask := func(context.Context, adhoc.Request) (adhoc.Result, error) {
		return adhoc.Ask(form.New(form.Ask, "urn:test", form.TextField("name", "Name", "").Require()),
			func(_ context.Context, r adhoc.Request) (adhoc.Result, error) {
				return adhoc.Done("Hello " + r.Form.Value("name"))
			})
	}
	return modules.Define("mod_test_greeter", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
		adhoc.Offer(h, adhoc.Server(), hooks.Normal, adhoc.Fixed{
			{Node: "greet", Name: "Greet", Run: ask},
			{Node: "secret", Name: "Secret", Run: ask, Allowed: func(_ context.Context, q disco.Query) bool {
				return open.Load() && q.From.Local() == "romeo"
			}},
		})
		adhoc.Offer(h, adhoc.Account(), hooks.Normal, adhoc.Fixed{{Node: "own", Name: "Own", Run: ask}})
		return nil
	}})
}

func start(t *testing.T, yaml string) (*modtest.Server, *atomic.Bool) {
	open := new(atomic.Bool)
	open.Store(true)
	return modtest.Start(t, yaml, disco.Module, adhoc.Module, greeter(open)), open
}

// run sends a command element with those attributes and that form.
func run(c *modtest.Client, attrs, inner string) *xmpp.Stanza {
	return runAt(c, "localhost", attrs, inner)
}

func runAt(c *modtest.Client, to, attrs, inner string) *xmpp.Stanza {
	return c.Ask(`<iq type='set' id='c' to='` + to + `'><command xmlns='` + adhoc.NS + `' ` + attrs + `>` + inner + `</command></iq>`)
}

const filled = `<x xmlns='jabber:x:data' type='submit'><field var='name'><value>Juliet</value></field></x>`

func sessionOf(t *testing.T, st *xmpp.Stanza) string {
	t.Helper()
	if st.Type != "result" || st.Payload().Attr("status") != "executing" || st.Payload().Child("jabber:x:data", "x").Attr("type") != "form" {
		t.Fatalf("got %v, want a form to fill in", st)
	}
	return st.Payload().Attr("sessionid")
}

func note(st *xmpp.Stanza) string {
	if st.Type == "result" && st.Payload().Attr("status") == "completed" {
		return st.Payload().Child(adhoc.NS, "note").Text()
	}
	return ""
}

// refused is the condition of an error, with the one of the protocol if any.
func refused(st *xmpp.Stanza) string {
	e := xmpp.ParseError(st)
	switch {
	case e == nil:
		return st.Type
	case e.App != nil:
		return string(e.Condition) + " " + e.App.Name
	}
	return string(e.Condition)
}

func TestPing(t *testing.T) {
	s, _ := start(t, "")
	c := s.Login("romeo@localhost/orchard")
	if got := note(run(c, `node='ping' action='execute'`, "")); got != "Pong" {
		t.Errorf("got %q", got)
	}
}

func TestCommandInTwoSteps(t *testing.T) {
	s, _ := start(t, "")
	c := s.Login("romeo@localhost/orchard")
	for _, action := range []string{"", `action='execute'`, `action='next'`, `action='complete'`} {
		first := run(c, `node='greet'`, "")
		id := sessionOf(t, first)
		if a := first.Payload().Child(adhoc.NS, "actions"); a.Attr("execute") != "complete" || a.Child(adhoc.NS, "complete") == nil {
			t.Errorf("the actions are %v", a)
		}
		got := run(c, `node='greet' sessionid='`+id+`' `+action, filled)
		if note(got) != "Hello Juliet" || got.Payload().Attr("sessionid") != id {
			t.Errorf("%s: got %v", action, got)
		}
		if got := refused(run(c, `node='greet' sessionid='`+id+`'`, filled)); got != "bad-request bad-sessionid" {
			t.Errorf("a session that is over: %s", got)
		}
	}
	if got := note(run(c, `node='greet'`, filled)); got != "Hello Juliet" {
		t.Errorf("a form sent at once: %q", got)
	}
	if got := note(runAt(c, "romeo@localhost", `node='own'`, filled)); got != "Hello Juliet" {
		t.Errorf("a command of the account: %q", got)
	}
}

func TestMistakeCanBeCorrected(t *testing.T) {
	s, _ := start(t, "")
	c := s.Login("romeo@localhost/orchard")
	id := sessionOf(t, run(c, `node='greet'`, ""))
	got := run(c, `node='greet' sessionid='`+id+`'`, `<x xmlns='jabber:x:data' type='submit'/>`)
	if refused(got) != "not-acceptable" || !strings.Contains(xmpp.ParseError(got).Text, "name") {
		t.Errorf("got %v", got)
	}
	if got := note(run(c, `node='greet' sessionid='`+id+`'`, filled)); got != "Hello Juliet" {
		t.Errorf("after a mistake: %q", got)
	}
}

func TestCancel(t *testing.T) {
	s, _ := start(t, "")
	c := s.Login("romeo@localhost/orchard")
	for _, how := range []struct{ attrs, form string }{
		{`action='cancel'`, ""}, {"", `<x xmlns='jabber:x:data' type='cancel'/>`},
	} {
		id := sessionOf(t, run(c, `node='greet'`, ""))
		if got := run(c, `node='greet' sessionid='`+id+`' `+how.attrs, how.form); got.Payload().Attr("status") != "canceled" {
			t.Errorf("got %v", got)
		}
		if got := refused(run(c, `node='greet' sessionid='`+id+`'`, filled)); got != "bad-request bad-sessionid" {
			t.Errorf("a session that was cancelled: %s", got)
		}
	}
}

func TestRefusals(t *testing.T) {
	s, _ := start(t, "")
	c := s.Login("romeo@localhost/orchard")
	for _, x := range []struct{ attrs, inner, want string }{
		{`node='nonsense'`, "", "item-not-found"},
		{``, "", "item-not-found"},
		{`node='greet' action='dance'`, "", "bad-request malformed-action"},
		{`node='greet' action='prev'`, "", "bad-request bad-action"},
		{`node='greet' action='cancel'`, "", "bad-request bad-sessionid"},
		{`node='greet' sessionid='guess'`, filled, "bad-request bad-sessionid"},
		{`node='greet'`, `<x xmlns='jabber:x:data' type='nonsense'/>`, "bad-request"},
	} {
		if got := refused(run(c, x.attrs, x.inner)); got != x.want {
			t.Errorf("%s %s: got %s, want %s", x.attrs, x.inner, got, x.want)
		}
	}
	if got := refused(c.Ask(`<iq type='get' id='1' to='localhost'><command xmlns='` + adhoc.NS + `' node='ping'/></iq>`)); got != "bad-request" {
		t.Errorf("get: %s", got)
	}
}

func TestSessionBelongsToWhoStartedIt(t *testing.T) {
	s, _ := start(t, "")
	romeo := s.Login("romeo@localhost/orchard")
	id := sessionOf(t, run(romeo, `node='greet'`, ""))
	for _, other := range []string{"tybalt@localhost/orchard", "romeo@localhost/phone"} {
		c := s.Login(other)
		for _, action := range []string{"", `action='cancel'`} {
			if got := refused(run(c, `node='greet' sessionid='`+id+`' `+action, filled)); got != "bad-request bad-sessionid" {
				t.Errorf("%s takes over with %s: %s", other, action, got)
			}
		}
	}
	// Nor is it good for another command, or another place.
	if got := refused(run(romeo, `node='secret' sessionid='`+id+`'`, filled)); got != "bad-request bad-sessionid" {
		t.Errorf("with another command: %s", got)
	}
	if got := refused(runAt(romeo, "romeo@localhost", `node='greet' sessionid='`+id+`'`, filled)); got != "bad-request bad-sessionid" {
		t.Errorf("at another place: %s", got)
	}
	if got := note(run(romeo, `node='greet' sessionid='`+id+`'`, filled)); got != "Hello Juliet" {
		t.Errorf("its owner afterwards: %q", got)
	}
}

func TestPermissionIsAskedAtEveryStep(t *testing.T) {
	s, open := start(t, "")
	tybalt, romeo := s.Login("tybalt@localhost/x"), s.Login("romeo@localhost/orchard")
	for _, f := range []string{"", filled} {
		if got := refused(run(tybalt, `node='secret'`, f)); got != "forbidden" {
			t.Errorf("tybalt: %s", got)
		}
	}
	id := sessionOf(t, run(romeo, `node='secret'`, ""))
	open.Store(false)
	if got := refused(run(romeo, `node='secret' sessionid='`+id+`'`, filled)); got != "forbidden" {
		t.Errorf("romeo, after he lost the permission: %s", got)
	}
}

func TestNumberAndLifeTimeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := start(t, "")
		phone, desk := s.Login("romeo@localhost/phone"), s.Login("romeo@localhost/desk")
		var first string
		for i := range 10 {
			id := sessionOf(t, run([]*modtest.Client{phone, desk}[i%2], `node='greet'`, ""))
			if i == 0 {
				first = id
			}
		}
		if got := refused(run(phone, `node='greet'`, "")); got != "resource-constraint" {
			t.Errorf("the eleventh: %s", got)
		}
		sessionOf(t, run(s.Login("juliet@localhost/x"), `node='greet'`, "")) // others are not concerned
		time.Sleep(10*time.Minute + time.Second)
		if got := refused(run(phone, `node='greet' sessionid='`+first+`'`, filled)); got != "bad-request bad-sessionid" {
			t.Errorf("an old session: %s", got)
		}
		sessionOf(t, run(phone, `node='greet'`, ""))
	})
}

func TestLogoutEndsSessions(t *testing.T) {
	s, _ := start(t, "")
	c := s.Login("romeo@localhost/orchard")
	id := sessionOf(t, run(c, `node='greet'`, ""))
	c.Logout()
	c = s.Login("romeo@localhost/orchard")
	if got := refused(run(c, `node='greet' sessionid='`+id+`'`, filled)); got != "bad-request bad-sessionid" {
		t.Errorf("got %s", got)
	}
}

func discover(c *modtest.Client, ns, node string) *xmpp.Stanza {
	return c.Ask(`<iq type='get' id='d' to='localhost'><query xmlns='` + ns + `' node='` + node + `'/></iq>`)
}

func nodes(st *xmpp.Stanza) (out []string) {
	for i := range st.Payload().Children() {
		out = append(out, i.Attr("node"))
	}
	return out
}

func TestDiscovery(t *testing.T) {
	s, _ := start(t, "")
	romeo, tybalt := s.Login("romeo@localhost/orchard"), s.Login("tybalt@localhost/x")
	if got := nodes(discover(romeo, disco.NSItems, adhoc.NS)); !slices.Equal(got, []string{"greet", "secret", "ping"}) {
		t.Errorf("romeo may run %v", got)
	}
	if got := nodes(discover(tybalt, disco.NSItems, adhoc.NS)); !slices.Equal(got, []string{"greet", "ping"}) {
		t.Errorf("tybalt may run %v", got)
	}
	for _, x := range []struct{ node, typ, name string }{{adhoc.NS, "command-list", "Commands"}, {"greet", "command-node", "Greet"}, {"ping", "command-node", "Ping"}} {
		id := discover(romeo, disco.NSInfo, x.node).Payload().Child(disco.NSInfo, "identity")
		if id.Attr("category") != "automation" || id.Attr("type") != x.typ || id.Attr("name") != x.name {
			t.Errorf("%s is %v", x.node, id)
		}
	}
	for _, ns := range []string{disco.NSInfo, disco.NSItems} {
		if got := refused(discover(tybalt, ns, "secret")); got != "forbidden" {
			t.Errorf("tybalt asks about what he may not: %s", got)
		}
	}
	if got := nodes(discover(romeo, disco.NSItems, "")); len(got) != 0 {
		t.Errorf("the server's items have the nodes %v", got)
	}
	s, _ = start(t, "modules: {mod_adhoc: {report_commands_node: true}}")
	if got := nodes(discover(s.Login("romeo@localhost/orchard"), disco.NSItems, "")); !slices.Equal(got, []string{adhoc.NS}) {
		t.Errorf("with report_commands_node the server's items have the nodes %v", got)
	}
}
