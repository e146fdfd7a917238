package c2s_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// domains are the virtual hosts of every test.
var domains = []string{"localhost", "second.example"}

// A house is a server around one listener: two virtual hosts, accounts in
// SQLite, a socket on loopback.
type house struct {
	t        testing.TB
	hosts    map[string]*local.Host
	router   *router.Router
	global   *hooks.Table
	listener *c2s.Listener
	addr     string
	log      *syncBuffer
	certs    map[string]*tls.Certificate
	settings settings
	patience atomic.Int64 // negotiation timeout
	down     func()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// settings is what the tests of this package set, before anybody connects.
type settings struct {
	limit    int
	conflict sm.Conflict
	wait     time.Duration
}

func (s *settings) MaxSessions(xmpp.JID) int       { return s.limit }
func (s *settings) Conflict() sm.Conflict          { return s.conflict }
func (s *settings) ReplacedTimeout() time.Duration { return s.wait }

// Host, Certificate and NegotiationTimeout make a house a c2s.Server.
func (h *house) Host(domain string) *local.Host { return h.hosts[domain] }

func (h *house) Certificate(domain string) (*tls.Certificate, error) {
	if domain == "" {
		domain = domains[0]
	}
	if c := h.certs[domain]; c != nil {
		return c, nil
	}
	return nil, errors.New("no certificate for " + domain)
}

func (h *house) NegotiationTimeout() time.Duration { return time.Duration(h.patience.Load()) }

// certificates are made once: they cost more than a test.
var certificates = sync.OnceValue(func() map[string]*tls.Certificate {
	out := map[string]*tls.Certificate{}
	for i, name := range domains {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		of := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), DNSNames: []string{name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
		if err != nil {
			panic(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		out[name] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	}
	return out
})

// newHouse starts a server whose listener has the options that change makes of
// the defaults. Romeo and juliet have accounts with the password "secret" on
// both hosts.
func newHouse(t testing.TB, change func(*c2s.Options)) *house {
	t.Helper()
	h := &house{t: t, log: new(syncBuffer), certs: certificates(), hosts: map[string]*local.Host{}}
	h.settings.conflict = sm.AcceptNew
	h.patience.Store(int64(time.Minute))
	log := slog.New(slog.NewTextHandler(h.log, nil))
	h.global = hooks.NewTable(log)
	h.router = router.New(h.global, log)
	sqls := map[string]storage.SQL{}
	for _, d := range domains {
		sqls[d] = storage.Defaults()
	}
	ctx := context.Background()
	store, err := storage.Open(ctx, storage.Options{Dir: filepath.Join(t.TempDir()), Hosts: sqls}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	for _, d := range domains {
		h.addHost(d, store, log)
	}
	var o c2s.Options
	if wrong, _ := config.Decode(nil, &o); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	if change != nil {
		change(&o)
	}
	if h.listener, err = c2s.NewListener(o, h, log); err != nil {
		t.Fatal(err)
	}
	h.serve()
	return h
}

func (h *house) addHost(domain string, store *storage.Server, log *slog.Logger) {
	t, ctx := h.t, context.Background()
	var rules acl.Options
	var accounts auth.Options
	for _, d := range []config.Declarer{&rules, &accounts} {
		if wrong, _ := config.Decode(nil, d); len(wrong) > 0 {
			t.Fatal(wrong)
		}
	}
	accounts.Methods = []string{"sql", "anonymous"}
	table := hooks.NewTable(log)
	serves := func(d string) bool { return slices.Contains(domains, d) }
	groups := new(acl.Groups)
	ruleset := acl.NewRuleset(domain, serves, groups)
	ruleset.Replace(rules)
	a, err := auth.New(ctx, auth.Setup{Domain: domain, Options: accounts, DB: store.Host(domain), Hooks: table, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ss := sm.New(domain, sm.Parts{Hooks: table, Router: h.router, Store: sm.NewMemory(), Accounts: a, Settings: &h.settings, Log: log})
	h.hosts[domain] = local.New(xmpp.MustParse(domain), local.Parts{Router: h.router, Hooks: table, Global: h.global,
		Sessions: ss, Auth: a, Rules: ruleset, Groups: groups, Serves: serves, Storage: store, Log: log, Lang: "en"})
	h.router.Register(domain, domain, h.hosts[domain])
	for _, user := range []string{"romeo", "juliet"} {
		if err := a.Register(ctx, xmpp.MustParse(user+"@"+domain), "secret"); err != nil {
			t.Fatal(err)
		}
	}
}

// serve opens the socket; it is closed, and everybody sent away, when the test
// ends.
func (h *house) serve() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- h.listener.Serve(ln) }()
	h.down = sync.OnceFunc(func() {
		if err := ln.Close(); err != nil {
			h.t.Error(err)
		}
		if err := <-served; err != nil {
			h.t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.listener.Shutdown(ctx, stream.SystemShutdown)
		if n := h.listener.Count(); n != 0 {
			h.t.Errorf("%d connections are left", n)
		}
	})
	h.t.Cleanup(h.down)
}

// first is the virtual host that most tests use.
func (h *house) first() *local.Host { return h.hosts[domains[0]] }

// owner adds handlers to a table.
type owner struct{ t *hooks.Table }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.t }
func (owner) OnStop(func())         {}

// hook is where handlers for the first host go.
func (h *house) hook() owner { return owner{h.first().Parts.Hooks} }

// starttls and direct are options that tests use often.
func starttls(o *c2s.Options) { o.StartTLS = true }

func direct(o *c2s.Options) { o.TLS = true }

// session is the session of a full address; it fails when there is none.
func (h *house) session(full string) *sm.Session {
	h.t.Helper()
	j := xmpp.MustParse(full)
	s := h.hosts[j.Domain()].Sessions.Find(j)
	if s == nil {
		h.t.Fatalf("there is no session %s; the log:\n%s", full, h.log)
	}
	return s
}

// message is one from the server itself.
func message(to, id, text string) *xmpp.Stanza {
	return xmpp.New(xmpp.Message, "chat", xmpp.MustParse(domains[0]), xmpp.MustParse(to), id, xmpp.TextEl(xmpp.NSClient, "body", text))
}

// bodies is the texts of messages in what a client has received.
func bodies(text string) (out []string) {
	for _, piece := range strings.Split(text, "<body>")[1:] {
		body, _, _ := strings.Cut(piece, "</body>")
		out = append(out, body)
	}
	return out
}

// conn is the connection of a session.
func (h *house) conn(full string) *c2s.Conn {
	h.t.Helper()
	for _, c := range h.listener.Conns() {
		if c.Address() == full {
			return c
		}
	}
	h.t.Fatalf("there is no connection of %s", full)
	return nil
}

// waiting is how many bytes wait in the outbox of a session.
func (h *house) waiting(full string) int { return h.conn(full).Waiting() }
