package register_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/register"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

const ns = "jabber:iq:register"

// A stranger has a stream and has not logged in.
type stranger struct {
	t      *testing.T
	s      *modtest.Server
	stream sm.Stream
	got    []*xmpp.Stanza
}

func newStranger(t *testing.T, s *modtest.Server, addr string) *stranger {
	x := &stranger{t: t, s: s}
	x.stream = sm.Stream{Sessions: s.Sessions, Local: s.JID, Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 1234),
		Reply: func(st *xmpp.Stanza) { x.got = append(x.got, st) }}
	return x
}

// say sends a stanza; false: nobody has dealt with it.
func (x *stranger) say(xml string) bool {
	x.t.Helper()
	st, err := xmpp.ParseXML([]byte(xml))
	if err != nil {
		x.t.Fatal(err)
	}
	return sm.Unauthed.Run(x.t.Context(), x.s.Hooks, false, sm.Unauthenticated{Stream: &x.stream, Stanza: st})
}

// ask returns the answer.
func (x *stranger) ask(typ, inner string) *xmpp.Stanza {
	x.t.Helper()
	x.got = nil
	if !x.say(`<iq xmlns='jabber:client' type='`+typ+`' id='r'><query xmlns='`+ns+`'>`+inner+`</query></iq>`) || len(x.got) != 1 {
		x.t.Fatalf("%s %s: answers %v", typ, inner, x.got)
	}
	if a := x.got[0]; a.ID != "r" || a.From != x.s.JID || !a.To.IsZero() {
		x.t.Errorf("the answer is %v", a)
	}
	return x.got[0]
}

// make tries to make an account and returns what came of it.
func (x *stranger) make(name, password string) string {
	x.t.Helper()
	return condition(x.ask("set", account(name, password)))
}

func account(name, password string) string {
	return `<username>` + name + `</username><password>` + password + `</password>`
}

func condition(st *xmpp.Stanza) string {
	if st.Type != "error" {
		return st.Type
	}
	return string(xmpp.ParseError(st).Condition)
}

func offered(t *testing.T, s *modtest.Server) bool {
	t.Helper()
	list := sm.PreAuth.Run(t.Context(), s.Hooks, nil, &sm.Stream{Local: s.JID})
	return len(list) == 1 && list[0].Is("http://jabber.org/features/iq-register", "register")
}

func logsIn(t *testing.T, s *modtest.Server, user, password string) bool {
	t.Helper()
	err := s.Auth.Check(t.Context(), xmpp.MustParse(user), password)
	var f *auth.Failure
	if err != nil && (!errors.As(err, &f) || f.Cause != nil) {
		t.Fatal(err)
	}
	return err == nil
}

func options(lines ...string) string {
	return "modules:\n  mod_register:\n    " + strings.Join(lines, "\n    ") + "\n"
}

func TestStrangerMakesAnAccount(t *testing.T) {
	s := modtest.Start(t, "", register.Module)
	x := newStranger(t, s, "192.0.2.1")
	if !offered(t, s) {
		t.Error("it is not offered")
	}
	got := x.ask("get", "").Payload()
	if got.Child(ns, "username") == nil || got.Child(ns, "password") == nil || got.Child(ns, "registered") != nil || got.Child(ns, "instructions").Text() == "" {
		t.Errorf("needed is %v", got)
	}
	f, err := form.Find(got)
	if err != nil || f.FormType() != ns || !f.Has("username") || !f.Has("password") {
		t.Errorf("the form is %v, %v", f, err)
	}
	if got := x.ask("set", account("romeo", "pass &amp; word")); got.Type != "result" || got.Payload() != nil {
		t.Fatalf("got %v", got)
	}
	if !logsIn(t, s, "romeo@localhost", "pass & word") {
		t.Error("the new user cannot log in")
	}
}

