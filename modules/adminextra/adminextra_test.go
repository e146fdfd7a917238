package adminextra_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adminextra"
	"github.com/gabberd/gabberd/modules/last"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
)

// house is a virtual host with Romeo, who is away on one device and has said
// nothing on another, and Juliet, who is not there.
func house(t *testing.T) (*modtest.Server, *modtest.Client) {
	t.Helper()
	s := modtest.Start(t, "", adminextra.Module, last.Module)
	s.Register("juliet@localhost", "secret")
	romeo := s.Available("romeo@localhost/orchard")
	romeo.Say(`<presence><show>away</show><status>under the balcony</status><priority>5</priority></presence>`)
	romeo.Inbox()
	s.Login("romeo@localhost/tomb")
	return s, romeo
}

// run is a command that must succeed, in an API version; -1 is the newest.
func run(t *testing.T, s *modtest.Server, version int, words ...string) string {
	t.Helper()
	if version < 0 {
		version = admin.Latest
	}
	res, err := s.Registry().Call(t.Context(), admin.Caller{Door: admin.DoorCtl}, words[0], version, admin.Words(words[1:]...))
	if err != nil {
		t.Errorf("%q: %v", words, err)
		return ""
	}
	return res.Text()
}

func TestCommandsAnswerInTheFormOfEjabberd(t *testing.T) {
	s, _ := house(t)
	hash := md5.Sum([]byte("secret"))
	for _, c := range []struct {
		version int
		words   string // separated by |
		want    string // a regular expression for all of it
	}{
		{-1, "num_resources|romeo|localhost", `2`},
		{-1, "num_resources|juliet|localhost", `0`},
		{-1, "resource_num|romeo|localhost|2", `tomb`},
		{-1, "connected_users_vhost|localhost", "romeo@localhost/orchard\nromeo@localhost/tomb"},
		{-1, "connected_users_info", `romeo@localhost/orchard\tc2s_tls\t127\.0\.0\.1\t40000\t5\tgabberd@\S+\t\d+\taway\torchard\tunder the balcony` +
			"\n" + `romeo@localhost/tomb\tc2s_tls\t127\.0\.0\.1\t40000\t-1\tgabberd@\S+\t\d+\tunavailable\ttomb\t`},
		{-1, "user_sessions_info|romeo|localhost", `c2s_tls\t127\.0\.0\.1\t40000\t5\tgabberd@\S+\t\d+\taway\torchard\tunder the balcony` +
			"\n" + `c2s_tls\t127\.0\.0\.1\t40000\t-1\tgabberd@\S+\t\d+\tunavailable\ttomb\t`},
		{-1, "get_presence|romeo|localhost", "romeo@localhost/orchard\taway\tunder the balcony"},
		{-1, "get_presence|juliet|localhost", "juliet@localhost\tunavailable\t"},
		{0, "status_list|away", "romeo\tlocalhost\torchard\t5\tunder the balcony"},
		{3, "status_list|away", "romeo@localhost/orchard\t5\tunder the balcony"},
		{0, "status_list_host|localhost|away", "romeo\tlocalhost\torchard\t5\tunder the balcony"},
		{-1, "status_list_host|localhost|unavailable", "romeo@localhost/tomb\t-1\t"},
		{-1, "status_list|dnd", ""},
		{-1, "status_num|all", `2`},
		{-1, "status_num_host|localhost|away", `1`},
		{-1, "check_password|juliet|localhost|secret", ``},
		{-1, "check_password|juliet|localhost|Secret", `Error: false`},
		{-1, "check_password|nobody|localhost|secret", `Error: false`},
		{-1, "check_password_hash|juliet|localhost|" + hex.EncodeToString(hash[:]) + "|md5", ``},
		{-1, "check_password_hash|romeo|localhost|" + hex.EncodeToString(hash[:1]) + "|md5", `Error: false`},
		{-1, "stats|registeredusers", `2`},
		{-1, "stats|onlineusers", `2`},
		{-1, "stats|onlineusersnode", `2`},
		{-1, "stats|uptimeseconds", `\d+`},
		{-1, "stats|processes", `[1-9]\d*`},
		{-1, "stats_host|registeredusers|localhost", `2`},
		{-1, "stats_host|onlineusers|localhost", `2`},
		{-1, "count_banned|localhost", `0`},
		{-1, "list_banned|localhost", ``},
		{-1, "get_ban_details|juliet|localhost", ``},
	} {
		got := run(t, s, c.version, strings.Split(c.words, "|")...)
		if !regexp.MustCompile(`^(?:` + c.want + `)$`).MatchString(got) {
			t.Errorf("%s: got %q, want %q", c.words, got, c.want)
		}
	}
}

