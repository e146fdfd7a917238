package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Bounds of a link, and its times.
const (
	maxCopies      = 10_000
	maxCopiesBytes = 64 << 20
	window         = 2048                   // frames on their way that were not received yet
	collect        = 200 * time.Microsecond // for how long a batch that is not full waits for more
	spacing        = 2 * time.Millisecond   // between batches that are not full
	resendFirst    = time.Second            // without progress, before frames are sent again
	resendMax      = 8 * time.Second
	ackDelay       = 100 * time.Millisecond // that frames were received is said with others, or after this
	ackFrames      = 512                    // or after so many
	chargeDelay    = 10 * time.Millisecond  // messages that are safe are collected for this long
	retryPause     = 100 * time.Millisecond // after Redis has refused
)

// A linkKey is the other end of a link.
type linkKey struct {
	node  string
	epoch uint64
}

// A linkState is how far a link has gone.
type linkState uint8

const (
	linkOpen    linkState = iota
	linkClosing           // the other's epoch is over; its last words are being read
	linkRouting           // copies are being routed again
	linkClosed
	linkForgotten // our own epoch is over
)

// A copy is a frame that the other node has not taken charge of yet.
type copied struct {
	seq     uint64
	kind    byte
	body    []byte       // nil for a stanza
	st      *xmpp.Stanza // nil for what is no stanza
	to      xmpp.JID     // the session
	host    *host
	receipt *sm.Receipt
	safe    bool // taken charge of, and not known to be received
	size    int
}

// charged reports whether receiving is not enough.
func (m *copied) charged() bool { return m.st != nil && m.st.Kind == xmpp.Message }

// A link is what this node, in one epoch, and another, in one epoch, have to tell
// each other. Whoever sends appends under the mutex; one goroutine writes.
type link struct {
	linkKey
	c     *Cluster
	wake  chan struct{}
	ended chan struct{} // closed when nothing is to be written any more

	mu    sync.Mutex
	state linkState

	// What goes out.
	last     uint64             // the sequence number that was given last
	sent     uint64             // sent up to, and not to be sent again
	reached  uint64             // the highest that was ever sent
	received uint64             // the other has received up to
	waiting  []copied           // what it has not received, without gaps
	uncharge map[uint64]*copied // what it has received, and has not taken charge of
	bytes    int
	moved    time.Time // when something was sent first, or received
	patience time.Duration
	posting  bool // what was prepared is on its way to Redis

	// What comes in.
	in       uint64 // taken up to
	inClosed bool
	acked    uint64    // what the other was told of in
	ackBy    time.Time // when it is to be told; zero: there is nothing to tell
	safe     []uint64  // sequence numbers to tell it that they are safe
	safeBy   time.Time
	drained  uint64 // the reading of the inbox that must end before the copies are routed
}

// link is the link to that epoch of a node. It is nil if that is over.
func (c *Cluster) link(node string, epoch uint64) *link {
	if node == c.opt.Name {
		return nil
	}
	c.mu.Lock()
	l := c.links[linkKey{node, epoch}]
	c.mu.Unlock()
	if l != nil {
		return l
	}
	if !c.Current(node, epoch) {
		return nil
	}
	return c.newLink(linkKey{node, epoch})
}

func (c *Cluster) newLink(key linkKey) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.links[key]; l != nil {
		return l
	}
	if c.ctx.Err() != nil {
		return nil
	}
	l := &link{linkKey: key, c: c, wake: make(chan struct{}, 1), ended: make(chan struct{}),
		uncharge: map[uint64]*copied{}, patience: resendFirst}
	c.links[key] = l
	c.work.Go(l.write)
	return l
}

// allLinks is the links there are now.
func (c *Cluster) allLinks() []*link {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]*link, 0, len(c.links))
	for _, l := range c.links {
		out = append(out, l)
	}
	return out
}

// Errors of sending.
var (
	errOver = errors.New("the other node's epoch is over")
	errFull = errors.New("too much waits for the other node")
)

