package cluster

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// A session whose client may resume it (XEP-0198 §5) moves when its client asks for
// it on another node, or when its node is about to go. It moves whole, in one
// frame: the node that has it keeps it until the other says that it has taken it.
// So it is always somewhere, and what is sent to it meanwhile comes after it, over
// the same link.

// How long nodes wait for each other, and how much they do at once.
const (
	fetchWait  = 2 * time.Second  // for somebody to give a session; its client waits
	offerWait  = 30 * time.Second // for one that lives to say that it has taken a session
	movesTotal = 256              // sessions that are moved at a time
)

// maxMoved bounds a frame with a session, in bytes.
const maxMoved = 64 << 20

// moves is the sessions that come and go.
type moves struct {
	n    atomic.Uint64
	turn atomic.Uint32
	room chan struct{}

	mu      sync.Mutex
	fetches map[uint64]*fetch
	offers  map[uint64]chan bool
}

func (m *moves) init() {
	m.room, m.fetches, m.offers = make(chan struct{}, movesTotal), map[uint64]*fetch{}, map[uint64]chan bool{}
}

// A fetch is a session that this node has asked for.
type fetch struct {
	done  chan struct{} // closed when there is an answer
	asked int           // who has not answered yet
	over  bool
	s     *sm.Session // nil: nobody has it
	h     uint32
	known bool // h is
}

// end is called with the moves' mutex.
func (f *fetch) end() {
	if !f.over {
		f.over = true
		close(f.done)
	}
}

// Fetch implements sm.Mover. Those are asked that have sessions of the user; of a
// stream whose node is dead, Redis knows h.
func (h *host) Fetch(ctx context.Context, user xmpp.JID, id string) (*sm.Session, uint32, bool) {
	c := h.c
	n, f := c.moves.n.Add(1), &fetch{done: make(chan struct{})}
	var links []*link
	for _, name := range nodesOf(h.User(user)) {
		if m, ok := c.nodes.get(name); ok && m.living() {
			if l := c.link(name, m.epoch); l != nil {
				links = append(links, l)
			}
		}
	}
	if len(links) > 0 {
		f.asked = len(links)
		c.moves.mu.Lock()
		c.moves.fetches[n] = f
		c.moves.mu.Unlock()
		for _, l := range links {
			if l.send(copied{kind: frameWant, body: wantBody(h.domain, user, n, id)}) != nil {
				c.moves.none(n, false, 0)
			}
		}
		t := time.NewTimer(fetchWait)
		defer t.Stop()
		select {
		case <-f.done:
		case <-t.C:
		case <-ctx.Done():
		case <-c.ctx.Done():
		}
	}
	c.moves.mu.Lock()
	delete(c.moves.fetches, n)
	f.over = true
	s, last, known := f.s, f.h, f.known
	c.moves.mu.Unlock()
	if s == nil && !known {
		last, known = c.lastHandled(ctx, h.domain, user, id)
	}
	return s, last, known
}

// nodesOf is the other nodes that the sessions are on.
func nodesOf(all []*sm.Session) (names []string) {
	for _, s := range all {
		seen := !s.Remote()
		for _, name := range names {
			seen = seen || name == s.ID.Node
		}
		if !seen {
			names = append(names, s.ID.Node)
		}
	}
	return names
}

// none notes that a node that was asked has nothing.
func (m *moves) none(n uint64, known bool, h uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.fetches[n]
	if f == nil {
		return
	}
	if known {
		f.h, f.known = h, true
	}
	if f.asked--; f.asked == 0 {
		f.end()
	}
}

// come notes that what was asked for is here.
func (m *moves) come(n uint64, s *sm.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.fetches[n]; f != nil && !f.over {
		f.s = s
		f.end()
	}
}

// wanted gives a session to a node whose client asks for it, or says that there is
// none.
func (c *Cluster) wanted(l *link, w want) {
	c.apart(func() {
		h := c.host(w.domain)
		if h != nil {
			s := h.Resumes(w.user, w.id)
			if s != nil && h.Move(c.ctx, s, sm.Taken, true, func(m *sm.Moved) sm.Conn { return c.offer(c.ctx, l, h, m, w.n) }) {
				return
			}
			if s != nil {
				c.departs(s)
			}
		}
		var last uint32
		known := false
		if h != nil {
			last, known = h.Ended(w.user, w.id)
		}
		_ = l.send(copied{kind: frameNone, body: noneBody(w.n, known, last)}) // who asks waits for a bounded time only
	}, func() { _ = l.send(copied{kind: frameNone, body: noneBody(w.n, false, 0)}) })
}

