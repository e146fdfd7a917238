package invites_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/invites"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/register"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	nodeInvite = "urn:xmpp:invite#invite"
	nodeCreate = "urn:xmpp:invite#create-account"
)

// everything is the modules that take part.
var everything = []modules.Module{adhoc.Module, disco.Module, invites.Module, register.Module, roster.Module}

// start starts a host on which accounts are made by invitation only, by users but
// tybalt. more are options of mod_invites.
func start(t *testing.T, more ...string) *modtest.Server {
	t.Helper()
	return modtest.Start(t, closed(more...), everything...)
}

func closed(more ...string) string {
	options := strings.Join(append([]string{"access_create_account: inviters"}, more...), ", ")
	return `
acl: {tybalt: {user: [tybalt@localhost]}, admin: {user: [admin@localhost]}}
access_rules: {inviters: [{deny: tybalt}, {allow: all}]}
modules: {mod_invites: {` + options + `}, mod_register: {allow_modules: [mod_invites]}}`
}

// A stranger has a stream and has not logged in.
type stranger struct {
	t      testing.TB
	s      *modtest.Server
	stream sm.Stream
	got    []*xmpp.Stanza
}

var addresses int

// newStranger is a stranger at an address of his own.
func newStranger(t testing.TB, s *modtest.Server) *stranger {
	addresses++
	return strangerAt(t, s, fmt.Sprintf("192.0.%d.%d", addresses>>8, addresses&255))
}

func strangerAt(t testing.TB, s *modtest.Server, addr string) *stranger {
	x := &stranger{t: t, s: s}
	x.stream = sm.Stream{Sessions: s.Sessions, Local: s.JID, Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 1234),
		Reply: func(st *xmpp.Stanza) { x.got = append(x.got, st) }}
	return x
}

// ask sends a request and returns the answer.
func (x *stranger) ask(typ, inner string) *xmpp.Stanza {
	st, err := xmpp.ParseXML([]byte(`<iq xmlns='jabber:client' type='` + typ + `' id='r'>` + inner + `</iq>`))
	if err != nil {
		x.t.Error(err)
		return nil
	}
	x.got = nil
	if !sm.Unauthed.Run(x.t.Context(), x.s.Hooks, false, sm.Unauthenticated{Stream: &x.stream, Stanza: st}) || len(x.got) != 1 {
		x.t.Errorf("%s: answers %v", inner, x.got)
		return xmpp.NewIQ("error", xmpp.JID{}, xmpp.JID{}, "", xmpp.UndefinedCondition.Element())
	}
	return x.got[0]
}

func (x *stranger) shows(token string) string {
	return condition(x.ask("set", `<preauth xmlns='urn:xmpp:pars:0' token='`+token+`'/>`))
}

func (x *stranger) makes(name, password string) string {
	return condition(x.ask("set", `<query xmlns='jabber:iq:register'><username>`+name+`</username><password>`+password+`</password></query>`))
}

// condition is result, or that of the error.
func condition(st *xmpp.Stanza) string {
	if st.Type != "error" {
		return st.Type
	}
	return string(xmpp.ParseError(st).Condition)
}

// tokenOf is the token in a link.
func tokenOf(t testing.TB, uri string) string {
	t.Helper()
	_, rest, ok := strings.Cut(uri, ";preauth=")
	token, _, _ := strings.Cut(rest, ";")
	if !ok || len(token) < 20 {
		t.Fatalf("the link is %q", uri)
	}
	return token
}

// command runs an operator's command and returns the token of the link.
func command(t testing.TB, s *modtest.Server, words ...string) string {
	t.Helper()
	out, err := s.Command(words[0], words[1:]...)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	uri, _, _ := strings.Cut(out, "\t")
	return tokenOf(t, uri)
}

// invite has a client run a command with a form and returns the field uri.
func invite(c *modtest.Client, node, filled string) (uri string, got *xmpp.Stanza) {
	got = c.Ask(`<iq type='set' id='i' to='localhost'><command xmlns='http://jabber.org/protocol/commands' node='` + node + `'>` + filled + `</command></iq>`)
	if got.Type == "error" {
		return "", got
	}
	return field(got, "uri"), got
}

func field(got *xmpp.Stanza, name string) string {
	for f := range got.Payload().Child("jabber:x:data", "x").Children() {
		if f.Attr("var") == name {
			return f.Child("jabber:x:data", "value").Text()
		}
	}
	return ""
}

