package cluster

import (
	"sync/atomic"

	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Abandon is this node dying: nothing more is said, sent or counted.
func (c *Cluster) Abandon() {
	c.mu.Lock()
	c.leaving = true
	c.mu.Unlock()
	c.end()
}

// Freeze keeps the heart from beating until thaw is called.
func (c *Cluster) Freeze() (thaw func()) {
	c.heart.mu.Lock()
	return c.heart.mu.Unlock
}

// Storm has all links send again what was not received.
func (c *Cluster) Storm() {
	for _, l := range c.allLinks() {
		l.goBack()
	}
}

// MaxCopies is how many copies a link keeps.
const MaxCopies = maxCopies

// Names of what tests look at in Redis.
func (c *Cluster) InboxKey(node string) string { return c.inboxKey(node) }
func (c *Cluster) NodesKey() string            { return c.nodesKey() }

// BuryBy has somebody declare a node dead.
func (c *Cluster) BuryBy(name string, epoch uint64, by string, byEpoch uint64) ([]string, error) {
	return c.script(c.ctx, buryScript, []string{c.nodesKey()}, name, epoch, by, byEpoch, c.opt.Lease.Milliseconds())
}

// Load is a counter as a number.
func Load(n *atomic.Uint64) uint64 { return n.Load() }

// Encode is the frames of n copies of a stanza, as they go into an inbox.
func Encode(domain string, to xmpp.JID, st *xmpp.Stanza, n int) []byte {
	h := &host{domain: domain}
	batch := make([]copied, n)
	for i := range batch {
		batch[i] = copied{kind: frameStanza, st: st, to: to, host: h}
	}
	b, _ := encode([]byte{frameVersion}, nil, batch)
	return b
}

// Decode reads what Encode has written and returns how many stanzas there are.
func Decode(f *stream.Framer, b []byte) (int, error) {
	frames, err := splitFrames(b)
	if err != nil {
		return 0, err
	}
	for i := range frames {
		if _, err := readStanza(f, frames[i].body); err != nil {
			return 0, err
		}
	}
	return len(frames), nil
}
