package sm

import (
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// A Counter is a connection that can count stanzas, acknowledge its client's and
// have its client acknowledge what it was sent (XEP-0198). What goes over the
// wire to agree on that is the business of others; the connection itself counts,
// asks, answers, and finds another way for what was not acknowledged.
type Counter interface {
	// Count writes el, unless it is nil, and counts in both directions from then on.
	// False says that the connection counts already: then nothing is done. It is for
	// handlers of Nonzas and InlineBind, which run on the goroutine that reads the
	// client's stream.
	Count(a Acks, el *xmpp.Element) bool
	// Counts reports whether the connection counts. It is for the same handlers.
	Counts() bool
	// Tell writes an element that is no stanza. It never blocks.
	Tell(el *xmpp.Element)
}

// Acks is how a connection has its client acknowledge stanzas.
type Acks struct {
	MaxQueue int           // how many stanzas may wait for that; 0 for no limit but that of their size
	Timeout  time.Duration // how long the client may take to answer; 0 for ever
	Resend   Resend

	ID     string        // by which the stream can be resumed; empty if it cannot. It is a secret.
	Resume time.Duration // how long it can be resumed after its connection has broken
}

// Resend is what becomes of messages that a client has not acknowledged when its
// stream ends.
type Resend string

// The values of option resend_on_timeout.
const (
	ResendNever     Resend = "false"      // their senders are told
	ResendAlways    Resend = "true"       // they are routed again
	ResendIfOffline Resend = "if_offline" // routed again if no other client of the user is there
)

// Counter is the connection of s as far as it can count stanzas; nil if it cannot.
func (s *Session) Counter() Counter {
	c, ok := s.way().(Counter)
	if !ok {
		return nil
	}
	return c
}
