package c2s

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// state is how far a client has come.
type state uint8

const (
	greeting  state = iota // its stream header is due
	knocking               // it may encrypt and log in
	returning              // it has logged in, its new stream header is due
	binding                // it may bind a resource
	bound                  // it has a session
)

// A Conn is a client's connection. It implements sm.Conn.
type Conn struct {
	l      *Listener
	sock   *socket
	tls    *tls.Conn // nil while the stream is not encrypted
	framer *stream.Framer
	in     []byte  // what was read and is no whole element yet
	inBuf  *buffer // whose memory in is, nil if it has grown out of it
	state  state
	guest  bool // on a goroutine of the crew
	early  bool // counted among those that have not logged in
	moving bool // it has no connection, and its session is on its way to another node; with the outbox's mu

	host     *local.Host
	stream   sm.Stream
	cert     *x509.Certificate // ours, as the client has seen it
	login    *login            // nil once it has a session
	identity auth.Identity
	shaper   *acl.Shaper
	session  atomic.Pointer[sm.Session]

	burst   sm.Burst
	ctx     context.Context // sends within it belong to the burst
	out     outbox
	closing signal  // given by Close
	done    *signal // of the session, or of the connection as long as it has none
	reason  atomic.Pointer[stream.Error]

	taken  atomic.Pointer[taking] // the session is to go on without it
	timer  *time.Timer            // of a Conn without a connection; with the outbox's mu
	ready  chan struct{}          // closed when the client of such a Conn may resume
	worked atomic.Bool            // something has come since the last Trim
	repark atomic.Bool            // the interruption is for Trim
}

func newConn(l *Listener, nc net.Conn) (*Conn, error) {
	s, err := newSocket(nc, l.SendTimeout)
	if err != nil {
		return nil, err
	}
	c := &Conn{l: l, sock: s, done: new(signal), login: new(login)}
	c.framer = stream.New(l.earlyLimits())
	c.stream.Addr, _ = netip.ParseAddrPort(nc.RemoteAddr().String())
	c.stream.Reply = func(st *xmpp.Stanza) { c.append(c.ctx, st) }
	c.ctx = sm.WithBurst(l.ctx, &c.burst)
	c.out.w, c.out.limit, c.out.mute = s, earlyOutbox, l.TLS
	s.drained, s.owner = c.Flush, c
	return c, nil
}

func (l *Listener) earlyLimits() stream.Limits {
	return stream.Limits{Size: min(l.EarlyStanza, hugeStanza), Depth: maxDepth, Attrs: maxAttributes, Elements: min(l.EarlyElements, hugeElements)}
}

func (l *Listener) lateLimits() stream.Limits {
	return stream.Limits{Size: min(l.MaxStanza, hugeStanza), Depth: maxDepth, Attrs: maxAttributes, Elements: min(l.MaxElements, hugeElements)}
}

// start runs the connection up to a handshake, or to its end.
func (c *Conn) start() {
	c.sock.SetReadDeadline(time.Now().Add(c.l.server.NegotiationTimeout()))
	if r := c.reason.Load(); r != nil { // before there was a deadline to move
		c.end(r)
		return
	}
	if c.l.TLS {
		if err := c.handshake(""); err != nil {
			c.end(err)
			return
		}
	}
	c.read()
}

// Close ends the stream with that error. It does not wait.
func (c *Conn) Close(reason *stream.Error) {
	if !c.reason.CompareAndSwap(nil, reason) {
		c.passOn(reason)
		return
	}
	if c.passOn(reason) {
		return
	}
	if c.sock == nil {
		c.giveUp(reason)
		return
	}
	c.farewell(reason)
	c.closing.give()
	c.interrupt()
}

// interrupt wakes the reader.
func (c *Conn) interrupt() { c.sock.SetReadDeadline(time.Unix(1, 0)) }

// Done is closed when nothing is written any more and the session is closed.
func (c *Conn) Done() <-chan struct{} { return c.done.wait() }

// patience is how long a client has to take the last bytes.
const patience = 2 * time.Second

// end cleans up. It runs on the reader's goroutine, last.
func (c *Conn) end(err error) {
	defer c.l.remove(c)
	c.release()
	var fatal *stream.Error
	if errors.As(err, &fatal) || err == nil {
		c.farewell(fatal)
	}
	c.settle()
	c.lastWords()
	ctx := context.WithoutCancel(c.ctx)
	c.burst.Begin()
	if s := c.session.Load(); s != nil && !c.detach(ctx, s, err) {
		c.finish(ctx, s, err)
	}
	c.out.stop()
	if c.host != nil {
		sm.StreamFinished.Run(ctx, c.host.Parts.Hooks, &c.stream)
	}
	c.burst.End()
	if c.out.heir == nil { // else the session goes on
		c.done.give()
	}
	c.hangUp()
}

// finish closes the session.
func (c *Conn) finish(ctx context.Context, s *sm.Session, err error) {
	c.closeSession(ctx, s, c.out.stop())
	c.host.Auth.Leave(ctx, c.identity)
	c.log("session closed", err)
	if a := c.out.acks; a != nil && a.ID != "" {
		c.host.Sessions.StreamEnded(a.ID, s.JID.Bare(), a.handled.known())
		close(c.out.left)
	}
}

// depart closes the session of a client that has ended its stream, before it is
// answered: when it reads our end, everybody knows that it is gone.
func (c *Conn) depart() {
	s := c.session.Load()
	if s == nil {
		return
	}
	c.burst.Begin()
	defer c.burst.End()
	c.host.Sessions.CloseSession(context.WithoutCancel(c.ctx), s, "")
}

// settle waits a bounded time for the last bytes to go: for the client to take them,
// and for whoever is just writing to it, who writes those that came meanwhile.
func (c *Conn) settle() {
	c.Flush()
	if t := c.taken.Load(); t != nil && t.why == errTaken {
		return // its client is elsewhere
	}
	if r := c.reason.Load(); r != nil && r.Is(stream.ResourceConstraint) {
		return // it has not read for too long already
	}
	var t *time.Timer
	for c.sock.broken() == nil {
		ready := c.out.resting()
		if c.sock.congested() {
			ready = c.sock.flushed()
		}
		if ready == nil {
			return
		}
		if t == nil {
			t = time.NewTimer(patience)
			defer t.Stop()
		}
		select {
		case <-ready:
			c.Flush()
		case <-t.C:
			return
		}
	}
}

// hangUp closes the connection.
func (c *Conn) hangUp() {
	if c.tls != nil && !c.sock.congested() {
		// Where that fails there is nobody to hear it.
		c.tls.CloseWrite()
	}
	c.sock.linger(patience)
}

func (c *Conn) log(what string, err error) {
	why := "closed by client"
	if r := c.reason.Load(); r != nil {
		why = r.Error()
	} else if err != nil {
		why = err.Error()
	}
	c.l.log.Info(what, "jid", c.session.Load().JID.String(), "address", c.stream.Addr.String(), "reason", why)
}
