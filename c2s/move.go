package c2s

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// A session that waits to be resumed can do that on another node: its client may be
// there, or this node is about to go. Until the other node has taken it, all that
// comes is queued here, and the session can still stay.

const nsStanzaID = "urn:xmpp:sid:0"

// settleFor is how long is waited for what the client has sent to be safe: of what
// is not by then, its client is told that it is not handled, and sends it again.
const (
	settleFor  = 500 * time.Millisecond
	settleLook = 2 * time.Millisecond
)

// errMoved ends a connection whose session goes on on another node. Its client is
// told nothing: it finds the connection broken, and resumes elsewhere. After a stream
// error some would not try.
var errMoved = errors.New("the session goes on on another node")

// Move implements sm.Movable. A nil reason breaks the connection without a word.
func (c *Conn) Move(ctx context.Context, s *sm.Session, reason error, again bool, take func(*sm.Moved) sm.Conn) bool {
	if reason == nil {
		reason = errMoved
	}
	p := evict(s, reason, ctx.Done())
	if p == nil {
		return false
	}
	p.settled(ctx)
	m := c.host.Sessions.Pack(ctx, s) // before the lock: what is held back comes now
	n, ok := p.pack(m)
	if !ok {
		return false
	}
	to := take(m)
	if to == nil {
		p.stays()
		return false
	}
	p.follow(ctx, to, n, again)
	p.host.Sessions.MovedAway(ctx, s, m.Acks.ID)
	p.l.log.Info("session goes on on another node", "jid", s.JID.String())
	if r := p.reason.Load(); r != nil && !r.Is(stream.Conflict) { // the other session with its address is itself
		to.Close(r)
	}
	p.done.give()
	p.l.remove(p)
	return true
}

// givesAtOnce is how many sessions are given to other nodes at a time.
const givesAtOnce = 128

// give has sessions go on on other nodes whose clients can resume them there, and
// closes the other connections. Clients of the former are told nothing, unless the
// reason names where to go. Who stays after all is not closed.
func (l *Listener) give(ctx context.Context, conns []*Conn, reason *stream.Error) {
	var why error
	if reason.Is(stream.SeeOtherHost) {
		why = reason
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, givesAtOnce)
	for _, c := range conns {
		if !c.canMove() {
			c.Close(reason)
		}
	}
	for _, c := range conns {
		if !c.canMove() {
			continue
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break // the rest is told that the server goes
		}
		wg.Go(func() {
			defer func() { <-room }()
			c.host.Sessions.Give(ctx, c.session.Load(), why)
		})
	}
	wg.Wait()
}

// canMove reports whether the session could go on on another node.
func (c *Conn) canMove() bool {
	if c.session.Load() == nil || c.reason.Load() != nil || c.succeeded() {
		return false
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.acks != nil && c.out.acks.ID != ""
}

// succeeded reports whether the session goes on without c.
func (c *Conn) succeeded() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.heir != nil || c.out.moved != nil
}

// settled waits a bounded time for what the client has sent to be safe.
func (c *Conn) settled(ctx context.Context) {
	end := time.Now().Add(settleFor)
	for c.out.acks.handled.waits() && time.Now().Before(end) {
		select {
		case <-time.After(settleLook):
		case <-ctx.Done():
			return
		}
	}
}

// pack adds what this Conn has counted, and returns how many stanzas go with it.
// False says that somebody else has the session.
func (c *Conn) pack(m *sm.Moved) (n int, ok bool) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.away || c.timer == nil || c.moving {
		return 0, false
	}
	c.moving = true
	c.timer.Stop()
	a := o.acks
	m.Acks, m.Method, m.Handled, m.Sent = a.Acks, c.identity.Mechanism, a.handled.known(), a.sent
	m.Open = maps.Clone(a.travelled)
	first := a.sent - uint64(a.queue.len())
	for i, u := range a.queue.items[a.queue.head:] {
		id := stanzaID(u.st)
		_, open := m.Open[id] // from a node before this one, and nobody has sent it again yet
		q := sm.Unacked{XML: u.st.XML(), At: u.at, Safe: u.receipt.Settled() && (u.receipt != nil || !open)}
		if !q.Safe && id != "" {
			if m.Open == nil {
				m.Open = map[string]uint64{}
			}
			m.Open[id] = first + uint64(i)
		}
		m.Queue = append(m.Queue, q)
	}
	return a.queue.len(), true
}

