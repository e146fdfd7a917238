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
	sent   bool // our stream header
	early  bool // counted among those that have not logged in

	host     *local.Host
	stream   sm.Stream
	domain   string            // what it wants if the handshake does not say
	cert     *x509.Certificate // ours, as the client has seen it
	exchange auth.Exchange     // the login under way
	failures int               // logins that have failed
	identity auth.Identity
	shaper   *acl.Shaper
	session  atomic.Pointer[sm.Session]

	burst   sm.Burst
	ctx     context.Context // sends within it belong to the burst
	out     outbox
	closing chan struct{} // closed by Close
	removed chan struct{} // closed when the session is out of everybody's sight
	done    chan struct{}
	reason  atomic.Pointer[stream.Error]
}

func newConn(l *Listener, nc net.Conn) (*Conn, error) {
	s, err := newSocket(nc, l.SendTimeout)
	if err != nil {
		return nil, err
	}
	c := &Conn{l: l, sock: s, early: true, closing: make(chan struct{}), removed: make(chan struct{}), done: make(chan struct{})}
	c.framer = stream.New(l.earlyLimits())
	c.stream.Addr, _ = netip.ParseAddrPort(nc.RemoteAddr().String())
	c.stream.Reply = func(st *xmpp.Stanza) { c.append(c.ctx, st) }
	c.ctx = sm.WithBurst(l.ctx, &c.burst)
	c.out.w = s
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
	if c.l.TLS {
		if err := c.handshake(""); err != nil {
			c.end(err)
			return
		}
		// The handshake has made this goroutine's stack big; a new one is small.
		go c.read()
		return
	}
	c.read()
}

// Close ends the stream with that error. It does not wait.
func (c *Conn) Close(reason *stream.Error) {
	if !c.reason.CompareAndSwap(nil, reason) {
		return
	}
	c.farewell(reason)
	close(c.closing)
	c.interrupt()
}

// interrupt wakes the reader.
func (c *Conn) interrupt() { c.sock.SetReadDeadline(time.Unix(1, 0)) }

// Done is closed when the connection is over and its session closed.
func (c *Conn) Done() <-chan struct{} { return c.done }

// farewell writes the last bytes of the stream, once.
func (c *Conn) farewell(reason *stream.Error) {
	o := &c.out
	o.mu.Lock()
	if o.closing || o.gone {
		o.mu.Unlock()
		return
	}
	if o.buf == nil {
		o.buf = getOut()
	}
	if !c.sent && reason != nil {
		*o.buf = c.appendHeader(*o.buf)
	}
	if reason != nil {
		*o.buf = reason.AppendXML(*o.buf)
	}
	*o.buf = append(*o.buf, "</stream:stream>"...)
	o.closing = true
	o.mu.Unlock()
	c.Flush()
}

// patience is how long a client has to take the last bytes.
const patience = 2 * time.Second

// end cleans up. It runs on the reader's goroutine, last.
func (c *Conn) end(err error) {
	defer c.l.remove(c)
	defer close(c.done)
	c.left()
	c.release()
	var fatal *stream.Error
	if errors.As(err, &fatal) {
		c.farewell(fatal)
	} else if err == nil {
		c.farewell(nil)
	}
	unwritten, late := c.settle()
	if s := c.session.Load(); s != nil {
		c.host.Sessions.CloseSession(context.WithoutCancel(c.l.ctx), s, "")
		c.host.Auth.Leave(context.WithoutCancel(c.l.ctx), c.identity)
		c.log("session closed", err)
	}
	close(c.removed)
	c.rescue(unwritten)
	c.rescue(late)
	if c.host != nil {
		sm.StreamFinished.Run(c.l.ctx, c.host.Parts.Hooks, &c.stream)
	}
	c.sock.linger(patience)
}

// settle waits a bounded time for the last bytes to go and returns the stanzas
// that did not.
func (c *Conn) settle() (unwritten, late []byte) {
	if c.sock.broken() == nil && c.sock.congested() {
		t := time.NewTimer(patience)
		defer t.Stop()
		select {
		case <-c.sock.flushed():
		case <-t.C:
		}
	}
	c.Flush()
	return c.leftover()
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

// left takes the connection out of those that have not logged in.
func (c *Conn) left() {
	if c.early {
		c.early = false
		c.l.early.Add(-1)
	}
}