func TestWrongArgumentsAreNamed(t *testing.T) {
	s, _ := house(t)
	for _, c := range []struct{ words, want string }{
		{"resource_num|romeo|localhost|3", "wrong resource number"},
		{"resource_num|romeo|localhost|0", "wrong resource number"},
		{"kick_session|romeo|localhost|balcony|x", "there is no session romeo@localhost/balcony"},
		{"kick_session|romeo|localhost||x", "cannot be a resource"},
		{"kick_session|romeo/orchard|localhost|tomb|x", "cannot be a user's name"},
		{"change_password|nobody|localhost|x", "there is no account nobody@localhost"},
		{"change_password|juliet|localhost|", "cannot be a password"},
		{"check_password_hash|juliet|localhost|00|crc32", "no such hash function"},
		{"stats|elephants", "elephants"},
		{"set_presence|romeo|localhost|tomb|available|away|x|128", "127"},
		{"set_presence|romeo|localhost|tomb|probe|away|x|1", "type"},
		{"send_message|error|localhost|romeo@localhost||x", "type"},
		{"send_message|chat|not a jid@localhost|romeo@localhost||x", "from"},
		{"send_message|chat|mallory@example.org|romeo@localhost||x", "not a virtual host"},
		{"send_stanza|example.org|romeo@localhost|<message/>", "not a virtual host"},
		{"send_stanza|localhost|romeo@localhost|<message>", "stanza"},
		{"send_stanza|localhost|romeo@localhost|<auth/>", "stanza"},
		{"send_stanza|localhost|romeo@localhost|<message/><message/>", "stanza"},
		{"delete_old_users|0", "days"},
		{"ban_account|a@b|localhost|x", "cannot be a user's name"},
	} {
		words := strings.Split(c.words, "|")
		if _, err := s.Command(words[0], words[1:]...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something with %q", c.words, err, c.want)
		}
	}
	old := admin.Words("romeo", "localhost", "tomb", "available", "", "", "much")
	if _, err := s.Registry().Call(t.Context(), admin.Caller{Door: admin.DoorCtl}, "set_presence", 0, old); !errors.Is(err, admin.Usage) {
		t.Errorf("a priority that is no number: %v", err)
	}
}

func TestPasswordIsChanged(t *testing.T) {
	s, _ := house(t)
	run(t, s, -1, "change_password", "juliet", "localhost", "rose|by any other name")
	if got := run(t, s, -1, "check_password", "juliet", "localhost", "rose|by any other name"); got != "" {
		t.Errorf("the new password: %s", got)
	}
	if got := run(t, s, -1, "check_password", "juliet", "localhost", "secret"); got != "Error: false" {
		t.Errorf("the old password: %q", got)
	}
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	s, _ := house(t)
	run(t, s, -1, "change_password", "juliet", "localhost", "hush-hush")
	run(t, s, -1, "check_password", "juliet", "localhost", "hush-hush")
	run(t, s, -1, "check_password_hash", "juliet", "localhost", "hush-hush", "md5")
	run(t, s, -1, "send_stanza", "localhost", "romeo@localhost", "<message><body>hush-hush</body></message>")
	if !strings.Contains(s.Log(), "change_password") || strings.Contains(s.Log(), "hush-hush") {
		t.Errorf("the log:\n%s", s.Log())
	}
}

func TestSessionIsKicked(t *testing.T) {
	s, romeo := house(t)
	run(t, s, -1, "kick_session", "romeo", "localhost", "orchard", "begone")
	if romeo.Closed() != "policy-violation" {
		t.Errorf("the stream ended with %q", romeo.Closed())
	}
	if got := run(t, s, -1, "num_resources", "romeo", "localhost"); got != "1" {
		t.Errorf("%s sessions are left, want the other", got)
	}
}