func TestStrangerFillsInTheForm(t *testing.T) {
	s := modtest.Start(t, "", register.Module)
	x := newStranger(t, s, "192.0.2.1")
	submit := func(kind string, fields ...form.Field) string {
		return form.New(form.Submit, kind, fields...).Element().XML()
	}
	user, password := form.Field{Var: "username", Values: []string{"Romeo"}}, form.Field{Var: "password", Values: []string{"secret"}}
	for xml, want := range map[string]string{
		submit(ns, user):                           "not-acceptable",
		submit("urn:other", user, password):        "bad-request",
		`<x xmlns='jabber:x:data' type='cancel'/>`: "bad-request",
		`<x xmlns='jabber:x:data'/>`:               "bad-request",
	} {
		if got := condition(x.ask("set", xml)); got != want {
			t.Errorf("%s: %s, want %s", xml, got, want)
		}
	}
	if got := condition(x.ask("set", submit(ns, user, password))); got != "result" || !logsIn(t, s, "romeo@localhost", "secret") {
		t.Errorf("got %s", got)
	}
}

func TestRefusals(t *testing.T) {
	s := modtest.Start(t, options("access: [{deny: {user: admin}}, {allow: all}]", "password_strength: 30", "ip_access: [{deny: {ip: 198.51.100.0/24}}, {allow: all}]"), register.Module)
	s.Register("juliet@localhost", "her own password")
	good := "correct horse battery"
	for _, c := range []struct{ inner, want string }{
		{account("juliet", good), "conflict"},
		{account("JULIET", good), "conflict"},
		{account("admin", good), "forbidden"},
		{account("Admin", good), "forbidden"},
		{account("ro meo", good), "jid-malformed"},
		{account("romeo@localhost", good), "jid-malformed"},
		{account("romeo/x", good), "jid-malformed"},
		{account("", good), "not-acceptable"},
		{account("romeo", ""), "not-acceptable"},
		{account("romeo", "weak"), "not-acceptable"},
		{account("romeo", strings.Repeat("x", 2000)), "not-acceptable"},
		{`<username>romeo</username>`, "not-acceptable"},
		{``, "not-acceptable"},
		{`<remove/>`, "unexpected-request"},
		{`<remove/>` + account("juliet", "her own password"), "unexpected-request"},
	} {
		got := newStranger(t, s, "192.0.2.1").ask("set", c.inner)
		if condition(got) != c.want {
			t.Errorf("%.60s: %s, want %s", c.inner, condition(got), c.want)
		}
		// What was sent does not come back: it may be a password.
		if strings.Contains(got.String(), good) || strings.Contains(got.String(), "<query") {
			t.Errorf("%.60s: the answer is %v", c.inner, got)
		}
	}
	if got := newStranger(t, s, "198.51.100.7").make("romeo", good); got != "forbidden" {
		t.Errorf("from a forbidden address: %s", got)
	}
	if got := newStranger(t, s, "::ffff:198.51.100.7").make("romeo", good); got != "forbidden" {
		t.Errorf("from a forbidden address in IPv6: %s", got)
	}
	if !logsIn(t, s, "juliet@localhost", "her own password") {
		t.Error("juliet cannot log in any more")
	}
	if got := newStranger(t, s, "192.0.2.1").make("romeo", good); got != "result" {
		t.Errorf("afterwards: %s", got)
	}
	if strings.Contains(s.Log(), good) {
		t.Error("a password is in the log")
	}
}

func TestWhatIsNotForUsIsLeftAlone(t *testing.T) {
	s := modtest.Start(t, "", register.Module)
	x := newStranger(t, s, "192.0.2.1")
	for _, xml := range []string{
		`<iq xmlns='jabber:client' type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>`,
		`<iq xmlns='jabber:client' type='result' id='1'><query xmlns='` + ns + `'/></iq>`,
		`<iq xmlns='jabber:client' type='get' id='1' to='elsewhere.example'><query xmlns='` + ns + `'/></iq>`,
		`<iq xmlns='jabber:client' type='get' id='1' to='romeo@localhost'><query xmlns='` + ns + `'/></iq>`,
		`<iq xmlns='jabber:client' type='get' id='1'/>`,
		`<message xmlns='jabber:client' to='localhost'><query xmlns='` + ns + `'/></message>`,
		`<presence xmlns='jabber:client'/>`,
	} {
		if x.say(xml) || len(x.got) != 0 {
			t.Errorf("%s is answered %v", xml, x.got)
		}
	}
	if !x.say(`<iq xmlns='jabber:client' type='get' id='1' to='localhost'><query xmlns='` + ns + `'/></iq>`) {
		t.Error("a request to the server is not answered")
	}
}

