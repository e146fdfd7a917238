package c2s

import (
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// Waits reports whether the session waits for its client, and how long. It implements
// sm.Resumable.
func (c *Conn) Waits() (within time.Duration, ok bool) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.heir != nil {
		return o.heir.Waits()
	}
	if c.sock != nil || !o.away {
		return 0, false
	}
	return o.acks.Resume, true
}

// Unacknowledged is what the client has not acknowledged, the oldest first. It
// implements sm.Resumable.
func (c *Conn) Unacknowledged() []*xmpp.Stanza {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.heir != nil {
		return o.heir.Unacknowledged()
	}
	if o.acks == nil {
		return nil
	}
	var list []*xmpp.Stanza
	for _, u := range o.acks.queue.items[o.acks.queue.head:] {
		list = append(list, u.st)
	}
	return list
}
