package adhoc

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// Bounds on commands that wait for their next step.
const (
	maxSessions     = 10_000 // on one virtual host
	maxUserSessions = 10     // of one bare address
	sessionTime     = 10 * time.Minute
)

// A session is a command between two of its steps. It belongs to the full
// address that started it, and to nobody else.
type session struct {
	owner xmpp.JID
	at    xmpp.JID
	node  string
	asked *form.Form
	next  Step
	until time.Time
}

// sessions are the commands that wait.
type sessions struct {
	mu   sync.Mutex
	byID map[string]*session
	user map[xmpp.JID]int // how many a bare address has
}

func newSessions() *sessions {
	return &sessions{byID: map[string]*session{}, user: map[xmpp.JID]int{}}
}

// newID is an id that nobody can guess.
func newID() string { return rand.Text() }

// put keeps s as id. It reports false when there are too many.
func (ss *sessions) put(id string, s *session) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	bare := s.owner.Bare()
	if len(ss.byID) >= maxSessions || ss.user[bare] >= maxUserSessions {
		ss.sweep()
	}
	if len(ss.byID) >= maxSessions || ss.user[bare] >= maxUserSessions {
		return false
	}
	s.until = time.Now().Add(sessionTime)
	ss.byID[id] = s
	ss.user[bare]++
	return true
}

// take removes and returns the session id of owner at an address and node; nil
// if there is none that is his.
func (ss *sessions) take(id string, owner, at xmpp.JID, node string) *session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s := ss.byID[id]
	if s == nil || s.owner != owner || s.at != at || s.node != node {
		return nil
	}
	ss.drop(id)
	if time.Now().After(s.until) {
		return nil
	}
	return s
}

// forget drops what a client has left behind.
func (ss *sessions) forget(owner xmpp.JID) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.user[owner.Bare()] == 0 {
		return
	}
	for id, s := range ss.byID {
		if s.owner == owner {
			ss.drop(id)
		}
	}
}

// sweep drops what is too old. ss.mu is held.
func (ss *sessions) sweep() {
	now := time.Now()
	for id, s := range ss.byID {
		if now.After(s.until) {
			ss.drop(id)
		}
	}
}

// drop removes one session. ss.mu is held.
func (ss *sessions) drop(id string) {
	bare := ss.byID[id].owner.Bare()
	delete(ss.byID, id)
	if ss.user[bare]--; ss.user[bare] == 0 {
		delete(ss.user, bare)
	}
}
