package configure_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/configure"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

const ns = "http://jabber.org/protocol/admin"

// The names of all commands.
const all = `add-user delete-user disable-user reenable-user end-user-session change-user-password get-user-roster
	get-user-lastlogin user-stats get-registered-users-num get-online-users-num get-registered-users-list get-online-users-list`

func start(t *testing.T) (*modtest.Server, *modtest.Client) {
	s := modtest.Start(t, `
acl: {admin: {user: [prince@localhost]}}
access_rules: {configure: {allow: admin}}
`, disco.Module, adhoc.Module, roster.Module, configure.Module)
	return s, s.Login("prince@localhost/throne")
}

// submit runs a command with its form filled in.
func submit(c *modtest.Client, to, node string, fields ...string) *xmpp.Stanza {
	f := &form.Form{Kind: form.Submit}
	for i := 0; i < len(fields); i += 2 {
		f.Fields = append(f.Fields, form.Field{Var: fields[i], Values: strings.Split(fields[i+1], "\n")})
	}
	return c.Ask(`<iq type='set' id='c' to='` + to + `'><command xmlns='` + adhoc.NS + `' node='` + node + `'>` + f.Element().XML() + `</command></iq>`)
}

func admin(c *modtest.Client, name string, fields ...string) *xmpp.Stanza {
	return submit(c, "localhost", ns+"#"+name, fields...)
}

func ok(st *xmpp.Stanza) bool {
	return st.Type == "result" && st.Payload().Attr("status") == "completed"
}

func condition(st *xmpp.Stanza) string {
	if e := xmpp.ParseError(st); e != nil {
		return string(e.Condition)
	}
	return st.Type
}

// shown is the form with which a command ends.
func shown(t *testing.T, st *xmpp.Stanza) *form.Form {
	t.Helper()
	f, err := form.Find(st.Payload())
	if err != nil || f == nil || f.FormType() != ns || f.Kind != form.Result {
		t.Fatalf("got %v: %v", st, err)
	}
	return f
}

func TestAddChangeAndDeleteUser(t *testing.T) {
	s, prince := start(t)
	ctx, nurse := context.Background(), xmpp.MustParse("nurse@localhost")
	if got := admin(prince, "add-user", "accountjid", "nurse@localhost", "password", "first", "password-verify", "first"); !ok(got) {
		t.Fatalf("add: %v", got)
	}
	if err := s.Auth.Check(ctx, nurse, "first"); err != nil {
		t.Errorf("after add: %v", err)
	}
	if got := admin(prince, "add-user", "accountjid", "nurse@localhost", "password", "x", "password-verify", "x"); condition(got) != "conflict" {
		t.Errorf("add again: %v", got)
	}
	if got := admin(prince, "change-user-password", "accountjid", "nurse@localhost", "password", "second"); !ok(got) {
		t.Fatalf("change: %v", got)
	}
	if s.Auth.Check(ctx, nurse, "second") != nil || s.Auth.Check(ctx, nurse, "first") == nil {
		t.Error("the password was not changed")
	}
	c := s.Login("nurse@localhost/x")
	if got := admin(prince, "delete-user", "accountjids", "nurse@localhost"); !ok(got) {
		t.Fatalf("delete: %v", got)
	}
	if found, err := s.Auth.Exists(ctx, nurse); found || err != nil {
		t.Errorf("after delete: %v, %v", found, err)
	}
	if c.Closed() == "" {
		t.Error("the session of a deleted account goes on")
	}
	if strings.Contains(s.Log(), "first") || strings.Contains(s.Log(), "second") {
		t.Error("a password is in the log")
	}
}

