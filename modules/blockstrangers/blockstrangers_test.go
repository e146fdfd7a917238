package blockstrangers_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/blockstrangers"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

func start(t *testing.T, options string) *modtest.Server {
	t.Helper()
	return modtest.Start(t, `
acl: {trusted: {user: [trusted@away.example]}}
access_rules: {friends: [{allow: trusted}]}
modules: {mod_block_strangers: {access: friends, `+options+`}}
`, blockstrangers.Module, roster.Module, offline.Module)
}

// arrives sends a message from elsewhere and reports whether romeo gets it.
func arrives(t *testing.T, s *modtest.Server, romeo *modtest.Client, from, xml string) bool {
	t.Helper()
	st, err := xmpp.ParseXML([]byte(xml))
	if err != nil {
		t.Fatal(err)
	}
	romeo.Inbox()
	s.Router.Route(t.Context(), st.Readdressed(xmpp.MustParse(from), romeo.JID))
	return len(romeo.Inbox()) > 0
}

const hi = `<message><body>hi</body></message>`

func contact(t *testing.T, s *modtest.Server, user, host, subs string) {
	t.Helper()
	if _, err := s.Command("add_rosteritem", "romeo", "localhost", user, host, "", "", subs); err != nil {
		t.Fatal(err)
	}
}

func TestWhoIsAStranger(t *testing.T) {
	s := start(t, "log: true")
	romeo := s.Available("romeo@localhost/orchard")
	contact(t, s, "juliet", "away.example", "from")
	contact(t, s, "none", "away.example", "none")
	contact(t, s, "", "gateway.example", "to")
	romeo.Say(`<presence to='room@away.example'/>`)
	romeo.Say(`<presence to='asked@away.example' type='subscribe'/>`)
	for _, c := range []struct {
		from, xml string
		want      bool
	}{
		{"juliet@away.example/x", hi, true},
		{"tybalt@away.example/x", hi, false},
		{"none@away.example/x", hi, false},
		{"trusted@away.example/x", hi, true},
		{"somebody@gateway.example", hi, true},
		{"gateway.example", hi, true},
		{"away.example", hi, false},
		{"asked@away.example", hi, true},
		{"room@away.example/nick", `<message type='groupchat'><body>hi</body></message>`, true},
		{"other@away.example/nick", `<message type='groupchat'><body>hi</body></message>`, false},
		{"tybalt@away.example/x", `<message><subject>hi</subject></message>`, false},
		{"tybalt@away.example/x", `<message><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`, true},
		{"tybalt@away.example/x", `<message type='error'><body>hi</body></message>`, true},
		{"tybalt@localhost/x", hi, true},
		{"localhost", hi, true},
	} {
		if got := arrives(t, s, romeo, c.from, c.xml); got != c.want {
			t.Errorf("%s from %s: %v", c.xml, c.from, got)
		}
	}
	if !strings.Contains(s.Log(), "from=tybalt@away.example/x") {
		t.Error("nothing is logged")
	}
}

func TestStrangersAreToldAndNothingIsKept(t *testing.T) {
	s := start(t, "allow_local_users: false, allow_transports: false")
	tybalt := s.Login("tybalt@localhost/x")
	romeo := s.Available("romeo@localhost/orchard")
	contact(t, s, "", "gateway.example", "to")
	if arrives(t, s, romeo, "somebody@gateway.example", hi) {
		t.Error("who is behind a gateway is let through")
	}
	told := func() string {
		in := tybalt.Inbox()
		if len(in) != 1 || xmpp.ParseError(in[0]) == nil {
			t.Fatalf("tybalt was told %v", in)
		}
		return string(xmpp.ParseError(in[0]).Condition)
	}
	tybalt.Say(`<message to='romeo@localhost'><body>hi</body></message>`)
	if got := told(); got != "policy-violation" || len(romeo.Inbox()) > 0 {
		t.Errorf("at home: %s", got)
	}
	romeo.Logout()
	tybalt.Say(`<message to='romeo@localhost'><body>hi</body></message>`)
	if got := told(); got != "policy-violation" {
		t.Errorf("away: %s", got)
	}
	if n, err := s.Command("get_offline_count", "romeo", "localhost"); n != "0" || err != nil {
		t.Errorf("%s are kept, %v", n, err)
	}
}

func TestOnlyLogged(t *testing.T) {
	s := start(t, "drop: false, log: true")
	romeo := s.Available("romeo@localhost/orchard")
	if !arrives(t, s, romeo, "tybalt@away.example/x", hi) || !strings.Contains(s.Log(), "stranger") {
		t.Errorf("log: %s", s.Log())
	}
}
