// Package server puts the house together: it reads the configuration, builds
// what it asks for, starts it, reloads it and stops it.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/admin/control"
	"github.com/gabberd/gabberd/admin/metrics"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/storage"
)

// Version is the version of ejabberd whose place this server takes, and ours.
const (
	Version         = "26.07"
	ownVersion      = "0.1.0"
	shutdownTimeout = 10 * time.Second
)

// Options is what a server must be told before it can read its configuration.
type Options struct {
	Config  string           // the configuration file
	Data    string           // the data directory; made if it is not there
	Modules []modules.Module // all there are
	Log     *slog.Logger
	Level   *slog.LevelVar  // of Log, which the option loglevel changes; may be nil
	Ready   func(Addresses) // called once, when everybody is let in; may be nil
	Reload  <-chan struct{} // asks for a reload, as SIGHUP does; may be nil
	Reopen  func() error    // reopens the log file; may be nil
	Exit    func(code int)  // ends the process; nil: os.Exit
	Tool    string          // what operators type for gabberdctl; empty: they are told nothing
	Node    string          // the name of this node in a cluster; empty: gabberd@ and the machine's name
}

// Addresses is where the server listens, by module of the listener, in the order
// of the file.
type Addresses []Address

// An Address is where a listener listens.
type Address struct {
	Module string
	Addr   net.Addr
	TLS    bool // from the first byte
}

// A Server is a server that runs.
type Server struct {
	opt      Options
	log      *slog.Logger
	started  time.Time
	hooks    *hooks.Table
	router   *router.Router
	registry *admin.Registry
	metrics  *metrics.Registry
	storage  *storage.Server
	certs    *certificates
	groups   acl.Groups
	member   *membership  // nil on a server that is alone
	serving  atomic.Bool  // everything is built
	rules    *acl.Ruleset // of the server as a whole
	stop     context.CancelCauseFunc
	ctx      context.Context

	// changing is held by who starts and stops modules: a reload, restart_module.
	changing sync.Mutex

	mu        sync.RWMutex // guards what a reload changes
	conf      *configuration
	hosts     map[string]*virtualHost
	listeners []*listening // those that have retired too
	evacuated bool         // by command: clients are let in again by a restart only
}

// errStop and errRestart are why a server ends at an operator's word.
var (
	errStop    = errors.New("stopped by command")
	errLeave   = errors.New("left the cluster by command")
	ErrRestart = errors.New("restart wanted")
)

// Run runs a server until ctx ends or an operator stops it. It returns when no
// goroutine of it is left. The error is a sentence for the operator;
// ErrRestart asks the caller to run it again.
func Run(ctx context.Context, opt Options) error {
	conf, err := readConfiguration(opt)
	if err != nil {
		return err
	}
	unlock, err := lockData(opt.Data)
	if err != nil {
		return err
	}
	defer unlock()
	s := &Server{opt: opt, log: opt.Log, started: time.Now(), conf: conf, hosts: map[string]*virtualHost{}}
	s.ctx, s.stop = context.WithCancelCause(ctx)
	defer s.stop(nil)
	conf.warn(s.log)
	if opt.Level != nil {
		opt.Level.Set(conf.global.LogLevel)
	}
	defer s.teardown()
	if err := s.build(); err != nil {
		return err
	}
	return s.serve()
}

// build makes everything that does not talk to clients yet.
func (s *Server) build() (err error) {
	s.hooks = hooks.NewTable(s.log)
	s.router = router.New(s.hooks, s.log)
	s.rules = acl.NewRuleset("", s.serves, &s.groups)
	s.rules.Replace(s.conf.global.rules)
	called := commandsTotal.Counts()
	s.registry = admin.NewRegistry(admin.Options{
		Log: s.log, Guard: guard{s}, Hosts: s.domains,
		Called: func(command, outcome string) { called.WithLabelValues(command, outcome).Inc() },
	})
	if err := s.offerMetrics(called); err != nil {
		return err
	}
	if s.certs, err = newCertificates(s.opt.Data, s.conf, s.log); err != nil {
		return err
	}
	sqls := map[string]storage.SQL{}
	for _, h := range s.conf.hosts {
		sqls[h.domain] = h.sql
	}
	if s.storage, err = storage.Open(s.ctx, storage.Options{Dir: s.opt.Data, Hosts: sqls}, s.log); err != nil {
		return err
	}
	s.answer()
	s.addCommands()
	for _, hc := range s.conf.hosts {
		if err := s.addHost(hc); err != nil {
			return err
		}
	}
	return nil
}