func TestWhatIsRefused(t *testing.T) {
	s, prince := start(t)
	s.Register("nurse@localhost", "secret")
	for _, c := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"add-user", []string{"accountjid", "peter@localhost", "password", "a", "password-verify", "b"}, "not-acceptable"},
		{"add-user", []string{"accountjid", "peter@localhost", "password", "", "password-verify", ""}, "not-acceptable"},
		{"add-user", []string{"accountjid", "peter@elsewhere.example", "password", "a", "password-verify", "a"}, "not-acceptable"},
		{"add-user", []string{"accountjid", "localhost", "password", "a", "password-verify", "a"}, "not-acceptable"},
		{"add-user", []string{"accountjid", "@", "password", "a", "password-verify", "a"}, "not-acceptable"},
		{"change-user-password", []string{"accountjid", "nobody@localhost", "password", "a"}, "item-not-found"},
		{"delete-user", []string{"accountjids", "nurse@localhost\nnobody@localhost"}, "item-not-found"},
		{"delete-user", []string{"accountjids", "nurse@localhost\nx@elsewhere.example"}, "not-acceptable"},
		{"end-user-session", []string{"accountjids", "x@elsewhere.example"}, "not-acceptable"},
		{"get-user-roster", []string{"accountjid", "x@elsewhere.example"}, "not-acceptable"},
		{"get-registered-users-list", []string{"max_items", "7"}, "not-acceptable"},
		// Those of other modules go by their own permissions, or are not there.
		{"disable-user", []string{"accountjids", "nurse@localhost"}, "feature-not-implemented"},
		{"get-user-lastlogin", []string{"accountjid", "nurse@localhost"}, "feature-not-implemented"},
	} {
		if got := admin(prince, c.name, c.fields...); condition(got) != c.want {
			t.Errorf("%s %q: got %v, want %s", c.name, c.fields, got, c.want)
		}
	}
	if found, err := s.Auth.Exists(context.Background(), xmpp.MustParse("nurse@localhost")); !found || err != nil {
		t.Errorf("an account was deleted although another was missing: %v", err)
	}
}