func TestNobodyMakesAccounts(t *testing.T) {
	for _, off := range []string{"access: none", "ip_access: none", "allow_modules: [mod_register_web]"} {
		s := modtest.Start(t, options(off), register.Module)
		x := newStranger(t, s, "192.0.2.1")
		if offered(t, s) {
			t.Errorf("%s: it is offered", off)
		}
		if got := condition(x.ask("get", "")); got != "service-unavailable" {
			t.Errorf("%s: get: %s", off, got)
		}
		if got := x.make("romeo", "secret"); got != "forbidden" {
			t.Errorf("%s: set: %s", off, got)
		}
		if logsIn(t, s, "romeo@localhost", "secret") {
			t.Errorf("%s: there is an account", off)
		}
	}
}

func TestRedirection(t *testing.T) {
	s := modtest.Start(t, options("access: none", "redirect_url: https://example.org/join?a=1&b=2"), register.Module)
	if !offered(t, s) {
		t.Error("it is not offered")
	}
	got := newStranger(t, s, "192.0.2.1").ask("get", "").Payload()
	if u := got.Child("jabber:x:oob", "x").Child("", "url").Text(); u != "https://example.org/join?a=1&b=2" || got.Child(ns, "username") != nil {
		t.Errorf("got %v", got)
	}
}

// TestRedirectionBesideRegistration: clients are sent to the page, and who knows better
// registers.
func TestRedirectionBesideRegistration(t *testing.T) {
	s := modtest.Start(t, options("redirect_url: https://example.org/join"), register.Module)
	x := newStranger(t, s, "192.0.2.1")
	if got := x.ask("get", ""); !strings.Contains(got.String(), "https://example.org/join") || got.Payload().Child(ns, "username") != nil {
		t.Errorf("got %v", got)
	}
	if got := x.make("romeo", "secret"); got != "result" || !logsIn(t, s, "romeo@localhost", "secret") {
		t.Errorf("got %s", got)
	}
}

func TestOneAccountInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, "", register.Module)
		a, b := newStranger(t, s, "192.0.2.1"), newStranger(t, s, "192.0.2.2")
		six, near, far := newStranger(t, s, "2001:db8::1"), newStranger(t, s, "2001:db8::2:2"), newStranger(t, s, "2001:db8:0:1::1")
		for i, c := range []struct {
			x    *stranger
			want string
		}{
			{a, "result"}, {a, "resource-constraint"}, {b, "result"}, {newStranger(t, s, "::ffff:192.0.2.1"), "resource-constraint"},
			{six, "result"}, {near, "resource-constraint"}, {far, "result"},
		} {
			if got := c.x.make(fmt.Sprint("user", i), "secret"); got != c.want {
				t.Errorf("%s: %s, want %s", c.x.stream.Addr, got, c.want)
			}
		}
		time.Sleep(599 * time.Second)
		if got := a.make("early", "secret"); got != "resource-constraint" {
			t.Errorf("after 599 s: %s", got)
		}
		time.Sleep(time.Second)
		if got := a.make("later", "secret"); got != "result" {
			t.Errorf("after 600 s: %s", got)
		}
	})
}

func TestFailuresDoNotCountAsAccountsButHaveAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, "", register.Module)
		s.Register("taken@localhost", "x")
		x := newStranger(t, s, "192.0.2.1")
		for range 20 {
			if got := x.make("taken", "secret"); got != "conflict" {
				t.Fatalf("got %s", got)
			}
		}
		// Nobody finds out about more names than that.
		for _, name := range []string{"taken", "free"} {
			if got := x.make(name, "secret"); got != "resource-constraint" {
				t.Errorf("the 21st try, %s: %s", name, got)
			}
		}
		time.Sleep(600 * time.Second)
		if got := x.make("free", "secret"); got != "result" {
			t.Errorf("later: %s", got)
		}
	})
}

