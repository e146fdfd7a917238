package cluster

import (
	"sync"

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
	return sync.OnceFunc(c.heart.mu.Unlock)
}

// Storm has all links send again what was not received.
func (c *Cluster) Storm() {
	for _, l := range c.allLinks() {
		l.goBack()
	}
}

// Told reports whether all others were told what this node has received and taken
// charge of.
func (c *Cluster) Told() bool { return c.linksTold() }

// Unreceived is how many frames the other nodes have not received.
func (c *Cluster) Unreceived() (n int) {
	for _, l := range c.allLinks() {
		l.mu.Lock()
		n += len(l.waiting)
		l.mu.Unlock()
	}
	return n
}

// Names of what tests look at in Redis.
func (c *Cluster) InboxKey(node string) string { return c.inboxKey(node) }
func (c *Cluster) NodesKey() string            { return c.nodesKey() }

// SlipIn writes a message into a node's inbox past everything, as a goroutine does
// that was stopped for long.
func (c *Cluster) SlipIn(node string, its, seq uint64, st *xmpp.Stanza) error {
	return c.post(node, []letter{{from: c.opt.Name, epoch: c.epoch.Load(), to: its, seq: seq, frames: Encode("localhost", st.To, st, 1)}})
}

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

// Say sends a frame to another node, whatever is in it.
func (c *Cluster) Say(node string, kind byte, body []byte) {
	m, _ := c.nodes.get(node)
	_ = c.link(node, m.epoch).send(copied{kind: kind, body: body})
}
