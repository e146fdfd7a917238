package register_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/register"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

func query(typ, to, inner string) string {
	return `<iq type='` + typ + `' id='r' to='` + to + `'><query xmlns='` + ns + `'>` + inner + `</query></iq>`
}

func TestUserSeesTheAccount(t *testing.T) {
	s := modtest.Start(t, options("redirect_url: https://example.org"), register.Module)
	c := s.Login("romeo@localhost/x")
	for _, to := range []string{"localhost", "romeo@localhost"} {
		got := c.Ask(query("get", to, "")).Payload()
		if got.Child(ns, "registered") == nil || got.Child(ns, "username").Text() != "romeo" || got.Child(ns, "password").Text() != "" {
			t.Errorf("%s: %v", to, got)
		}
	}
}

func TestUserChangesThePassword(t *testing.T) {
	s := modtest.Start(t, options("password_strength: 30", "access: none"), register.Module)
	c := s.Login("romeo@localhost/x")
	for _, x := range []struct{ inner, want string }{
		{account("romeo", "weak"), "not-acceptable"},
		{account("romeo", ""), "bad-request"},
		{`<username>romeo</username>`, "bad-request"},
		{`<password>a new good password</password>`, "bad-request"},
		{account("Romeo", "a new good password"), "result"},
	} {
		if got := c.Ask(query("set", "localhost", x.inner)); condition(got) != x.want || strings.Contains(got.String(), "<query") {
			t.Errorf("%s: %v, want %s", x.inner, got, x.want)
		}
	}
	if !logsIn(t, s, "romeo@localhost", "a new good password") || logsIn(t, s, "romeo@localhost", "secret") {
		t.Error("the password is not the new one")
	}
	f := func(old string) string {
		return form.New(form.Submit, ns+":changepassword", form.Field{Var: "username", Values: []string{"romeo"}},
			form.Field{Var: "old_password", Values: []string{old}}, form.Field{Var: "password", Values: []string{"one more good password"}}).Element().XML()
	}
	if got := condition(c.Ask(query("set", "localhost", f("wrong")))); got != "not-authorized" {
		t.Errorf("with a wrong old password: %s", got)
	}
	if got := condition(c.Ask(query("set", "romeo@localhost", f("a new good password")))); got != "result" || !logsIn(t, s, "romeo@localhost", "one more good password") {
		t.Errorf("with the old password: %s", got)
	}
	if strings.Contains(s.Log(), "good password") {
		t.Error("a password is in the log")
	}
}

func TestUserCannotTouchOtherAccounts(t *testing.T) {
	s := modtest.Start(t, "", register.Module)
	s.Register("juliet@localhost", "hers")
	tybalt := s.Login("tybalt@localhost/x")
	for _, x := range []struct{ to, inner, want string }{
		{"localhost", account("juliet", "taken over"), "forbidden"},
		{"juliet@localhost", account("juliet", "taken over"), "not-allowed"},
		{"juliet@localhost", account("tybalt", "new"), "not-allowed"},
		{"juliet@localhost", "<remove/>", "not-allowed"},
		{"localhost", `<remove/><username>juliet</username>`, "forbidden"},
		{"localhost", `<remove/>` + account("juliet", "hers"), "forbidden"},
		{"localhost", account("another", "secret"), "forbidden"},
	} {
		if got := condition(tybalt.Ask(query("set", x.to, x.inner))); got != x.want {
			t.Errorf("%s to %s: %s, want %s", x.inner, x.to, got, x.want)
		}
	}
	if !logsIn(t, s, "juliet@localhost", "hers") || !logsIn(t, s, "tybalt@localhost", "secret") || logsIn(t, s, "another@localhost", "secret") {
		t.Error("an account has changed")
	}
	// Nor can somebody on another server.
	for _, inner := range []string{account("juliet", "taken over"), "<remove/>", account("fresh", "secret")} {
		st, err := xmpp.ParseXML([]byte(`<iq xmlns='jabber:client' type='set' id='r' from='juliet@elsewhere.example/x' to='localhost'><query xmlns='` + ns + `'>` + inner + `</query></iq>`))
		if err != nil {
			t.Fatal(err)
		}
		s.Send(t.Context(), st)
	}
	if !logsIn(t, s, "juliet@localhost", "hers") || logsIn(t, s, "fresh@localhost", "secret") {
		t.Error("somebody on another server has changed an account")
	}
}

