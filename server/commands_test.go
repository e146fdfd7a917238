package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/admin/control"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adminextra"
	"github.com/gabberd/gabberd/modules/last"
	"github.com/gabberd/gabberd/modules/ping"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

const twoHosts = `
hosts: [localhost, "example.org"]
auth_password_format: plain
acl: {admin: {user: admin@localhost}, local: {user_regexp: ""}}
access_rules: {configure: {allow: admin}}
api_permissions:
  "console commands": {from: ejabberd_ctl, who: all, what: "*"}
  "admin access": {who: {access: {allow: {acl: admin}}}, what: ["*", "!stop", "!start"]}
  "public": {who: {ip: 127.0.0.1/8}, what: [status, connected_users_number]}
modules:
  mod_last: {}
  mod_ping: {}
  mod_admin_extra: {}
`

// log is what a server logged.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// built is a server that serves nobody yet, with what it logs.
func built(t *testing.T, yaml string) (*Server, *log) {
	t.Helper()
	return builtWith(t, yaml, []modules.Module{adminextra.Module, last.Module, ping.Module})
}

// builtWith is built with other modules.
func builtWith(t *testing.T, yaml string, list []modules.Module) (*Server, *log) {
	t.Helper()
	o := prepareFiles(t, yaml)
	l := &log{}
	o.Log, o.Level = slog.New(slog.NewTextHandler(l, nil)), new(slog.LevelVar)
	o.Modules = list
	conf, err := readConfiguration(o)
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := lockData(o.Data)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{opt: o, log: o.Log, started: time.Now(), conf: conf, hosts: map[string]*virtualHost{}}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	t.Cleanup(func() {
		s.teardown()
		s.stop(nil)
		unlock()
	})
	if err := s.build(); err != nil {
		t.Fatal(err)
	}
	return s, l
}

