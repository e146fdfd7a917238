package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// listenPlace is the options that every listener has.
type listenPlace struct {
	Module    string
	Port      string
	IP        netip.Addr
	Transport string
}

// Fields declares the options.
func (p *listenPlace) Fields(f *config.Fields) {
	f.String(&p.Module, "module", "", "What listens.").Required()
	config.Value(f, &p.Port, "port", "number | unix:PATH", "", "Where it listens: a port, or `unix:` and the path of a socket.", readPort).Required()
	f.IP(&p.IP, "ip", netip.IPv4Unspecified(), "The address to listen at; `::` is every address.")
	f.Enum(&p.Transport, "transport", "tcp", "tcp for streams.", "tcp")
}

func readPort(n *config.Node) (string, error) {
	text, ok := n.Scalar()
	if path, unix := strings.CutPrefix(text, "unix:"); unix && path != "" {
		return text, nil
	}
	if port, err := strconv.Atoi(text); !ok || err != nil || port < 0 || port > 65535 {
		return "", n.Wanted("a port from 0 to 65535, or unix: and a path")
	}
	return text, nil
}

// A service is what is done with those who connect to a listener.
type service interface {
	// Serve takes connections until ln is closed or its turn is over, and returns
	// nil then. It does not close ln.
	Serve(ln net.Listener) error
	// Count is how many are connected whom a reload must not disturb.
	Count() int
	// Trim has those who are connected and at rest hold less.
	Trim()
	// Shutdown takes leave of who is connected, for that reason, at most until ctx
	// ends. The listening socket must be closed, or its turn over, before.
	Shutdown(ctx context.Context, reason *stream.Error)
}

// listening is a listener that runs, or one that has retired: it lets nobody in
// any more and is there for the clients that it has.
type listening struct {
	module  string
	tls     bool
	place   listenPlace
	options any // as they were asked for
	ln      net.Listener
	turn    *turn
	service service
	retired bool // guarded by Server.mu
	wg      sync.WaitGroup
}

func newListening(lc *listenConfig, ln net.Listener, sv service) *listening {
	return &listening{module: lc.module, tls: lc.c2s.TLS, place: lc.place, options: lc.options(), ln: ln, turn: &turn{Listener: ln}, service: sv}
}

// serviceOf makes what a listener does. The error says what is wrong with its
// options.
func (s *Server) serviceOf(lc *listenConfig) (service, error) {
	if lc.module == metricsModule {
		return newMetricsService(lc.metrics, s), nil
	}
	return c2s.NewListener(lc.c2s, s, s.log)
}

func (s *Server) run(l *listening) {
	l.wg.Go(func() {
		if err := l.service.Serve(l.turn); err != nil {
			s.log.Error("listener failed", "address", l.ln.Addr().String(), "error", err)
		}
	})
}

func (s *Server) open(lc *listenConfig) (*listening, error) {
	sv, err := s.serviceOf(lc)
	if err != nil {
		return nil, lc.at.Errorf("%v", err)
	}
	ln, err := openSocket(lc.place, s.opt.Data)
	if err != nil {
		return nil, lc.at.Errorf("%v", err)
	}
	return newListening(lc, ln, sv), nil
}

// openSocket opens the socket of a listener. The error says what to do.
func openSocket(p listenPlace, dir string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(p.Port, "unix:"); ok {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if err := removeStale(path); err != nil {
			return nil, err
		}
		return net.Listen("unix", path)
	}
	addr := net.JoinHostPort(p.IP.String(), p.Port)
	ln, err := net.Listen("tcp", addr)
	if p.IP == netip.IPv6Unspecified() && errors.Is(err, syscall.EAFNOSUPPORT) {
		// A machine without IPv6: every address is every IPv4 address.
		ln, err = net.Listen("tcp4", net.JoinHostPort("0.0.0.0", p.Port))
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %s is in use already; stop the program that has it (ss -ltnp 'sport = :%s' names it) or take another port", p.Port, p.Port)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %s is only for root or programs with CAP_NET_BIND_SERVICE; take a port above 1023 or give the capability", p.Port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is not an address of this machine", p.IP)
	case err != nil:
		return nil, fmt.Errorf("listen at %s: %w", addr, err)
	}
	return ln, nil
}

// removeStale removes a unix socket that nobody answers at any more.
func removeStale(path string) error {
	c, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("another program listens at %s", path), c.Close())
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return nil
}

// closeListeners lets nobody in any more and takes leave of who is there, for that
// reason.
func closeListeners(ctx context.Context, ls []*listening, reason *stream.Error) {
	for _, l := range ls {
		l.ln.Close()
	}
	var wg sync.WaitGroup
	for _, l := range ls {
		wg.Go(func() {
			l.service.Shutdown(ctx, reason)
			l.wg.Wait()
		})
	}
	wg.Wait()
}
