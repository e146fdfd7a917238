// Package modtest is a virtual host in memory to test a module on: real
// sessions, a real router, real accounts in a real database, and clients that
// are not connected to anything.
package modtest

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/admin/metrics"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// Domain is the virtual host of every test.
const Domain = "localhost"

// A Server is a virtual host with some modules.
type Server struct {
	*local.Host
	t        testing.TB
	ground   ground
	log      *lockedBuffer
	registry *admin.Registry
	prepared []modules.Prepared
	running  []*modules.Host
}

// A ground is what a virtual host stands on.
type ground struct {
	node  string // empty: it is alone
	sql   storage.SQL
	db    string // default_db
	store func(*slog.Logger) sm.Store
}

// alone is the ground of a server that has everything in its own memory and
// directory.
func alone() ground {
	return ground{sql: storage.Defaults(), db: "mnesia", store: func(*slog.Logger) sm.Store { return sm.NewMemory() }}
}

// lockedBuffer is a log that tests can read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start starts a virtual host with these modules. yaml is the rest of
// ejabberd.yml: access rules, and `modules:` with the options of those modules
// that shall have any. It stops when the test ends.
func Start(t testing.TB, yaml string, list ...modules.Module) *Server {
	t.Helper()
	return start(t, alone(), yaml, list)
}

func start(t testing.TB, on ground, yaml string, list []modules.Module) *Server {
	t.Helper()
	tree := load(t, yaml)
	var rules acl.Options
	var accounts auth.Options
	tree.DecodeHost(Domain, &rules, &accounts)
	prepared := prepare(t, tree, list)
	if err := tree.Finish(); err != nil {
		t.Fatalf("the test's configuration:\n%v", err)
	}
	s := &Server{t: t, log: new(lockedBuffer), ground: on, prepared: prepared}
	s.build(rules, accounts)
	s.run()
	t.Cleanup(s.Stop)
	local.Up.Run(context.Background(), s.Global, s.Host)
	return s
}

// run starts the modules.
func (s *Server) run() {
	s.t.Helper()
	loaded := func(name string) bool {
		return slices.ContainsFunc(s.prepared, func(p modules.Prepared) bool { return p.Name == name })
	}
	for _, p := range s.prepared {
		h := modules.NewHost(context.Background(), p.Name, s.Host, loaded)
		if err := p.Start(h); err != nil {
			s.t.Fatalf("start %s: %v", p.Name, err)
		}
		s.running = append(s.running, h)
	}
}

// Restart stops the modules and starts them again, as a reload does with those that
// it concerns. Who is connected stays.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.run()
}

// Stop stops the modules, last started first. It is called when the test ends
// and may be called earlier, to see what is left.
func (s *Server) Stop() {
	for i := len(s.running) - 1; i >= 0; i-- {
		s.running[i].Stop()
	}
	s.running = nil
}

// Metrics is the figures that the modules offer, in the text format of Prometheus.
func (s *Server) Metrics() string {
	s.t.Helper()
	var b strings.Builder
	if err := s.Host.Parts.Metrics.WriteText(&b); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

func load(t testing.TB, yaml string) *config.Tree {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ejabberd.yml")
	text := "hosts: [" + Domain + "]\n" + yaml + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := config.Load(file, config.LoadOptions{Env: []string{}, Keywords: map[string]string{"VERSION": "26.07", "SEMVER": "26.7.0"}})
	if err != nil {
		t.Fatalf("the test's configuration: %v", err)
	}
	return tree
}

func prepare(t testing.TB, tree *config.Tree, list []modules.Module) []modules.Prepared {
	t.Helper()
	var out []modules.Prepared
	for _, m := range list {
		named := config.Named{Name: m.Name}
		for _, n := range tree.Modules(Domain) {
			if n.Name == m.Name {
				named = n
			}
		}
		out = append(out, m.Prepare(func(d config.Declarer) {
			if named.Node == nil {
				tree.Report(config.Decode(nil, d))
				return
			}
			tree.DecodeModule(named, d)
		}))
	}
	ordered, errs := modules.Order(out)
	for _, err := range errs {
		t.Error(err)
	}
	return ordered
}

// build makes the virtual host itself.
func (s *Server) build(rules acl.Options, accounts auth.Options) {
	t := s.t
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(s.log, nil))
	store, err := storage.Open(ctx, storage.Options{Dir: t.TempDir(), Hosts: map[string]storage.SQL{Domain: s.ground.sql}}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(context.Background()); err != nil {
			t.Errorf("close storage: %v", err)
		}
	})
	global, table := hooks.NewTable(log), hooks.NewTable(log)
	r := router.New(global, log)
	serves := func(d string) bool { return d == Domain }
	groups := new(acl.Groups)
	ruleset := acl.NewRuleset(Domain, serves, groups)
	ruleset.Replace(rules)
	a, err := auth.New(ctx, auth.Setup{Domain: Domain, Options: accounts, DB: store.Host(Domain), Hooks: table, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	s.registry = admin.NewRegistry(admin.Options{Log: log, Hosts: func() []string { return []string{Domain} }})
	sessions := sm.New(Domain, sm.Parts{Node: s.ground.node, Hooks: table, Router: r, Store: s.ground.store(log), Accounts: a, Settings: settings{}, Log: log})
	s.Host = local.New(xmpp.MustParse(Domain), local.Parts{
		Router: r, Hooks: table, Global: global, Sessions: sessions, Auth: a, Rules: ruleset, Groups: groups, Serves: serves,
		Commands: s.registry, Metrics: metrics.NewRegistry(), Storage: store, Log: log, DefaultDB: s.ground.db, Lang: "en",
		DefaultCache: local.Cache{Use: true, Size: 1000, Missed: true, LifeTime: time.Hour},
	})
	t.Cleanup(r.Register(Domain, Domain, s.Host))
}

type settings struct{}

func (settings) MaxSessions(xmpp.JID) int       { return 0 }
func (settings) Conflict() sm.Conflict          { return sm.AcceptNew }
func (settings) ReplacedTimeout() time.Duration { return 0 }

// Log is what was logged so far.
func (s *Server) Log() string { return s.log.String() }

// Register makes an account.
func (s *Server) Register(user, password string) {
	s.t.Helper()
	if err := s.Auth.Register(context.Background(), xmpp.MustParse(user), password); err != nil {
		s.t.Fatalf("register %s: %v", user, err)
	}
}

// Command runs an operator's command, as gabberdctl does, and returns what it
// would print.
func (s *Server) Command(name string, words ...string) (string, error) {
	res, err := s.registry.Call(context.Background(), admin.Caller{Door: admin.DoorCtl}, name, admin.Latest, admin.Words(words...))
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(res.Text(), "\n"), nil
}

// Registry is where the modules' commands are.
func (s *Server) Registry() *admin.Registry { return s.registry }
