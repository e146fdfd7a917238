package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// muteTime is for how long sessions of a former epoch may still be about to end.
const muteTime = 5 * time.Second

// mute keeps sessions of an epoch that is over from telling others that they are
// gone: whoever has swept this node has told them, and the client may be elsewhere
// by now.
type mute struct {
	on     atomic.Bool
	mu     sync.Mutex
	until  time.Time
	reborn map[xmpp.JID]struct{} // sessions that were opened since
}

// begin is called when an epoch is over.
func (m *mute) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until, m.reborn = time.Time{}, map[xmpp.JID]struct{}{}
	m.on.Store(true)
}

// ending is called when the next epoch begins.
func (m *mute) ending() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.until = time.Now().Add(muteTime)
}

// watch notes which sessions of h are new.
func (m *mute) watch(h *host) {
	sm.Opened.Add(owner{h}, hooks.First, func(_ context.Context, s *sm.Session) {
		if m.on.Load() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.reborn != nil {
				m.reborn[s.JID] = struct{}{}
			}
		}
	})
}

// silences reports whether st is not to be sent to another node.
func (m *mute) silences(st *xmpp.Stanza) bool {
	if st.Kind != xmpp.Presence || !m.on.Load() || st.Type != "" && st.Type != "unavailable" {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.until.IsZero() && time.Now().After(m.until) {
		m.on.Store(false)
		m.reborn = nil
		return false
	}
	// Once the next epoch has begun what is available comes from new sessions.
	if _, ok := m.reborn[st.From]; ok || st.Type == "" && !m.until.IsZero() {
		return false
	}
	return true
}