func TestPresenceIsSet(t *testing.T) {
	s, _ := house(t)
	run(t, s, 0, "set_presence", "romeo", "localhost", "tomb", "available", "dnd", "O happy dagger", "7")
	if got, want := run(t, s, -1, "get_presence", "romeo", "localhost"), "romeo@localhost/tomb\tdnd\tO happy dagger"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	run(t, s, 1, "set_presence", "romeo", "localhost", "tomb", "available", "", "", "6")
	if got, want := run(t, s, -1, "get_presence", "romeo", "localhost"), "romeo@localhost/tomb\tavailable\t"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	run(t, s, -1, "set_presence", "romeo", "localhost", "tomb", "unavailable", "", "", "0")
	if got, want := run(t, s, -1, "get_presence", "romeo", "localhost"), "romeo@localhost/orchard\taway\tunder the balcony"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStanzasAreSent(t *testing.T) {
	s, romeo := house(t)
	run(t, s, -1, "send_message", "headline", "localhost", "romeo@localhost/orchard", "<News>", "5 < 6 & 'so on'")
	run(t, s, -1, "send_message", "normal", "juliet@localhost", "romeo@localhost", "", "two")
	run(t, s, -1, "send_stanza", "juliet@localhost/balcony", "romeo@localhost/orchard", "<message from='tybalt@localhost' type='chat'><body>three</body></message>")
	in := romeo.Inbox()
	if len(in) != 3 {
		t.Fatalf("romeo got %v", in)
	}
	if in[0].Type != "headline" || in[0].Body() != "5 < 6 & 'so on'" || in[0].Child(xmpp.NSClient, "subject").Text() != "<News>" {
		t.Errorf("the message: %v", in[0])
	}
	if in[1].Type != "" || in[1].Has(xmpp.NSClient, "subject") || in[1].From.String() != "juliet@localhost" {
		t.Errorf("the plain message: %v", in[1])
	}
	if in[2].From.String() != "juliet@localhost/balcony" {
		t.Errorf("the stanza is from %s, not from whom the command says", in[2].From)
	}
	juliet := s.Available("juliet@localhost/balcony")
	run(t, s, -1, "send_stanza_c2s", "romeo", "localhost", "orchard", "<message from='tybalt@localhost' to='juliet@localhost'><body>four</body></message>")
	if in := juliet.Inbox(); len(in) != 1 || in[0].From != romeo.JID {
		t.Errorf("juliet got %v", in)
	}
}

func TestBanHoldsAtLoginAndEndsSessions(t *testing.T) {
	s, romeo := house(t)
	ctx := t.Context()
	if got := run(t, s, 2, "ban_account", "romeo", "localhost", "killed <Tybalt> & 'fled'\x00"); got != "" {
		t.Fatalf("ban: %s", got)
	}
	if romeo.Closed() == "" {
		t.Error("the session goes on")
	}
	err := s.Auth.Check(ctx, xmpp.MustParse("romeo@localhost"), "secret")
	if !errors.Is(err, auth.ErrAccountDisabled) {
		t.Errorf("logging in: %v, want account-disabled", err)
	}
	if err := s.Auth.Check(ctx, xmpp.MustParse("juliet@localhost"), "secret"); err != nil {
		t.Errorf("somebody else: %v", err)
	}
	if got := run(t, s, -1, "ban_account", "romeo", "localhost", "again"); got != "Error: account_was_already_banned" {
		t.Errorf("the second time: %s", got)
	}
	if got := run(t, s, -1, "ban_account", "paris", "localhost", "x"); got != "Error: account_does_not_exist" {
		t.Errorf("nobody: %s", got)
	}
	details := run(t, s, -1, "get_ban_details", "romeo", "localhost")
	if !regexp.MustCompile(`^reason\tkilled <Tybalt> & 'fled' \nbandate\t\d{4}-\d\d-\d\dT[\d:]+\.\d{6}Z\nlastdate\t\S+Z\nlastreason\tONLINE$`).MatchString(details) {
		t.Errorf("details: %q", details)
	}
	if n, l := run(t, s, -1, "count_banned", "localhost"), run(t, s, -1, "list_banned", "localhost"); n != "1" || l != "romeo@localhost" {
		t.Errorf("%s banned: %s", n, l)
	}
	if late := s.Login("romeo@localhost/late"); late.Closed() == "" {
		t.Error("who was logging in while he was banned has a session")
	}
	if got := run(t, s, -1, "unban_account", "romeo", "localhost"); got != "" {
		t.Errorf("unban: %s", got)
	}
	if got := run(t, s, -1, "unban_account", "romeo", "localhost"); got != "Error: account_was_not_banned" {
		t.Errorf("unban again: %s", got)
	}
	if err := s.Auth.Check(ctx, xmpp.MustParse("romeo@localhost"), "secret"); err != nil {
		t.Errorf("after the ban: %v", err)
	}
	if again := s.Login("romeo@localhost/again"); again.Closed() != "" {
		t.Error("after the ban there is no session")
	}
}

func TestOldBanTakesThePassword(t *testing.T) {
	s, romeo := house(t)
	res, err := s.Registry().Call(t.Context(), admin.Caller{Door: admin.DoorCtl}, "ban_account", 0, admin.Words("romeo", "localhost", "spam"))
	if err != nil || res.Text() != "" {
		t.Fatalf("%v, %v", res, err)
	}
	if romeo.Closed() == "" {
		t.Error("the session goes on")
	}
	if got := run(t, s, -1, "check_password", "romeo", "localhost", "secret"); got != "Error: false" {
		t.Errorf("the password still fits: %q", got)
	}
}

func TestBanOfEjabberdHoldsAndOutlivesTheModule(t *testing.T) {
	s, _ := house(t)
	ctx := t.Context()
	db, err := s.DB(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, data string) {
		t.Helper()
		if _, err := db.Exec(ctx, `INSERT INTO private_storage ({server_host,} username, namespace, data) VALUES ({?host,} ?, ?, ?)`, name, "ejabberd:banned", data); err != nil {
			t.Fatal(err)
		}
	}
	put("romeo", `<banned bandate='2024-04-22T09:16:47.975312Z' lastdate='2024-04-22T08:39:12Z' lastreason='Connection reset by peer' reason='Spamming other users' xmlns='ejabberd:banned'/>`)
	put("juliet", `no XML at all`)
	want := "reason\tSpamming other users\nbandate\t2024-04-22T09:16:47.975312Z\nlastdate\t2024-04-22T08:39:12Z\nlastreason\tConnection reset by peer"
	if got := run(t, s, -1, "get_ban_details", "romeo", "localhost"); got != want {
		t.Errorf("details: %q", got)
	}
	for _, who := range []string{"romeo@localhost", "juliet@localhost"} {
		if err := s.Auth.Check(ctx, xmpp.MustParse(who), "secret"); !errors.Is(err, auth.ErrAccountDisabled) {
			t.Errorf("%s: %v, want account-disabled", who, err)
		}
	}
	if err := s.Auth.Remove(ctx, xmpp.MustParse("romeo@localhost")); err != nil {
		t.Fatal(err)
	}
	s.Register("romeo@localhost", "secret")
	if err := s.Auth.Check(ctx, xmpp.MustParse("romeo@localhost"), "secret"); err != nil {
		t.Errorf("the ban is inherited by who takes the name: %v", err)
	}
	s.Stop()
	if err := s.Auth.Check(ctx, xmpp.MustParse("juliet@localhost"), "secret"); err != nil {
		t.Errorf("with the module off: %v", err)
	}
	again := modules.NewHost(context.Background(), "mod_admin_extra", s.Host, func(string) bool { return false })
	if err := adminextra.Module.Prepare(func(config.Declarer) {}).Start(again); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	if err := s.Auth.Check(ctx, xmpp.MustParse("juliet@localhost"), "secret"); !errors.Is(err, auth.ErrAccountDisabled) {
		t.Errorf("after a restart: %v, want account-disabled", err)
	}
}

func TestNobodyGetsInWhileBansCannotBeRead(t *testing.T) {
	s, _ := house(t)
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `DROP TABLE private_storage`); err != nil {
		t.Fatal(err)
	}
	if err := s.Auth.Check(t.Context(), xmpp.MustParse("juliet@localhost"), "secret"); !errors.Is(err, auth.ErrTemporary) {
		t.Errorf("logging in: %v, want temporary-auth-failure", err)
	}
}

