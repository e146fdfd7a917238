package jidprep_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/jidprep"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
)

func TestQuestions(t *testing.T) {
	s := modtest.Start(t, "acl: {local: {user_regexp: \"\"}}\naccess_rules: {local: [{allow: local}]}", jidprep.Module)
	romeo := s.Login("romeo@localhost/x")
	ask := func(el string) string {
		got := romeo.Ask(`<iq type='get' id='j' to='localhost'>` + el + `</iq>`)
		if e := xmpp.ParseError(got); e != nil {
			return string(e.Condition)
		}
		return string(got.Payload().Inner())
	}
	const one = `<jid-validate-request xmlns='urn:xmpp:jidprep:1'><maybe-jid>`
	for el, want := range map[string]string{
		one + `Σ@Example.com/Resource</maybe-jid></jid-validate-request>`: `<valid-jid><localpart>σ</localpart><domainpart>example.com</domainpart><resourcepart>Resource</resourcepart></valid-jid>`,
		one + `example.com</maybe-jid></jid-validate-request>`:            `<valid-jid><domainpart>example.com</domainpart></valid-jid>`,
		`<jid-validate-request xmlns='urn:xmpp:jidprep:1'/>`:              "bad-request",
		`<jid xmlns='urn:xmpp:jidprep:0'>ROMEO@localhost</jid>`:           "romeo@localhost",
		`<jid xmlns='urn:xmpp:jidprep:0'>@localhost</jid>`:                "jid-malformed",
	} {
		if got := ask(el); got != want {
			t.Errorf("%s: %s", el, got)
		}
	}
	if got := ask(one + `henry iv@example.com</maybe-jid></jid-validate-request>`); !strings.HasPrefix(got, "<invalid-jid><reason>") {
		t.Errorf("got %s", got)
	}
	if e := xmpp.ParseError(romeo.Ask(`<iq type='set' id='j' to='localhost'><jid xmlns='urn:xmpp:jidprep:0'>x</jid></iq>`)); e == nil || e.Condition != "not-allowed" {
		t.Errorf("a set: %v", e)
	}
}

func TestWhoMayNotAsk(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_jidprep: {access: none}}", jidprep.Module)
	e := xmpp.ParseError(s.Login("romeo@localhost/x").Ask(`<iq type='get' id='j' to='localhost'><jid xmlns='urn:xmpp:jidprep:0'>x</jid></iq>`))
	if e == nil || e.Condition != "forbidden" {
		t.Errorf("got %v", e)
	}
}