func TestUserMakesAnotherAccountIfThatIsAllowed(t *testing.T) {
	s := modtest.Start(t, options("access_from: [{allow: {user: romeo}}]", "ip_access: [{allow: {ip: 127.0.0.0/8}}]"), register.Module)
	romeo, tybalt := s.Login("romeo@localhost/x"), s.Login("tybalt@localhost/x")
	for _, x := range []struct {
		c          *modtest.Client
		name, want string
	}{{tybalt, "one", "forbidden"}, {romeo, "one", "result"}, {romeo, "two", "resource-constraint"}} {
		if got := condition(x.c.Ask(query("set", "localhost", account(x.name, "secret")))); got != x.want {
			t.Errorf("%s makes %s: %s, want %s", x.c.JID, x.name, got, x.want)
		}
	}
}

// TestRulesForAnotherAccount: who may make another one is bound by all other rules.
func TestRulesForAnotherAccount(t *testing.T) {
	for option, want := range map[string]string{
		"ip_access: [{deny: {ip: 127.0.0.0/8}}, {allow: all}]": "forbidden",
		"access: [{deny: {user: one}}, {allow: all}]":          "forbidden",
		"allow_modules: [mod_register_web]":                    "forbidden",
		"password_strength: 100":                               "not-acceptable",
		"password_strength: 0":                                 "result",
	} {
		s := modtest.Start(t, options("access_from: [{allow: {user: romeo}}]", option), register.Module)
		if got := condition(s.Login("romeo@localhost/x").Ask(query("set", "localhost", account("one", "secret")))); got != want || logsIn(t, s, "one@localhost", "secret") != (want == "result") {
			t.Errorf("%s: %s, want %s", option, got, want)
		}
	}
}

func TestUserRemovesTheAccount(t *testing.T) {
	for _, inner := range []string{
		"<remove/>", "<remove/><username>Romeo</username>", "<remove/>" + account("romeo", "secret"),
		form.New(form.Submit, ns+":cancel", form.Field{Var: "username", Values: []string{"romeo@localhost"}}, form.Field{Var: "password", Values: []string{"secret"}}).Element().XML(),
	} {
		s := modtest.Start(t, "", register.Module)
		a, b := s.Login("romeo@localhost/a"), s.Login("romeo@localhost/b")
		if got := a.Ask(query("set", "localhost", inner)); got.Type != "result" {
			t.Errorf("%s: %v", inner, got)
		}
		if ok, err := s.Auth.Exists(t.Context(), a.JID.Bare()); err != nil || ok {
			t.Errorf("%s: the account exists: %v, %v", inner, ok, err)
		}
		// The client has had its answer, and then everybody was sent away.
		if a.Closed() == "" || b.Closed() == "" {
			t.Errorf("%s: closed with %q and %q", inner, a.Closed(), b.Closed())
		}
	}
}

func TestAnAccountIsNotRemovedLightly(t *testing.T) {
	s := modtest.Start(t, options("access_remove: [{deny: {user: bot}}, {allow: all}]"), register.Module)
	bot, romeo := s.Login("bot@localhost/x"), s.Login("romeo@localhost/x")
	if got := condition(bot.Ask(query("set", "localhost", "<remove/>"))); got != "forbidden" {
		t.Errorf("whoever may not: %s", got)
	}
	if got := condition(romeo.Ask(query("set", "localhost", "<remove/>"+account("romeo", "wrong")))); got != "forbidden" {
		t.Errorf("with a wrong password: %s", got)
	}
	for _, u := range []string{"bot@localhost", "romeo@localhost"} {
		if !logsIn(t, s, u, "secret") {
			t.Errorf("%s has no account any more", u)
		}
	}
}

func TestAnonymousUsersHaveNoAccount(t *testing.T) {
	s := modtest.Start(t, "", register.Module)
	c := s.Login("guest@localhost/x")
	c.Session.Anonymous = true
	if got := condition(c.Ask(query("set", "localhost", account("guest", "secret2")))); got != "not-allowed" {
		t.Errorf("password: %s", got)
	}
	if got := condition(c.Ask(query("set", "localhost", "<remove/>"))); got != "registration-required" {
		t.Errorf("remove: %s", got)
	}
}