func filled(name, befriend string) string {
	return `<x xmlns='jabber:x:data' type='submit'><field var='username'><value>` + name + `</value></field><field var='roster-subscription'><value>` + befriend + `</value></field></x>`
}

// rosterOf is what is in a client's roster: address, subscription, ask.
func rosterOf(c *modtest.Client) string {
	var out []string
	for i := range c.Ask(`<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>`).Payload().Children() {
		out = append(out, strings.TrimSpace(i.Attr("jid")+" "+i.Attr("subscription")+" "+i.Attr("ask")))
	}
	return strings.Join(out, ", ")
}

func exists(t testing.TB, s *modtest.Server, user string) bool {
	t.Helper()
	ok, err := s.Auth.Exists(t.Context(), xmpp.MustParse(user))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func logsIn(t testing.TB, s *modtest.Server, user, password string) bool {
	t.Helper()
	err := s.Auth.Check(t.Context(), xmpp.MustParse(user), password)
	var f *auth.Failure
	if err != nil && (!errors.As(err, &f) || f.Cause != nil) {
		t.Fatal(err)
	}
	return err == nil
}

// secretive checks that no token is in the log.
func secretive(t testing.TB, s *modtest.Server, tokens ...string) {
	t.Helper()
	for _, token := range tokens {
		if strings.Contains(s.Log(), token) {
			t.Errorf("a token is in the log:\n%s", s.Log())
		}
	}
}

func TestOptions(t *testing.T) {
	for text, wrong := range map[string]string{
		"landing_page: none": "",
		`landing_page: "https://{{ host }}/i/#{{invite.uri|strip_protocol}}"`: "",
		"landing_page: auto":                                "not built yet",
		"landing_page: x":                                   "expected none, auto or a URL",
		`landing_page: "javascript:alert(1)"`:               "expected none, auto or a URL",
		`landing_page: "https://a/{{ invite.inviter }}"`:    "only {{ host }}",
		`landing_page: "https://a/{{ invite.uri|urlize }}"`: "only {{ host }}",
		`landing_page: "https://a/{{ invite.uri"`:           "only {{ host }}",
		`landing_page: "https://a/{% if a %}"`:              "only {{ host }}",
		"max_invites: 0":                                    "at least 1",
		"max_invites: infinity":                             "",
		"token_expire_seconds: 0":                           "between 1",
		"token_expire_seconds: 99999999999":                 "between 1",
		"site_name: Verona":                                 "no effect",
		"templates_dir: /":                                  "no effect",
		"templates_dir: /nonsense":                          "cannot read the directory",
		"webchat_url: none":                                 "no effect",
		"webchat_url: nonsense":                             "expected none, auto or a URL",
		"landing_page: {a: b}":                              "expected none, auto or a URL",
		"access_create_account: [{allow: {user: romeo}}]":   "",
		"db_type: redis":                                    "mnesia",
	} {
		n, err := config.Parse("test.yml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var all []error
		invites.Module.Prepare(func(d config.Declarer) {
			mistakes, warnings := config.Decode(n, d)
			all = append(mistakes, warnings...)
		})
		if got := fmt.Sprint(errors.Join(all...)); (wrong == "") != (len(all) == 0) || !strings.Contains(got, wrong) && wrong != "" {
			t.Errorf("%s: %s, want %q", text, got, wrong)
		}
	}
}

func TestFeatureNeedsRegistration(t *testing.T) {
	for _, x := range []struct {
		yaml string
		list []modules.Module
		want bool
	}{
		{"", everything, true},
		{closed(), everything, true},
		{"modules: {mod_register: {access: none}}", everything, true}, // for passwords
		{"", []modules.Module{invites.Module, roster.Module, adhoc.Module}, false},
	} {
		s := modtest.Start(t, x.yaml, x.list...)
		var tokens, accounts bool
		for _, el := range sm.PreAuth.Run(t.Context(), s.Hooks, nil, &sm.Stream{Local: s.JID}) {
			tokens = tokens || el.Is("urn:xmpp:ibr-token:0", "register")
			accounts = accounts || el.Is("http://jabber.org/features/iq-register", "register")
		}
		if tokens != x.want || accounts != x.want {
			t.Errorf("%s: offered: %v, %v", x.yaml, tokens, accounts)
		}
		if x.want {
			continue
		}
		st, err := xmpp.ParseXML([]byte(`<iq xmlns='jabber:client' type='set' id='1'><preauth xmlns='urn:xmpp:pars:0' token='x'/></iq>`))
		if err != nil || sm.Unauthed.Run(t.Context(), s.Hooks, false, sm.Unauthenticated{Stream: &sm.Stream{}, Stanza: st}) {
			t.Errorf("without mod_register a token is answered, %v", err)
		}
		if uri, _ := invite(s.Login("romeo@localhost/x"), nodeInvite, ""); !strings.HasPrefix(uri, "xmpp:romeo@localhost?roster;preauth=") || strings.Contains(uri, "ibr") {
			t.Errorf("without mod_register the link is %s", uri)
		}
	}
}

func TestCommandsOfOperators(t *testing.T) {
	s := start(t, `landing_page: "https://{{ host }}/i/{{ invite.token }}#{{invite.uri|strip_protocol}}"`)
	s.Register("romeo@localhost", "secret")
	out, err := s.Command("generate_invite", "localhost")
	token := tokenOf(t, out[:strings.Index(out, "\t")])
	if want := "xmpp:localhost?register;preauth=" + token + "\thttps://localhost/i/" + token + "#localhost?register;preauth=" + token; out != want || err != nil {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
	out, err = s.Command("generate_invite_with_username", "Juli?et", "localhost")
	if !strings.HasPrefix(out, "xmpp:juli%3Fet@localhost?register;preauth=") || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
	if out, err = s.Command("generate_reset_token", "ROMEO", "localhost"); !strings.HasPrefix(out, "xmpp:romeo@localhost?register;preauth=") || err != nil {
		t.Errorf("got %q, %v", out, err)
	}
	for words, want := range map[string]string{
		"generate_invite_with_username romeo localhost":   "Username already taken",
		"generate_invite_with_username juli?et localhost": "Username is reserved",
		"generate_invite_with_username a@b localhost":     "no account of that name",
		"generate_reset_token nobody localhost":           "User does not exist",
		"generate_invite elsewhere.example":               "not a virtual host",
		"expire_invite_tokens a@b localhost":              "no account of that name",
	} {
		w := strings.Fields(words)
		if out, err := s.Command(w[0], w[1:]...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want %q", words, out, err, want)
		}
	}
	list, err := s.Command("list_invites", "localhost")
	lines := strings.Split(list, "\n")
	if len(lines) != 3 || err != nil {
		t.Fatalf("listed:\n%s\n%v", list, err)
	}
	for _, l := range lines {
		f := strings.Split(l, "\t")
		if len(f) != 10 || f[1] != "true" || len(f[2]) != len("2026-01-01T00:00:00Z") || f[5] != "localhost" || f[6] != "" || f[8] != strings.SplitN(f[9], "#", 2)[0] && !strings.Contains(f[9], f[0]) {
			t.Errorf("listed: %q", l)
		}
	}
	if out, err := s.Command("expire_invite_by_token", "localhost", token); out != "" || err != nil {
		t.Errorf("revoked: %q, %v", out, err)
	}
	if list, err := s.Command("list_invites", "localhost"); !strings.Contains(list, token+"\tfalse\t") || !strings.Contains(list, "\t1970-01-01T00:00:01Z\taccount_only\t") || err != nil {
		t.Errorf("listed:\n%s\n%v", list, err)
	}
	if got := newStranger(t, s).shows(token); got != "item-not-found" {
		t.Errorf("a revoked one: %s", got)
	}
	if out, err := s.Command("cleanup_expired_invite_tokens"); out != "1" || err != nil {
		t.Errorf("cleaned up %q, %v", out, err)
	}
	for _, name := range []string{"expire_invite_by_token", "delete_invite_by_token"} {
		if out, err := s.Command(name, "localhost", token); out != "Error: not_found" || err != nil {
			t.Errorf("%s of what is not there: %q, %v", name, out, err)
		}
	}
	other := strings.Split(lines[1], "\t")[0]
	if other == token {
		other = strings.Split(lines[2], "\t")[0]
	}
	if out, err := s.Command("delete_invite_by_token", "localhost", other); out != "" || err != nil {
		t.Errorf("deleted: %q, %v", out, err)
	}
	if list, err := s.Command("list_invites", "localhost"); strings.Contains(list, other) || err != nil {
		t.Errorf("deleted and listed:\n%s\n%v", list, err)
	}
	secretive(t, s, token, other)
}

func TestCommandsOfClients(t *testing.T) {
	s := start(t, "max_invites: 2", `landing_page: "https://example.org/#{{ invite.uri }}"`)
	romeo, tybalt, admin := s.Login("romeo@localhost/x"), s.Login("tybalt@localhost/x"), s.Login("admin@localhost/x")
	uri, got := invite(romeo, nodeInvite, "")
	if uri != "xmpp:romeo@localhost?roster;preauth="+tokenOf(t, uri)+";ibr=y" || field(got, "landing-url") != "https://example.org/#"+uri ||
		field(got, "FORM_TYPE") != "urn:xmpp:invite#invitation" || !strings.HasSuffix(field(got, "expire"), "Z") || got.Payload().Attr("status") != "completed" {
		t.Errorf("got %v", got)
	}
	// Who may not let people make accounts invites contacts all the same.
	if uri, got := invite(tybalt, nodeInvite, ""); uri != "xmpp:tybalt@localhost?roster;preauth="+tokenOf(t, uri) {
		t.Errorf("got %v", got)
	}
	if _, got := invite(tybalt, nodeCreate, filled("", "0")); condition(got) != "forbidden" {
		t.Errorf("tybalt: %v", got)
	}
	if _, got := invite(romeo, nodeCreate, ""); got.Payload().Attr("status") != "executing" {
		t.Errorf("the form: %v", got)
	}
	if uri, got := invite(romeo, nodeCreate, filled("Juliet", "1")); !strings.HasPrefix(uri, "xmpp:juliet@localhost?register;preauth=") {
		t.Errorf("got %v", got)
	}
	for name, want := range map[string]string{"juliet": "reserved", "romeo": "already exists", "a b": "invalid", "@": "invalid", "a/b": "invalid"} {
		if _, got := invite(romeo, nodeCreate, filled(name, "0")); condition(got) != "bad-request" || !strings.Contains(got.String(), want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if uri, got := invite(romeo, nodeCreate, filled("", "0")); !strings.HasPrefix(uri, "xmpp:localhost?register;preauth=") {
		t.Errorf("got %v", got)
	}
	if _, got := invite(romeo, nodeCreate, filled("", "0")); condition(got) != "bad-request" || !strings.Contains(got.String(), "Maximum number") {
		t.Errorf("one too many: %v", got)
	}
	for range 4 {
		if uri, got := invite(admin, nodeCreate, filled("", "0")); uri == "" {
			t.Errorf("an administrator: %v", got)
		}
	}
	items := func(c *modtest.Client) string {
		return c.Ask(`<iq type='get' id='d' to='localhost'><query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/></iq>`).String()
	}
	if list := items(romeo); !strings.Contains(list, nodeInvite) || !strings.Contains(list, nodeCreate) {
		t.Errorf("romeo sees %s", list)
	}
	if list := items(tybalt); !strings.Contains(list, nodeInvite) || strings.Contains(list, nodeCreate) {
		t.Errorf("tybalt sees %s", list)
	}
	romeo.Session.Anonymous = true
	if _, got := invite(romeo, nodeInvite, ""); condition(got) != "forbidden" {
		t.Errorf("who has no account: %v", got)
	}
}

func TestNothingIsLeftWhenItStops(t *testing.T) {
	s := start(t)
	token := command(t, s, "generate_invite", "localhost")
	x := newStranger(t, s)
	if got := x.shows(token); got != "result" {
		t.Fatal(got)
	}
	s.Stop()
	st, err := xmpp.ParseXML([]byte(`<iq xmlns='jabber:client' type='set' id='1'><preauth xmlns='urn:xmpp:pars:0' token='` + token + `'/></iq>`))
	if err != nil || sm.Unauthed.Run(t.Context(), s.Hooks, false, sm.Unauthenticated{Stream: &x.stream, Stanza: st}) {
		t.Errorf("a module that has stopped answers, %v", err)
	}
	if register.Invited.Run(t.Context(), s.Hooks, nil, &x.stream) != nil {
		t.Error("a module that has stopped vouches for somebody")
	}
	if _, err := s.Command("list_invites", "localhost"); err == nil {
		t.Error("a module that has stopped has a command")
	}
}