func TestOldUsersAreDeleted(t *testing.T) {
	s := modtest.Start(t, "acl: {admin: {user: capulet}}\naccess_rules: {protect_old_users: {allow: admin}}", adminextra.Module, last.Module)
	for _, name := range []string{"abram", "capulet", "juliet", "nurse", "romeo", "tybalt"} {
		s.Register(name+"@localhost", "secret")
		run(t, s, -1, "set_last", name, "localhost", "1000000000", "long ago")
	}
	run(t, s, -1, "set_last", "nurse", "localhost", "33000000000", "just now, and for a thousand years")
	s.Available("romeo@localhost/orchard")
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `DELETE FROM last WHERE {host} AND username = ?`, "tybalt"); err != nil {
		t.Fatal(err)
	}
	// He, the first to be looked at, has just left, and that is not written down yet.
	s.Available("abram@localhost/street").Logout()
	if got, want := run(t, s, -1, "delete_old_users_vhost", "localhost", "30"), `Deleted 2 users: ["juliet@localhost","tybalt@localhost"]`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := run(t, s, -1, "delete_old_users", "30"), `Deleted 0 users: []`; got != want {
		t.Errorf("the second time: %q", got)
	}
	if got := run(t, s, -1, "stats", "registeredusers"); got != "4" {
		t.Errorf("%s accounts are left", got)
	}
}

