package push

import (
	"context"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// enabled is true in sessions that have enabled notifications since they were opened.
// It keeps the database out of the way of what comes for others; what the database
// says is what counts. It outlives a new start of the module.
var enabled = sm.NewSlot[bool]("push")

// Wants reports whether the client of s, a session on this node, has enabled
// notifications, perhaps none of which is left.
func Wants(s *sm.Session) bool {
	yes, _ := enabled.Get(s)
	return yes
}

// IsText reports whether st is a message with a text for the user, or a copy of one:
// what a notification is about.
func IsText(st *xmpp.Stanza) bool {
	inner, sent := unwrap(st)
	return !sent && textOf(inner) != ""
}

// pending tells the client of a session whose connection has broken of what it has not
// acknowledged, once: of the first text, if there is one.
func (m *push) pending(_ context.Context, s *sm.Session) {
	if !Wants(s) {
		return
	}
	list := s.Unacknowledged()
	if len(list) == 0 {
		return
	}
	n := note{user: s.JID.Bare(), waits: s}
	for _, st := range list {
		if IsText(st) {
			n.st = st
			break
		}
	}
	n.page = m.books.page(n.user, n.st)
	n.page.step("the connection of %s has broken, with %d stanzas that it has not acknowledged", s.JID, len(list))
	m.enqueue(n)
}

// queued tells the client of a session that waits for it of what comes.
func (m *push) queued(_ context.Context, q sm.Queueing) {
	if !Wants(q.Session) {
		return
	}
	n := note{user: q.Session.JID.Bare(), st: q.Stanza, waits: q.Session}
	n.page = m.books.page(n.user, n.st)
	n.page.step("%s is not connected, and its session waits for it", q.Session.JID)
	m.enqueue(n)
}

// wake has the client of a session that waits for it come back.
func (m *push) wake(_ context.Context, s *sm.Session) {
	n := note{user: s.JID.Bare(), waits: s, page: m.books.page(s.JID.Bare(), nil)}
	n.page.step("the session of %s is about to end: its client is to come back", s.JID)
	m.enqueue(n)
}