// send appends a copy. It never blocks. The copy's receipt must be held; it is
// still the caller's if there is an error.
func (l *link) send(m copied) error {
	if m.st != nil {
		m.size = m.st.Size() + 128
	} else {
		m.size = len(m.body) + 128
	}
	l.mu.Lock()
	switch {
	case l.state == linkClosed || l.state == linkForgotten:
		l.mu.Unlock()
		return errOver
	case m.st != nil && (len(l.waiting)+len(l.uncharge) >= maxCopies || l.bytes+m.size > maxCopiesBytes),
		len(l.waiting) >= 2*maxCopies: // events, and sessions to end
		l.mu.Unlock()
		l.c.Counters.Refused.Add(1)
		return errFull
	}
	if m.charged() {
		l.c.held.add(m.to, l)
	}
	l.append(m)
	l.mu.Unlock()
	l.poke()
	return nil
}

func (l *link) append(m copied) {
	l.last++
	m.seq = l.last
	l.waiting = append(l.waiting, m)
	l.bytes += m.size
}

func (l *link) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// goBack has everything sent again that was not received.
func (l *link) goBack() {
	l.mu.Lock()
	l.sent = l.received
	l.patience = resendFirst
	if l.in > 0 {
		l.ackBy = time.Now() // it may have been lost
	}
	l.mu.Unlock()
	l.poke()
}

// acknowledge takes in that the other node has received up to n.
func (l *link) acknowledge(n uint64) {
	l.mu.Lock()
	if n > l.reached || n <= l.received {
		l.mu.Unlock()
		return
	}
	k := int(n - l.received)
	var done []copied
	for i := range l.waiting[:k] {
		m := l.waiting[i]
		if m.charged() && !m.safe {
			l.uncharge[m.seq] = &m
			continue
		}
		l.bytes -= m.size
		done = append(done, m)
	}
	clear(l.waiting[:k])
	l.waiting = l.waiting[k:]
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
	l.received = n
	l.sent = max(l.sent, n)
	l.moved, l.patience = time.Now(), resendFirst
	more := l.sent < l.last // and the window has moved
	l.mu.Unlock()
	for i := range done {
		// Of a message that is safe the receipt is settled, and gone.
		done[i].receipt.Release()
	}
	if more {
		l.poke()
	}
}

// discharge takes in that the other node has taken charge of these.
func (l *link) discharge(spans []span) {
	var done []copied
	l.mu.Lock()
	for _, s := range spans {
		if s.last > l.reached {
			continue
		}
		for seq := s.first; seq <= s.last; seq++ {
			if m := l.uncharge[seq]; m != nil {
				delete(l.uncharge, seq)
				l.bytes -= m.size
				done = append(done, *m)
			} else if i := int(seq - l.received - 1); seq > l.received && i < len(l.waiting) && l.waiting[i].charged() && !l.waiting[i].safe {
				done = append(done, l.waiting[i])
				l.waiting[i].safe = true
				l.waiting[i].receipt = nil
			}
		}
	}
	l.mu.Unlock()
	for i := range done {
		l.c.Counters.Charged.Add(1)
		done[i].receipt.Secure()
		l.c.held.done(done[i].to, l)
	}
}

// charge notes that a message that has come is safe.
func (l *link) charge(seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != linkOpen {
		return
	}
	if len(l.safe) == 0 {
		l.safeBy = time.Now().Add(chargeDelay)
		l.poke()
	}
	l.safe = append(l.safe, seq)
}

// idle reports whether nothing waits that this node has sent, or must still say.
func (l *link) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == linkClosed || l.state == linkForgotten ||
		len(l.waiting)+len(l.uncharge)+len(l.safe) == 0 && l.acked == l.in
}

// nobody is the context of what no client has sent.
func (c *Cluster) nobody() context.Context { return sm.WithReceipt(c.ctx, nil) }
