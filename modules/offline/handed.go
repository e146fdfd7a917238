package offline

import (
	"context"
	"sync"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// handed is the messages that were given to a client and are not known to be safe
// there: they stay in the database until its client has acknowledged them (XEP-0198)
// or they have found another way. Until then nobody else is given them.
type handed struct {
	mu   sync.Mutex
	seqs map[int64]bool // true: safe already, and whoever is giving it will delete it
	safe map[xmpp.JID][]int64
	busy bool // they are being deleted
}

// begin reports whether the message is to be given: nobody has it.
func (h *handed) begin(seq int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.seqs[seq]; ok {
		return false
	}
	if h.seqs == nil {
		h.seqs = map[int64]bool{}
	}
	h.seqs[seq] = false
	return true
}

// given says that the message was handed over, and reports whether it is safe.
func (h *handed) given(seq int64, giving *giving) (safe bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	giving.over = true
	if h.seqs[seq] {
		delete(h.seqs, seq)
		return true
	}
	return false
}

// giving is a message that is being given to a client.
type giving struct{ over bool }

// settled says that the message is safe. True: it has been given before, and
// somebody must begin to call take.
func (h *handed) settled(user xmpp.JID, seq int64, giving *giving) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !giving.over {
		h.seqs[seq] = true
		return false
	}
	if h.safe == nil {
		h.safe = map[xmpp.JID][]int64{}
	}
	h.safe[user] = append(h.safe[user], seq)
	begin := !h.busy
	h.busy = true
	return begin
}

// take is the messages of a user that are safe and are to be deleted. None: nobody
// has any, and whoever deletes them ends.
func (h *handed) take() (user xmpp.JID, seqs []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for user, seqs = range h.safe {
		delete(h.safe, user)
		return user, seqs
	}
	h.busy = false
	return user, nil
}

// forget says that the messages are deleted, or come again.
func (h *handed) forget(seqs []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, seq := range seqs {
		delete(h.seqs, seq)
	}
}

// send gives the client a message unless some client here has it already, and
// reports whether it can be deleted now. From a client that acknowledges what it is
// sent it is deleted when it has; should this node die before, it comes again.
func (m *offline) send(ctx context.Context, s *sm.Session, w message) bool {
	if !m.handed.begin(w.seq) {
		return false
	}
	user, g := s.JID.Bare(), new(giving)
	r := sm.NewReceipt(func() {
		if m.handed.settled(user, w.seq, g) {
			m.later.Apart(m.acknowledged)
		}
	})
	s.Send(sm.WithReceipt(ctx, r), w.stanza)
	r.Release()
	return m.handed.given(w.seq, g)
}

// acknowledged deletes what is safe, until nothing is left.
func (m *offline) acknowledged() {
	for user, seqs := m.handed.take(); len(seqs) > 0; user, seqs = m.handed.take() {
		m.forget(user, seqs)
	}
}

// forget deletes messages that are safe. Nobody is given any meanwhile: who has read
// them just before would take them for not yet given.
func (m *offline) forget(user xmpp.JID, seqs []int64) {
	l := m.locks.of(user)
	l.Lock()
	defer l.Unlock()
	err := m.store.remove(context.WithoutCancel(m.ctx), user, seqs)
	m.counts.changed(user)
	if err != nil {
		m.host.Log.Error("messages were acknowledged but not deleted: they will come again", "user", user.String(), "error", err)
	}
	m.handed.forget(seqs)
}