// departs waits, a bounded time, for a session that is on its way to some node already:
// who has asked finds it there.
func (c *Cluster) departs(s *sm.Session) {
	t := time.NewTimer(fetchWait * 3 / 4)
	defer t.Stop()
	select {
	case <-s.Done():
	case <-t.C:
	case <-c.ctx.Done():
	}
}

// apart does f on a goroutine of its own, or busy where there are too many already.
func (c *Cluster) apart(f, busy func()) {
	select {
	case c.moves.room <- struct{}{}:
		c.work.Go(func() {
			defer func() { <-c.moves.room }()
			f()
		})
	default:
		busy()
	}
}

// Give implements sm.Mover: the nodes that stay get sessions in turn.
func (h *host) Give(ctx context.Context, s *sm.Session, reason error) bool {
	c := h.c
	l := c.heir()
	if l == nil || !c.gate.isOpen() {
		return false
	}
	return h.Move(ctx, s, reason, false, func(m *sm.Moved) sm.Conn { return c.offer(ctx, l, h, m, 0) })
}

// heir is the link to a node that stays.
func (c *Cluster) heir() *link {
	var up []string
	all := *c.nodes.all.Load()
	for name, m := range all {
		if m.state == Up && name != c.opt.Name {
			up = append(up, name)
		}
	}
	if len(up) == 0 {
		return nil
	}
	name := up[int(c.moves.turn.Add(1))%len(up)]
	return c.link(name, all[name].epoch)
}

// offer sends a session to another node and waits until that has taken it, at most as
// long as ctx lasts. It returns the way to it, nil if it was not taken.
func (c *Cluster) offer(ctx context.Context, l *link, h *host, m *sm.Moved, fetched uint64) sm.Conn {
	text, err := json.Marshal(m)
	if err != nil || len(text) > maxMoved {
		c.log.Error("a session cannot go on on another node", "node", l.node, "bytes", len(text), "error", err)
		return nil
	}
	n, taken := c.moves.n.Add(1), make(chan bool, 1)
	c.moves.mu.Lock()
	c.moves.offers[n] = taken
	c.moves.mu.Unlock()
	defer func() {
		c.moves.mu.Lock()
		delete(c.moves.offers, n)
		c.moves.mu.Unlock()
	}()
	if l.send(copied{kind: frameMove, body: moveBody(h.domain, n, fetched, text)}) != nil {
		return nil
	}
	t := time.NewTimer(offerWait)
	defer t.Stop()
	select {
	case yes := <-taken:
		if !yes {
			return nil
		}
	case <-l.ended: // it has died: whoever it had told will be told the contrary
		return nil
	case <-t.C:
		return nil
	case <-ctx.Done():
		return nil
	case <-c.ctx.Done():
		return nil
	}
	c.Counters.Moved.Add(1)
	was := m.Record.ID()
	return c.Dial(sm.Address{Domain: h.domain, JID: xmpp.MustParse(m.Record.JID), ID: was.MovedTo(l.node), Epoch: l.epoch})
}

// accept takes over a session that another node offers. It runs on the goroutine that
// reads the inbox: what comes next over the link may be for that session.
func (c *Cluster) accept(l *link, o offered) {
	h := c.host(o.domain)
	var m sm.Moved
	err := json.Unmarshal(o.text, &m)
	answer := func(yes bool) {
		_ = l.send(copied{kind: frameTaken, body: takenBody(o.n, yes)}) // where that fails it hears that this node is gone
	}
	if err == nil && (h == nil || c.isLeaving()) {
		err = errLeft
	}
	var s *sm.Session
	var settled func(bool)
	if err == nil {
		s, settled, err = h.Adopt(c.ctx, &m)
	}
	if err != nil {
		c.log.Warn("a session of another node was not taken over", "node", l.node, "error", err)
		answer(false)
		c.moves.none(o.fetched, false, 0)
		return
	}
	c.work.Go(func() {
		settled(o.fetched == 0)
		answer(true)
		c.moves.come(o.fetched, s)
	})
}

// took hands the answer to who has offered a session.
func (m *moves) took(n uint64, yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ch := m.offers[n]; ch != nil {
		select {
		case ch <- yes:
		default:
		}
	}
}