func TestNobodyElseMay(t *testing.T) {
	s, prince := start(t)
	tybalt := s.Login("tybalt@localhost/x")
	names := strings.Fields(all)
	for _, name := range names {
		if got := condition(admin(tybalt, name, "accountjid", "prince@localhost", "accountjids", "prince@localhost", "password", "mine", "password-verify", "mine")); got != "forbidden" {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, victim := range []string{"prince@localhost", "tybalt@localhost"} {
		if got := condition(submit(tybalt, victim, "config", "action", "remove", "password", "")); got != "forbidden" {
			t.Errorf("config of %s: %s", victim, got)
		}
	}
	if err := s.Auth.Check(context.Background(), xmpp.MustParse("prince@localhost"), "secret"); err != nil || prince.Closed() != "" {
		t.Errorf("the prince suffered: %v, %q", err, prince.Closed())
	}
	list := func(c *modtest.Client) (out []string) {
		for i := range c.Ask(`<iq type='get' id='d' to='localhost'><query xmlns='` + disco.NSItems + `' node='` + adhoc.NS + `'/></iq>`).Payload().Children() {
			if n, ok := strings.CutPrefix(i.Attr("node"), ns+"#"); ok {
				out = append(out, n)
			}
		}
		return out
	}
	if got := list(tybalt); len(got) != 0 {
		t.Errorf("tybalt sees %v", got)
	}
	if got := list(prince); !slices.Equal(got, names) {
		t.Errorf("the prince sees %v", got)
	}
}

func TestEndSessions(t *testing.T) {
	s, prince := start(t)
	a, b, other := s.Login("romeo@localhost/a"), s.Login("romeo@localhost/b"), s.Login("juliet@localhost/a")
	if got := admin(prince, "end-user-session", "accountjids", "romeo@localhost/a"); !ok(got) || a.Closed() == "" || b.Closed() != "" {
		t.Errorf("one resource: %v, a %q, b %q", got, a.Closed(), b.Closed())
	}
	if got := admin(prince, "end-user-session", "accountjids", "romeo@localhost"); !ok(got) || b.Closed() == "" || other.Closed() != "" {
		t.Errorf("all resources: %v, b %q, other %q", got, b.Closed(), other.Closed())
	}
}

func TestNumbersAndLists(t *testing.T) {
	s, prince := start(t)
	s.Login("romeo@localhost/a")
	s.Login("romeo@localhost/b")
	for i := range 30 {
		s.Register(fmt.Sprintf("guest%02d@localhost", i), "secret")
	}
	if got := shown(t, admin(prince, "get-registered-users-num")).Value("registeredusersnum"); got != "32" {
		t.Errorf("registered: %s", got)
	}
	if got := shown(t, admin(prince, "get-online-users-num")).Value("onlineusersnum"); got != "2" {
		t.Errorf("online: %s", got)
	}
	if got := shown(t, admin(prince, "get-registered-users-list", "max_items", "25")).Values("registereduserjids"); len(got) != 25 || got[0] != "guest00@localhost" {
		t.Errorf("list of registered users: %v", got)
	}
	if got := shown(t, admin(prince, "get-registered-users-list", "max_items", "none")).Values("registereduserjids"); len(got) != 32 {
		t.Errorf("list of all registered users: %d", len(got))
	}
	if got := shown(t, admin(prince, "get-online-users-list", "max_items", "25")).Values("onlineuserjids"); !slices.Equal(got, []string{"prince@localhost", "romeo@localhost"}) {
		t.Errorf("list of online users: %v", got)
	}
}

func TestRosterAndStatistics(t *testing.T) {
	s, prince := start(t)
	romeo := s.Login("romeo@localhost/a")
	if got := romeo.Ask(`<iq type='set' id='r'><query xmlns='jabber:iq:roster'><item jid='juliet@localhost' name='Juliet'><group>Love</group></item></query></iq>`); got.Type != "result" {
		t.Fatalf("roster: %v", got)
	}
	f := shown(t, admin(prince, "user-stats", "accountjid", "romeo@localhost"))
	if f.Value("rostersize") != "1" || f.Value("ipaddresses") != "127.0.0.1:40000" || f.Value("onlineresources") != "a" {
		t.Errorf("statistics: %+v", f)
	}
	f = shown(t, admin(prince, "get-user-roster", "accountjid", "romeo@localhost"))
	if len(f.Items) != 1 || f.Items[0][0].Values[0] != "juliet@localhost" || f.Items[0][1].Values[0] != "Juliet" || f.Items[0][2].Values[0] != "Love" {
		t.Errorf("roster: %+v", f)
	}
}

func TestCommandOnAccount(t *testing.T) {
	s, prince := start(t)
	ctx, romeo := context.Background(), xmpp.MustParse("romeo@localhost")
	s.Register("romeo@localhost", "secret")
	if got := condition(submit(prince, "romeo@localhost", "config", "action", "edit", "password", "")); got != "not-acceptable" {
		t.Errorf("no password: %s", got)
	}
	if got := submit(prince, "romeo@localhost", "config", "action", "edit", "password", "other"); !ok(got) || s.Auth.Check(ctx, romeo, "other") != nil {
		t.Errorf("change: %v", got)
	}
	if got := submit(prince, "romeo@localhost", "config", "action", "remove"); !ok(got) {
		t.Errorf("remove: %v", got)
	}
	if found, err := s.Auth.Exists(ctx, romeo); found || err != nil {
		t.Errorf("after remove: %v, %v", found, err)
	}
}

func TestFormIsAskedFirst(t *testing.T) {
	_, prince := start(t)
	got := prince.Ask(`<iq type='set' id='c' to='localhost'><command xmlns='` + adhoc.NS + `' node='` + ns + `#add-user'/></iq>`)
	f, err := form.Find(got.Payload())
	if err != nil || f.Kind != form.Ask || f.FormType() != ns || !f.Has("accountjid") || !f.Has("password-verify") || f.Title != "Add User" {
		t.Errorf("got %v, %v", got, err)
	}
}
