package c2s

import (
	"io"
	"time"
)

// Waiting is how many bytes wait in the outbox.
func (c *Conn) Waiting() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.buf == nil {
		return 0
	}
	return len(*c.out.buf)
}

// Held is how many bytes the server keeps for the client, in whatever form.
func (c *Conn) Held() int {
	n := c.Waiting()
	c.out.mu.Lock()
	if l := c.out.late; l != nil {
		n += l.size
	}
	c.out.mu.Unlock()
	c.sock.mu.Lock()
	defer c.sock.mu.Unlock()
	return n + cap(c.sock.pending)
}

// Conns are the connections of a listener.
func (l *Listener) Conns() (out []*Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		out = append(out, c)
	}
	return out
}

// Address is that of the session, empty without one.
func (c *Conn) Address() string {
	if s := c.session.Load(); s != nil {
		return s.JID.String()
	}
	return ""
}

// MaxOutbox and EarlyOutbox are the limits of an outbox, MaxFailures of logins.
const (
	MaxFailures = maxFailures
	MaxOutbox   = maxOutbox
	EarlyOutbox = earlyOutbox
)

// MaxOpen is how many messages of a client may be neither safe nor given up.
const MaxOpen = maxOpen

// SetHandled has the stanzas of a client that were handled so far be n.
func (c *Conn) SetHandled(n uint32) {
	a := c.out.acks
	a.handled.mu.Lock()
	defer a.handled.mu.Unlock()
	a.handled.h = n
}

// Sent has the stanzas that a client was sent, and has acknowledged, be n.
func (c *Conn) Sent(n uint64) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.acks.sent, c.out.acks.askedAt = n, n
}

// SetLongestRest changes how long clients wait at most for what they have sent.
func (l *Listener) SetLongestRest(d time.Duration) { l.longestRest = d }

// gate is a writer that says when it is entered and waits until it may go on.
type gate struct {
	io.Writer
	entered chan<- struct{}
	open    <-chan struct{}
}

// Write implements io.Writer.
func (g gate) Write(b []byte) (int, error) {
	g.entered <- struct{}{}
	<-g.open
	return g.Writer.Write(b)
}

// Gate has every write to the client say so on entered and wait for open.
func (c *Conn) Gate(entered chan<- struct{}, open <-chan struct{}) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.w = gate{c.out.w, entered, open}
}

// AwaitsWriter reports whether somebody waits until nobody writes.
func (c *Conn) AwaitsWriter() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.rest != nil
}

// AtRest reports whether nothing is written to the client, or about to be.
func (c *Conn) AtRest() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.buf == nil && !c.out.writing && c.out.holder == nil
}