// call has the console run a command and returns what gabberdctl would print.
func (s *Server) call(t *testing.T, version int, words ...string) string {
	t.Helper()
	res, err := s.registry.Call(t.Context(), admin.Caller{Door: admin.DoorCtl}, words[0], version, admin.Words(words[1:]...))
	if err != nil {
		t.Errorf("%q: %v", words, err)
		return ""
	}
	if res.Stream() == nil {
		return res.Text()
	}
	var out []string
	for line, err := range res.Stream() {
		if err != nil {
			return "error: " + err.Error()
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// newest is call in the newest version, with words separated by bars.
func (s *Server) newest(t *testing.T, words string) string {
	t.Helper()
	return s.call(t, admin.Latest, strings.Split(words, "|")...)
}

// client is somebody who is connected to nothing.
type client struct {
	h     *sm.Sessions
	s     *sm.Session
	once  sync.Once
	over  chan struct{}
	mu    sync.Mutex
	got   []*xmpp.Stanza
	ended *stream.Error
}

func (c *client) Send(_ context.Context, st *xmpp.Stanza) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, st)
}

func (c *client) Close(reason *stream.Error) {
	c.once.Do(func() {
		c.mu.Lock()
		c.ended = reason
		c.mu.Unlock()
		c.h.CloseSession(context.Background(), c.s, "")
		close(c.over)
	})
}

func (c *client) Done() <-chan struct{} { return c.over }

// login makes an account if there is none, and opens a session.
func (s *Server) login(t *testing.T, full string) *client {
	t.Helper()
	j := xmpp.MustParse(full)
	h := s.Host(j.Domain())
	if ok, err := h.Auth.Exists(t.Context(), j); err != nil {
		t.Fatal(err)
	} else if !ok {
		if err := h.Auth.Register(t.Context(), j.Bare(), "secret"); err != nil {
			t.Fatal(err)
		}
	}
	c := &client{h: h.Sessions, over: make(chan struct{})}
	c.s = sm.NewSession(j, c)
	c.s.ConnectedBy(netip.MustParseAddrPort("127.0.0.1:40000"), "c2s_tls")
	if err := h.Sessions.Open(t.Context(), c.s); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCommandsAnswerInTheFormOfEjabberd(t *testing.T) {
	s, _ := built(t, twoHosts)
	s.login(t, "romeo@localhost/orchard")
	s.login(t, "romeo@localhost/tomb")
	s.login(t, "juliet@example.org/balcony")
	for _, c := range []struct{ words, want string }{
		{"status", `The node 'gabberd@\S+' is started with status: started\nejabberd 26\.07 is running in that node, as gabberd .*`},
		{"gc", ``},
		{"clear_cache", ``},
		{"registered_vhosts", "localhost\nexample.org"},
		{"register|tybalt|localhost|x", `User tybalt@localhost successfully registered`},
		{"registered_users|localhost", "romeo\ntybalt"},
		{"registered_users|EXAMPLE.org", "juliet"},
		{"check_account|tybalt|localhost", ``},
		{"check_account|Tybalt|Localhost", ``},
		{"check_account|paris|localhost", `Error: false`},
		{"unregister|tybalt|localhost", `User tybalt@localhost successfully unregistered`},
		{"check_account|tybalt|localhost", `Error: false`},
		{"unregister|tybalt|localhost", `User tybalt@localhost successfully unregistered`},
		{"connected_users", "juliet@example.org/balcony\nromeo@localhost/orchard\nromeo@localhost/tomb"},
		{"connected_users_number", `3`},
		{"connected_users_vhost|example.org", `juliet@example.org/balcony`},
		{"stats|onlineusers", `3`},
		{"status_num|all", `3`},
		{"user_resources|romeo|localhost", "orchard\ntomb"},
		{"user_resources|paris|localhost", ``},
		{"get_loglevel", `info`},
		{"set_loglevel|debug", ``},
		{"get_loglevel", `debug`},
		{"set_loglevel|3", ``},
		{"get_loglevel", `warning`},
		{"list_certificates", `example.org\t\S+/self-signed.pem\ttrue\t\d{4}-\S+Z\nlocalhost\t\S+/self-signed.pem\ttrue\t\d{4}-\S+Z`},
		{"modules|localhost", `localhost\tmod_admin_extra\t.*\nlocalhost\tmod_last\t.*\nlocalhost\tmod_ping\t.*`},
		{"restart_module|localhost|mod_ping", `0`},
		{"restart_module|localhost|mod_nonsense", `1`},
		{"kick_user|romeo|localhost", `Kicked sessions: 2`},
		{"kick_user|romeo|localhost", `Kicked sessions: 0`},
		{"kick_users|example.org", `1`},
		{"connected_users_number", `0`},
		{"convert_to_scram|localhost", ``},
		{"check_password|romeo|localhost|secret", ``},
		{"reload_config", ``},
		{"status_list|all", ``},
	} {
		if got := s.newest(t, c.words); !regexp.MustCompile(`^(?:` + c.want + `)$`).MatchString(got) {
			t.Errorf("%s: got %q, want %q", c.words, got, c.want)
		}
	}
	s.login(t, "romeo@localhost/orchard")
	if got := s.call(t, 0, "kick_user", "romeo", "localhost"); got != "1" {
		t.Errorf("kick_user in version 0: %q", got)
	}
}

func TestCommandsSayWhatIsWrong(t *testing.T) {
	s, _ := built(t, twoHosts)
	s.newest(t, "register|romeo|localhost|secret")
	for _, c := range []struct {
		words string
		kind  error
		want  string
	}{
		{"register|romeo|localhost|secret", admin.Conflict, "User romeo@localhost already registered"},
		{"register|romeo|example.com|secret", admin.NotFound, "not a virtual host"},
		{"register||localhost|secret", admin.Usage, "user"},
		{"register|ro meo|localhost|secret", admin.Usage, "ro meo"},
		{"register|romeo2|localhost|", admin.Usage, "empty"},
		{"registered_users|example.com", admin.NotFound, "example.com"},
		{"kick_users|example.com", admin.NotFound, "example.com"},
		{"modules|example.com", admin.NotFound, "example.com"},
		{"set_loglevel|loud", admin.Usage, "loud"},
		{"set_loglevel|9", admin.Usage, "9"},
		{"reopen_log", admin.Failed, "standard error"},
		{"rotate_log", admin.Failed, "standard error"},
		{"update_sql", admin.Failed, "sql_database"},
		{"print_sql_schema|pgsql|16|true", admin.Failed, "pg_dump"},
		{"stop_kindly|-1|bye", admin.Usage, "delay"},
		{"dump_config|", admin.Usage, "out"},
		{"dump_config|version", admin.Conflict, "exists already"},
		{"dump_config|/does/not/exist/x.yml", admin.Failed, "no such"},
		{"hooks|nonsense", admin.Usage, "nonsense"},
		{"hooks|run", admin.Usage, "name of a hook"},
		{"hooks|trace|localhost|user_send_packet|more", admin.Usage, "more"},
	} {
		words := strings.Split(c.words, "|")
		_, err := s.registry.Call(t.Context(), admin.Caller{Door: admin.DoorCtl}, words[0], admin.Latest, admin.Words(words[1:]...))
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %v with %q", c.words, err, c.kind, c.want)
		}
	}
}

func TestReloadAnswersWhatWasApplied(t *testing.T) {
	s, _ := built(t, twoHosts)
	console := admin.Caller{Door: admin.DoorCtl}
	write := func(yaml string) {
		t.Helper()
		if err := os.WriteFile(s.opt.Config, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(twoHosts + "loglevle: debug\nlanguage: [en]\n")
	_, err := s.registry.Call(t.Context(), console, "reload_config", 0, admin.Words())
	if err == nil || !strings.Contains(err.Error(), "nothing was changed") || !strings.Contains(err.Error(), "loglevle") || !strings.Contains(err.Error(), "language") {
		t.Errorf("two mistakes: %v", err)
	}
	write(twoHosts + "loglevel: error\nlanguage: de\n")
	_, err = s.registry.Call(t.Context(), console, "reload_config", 0, admin.Words())
	if err == nil || !strings.Contains(err.Error(), "in force, except") || !strings.Contains(err.Error(), "language") {
		t.Errorf("the language: %v", err)
	}
	if got := s.newest(t, "get_loglevel"); got != "error" {
		t.Errorf("the rest is not in force: level %s", got)
	}
	write(strings.Replace(twoHosts, `, "example.org"`, "", 1) + "loglevel: info\n")
	s.newest(t, "reload_config")
	if got := s.newest(t, "registered_vhosts"); got != "localhost" {
		t.Errorf("hosts: %q", got)
	}
}

func TestConfigurationIsDumpedAsItIsUnderstood(t *testing.T) {
	t.Setenv("EJABBERD_MACRO_NOBODY", "x")
	s, _ := built(t, `
define_macro: {WHO: "admin@localhost", WAIT: 61}
hosts: [localhost, "example.org"]
acl: {admin: {user: WHO}}
access_rules: {announce: [{deny: all}, {allow: admin}]}
sql_password: "0123"
negotiation_timeout: WAIT
modules: {mod_ping: {send_pings: true}}
host_config: {example.org: {language: "de"}}
`)
	s.newest(t, "dump_config|dump.yml")
	name := filepath.Join(s.opt.Data, "dump.yml")
	st, err := os.Stat(name)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st, err)
	}
	again := s.opt
	again.Config = name
	conf, err := readConfiguration(again)
	if err != nil {
		b, _ := os.ReadFile(name)
		t.Fatalf("what was dumped cannot be read: %v\n%s", err, b)
	}
	if got, want := conf.global.NegotiationTimeout, 61*time.Second; got != want {
		t.Errorf("negotiation_timeout: %v", got)
	}
	if len(conf.hosts) != 2 || conf.hosts[0].options.Language != "en" || conf.hosts[1].options.Language != "de" {
		t.Errorf("hosts: %+v", conf.hosts)
	}
	if conf.hosts[0].sql.Password != "0123" {
		t.Errorf("a text has become %q", conf.hosts[0].sql.Password)
	}
	b, err := os.ReadFile(name)
	if err != nil || strings.Contains(string(b), "WHO") || !strings.Contains(string(b), "admin@localhost") {
		t.Errorf("%v: macros are left:\n%s", err, b)
	}
}

func TestUnregisterEndsSessions(t *testing.T) {
	s, _ := built(t, twoHosts)
	c := s.login(t, "romeo@localhost/orchard")
	s.newest(t, "unregister|romeo|localhost")
	<-c.Done()
	if !errors.Is(c.ended, stream.Conflict) {
		t.Errorf("the session ended with %v", c.ended)
	}
}

func TestUsersAreToldBeforeTheEnd(t *testing.T) {
	for _, tt := range []struct {
		command string
		cause   error
	}{{"stop_kindly", errStop}, {"restart_kindly", ErrRestart}} {
		s, _ := built(t, twoHosts)
		c := s.login(t, "romeo@localhost/orchard")
		s.newest(t, tt.command+"|0|Good night, good night!")
		if cause := context.Cause(s.ctx); !errors.Is(cause, tt.cause) {
			t.Errorf("%s: the server ends for %v", tt.command, cause)
		}
		if len(c.got) != 1 || c.got[0].Body() != "Good night, good night!" || c.got[0].From.String() != "localhost" {
			t.Errorf("%s: the client got %v", tt.command, c.got)
		}
	}
}

func TestFarewellCanBeCalledOff(t *testing.T) {
	s, _ := built(t, twoHosts)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.registry.Call(ctx, admin.Caller{Door: admin.DoorCtl}, "stop_kindly", 0, admin.Words("3600", "x"))
	if err == nil || !strings.Contains(err.Error(), "called off") {
		t.Errorf("got %v", err)
	}
	if s.ctx.Err() != nil {
		t.Error("the server stops all the same")
	}
}

func TestEvacuationLetsNobodyIn(t *testing.T) {
	s, _ := built(t, twoHosts+"listen: [{port: 0, ip: 127.0.0.1, module: ejabberd_c2s}]\n")
	if err := s.listen(); err != nil {
		t.Fatal(err)
	}
	ln := s.listeners[0].ln
	c := s.login(t, "romeo@localhost/orchard")
	s.newest(t, "evacuate_kindly|0|Out!")
	<-c.Done()
	if len(c.got) != 1 || c.got[0].Body() != "Out!" {
		t.Errorf("the client got %v", c.got)
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("somebody was let in")
	}
	if s.ctx.Err() != nil {
		t.Error("the server has stopped")
	}
	if got := s.newest(t, "connected_users_number"); got != "0" {
		t.Errorf("%s are connected", got)
	}
}

func TestServerEndsByCommand(t *testing.T) {
	for _, tt := range []struct {
		command string
		cause   error
	}{{"stop", errStop}, {"restart", ErrRestart}} {
		s, _ := built(t, twoHosts)
		s.newest(t, tt.command)
		if cause := context.Cause(s.ctx); !errors.Is(cause, tt.cause) {
			t.Errorf("%s: %v", tt.command, cause)
		}
	}
	s, _ := built(t, twoHosts)
	code := -1
	s.opt.Exit = func(c int) { code = c }
	s.newest(t, "halt")
	if code != 1 {
		t.Errorf("halt: exit code %d", code)
	}
}

func TestLogIsReopened(t *testing.T) {
	s, _ := built(t, twoHosts)
	n := 0
	s.opt.Reopen = func() error { n++; return nil }
	s.newest(t, "reopen_log")
	s.newest(t, "rotate_log")
	if n != 2 {
		t.Errorf("opened %d times", n)
	}
	s.opt.Reopen = func() error { return fmt.Errorf("disk full") }
	if _, err := s.registry.Call(t.Context(), admin.Caller{Door: admin.DoorCtl}, "reopen_log", 0, admin.Words()); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

type noOptions struct{}

func (*noOptions) Fields(*config.Fields) {}

func TestModuleRestartsWithThoseThatNeedIt(t *testing.T) {
	var events []string
	failing := false
	define := func(name string, needs ...string) modules.Module {
		return modules.Define(name, modules.Spec[noOptions]{Doc: name, Needs: needs, Start: func(h *modules.Host, _ noOptions) error {
			if failing && name == "mod_last" {
				return errors.New("no")
			}
			events = append(events, "+"+name)
			h.OnStop(func() { events = append(events, "-"+name) })
			return nil
		}})
	}
	o := []modules.Module{define("mod_caps"), define("mod_disco", "mod_caps"), define("mod_last", "mod_disco"), define("mod_ping")}
	s, _ := builtWith(t, "hosts: [localhost]\nmodules: {mod_caps: {}, mod_disco: {}, mod_last: {}, mod_ping: {}}\n", o)
	events = nil
	if got := s.newest(t, "restart_module|localhost|mod_disco"); got != "0" {
		t.Errorf("got %s", got)
	}
	if want := []string{"-mod_last", "-mod_disco", "+mod_disco", "+mod_last"}; !slices.Equal(events, want) {
		t.Errorf("events %v, want %v", events, want)
	}
	failing = true
	if got := s.newest(t, "restart_module|localhost|mod_caps"); got != "2" {
		t.Errorf("got %s", got)
	}
	if got := s.newest(t, "modules"); got != "localhost\tmod_caps\tmod_caps\nlocalhost\tmod_disco\tmod_disco\nlocalhost\tmod_ping\tmod_ping" {
		t.Errorf("left: %q", got)
	}
}

func TestHelpShowsEveryCommand(t *testing.T) {
	s, _ := built(t, twoHosts)
	ctl, err := control.Listen(controlPath(s.opt.Data), s.log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ctl.Serve(ctx, s.registry) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	var out, errOut bytes.Buffer
	exit, err := control.Call(ctx, controlPath(s.opt.Data), control.Request{Command: "help", Args: []string{"commands"}}, &out, &errOut)
	if err != nil || exit != 0 {
		t.Fatalf("exit code %d, %v: %s", exit, err, errOut.String())
	}
	for _, name := range s.registry.Names(admin.Latest) {
		if !regexp.MustCompile(`(?m)^    ` + name + `\b`).MatchString(out.String()) {
			t.Errorf("help lacks %s", name)
		}
	}
}
