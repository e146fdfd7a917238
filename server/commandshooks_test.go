package server

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func TestHooksAreListedRunAndTraced(t *testing.T) {
	s, _ := built(t, twoHosts)
	romeo := s.login(t, "romeo@localhost/orchard")
	list := s.newest(t, "hooks")
	for _, want := range []string{
		"\nuser_send_packet (fold): A client has sent a stanza. Nil drops it. run: JID STANZA\n",
		"    localhost ", "    example.org ", "mod_last", "config_reloaded (event on all nodes)", "filter_packet (fold)",
	} {
		if !strings.Contains("\n"+list, want) {
			t.Errorf("the list lacks %q:\n%s", want, list)
		}
	}
	if got := s.newest(t, "hooks|localhost"); strings.Contains(got, "    example.org ") || !strings.Contains(got, "    localhost ") {
		t.Errorf("the list of one host:\n%s", got)
	}
	got := s.newest(t, "hooks|run|localhost|account_disabled|romeo@localhost")
	if !regexp.MustCompile(`^localhost account_disabled 50 mod_admin_extra \(.*refuse\) \S+s: .*→ <nil>$`).MatchString(got) {
		t.Errorf("run: %q", got)
	}
	if got := s.newest(t, "hooks|run|account_disabled|romeo@localhost"); !strings.Contains(got, "name one of localhost, example.org") {
		t.Errorf("run in several places: %q", got)
	}
	if got := s.newest(t, "hooks|run|server|filter_packet|<message to='romeo@localhost'/>"); got != "nobody listens to filter_packet on server" {
		t.Errorf("run where nobody listens: %q", got)
	}
	if got := s.newest(t, "hooks|run|localhost|user_send_packet|romeo@localhost/tomb|<message/>"); !strings.Contains(got, "there is no session romeo@localhost/tomb") || !strings.Contains(got, "usage: user_send_packet JID STANZA") {
		t.Errorf("run for nobody: %q", got)
	}
	if got := s.newest(t, "hooks|run|no_such_hook"); !strings.Contains(got, "there is no hook") {
		t.Errorf("run what there is not: %q", got)
	}
	for _, words := range []string{
		"user_send_packet|romeo@localhost/orchard|<message to='juliet@localhost'><body>hi</body></message>",
		"sm_receive_packet|<message to='romeo@localhost'/>", "privacy_check_packet|romeo@localhost|in|<iq type='get'/>",
		"roster_in_subscription|<presence type='subscribe'/>", "offline_message_hook|<message to='romeo@localhost'/>",
		"bounce_sm_packet|<message/>", "presence_probe_hook|<presence type='probe'/>", "roster_get_subscription_lists|romeo@localhost",
		"roster_get_jid_info|romeo@localhost|juliet@localhost", "sm_register_connection_hook|romeo@localhost/orchard",
		"sm_kick_user|romeo@localhost", "forbidden_session_hook|romeo@localhost", "c2s_authenticated_packet|romeo@localhost/orchard|<active xmlns='urn:xmpp:csi:0'/>",
		"register_user|nobody@localhost", "check_register_user|nobody@localhost", "user_exists|nobody@localhost", "set_password|romeo@localhost",
		"local_send_to_resource_hook|<message to='localhost/x'/>", "clear_cache", "unset_presence_hook|romeo@localhost/orchard|gone|fishing",
	} {
		name, _, _ := strings.Cut(words, "|")
		for _, line := range strings.Split(s.newest(t, "hooks|run|localhost|"+words), "\n") {
			if !strings.HasPrefix(line, "localhost "+name+" ") && line != "nobody listens to "+name+" on localhost" {
				t.Errorf("%s: %q", words, line)
			}
		}
	}
	trace(t, s, romeo)
}

func trace(t *testing.T, s *Server, romeo *client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sm.UserSend.Add(&listener{table: s.Host("localhost").Parts.Hooks}, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		return st, hooks.Next
	})
	res, err := s.registry.Call(ctx, admin.Caller{Door: admin.DoorCtl}, "hooks", admin.Latest, admin.Words("trace", "user_send_packet"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line, err := range res.Stream() {
		if err != nil {
			t.Fatal(err)
		}
		if lines = append(lines, line); len(lines) == 1 {
			st, err := xmpp.ParseXML([]byte("<iq type='set' id='1' to='localhost'><query xmlns='jabber:iq:register'><password>hush</password></query></iq>"))
			if err != nil {
				t.Fatal(err)
			}
			s.Host("localhost").Sessions.Submit(ctx, romeo.s, st.Readdressed(romeo.s.JID, st.To))
			continue
		}
		cancel()
	}
	if len(lines) < 2 || lines[0] != "watching user_send_packet" || !strings.HasPrefix(lines[1], "localhost user_send_packet ") || !strings.Contains(lines[1], "jabber:iq:register") {
		t.Errorf("traced: %q", lines)
	}
	if strings.Contains(strings.Join(lines, "\n"), "hush") {
		t.Errorf("a password was shown: %q", lines)
	}
}

func TestShownValuesAreTame(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"<password>x</password>", "<password>…</password>"},
		{"<a:password xmlns:a='b'>x</a:password>", "<a:password xmlns:a='b'>…</a:password>"},
		{"<auth mechanism='PLAIN'>AGE=</auth>", "<auth mechanism='PLAIN'>…</auth>"},
		{"a\x1b[2Jb\nc\u009bd", "a [2Jb c d"},
		{strings.Repeat("é", maxShown), strings.Repeat("é", maxShown/2) + "…"},
	} {
		if got := shown(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

// A hook must not be run through a door that cannot show the answer.
func TestHooksAreForTheConsole(t *testing.T) {
	s, _ := built(t, twoHosts)
	ran := false
	o := &listener{table: s.Host("localhost").Parts.Hooks}
	sm.Kicked.Add(o, hooks.Normal, func(context.Context, xmpp.JID) { ran = true })
	res, err := s.registry.Call(t.Context(), admin.Caller{Door: admin.DoorHTTP, Account: xmpp.MustParse("admin@localhost")}, "hooks", admin.Latest,
		admin.JSON([]byte(`{"words":["run","localhost","sm_kick_user","romeo@localhost"]}`)))
	if err == nil {
		_, err = res.JSON()
	}
	if !errors.Is(err, admin.Usage) || ran {
		t.Errorf("%v, the hook ran: %v", err, ran)
	}
}

type listener struct{ table *hooks.Table }

func (*listener) Name() string          { return "test" }
func (l *listener) Hooks() *hooks.Table { return l.table }
func (*listener) OnStop(func())         {}
