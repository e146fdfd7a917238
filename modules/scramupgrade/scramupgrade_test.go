package scramupgrade_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/scramupgrade"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

var romeo = xmpp.MustParse("romeo@localhost")

const wish = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade><upgrade xmlns='urn:xmpp:sasl:upgrade:0'> UPGR-SCRAM-SHA-256 </upgrade>" +
	"<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-1</upgrade>"

func element(t *testing.T, text string) *xmpp.Element {
	t.Helper()
	el, err := xmpp.ParseElement([]byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	return el
}

// tasks are what somebody has to do who has logged in by a mechanism.
func tasks(t *testing.T, s *modtest.Server, mechanism, inline string, anonymous bool) []sm.Task {
	t.Helper()
	return sm.Tasks.Run(t.Context(), s.Parts.Hooks, nil, &sm.Login{Stream: &sm.Stream{User: romeo}, Mechanism: mechanism, Anonymous: anonymous,
		Request: element(t, "<authenticate xmlns='urn:xmpp:sasl:2'>"+inline+"</authenticate>")})
}

func names(list []sm.Task) (out string) {
	for _, task := range list {
		out += task.Name + " "
	}
	return out
}

func TestWhoHasToUpgrade(t *testing.T) {
	s := modtest.Start(t, "auth_password_format: scram", scramupgrade.Module)
	s.Register("romeo@localhost", "secret")
	for _, c := range []struct {
		mechanism, inline string
		anonymous         bool
		want              string
	}{
		{"SCRAM-SHA-1-PLUS", wish, false, "UPGR-SCRAM-SHA-256 UPGR-SCRAM-SHA-512 "},
		{"PLAIN", wish, false, "UPGR-SCRAM-SHA-256 UPGR-SCRAM-SHA-512 "},
		{"PLAIN", "", false, ""},
		{"PLAIN", "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-BLOOP</upgrade>", false, ""},
		{"HT-SHA-256-NONE", wish, false, ""},
		{"EXTERNAL", wish, false, ""},
		{"PLAIN", wish, true, ""},
	} {
		if got := names(tasks(t, s, c.mechanism, c.inline, c.anonymous)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestNothingToDoForPlainPasswords(t *testing.T) {
	s := modtest.Start(t, "", scramupgrade.Module)
	s.Register("romeo@localhost", "secret")
	if got := tasks(t, s, "PLAIN", wish, false); len(got) != 0 {
		t.Errorf("got %s", names(got))
	}
}

func TestOfferedUpgrades(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_scram_upgrade: {offered_upgrades: [sha512]}}", scramupgrade.Module)
	offer := sm.InlineFeatures.Run(t.Context(), s.Parts.Hooks, sm.Inline{}, new(sm.Stream)).Other
	if len(offer) != 1 || offer[0].Text() != "UPGR-SCRAM-SHA-512" {
		t.Errorf("offered %v", offer)
	}
}

func TestWhatCannotBeAHash(t *testing.T) {
	s := modtest.Start(t, "auth_password_format: scram", scramupgrade.Module)
	s.Register("romeo@localhost", "secret")
	list := tasks(t, s, "PLAIN", wish, false)
	ask, then, err := list[0].Begin(t.Context(), nil)
	if err != nil || then == nil || !strings.Contains(ask.XML(), "iterations='4096'") {
		t.Fatalf("got %v, %v", ask, err)
	}
	for text, want := range map[string]string{"": "malformed-request", "?": "incorrect-encoding", "AAAA": "malformed-request"} {
		_, _, err := then(t.Context(), element(t, "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>"+text+"</hash></task-data>"))
		if !errors.Is(err, &auth.Failure{Condition: want}) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got := names(tasks(t, s, "PLAIN", wish, false)); !strings.HasPrefix(got, "UPGR-SCRAM-SHA-256 ") {
		t.Errorf("something was stored; left: %s", got)
	}
}
