// Package c2s is a client's connection, from the first byte to the last: it
// opens the stream, encrypts it, lets the client log in and bind a resource
// (RFC 6120), and from then on hands its stanzas to the session manager and the
// session manager's stanzas to it.
//
// Who owns what:
//
//   - the socket's read side, the stream's state, SASL and bind: the connection's
//     goroutine, which runs in read.go; nobody else touches them.
//   - the socket's write side: whoever flushes, one at a time, never blocking
//     (write.go, socket.go). A goroutine for writing exists only while the
//     client does not take what it is sent.
//   - the outbox: its own mutex. Send appends; Close appends the last bytes and
//     wakes the reader, who does all the cleaning up.
//   - presence and what modules keep with a session: package sm.
//
// All of a stanza's walk runs on the goroutine of the client that sent it.
package c2s

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Options is what a listener with `module: ejabberd_c2s` can be told, besides
// what every listener can.
type Options struct {
	Access           acl.Access
	Shaper           acl.Limit
	TLS              bool
	StartTLS         bool
	StartTLSRequired bool
	PlainSASL2       bool
	Verify           bool
	CAFile           string
	MaxStanza        int
	MaxElements      int
	EarlyStanza      int
	EarlyElements    int
	SendTimeout      time.Duration
}

// Fields declares the options.
func (o *Options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access", "all", "Who may have a session on this listener.")
	acl.LimitField(f, &o.Shaper, "shaper", "none", "How fast a client may send.")
	f.Bool(&o.TLS, "tls", false, "Encrypt from the first byte (XEP-0368).")
	f.Bool(&o.StartTLS, "starttls", false, "Offer encryption by STARTTLS.")
	f.Bool(&o.StartTLSRequired, "starttls_required", false, "Let nobody log in without encryption; implies `starttls`.")
	f.Bool(&o.PlainSASL2, "allow_unencrypted_sasl2", false, "Offer SASL2 (XEP-0388) without encryption too.")
	f.Bool(&o.Verify, "tls_verify", false, "Ask for a client certificate and check it, for SASL EXTERNAL; implies `starttls`.")
	f.File(&o.CAFile, "cafile", "", "Certificates of the authorities that client certificates must come from.")
	f.Int(&o.MaxStanza, "max_stanza_size", config.Unlimited, "The longest stanza a client that has logged in may send, in bytes.").OrInfinity().Must(config.AtLeast(1))
	f.Int(&o.MaxElements, "max_stanza_elements", config.Unlimited, "The most elements in one stanza.").OrInfinity().Must(config.AtLeast(1))
	f.Int(&o.EarlyStanza, "pre_auth_max_stanza_size", 8192, "The longest element before the login, in bytes.").OrInfinity().Must(config.AtLeast(1))
	f.Int(&o.EarlyElements, "pre_auth_max_stanza_elements", 32, "The most elements in one element before the login.").OrInfinity().Must(config.AtLeast(1))
	f.Duration(&o.SendTimeout, "send_timeout", 15*time.Second, "How long a client may take none of what it is sent.").OrInfinity()
}

// Limits that no option changes: they keep memory bounded whatever a client
// sends.
const (
	maxDepth      = 256
	maxAttributes = 256
	hugeStanza    = 16 << 20 // what max_stanza_size: infinity means, in bytes
	hugeElements  = 1 << 17
)

// Server is what a listener needs of the server around it.
type Server interface {
	// Host is the virtual host for that domain, nil if it is not ours.
	Host(domain string) *local.Host
	// Certificate is what to show to a client that wants domain. The error says
	// what is missing.
	Certificate(domain string) (*tls.Certificate, error)
	// NegotiationTimeout is how long a client may take to log in.
	NegotiationTimeout() time.Duration
}

// A Listener lets clients in at one address.
type Listener struct {
	Options
	server Server
	log    *slog.Logger
	cas    *x509.CertPool
	tls    *tls.Config
	ctx    context.Context
	cancel context.CancelFunc
	crowd  crowd
	crew   crew
	wg     sync.WaitGroup

	longestRest time.Duration // another one in tests

	mu     sync.Mutex
	conns  map[*Conn]struct{}
	down   bool
	giving bool // sessions whose connections have let go of them may still be given away
}

// NewListener returns a listener with these options. The error says what is
// wrong with the certificates of authorities.
func NewListener(o Options, s Server, log *slog.Logger) (*Listener, error) {
	o.StartTLS = o.StartTLS || o.StartTLSRequired || o.Verify
	l := &Listener{Options: o, server: s, log: log, conns: map[*Conn]struct{}{}, longestRest: longestRest}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.crew.free, l.crew.over = make(chan *Conn), l.ctx.Done()
	if o.Verify && o.CAFile != "" {
		pool, err := readPool(o.CAFile)
		if err != nil {
			return nil, err
		}
		l.cas = pool
	}
	l.tls = l.tlsConfig()
	return l, nil
}

// Serve accepts connections until ln is closed, and returns nil then.
func (l *Listener) Serve(ln net.Listener) error {
	for {
		nc, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			// Out of descriptors, most likely: those that are connected go on.
			l.log.Error("cannot accept a client", "address", ln.Addr().String(), "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-l.ctx.Done():
				return nil
			}
		default:
			l.accept(nc)
		}
	}
}

func (l *Listener) accept(nc net.Conn) {
	c, err := newConn(l, nc)
	if err != nil {
		l.log.Error("cannot serve a client", "address", nc.RemoteAddr().String(), "error", err)
		nc.Close()
		return
	}
	if !l.crowd.enter(c) {
		nc.Close()
		return
	}
	if !l.add(c) {
		l.crowd.leave(c)
		nc.Close()
		return
	}
	l.crew.start(c)
}

func (l *Listener) add(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down && !(l.giving && c.sock == nil) {
		return false
	}
	l.conns[c] = struct{}{}
	l.wg.Add(1)
	return true
}

func (l *Listener) remove(c *Conn) {
	l.crowd.leave(c)
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	l.wg.Done()
}

// Count is how many clients are connected, logged in or not, or may resume.
func (l *Listener) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Trim has clients that have been at rest wait on new goroutines: the stack of
// one that has worked stays big. It is for times in which nothing much happens,
// and concerns those that were busy at the last call and are not now.
func (l *Listener) Trim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		if c.session.Load() != nil && c.worked.Swap(false) {
			c.repark.Store(true)
			c.interrupt()
		}
	}
}

// Shutdown takes leave of every client with that error, stream.SystemShutdown or
// the address of another node, and waits until they have been written what was
// under way, at most until ctx ends. Sessions that can be resumed go on on another node
// of the cluster, if there is one. The listening socket must be closed before.
func (l *Listener) Shutdown(ctx context.Context, reason *stream.Error) {
	l.mu.Lock()
	l.down, l.giving = true, true
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	l.give(ctx, conns, reason)
	l.mu.Lock()
	l.giving = false
	conns = slices.DeleteFunc(slices.Collect(maps.Keys(l.conns)), (*Conn).succeeded)
	l.mu.Unlock()
	for _, c := range conns {
		c.Close(reason)
	}
	done := make(chan struct{})
	go func() {
		l.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		for _, c := range conns {
			if c.sock != nil {
				c.sock.Conn.Close()
			}
		}
		<-done
	}
	l.cancel()
	l.crew.all.Wait()
}
