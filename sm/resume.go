package sm

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// A Resumable is a connection whose session can outlive it.
type Resumable interface {
	// ResumeWithin says how long the client may take to come back after its
	// connection has broken. If it has broken already the time begins anew. False:
	// the session cannot be resumed.
	ResumeWithin(d time.Duration) bool
	// Waits reports whether the connection has broken and the client has not come
	// back, and how long it may take for that from the break on.
	Waits() (within time.Duration, ok bool)
	// Unacknowledged is what the client was sent, or is to be sent, and has not
	// acknowledged, the oldest first.
	Unacknowledged() []*xmpp.Stanza
}

// ResumeWithin changes how long the client may take to resume its session; one that
// waits for its client begins to wait anew. False says that it cannot be resumed.
func (s *Session) ResumeWithin(d time.Duration) bool {
	r, ok := s.way().(Resumable)
	return ok && r.ResumeWithin(d)
}

// Waits reports whether the session waits for its client, and how long it does from
// the break of the connection on. It is for sessions on this node.
func (s *Session) Waits() (within time.Duration, ok bool) {
	if r, is := s.way().(Resumable); is {
		return r.Waits()
	}
	return 0, false
}

// Unacknowledged is what the client has not acknowledged, the oldest first; none if it
// acknowledges nothing. It is for sessions on this node.
func (s *Session) Unacknowledged() []*xmpp.Stanza {
	if r, is := s.way().(Resumable); is {
		return r.Unacknowledged()
	}
	return nil
}

// resumption is the streams of a virtual host that can be resumed on this node, and
// how far those had come that have ended. The ids are secrets.
type resumption struct {
	mu    sync.Mutex
	open  map[string]*Session
	ended map[string]endedStream
	order []string      // of ended, the oldest first
	news  []EndedStream // that have ended since somebody has asked; only in a cluster
	most  int           // how many of them are remembered, 0 for no limit
	life  time.Duration
}

// forgetful bounds what is remembered of ended streams where no option does.
const forgetful = 100_000

type endedStream struct {
	user xmpp.JID // bare
	h    uint32
	at   time.Time
}

// RememberEnded says how many ended streams are remembered, and how long; 0 is for
// no limit.
func (ss *Sessions) RememberEnded(most int, life time.Duration) {
	r := &ss.resumption
	r.mu.Lock()
	defer r.mu.Unlock()
	r.most, r.life = most, life
}

// CanResume makes known that the stream of s can be resumed by that id. It is for
// the connection of s.
func (ss *Sessions) CanResume(id string, s *Session) {
	r := &ss.resumption
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = map[string]*Session{}
	}
	r.open[id] = s
}

// Resumes is the session of that user whose stream has that id, nil if there is
// none on this node.
func (ss *Sessions) Resumes(user xmpp.JID, id string) *Session {
	r := &ss.resumption
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.open[id]; s != nil && s.JID.Bare() == user {
		return s
	}
	return nil
}

// StreamEnded says that the stream with that id cannot be resumed any more, and how
// many stanzas of its client were handled for certain. It is for the connection.
func (ss *Sessions) StreamEnded(id string, user xmpp.JID, h uint32) {
	r := &ss.resumption
	r.mu.Lock()
	defer r.mu.Unlock()
	if ss.moves.mover.Load() != nil && len(r.news) < forgetful {
		r.news = append(r.news, EndedStream{id, user, h})
	}
	r.remember(id, user, h)
}

// remember wants mu.
func (r *resumption) remember(id string, user xmpp.JID, h uint32) {
	delete(r.open, id)
	if r.ended == nil {
		r.ended = map[string]endedStream{}
	}
	now := time.Now()
	r.ended[id] = endedStream{user: user, h: h, at: now}
	r.order = append(r.order, id)
	most := r.most
	if most == 0 {
		most = forgetful
	}
	for len(r.order) > most || r.life > 0 && now.Sub(r.ended[r.order[0]].at) > r.life {
		delete(r.ended, r.order[0])
		r.order[0] = ""
		r.order = r.order[1:]
	}
}

// An EndedStream is one that cannot be resumed any more.
type EndedStream struct {
	ID   string // a secret
	User xmpp.JID
	H    uint32
}

// JustEnded is the streams that have ended here since the last call. It is for a
// Mover.
func (ss *Sessions) JustEnded() []EndedStream {
	r := &ss.resumption
	r.mu.Lock()
	defer r.mu.Unlock()
	news := r.news
	r.news = nil
	return news
}

// Ended is how many stanzas of its client a stream of that user has handled that has
// ended; ok is false if nothing is known of it.
func (ss *Sessions) Ended(user xmpp.JID, id string) (h uint32, ok bool) {
	r := &ss.resumption
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.ended[id]
	if !ok || e.user != user || r.life > 0 && time.Since(e.at) > r.life {
		return 0, false
	}
	return e.h, true
}

// Reconnect gives s another connection: the one that it had has broken, or its
// client has resumed it. It is for connections. What comes by the old one afterwards
// is theirs to pass on.
func (ss *Sessions) Reconnect(s *Session, conn Conn) { s.conn.Store(&conn) }

// Resumed says that the client of s has come back, from that address.
func (ss *Sessions) Resumed(ctx context.Context, s *Session, addr netip.AddrPort, transport string) {
	s.ConnectedBy(addr, transport)
	ss.store.Changed(ctx, s)
	SessionResumed.Run(ctx, ss.hooks, s)
}
