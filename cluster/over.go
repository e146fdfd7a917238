package cluster

import (
	"slices"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// forget ends the link because our own epoch is over. Receipts stay open for
// ever: their clients are told nothing.
func (l *link) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == linkClosed {
		return
	}
	if l.state != linkRouting {
		close(l.ended)
	}
	l.state = linkForgotten
	l.waiting, l.uncharge, l.bytes, l.safe = nil, map[uint64]*copied{}, 0, nil
	l.c.held.forgetLink(l)
}

// end begins the end of the link: the other's epoch is over. What it has still
// written is read first.
// It reports whether it has just begun.
func (l *link) end(reading uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != linkOpen {
		return false
	}
	l.state, l.drained = linkClosing, reading
	return true
}

// anyClosing reports whether a link waits for the end of the inbox.
func (c *Cluster) anyClosing() bool {
	for _, l := range c.allLinks() {
		l.mu.Lock()
		closing := l.state == linkClosing
		l.mu.Unlock()
		if closing {
			return true
		}
	}
	return false
}

// readOut is called when a reading of the inbox has found its end. If nothing of
// the other node can come any more its copies are routed again.
func (l *link) readOut(reading uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != linkClosing || reading <= l.drained {
		return
	}
	l.state, l.inClosed = linkRouting, true
	close(l.ended)
	l.c.work.Go(l.routeAgain)
}

// routeAgain routes all copies again, in order, until there are none.
func (l *link) routeAgain() {
	for {
		batch := l.rest()
		if batch == nil {
			break
		}
		for i := range batch {
			if l.c.ctx.Err() != nil {
				return
			}
			l.again(&batch[i])
		}
	}
	l.c.mu.Lock()
	if l.c.links[l.linkKey] == l {
		delete(l.c.links, l.linkKey)
	}
	l.c.mu.Unlock()
	l.c.held.kick()
}

// rest takes all copies in order. Without any the link is closed.
func (l *link) rest() []copied {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == linkForgotten {
		return nil
	}
	var out []copied
	for _, m := range l.uncharge {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b copied) int { return int(int64(a.seq) - int64(b.seq)) })
	for _, m := range l.waiting {
		if !m.safe {
			out = append(out, m)
		}
	}
	clear(l.uncharge)
	l.waiting, l.bytes = nil, 0
	if out == nil {
		l.state = linkClosed
	}
	return out
}

// again routes a copy again.
func (l *link) again(m *copied) {
	defer m.receipt.Release()
	if m.charged() {
		defer l.c.held.done(m.to, l)
	}
	if m.st == nil || m.st.Kind == xmpp.Presence || m.st.Kind == xmpp.IQ && !m.st.IsRequest() {
		return
	}
	if m.receipt != nil && m.receipt.Settled() {
		return // somebody else has it
	}
	l.c.Counters.Rerouted.Add(1)
	m.host.Reroute(sm.WithReceipt(l.c.ctx, m.receipt), m.st)
}

// review ends links whose other end is over.
func (c *Cluster) review() {
	any := false
	for _, l := range c.allLinks() {
		if !c.Current(l.node, l.epoch) && l.end(c.inbox.reading.Load()) {
			any = true
		}
	}
	if any {
		c.wakeInbox()
	}
}