func TestNobodyIsOldWithoutModLast(t *testing.T) {
	s := modtest.Start(t, "", adminextra.Module)
	s.Register("juliet@localhost", "secret")
	if _, err := s.Command("delete_old_users", "1"); !errors.Is(err, admin.NotEnabled) {
		t.Errorf("got %v, want a refusal", err)
	}
	if ok, err := s.Auth.Exists(t.Context(), xmpp.MustParse("juliet@localhost")); !ok || err != nil {
		t.Errorf("juliet is gone: %v", err)
	}
}

// Names cannot be made to mean something else to SQL, XML or addresses.
func TestNamesAreNothingButNames(t *testing.T) {
	s, _ := house(t)
	for _, evil := range []string{"x' OR '1'='1", "%", "_uliet", "juliet@localhost/x", "<banned/>", "a\x00b", `"; DROP TABLE users; --`, "juliet\tlocalhost"} {
		for _, words := range [][]string{
			{"ban_account", evil, "localhost", "x"}, {"get_ban_details", evil, "localhost"}, {"unban_account", evil, "localhost"},
			{"change_password", evil, "localhost", "x"}, {"check_password", evil, "localhost", "secret"},
			{"num_resources", evil, "localhost"}, {"user_sessions_info", evil, "localhost"}, {"get_presence", evil, "localhost"},
		} {
			text, err := s.Command(words[0], words[1:]...)
			if err == nil && strings.Contains(text, "juliet") && words[0] != "get_presence" {
				t.Errorf("%q answers %q", words, text)
			}
			if err == nil && words[0] == "ban_account" && text == "" {
				t.Errorf("%q has banned somebody", words)
			}
		}
	}
	if got := run(t, s, -1, "count_banned", "localhost"); got != "0" {
		t.Errorf("%s are banned", got)
	}
	if got := run(t, s, -1, "stats", "registeredusers"); got != "2" {
		t.Errorf("%s accounts are left", got)
	}
}

// A stranger at any other door than the console gets nothing without a guard
// who lets him.
func TestOnlyTheConsoleMay(t *testing.T) {
	s, _ := house(t)
	for _, d := range s.Registry().List(admin.Latest) {
		for _, who := range []admin.Caller{
			{Door: admin.DoorHTTP}, {Door: admin.DoorHTTP, Account: xmpp.MustParse("romeo@localhost")},
			{Door: admin.DoorCtl, Account: xmpp.MustParse("romeo@localhost")}, {Door: admin.DoorAdhoc, Account: xmpp.MustParse("romeo@localhost")},
		} {
			body := []byte(`{"host":"localhost","localhost":"localhost","user":"juliet","from":"localhost"}`)
			if _, err := s.Registry().Call(t.Context(), who, d.Name, admin.Latest, admin.JSON(body)); !errors.Is(err, admin.Denied) {
				t.Errorf("%s through %s: %v", d.Name, who.Door, err)
			}
		}
	}
}
