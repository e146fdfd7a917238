package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// metricsModule is what listens where Prometheus asks.
const metricsModule = "gabberd_metrics"

// metricsOptions is the options of such a listener.
type metricsOptions struct {
	Path   string
	Access acl.Access

	access bool // it was given
}

// Fields declares the options.
func (o *metricsOptions) Fields(f *config.Fields) {
	f.String(&o.Path, "path", "/metrics", "The path at which the figures are.").Must(config.That("a path that begins with /, without ? and #", validPath))
	acl.AccessField(f, &o.Access, "access", "all", "Who may ask, by address.").Given(&o.access).DefaultText("programs on this machine only")
}

func validPath(s string) bool {
	if s == "" || s[0] != '/' {
		return false
	}
	for _, r := range s {
		if r == '?' || r == '#' || r <= ' ' {
			return false
		}
	}
	return true
}

// Bounds of what a stranger may cost.
const (
	maxAsking       = 64 // connections
	maxHeader       = 8 << 10
	headerTimeout   = 5 * time.Second
	requestTimeout  = 10 * time.Second
	answerTimeout   = 20 * time.Second
	keepTimeout     = 2 * time.Minute // between two requests
	farewellTimeout = 2 * time.Second
)

// metricsService tells Prometheus how the server is.
type metricsService struct {
	metricsOptions
	rules *acl.Ruleset
	http  http.Server
}

func newMetricsService(o metricsOptions, s *Server) *metricsService {
	m := &metricsService{metricsOptions: o, rules: s.rules}
	figures := s.metrics.Handler(s.log)
	m.http = http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.answer(w, r, figures) }),
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: keepTimeout,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what strangers do wrong
	}
	return m
}

func (m *metricsService) answer(w http.ResponseWriter, r *http.Request, figures http.Handler) {
	switch {
	case !m.admits(r.RemoteAddr):
		http.Error(w, "access refuses this address", http.StatusForbidden)
	case r.URL.Path != m.Path:
		http.Error(w, "the figures are at "+m.Path, http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
	default:
		figures.ServeHTTP(w, r)
	}
}

// admits reports whether the figures are for somebody at addr. Whoever can open a
// socket of the file system is on this machine.
func (m *metricsService) admits(addr string) bool {
	var from netip.Addr
	if at, err := netip.ParseAddrPort(addr); err == nil {
		from = at.Addr()
	}
	if !m.access {
		return !from.IsValid() || from.Unmap().IsLoopback()
	}
	return m.Access.Allows(m.rules, acl.Subject{IP: from})
}

// Serve implements service.
func (m *metricsService) Serve(ln net.Listener) error {
	err := m.http.Serve(&few{Listener: ln})
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Count implements service: whoever asks is not disturbed, since he asks again.
func (m *metricsService) Count() int { return 0 }

// Trim implements service.
func (m *metricsService) Trim() {}

// Shutdown implements service.
func (m *metricsService) Shutdown(ctx context.Context, _ *stream.Error) {
	ctx, cancel := context.WithTimeout(ctx, farewellTimeout)
	defer cancel()
	if err := m.http.Shutdown(ctx); err != nil {
		_ = m.http.Close() // who has not taken the answer by now gets none
	}
}

// few is a socket that has few connections at a time; others are refused. It
// stays open, since another listener may take it over.
type few struct {
	net.Listener
	mu   sync.Mutex
	open int
}

// Accept implements net.Listener.
func (f *few) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		full := f.open >= maxAsking
		if !full {
			f.open++
		}
		f.mu.Unlock()
		if !full {
			return &counted{Conn: c, gone: sync.OnceFunc(f.leave)}, nil
		}
		_ = c.Close() // nothing was said on it
	}
}

func (f *few) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open--
}

// Close implements net.Listener and does nothing.
func (f *few) Close() error { return nil }

type counted struct {
	net.Conn
	gone func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.gone()
	return c.Conn.Close()
}