// owner is a part of the server.
type owner struct{ t *hooks.Table }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.t }
func (owner) OnStop(func())         {}

func TestTheServerSaysHowLong(t *testing.T) {
	var o register.Options
	n, err := config.Parse("test.yml", []byte("registration_timeout: infinity"))
	if err != nil {
		t.Fatal(err)
	}
	if mistakes, _ := config.Decode(n, &o); len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	s := modtest.Start(t, "", register.Module)
	register.Timeout.Add(owner{s.Global}, hooks.Normal, func(context.Context, time.Duration, struct{}) (time.Duration, hooks.Flow) {
		return o.Timeout, hooks.Next
	})
	x := newStranger(t, s, "192.0.2.1")
	for i := range 3 {
		if got := x.make(fmt.Sprint("user", i), "secret"); got != "result" {
			t.Errorf("account %d: %s", i, got)
		}
	}
	// Who only finds out which names are taken has to wait even so.
	for i := range 21 {
		want := "conflict"
		if i == 20 {
			want = "resource-constraint"
		}
		if got := x.make("user0", "secret"); got != want {
			t.Errorf("failure %d: %s", i, got)
		}
	}
}

func TestAnAccountElsewhereCounts(t *testing.T) {
	s := modtest.Start(t, "", register.Module)
	register.Recent.Add(owner{s.Global}, hooks.Normal, func(_ context.Context, yes bool, source string) (bool, hooks.Flow) {
		return yes || source == "192.0.2.1", hooks.Next
	})
	if got := newStranger(t, s, "192.0.2.1").make("romeo", "secret"); got != "resource-constraint" {
		t.Errorf("who has made one on another host: %s", got)
	}
	if got := newStranger(t, s, "192.0.2.2").make("romeo", "secret"); got != "result" {
		t.Errorf("who has not: %s", got)
	}
	if !register.Recent.Run(t.Context(), s.Global, false, "192.0.2.2") {
		t.Error("the other hosts do not hear of it")
	}
}

func TestCaptchaStopsTheStart(t *testing.T) {
	for text, wrong := range map[string]string{"captcha_protected: true": "CAPTCHA", "captcha_protected: false": "", "registration_watchers: ['a@b@c']": "malformed",
		"password_strength: -1": "at least", "redirect_url: 'javascript:alert(1)'": "URL", "welcome_message: {text: x}": "no such", "allow_modules: {a: b}": "a name"} {
		n, err := config.Parse("test.yml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var all []error
		register.Module.Prepare(func(d config.Declarer) { all, _ = config.Decode(n, d) })
		if got := fmt.Sprint(errors.Join(all...)); (wrong == "") != (len(all) == 0) || !strings.Contains(got, wrong) && wrong != "" {
			t.Errorf("%s: %s, want %q", text, got, wrong)
		}
	}
}

func TestNewUsersAndWatchersAreTold(t *testing.T) {
	s := modtest.Start(t, options("registration_watchers: [watcher@localhost]", "welcome_message: {subject: Hi, body: Be nice}"), register.Module)
	watcher, other := s.Available("watcher@localhost/x"), s.Available("other@localhost/x")
	var offline []*xmpp.Stanza
	sm.Offline.Add(owner{s.Hooks}, hooks.Normal, func(_ context.Context, _ sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
		offline = append(offline, st)
		return sm.Stored, hooks.Stop
	})
	if got := newStranger(t, s, "192.0.2.1").make("romeo", "secret"); got != "result" {
		t.Fatal(got)
	}
	if len(offline) != 1 || offline[0].Body() != "Be nice" || offline[0].Child("", "subject").Text() != "Hi" || offline[0].To.String() != "romeo@localhost" || offline[0].From != s.JID {
		t.Errorf("the new user is told %v", offline)
	}
	in := watcher.Inbox()
	if len(in) != 1 || !strings.Contains(in[0].Body(), "romeo@localhost was registered from IP address 192.0.2.1 ") {
		t.Errorf("the watcher is told %v", in)
	}
	if in := other.Inbox(); len(in) != 0 {
		t.Errorf("somebody else is told %v", in)
	}
}
