package carboncopy

import (
	"hash/maphash"
	"sync"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// maxRecent is of how many messages of a client errors are still recognised.
const maxRecent = 64

// recent is the messages of a client of which copies were made: an error is copied
// if it answers one of them (XEP-0280 §6.1). What the error holds says nothing: those
// who send errors need not include what they answer.
type recent struct {
	mu   sync.Mutex
	seed maphash.Seed
	ring [maxRecent]uint64
	next int
}

// key is what a message and the error that answers it have in common.
func (r *recent) key(other xmpp.JID, id string) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(other.Bare().String())
	h.WriteByte(0)
	h.WriteString(id)
	return h.Sum64() | 1 // an empty place is zero
}

// remember has errors that answer st recognised.
func (m *carbons) remember(s *sm.Session, st *xmpp.Stanza) {
	if st.ID == "" {
		return
	}
	r, ok := m.sent.Get(s)
	if !ok {
		// Only the goroutine that reads the client's stream comes here.
		r = &recent{seed: maphash.MakeSeed()}
		m.sent.Set(s, r)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[r.next] = r.key(st.To, st.ID)
	r.next = (r.next + 1) % maxRecent
}

// remembered reports whether the error st answers a message of which copies were
// made, once for each.
func (m *carbons) remembered(s *sm.Session, st *xmpp.Stanza) bool {
	r, ok := m.sent.Get(s)
	if !ok || st.ID == "" {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.key(st.From, st.ID)
	for i, x := range r.ring {
		if x == k {
			r.ring[i] = 0
			return true
		}
	}
	return false
}