// stays says that the session goes on waiting here.
func (c *Conn) stays() {
	o := &c.out
	o.mu.Lock()
	c.moving = false
	c.timer.Reset(o.acks.Resume)
	o.mu.Unlock()
	if r := c.reason.Load(); r != nil { // it came in between
		c.giveUp(r)
	}
}

// follow sends after the session what has come since it was packed, and, where that
// is wanted, the first n once more as far as they are not safe: only then they can
// be. Whatever comes afterwards goes there.
func (c *Conn) follow(ctx context.Context, to sm.Conn, n int, again bool) {
	o := &c.out
	for {
		o.mu.Lock()
		list := o.acks.queue.all()
		if len(list) == 0 {
			o.away, o.gone, o.moved = false, true, to
			o.acks.handled.end()
			if o.left != nil {
				close(o.left)
			}
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		for i, u := range list {
			switch {
			case i < n && (u.receipt.Settled() || stanzaID(u.st) == ""): // or nobody would mind
				u.receipt.Release()
			case i < n && !again:
				u.receipt.Abandon() // it is there, but nobody says that it is safe
			default:
				to.Send(sm.WithReceipt(ctx, u.receipt), u.st)
				u.receipt.Release()
			}
		}
		n = 0
	}
}

// stanzaID is the ID that the recipient's server has given to a message (XEP-0359),
// empty if there is none.
func stanzaID(st *xmpp.Stanza) string {
	if st.Kind != xmpp.Message || !st.Has(nsStanzaID, "stanza-id") {
		return ""
	}
	for el := range st.Children() {
		if !el.Is(nsStanzaID, "stanza-id") {
			continue
		}
		if by, err := xmpp.Parse(el.Attr("by")); err == nil && by == st.To.Bare() {
			return el.Attr("id")
		}
	}
	return ""
}

// waits reports whether something is not handled.
func (n *handled) waits() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open.len() > 0 || n.marks.settled() < len(n.marks.again)
}

// meets reports whether st is here already, because it came with the session from
// another node. Then whoever brings it hears when it is safe. It wants the outbox's
// mu.
func (a *acks) meets(ctx context.Context, st *xmpp.Stanza) bool {
	id := stanzaID(st)
	seq, ok := a.travelled[id]
	if id == "" || !ok {
		return false
	}
	r := sm.ReceiptOf(ctx)
	first := a.sent - uint64(a.queue.len())
	switch {
	case seq < first: // the client has it
		r.Hold()
		r.Secure()
	default:
		if u := &a.queue.items[a.queue.head+int(seq-first)]; u.receipt == nil {
			r.Hold()
			u.receipt = r
		}
	}
	return true
}

// errBusy is why a listener takes no session over.
var errBusy = errors.New("the listener is closed")

// Adopt makes a Conn of this listener for a session that has come from another
// node: one that waits for its client. begin is called when the session is known.
// The error says what is wrong with what has come, or that the listener is closed.
func (l *Listener) Adopt(h *local.Host, s *sm.Session, m *sm.Moved) (conn sm.Conn, begin func(), err error) {
	a := &acks{Acks: m.Acks, sent: m.Sent, travelled: m.Open}
	a.handled.settled, a.handled.tell = a.handled.moved, a.tellHandled
	a.handled.h, a.handled.told = m.Handled, m.Handled
	a.handled.marks.init()
	safe := sm.NewReceipt(func() {})
	safe.Secure()
	for _, q := range m.Queue {
		st, err := xmpp.ParseXML([]byte(q.XML))
		if err != nil {
			return nil, nil, err
		}
		u := unacked{st: st, at: q.At}
		if q.Safe {
			u.receipt = safe
		}
		a.queue.push(u)
		a.size += st.Size()
	}
	p := &Conn{l: l, host: h, state: bound, done: new(signal), ready: make(chan struct{})}
	p.identity = auth.Identity{User: s.JID.Bare(), Method: s.Auth, Mechanism: m.Method}
	p.stream = sm.Stream{Sessions: h.Sessions, Addr: s.Addr(), Lang: s.Lang, User: s.JID.Bare(), Local: h.JID}
	p.ctx = sm.WithBurst(l.ctx, &p.burst)
	p.session.Store(s)
	p.out.acks, p.out.away, p.out.left = a, true, make(chan struct{})
	if !l.add(p) {
		return nil, nil, errBusy
	}
	return p, func() {
		p.expects()
		if r := p.reason.Load(); r != nil { // it came before there was a timer
			p.giveUp(r)
		}
	}, nil
}
