package server

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/xmpp"
)

// Who may call what: strangers what is public, accounts nothing, administrators
// all but stop, the console everything.
func TestGuardDecidesWhoMayCallWhat(t *testing.T) {
	s, l := built(t, twoHosts)
	s.newest(t, "register|admin|localhost|hush-hush")
	s.newest(t, "register|romeo|localhost|hush-hush")
	s.newest(t, "register|admin|example.org|hush-hush")
	loopback := netip.MustParseAddr("127.0.0.1")
	body := []byte(`{"user":"juliet","host":"localhost","password":"hush-hush"}`)
	may := func(who admin.Caller, command string) bool {
		_, err := s.registry.Call(t.Context(), who, command, admin.Latest, admin.JSON(body))
		return !errors.Is(err, admin.Denied)
	}
	for _, d := range s.registry.List(admin.Latest) {
		if d.Name == "stop" || d.Name == "restart" || d.Name == "halt" || strings.HasSuffix(d.Name, "_kindly") {
			continue
		}
		for _, who := range []admin.Caller{
			{Door: admin.DoorHTTP, Addr: netip.MustParseAddr("192.0.2.1")},
			{Door: admin.DoorHTTP, Addr: netip.MustParseAddr("192.0.2.1"), Account: xmpp.MustParse("romeo@localhost")},
			{Door: admin.DoorHTTP, Addr: netip.MustParseAddr("192.0.2.1"), Account: xmpp.MustParse("admin@example.org")},
			{Door: admin.DoorHTTP, Addr: loopback, Account: xmpp.MustParse("admin@localhost"), Scopes: []string{}},
			{Door: "ejabberd_xmlrpc"},
		} {
			public := who.Addr == loopback && (d.Name == "status" || d.Name == "connected_users_number") && who.Scopes == nil
			if may(who, d.Name) && !public {
				t.Errorf("%s may call %s through %s", who.Account, d.Name, who.Door)
			}
		}
	}
	local := admin.Caller{Door: admin.DoorHTTP, Addr: loopback}
	boss := admin.Caller{Door: admin.DoorHTTP, Addr: loopback, Account: xmpp.MustParse("admin@localhost")}
	for _, c := range []struct {
		who     admin.Caller
		command string
		may     bool
	}{
		{local, "status", true}, {local, "registered_vhosts", false}, {local, "stop", false}, {local, "register", false},
		{boss, "registered_vhosts", true}, {boss, "check_account", true}, {boss, "stop", false}, {boss, "register", true},
	} {
		if got := may(c.who, c.command); got != c.may {
			t.Errorf("%s calls %s: %v, want %v", c.who.Account, c.command, got, c.may)
		}
	}
	if s.ctx.Err() != nil {
		t.Error("somebody has stopped the server")
	}
	if strings.Contains(l.String(), "hush-hush") {
		t.Errorf("a password is in the log:\n%s", l)
	}
	if !strings.Contains(l.String(), "outcome=access_rules_unauthorized") {
		t.Errorf("refusals are not in the log:\n%s", l)
	}
}

func TestNamesAreNothingButNames(t *testing.T) {
	s, l := built(t, twoHosts)
	s.newest(t, "register|juliet|localhost|secret")
	for _, evil := range []string{"x' OR '1'='1", "%", "_uliet", "juliet@localhost", "juliet/x", "a\x00b", "a\nlevel=ERROR b", strings.Repeat("a", 2000)} {
		for _, words := range [][]string{
			{"register", evil, "localhost", "x"}, {"unregister", evil, "localhost"}, {"kick_user", evil, "localhost"},
			{"user_resources", evil, "localhost"}, {"check_account", evil, "localhost"}, {"registered_users", evil},
			{"kick_users", evil}, {"restart_module", "localhost", evil}, {"hooks", "run", evil, "x"}, {"set_loglevel", evil},
		} {
			res, err := s.registry.Call(t.Context(), admin.Caller{Door: admin.DoorCtl}, words[0], admin.Latest, admin.Words(words[1:]...))
			if err == nil && (words[0] == "register" || words[0] == "check_account" && res.Exit() == 0) && evil != "%" && evil != "_uliet" {
				t.Errorf("%q was done: %s", words, res.Text())
			}
		}
	}
	if got := s.newest(t, "check_account|juliet|localhost"); got != "" {
		t.Errorf("juliet is gone: %q", got)
	}
	for line := range strings.Lines(l.String()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("a line of somebody else in the log: %q", line)
		}
	}
}