// serve lets clients and operators in and waits for the end.
func (s *Server) serve() error {
	s.serving.Store(true)
	if s.member != nil {
		s.member.cluster.Start()
	}
	ctl, err := control.Listen(controlPath(s.opt.Data), s.log)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	inner, cancel := context.WithCancel(s.ctx)
	defer cancel()
	wg.Go(func() {
		if err := ctl.Serve(inner, s.registry); err != nil {
			s.log.Error("control socket failed", "error", err)
		}
	})
	if err := s.listen(); err != nil {
		return err
	}
	wg.Go(func() { s.certs.watch(inner) })
	wg.Go(func() { s.giveBack(inner) })
	s.announce()
	for {
		select {
		case <-s.ctx.Done():
			s.shutdown()
			cause := context.Cause(s.ctx)
			if errors.Is(cause, ErrRestart) {
				return ErrRestart
			}
			s.log.Info("stopped", "reason", cause.Error())
			return nil
		case <-s.opt.Reload:
			if _, err := s.reload(s.ctx); err != nil {
				s.log.Error("the configuration stays as it is", "error", err)
			}
		}
	}
}

// announce says that the server is up, and what to type next.
func (s *Server) announce() {
	var at Addresses
	for _, l := range s.listens() {
		at = append(at, Address{l.module, l.ln.Addr(), l.tls})
		s.log.Info("listening", "module", l.module, "address", l.ln.Addr().String(), "tls", l.tls)
	}
	s.hint()
	notifyReady()
	if s.opt.Ready != nil {
		s.opt.Ready(at)
	}
}

// shutdown takes leave of clients, bounded in time.
func (s *Server) shutdown() {
	if !errors.Is(context.Cause(s.ctx), ErrRestart) {
		// systemd would kill a server that goes on after this.
		notifyStopping()
	}
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	s.mu.Lock()
	ls := s.listeners
	s.listeners = nil
	s.mu.Unlock()
	closeListeners(ctx, ls, s.parting())
}

// teardown undoes build, last things first.
func (s *Server) teardown() {
	s.shutdown()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if s.member != nil {
		s.member.leave(ctx)
	}
	for _, domain := range slices.Backward(s.domains()) {
		s.removeHost(domain)
	}
	if s.member != nil {
		if err := s.member.redis.Close(); err != nil {
			s.log.Warn("Redis did not take its leave", "error", err)
		}
	}
	if s.storage != nil {
		if err := s.storage.Close(ctx); err != nil {
			s.log.Error("storage did not close cleanly", "error", err)
		}
	}
}

// domains is the virtual hosts in the order of the file.
func (s *Server) domains() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []string
	for _, h := range s.conf.hosts {
		if s.hosts[h.domain] != nil {
			out = append(out, h.domain)
		}
	}
	return out
}

// serves reports whether domain is a virtual host.
func (s *Server) serves(domain string) bool { return s.Host(domain) != nil }

// Host is the virtual host for that domain, nil if it is not ours. It is part
// of c2s.Server.
func (s *Server) Host(domain string) *local.Host {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if h := s.hosts[domain]; h != nil {
		return h.Host
	}
	return nil
}

// NegotiationTimeout is how long a client may take to log in. It is part of
// c2s.Server.
func (s *Server) NegotiationTimeout() time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.conf.global.NegotiationTimeout
}

// book finds the access rules of a host, or of the whole server.
func (s *Server) book(host string) *acl.Ruleset {
	if host == "" {
		return s.rules
	}
	if h := s.Host(host); h != nil {
		return h.Rules
	}
	return nil
}

// String is which server this is, and whose place it takes.
func (s *Server) String() string {
	return fmt.Sprintf("gabberd %s for ejabberd %s", ownVersion, Version)
}
