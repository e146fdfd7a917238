package offline

import (
	"context"
	"sync"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	maxSought = 10_000           // users to be looked for; others find their messages when they come the next time
	lookAgain = time.Second      // between two looks while it cannot be told who is where
	allBack   = 10 * time.Second // by then all nodes have said again who is there, after that could not be told
)

// sought is the users for whom messages were stored and who may have come to
// another node meanwhile.
type sought struct {
	mu    sync.Mutex
	users map[xmpp.JID]time.Time // until when somebody who is not found is looked for again
	busy  bool
}

// listen hears of users who have come, and of what makes the counts wrong.
func (m *offline) listen() {
	Kept.AddElsewhere(m.host, hooks.Normal, func(_ context.Context, k Keeping) { m.kept(k) })
	Given.AddElsewhere(m.host, hooks.Normal, func(_ context.Context, k Keeping) { m.flying.given(k.User, k.N) })
	auth.Removed.AddElsewhere(m.host, hooks.Normal, func(_ context.Context, user xmpp.JID) { m.counts.changed(user) })
	local.ClearCache.AddEverywhere(m.host, hooks.Normal, func(context.Context, *local.Host) { m.counts.allChanged() })
}

// seek has user looked for on the other nodes, now that a message for him is
// stored. A client that becomes available is known to all nodes before it is given
// what waits: so either it was given the message too, or it is found now. False: he
// is not looked for. It does not wait.
func (m *offline) seek(user xmpp.JID) bool {
	if !m.host.Hooks().Spreads() {
		return false
	}
	m.sought.mu.Lock()
	defer m.sought.mu.Unlock()
	if m.sought.users == nil {
		m.sought.users = map[xmpp.JID]time.Time{}
	}
	if _, ok := m.sought.users[user]; !ok && len(m.sought.users) >= maxSought {
		return false
	}
	m.sought.users[user.Clone()] = time.Time{}
	if !m.sought.busy {
		m.sought.busy = m.later.Apart(m.lookOut)
	}
	return m.sought.busy
}

// lookOut looks for users until there is nobody left to be looked for.
func (m *offline) lookOut() {
	for {
		m.sought.mu.Lock()
		users := m.sought.users
		m.sought.users = nil
		if len(users) == 0 {
			m.sought.busy = false
			m.sought.mu.Unlock()
			return
		}
		m.sought.mu.Unlock()
		again := m.look(users)
		if len(again) == 0 {
			continue
		}
		m.sought.again(again)
		select {
		case <-time.After(lookAgain):
		case <-m.ctx.Done():
			m.sought.mu.Lock()
			m.sought.busy = false
			m.sought.mu.Unlock()
			return
		}
	}
}

// look looks for each user once and returns those who are to be looked for again.
func (m *offline) look(users map[xmpp.JID]time.Time) (again map[xmpp.JID]time.Time) {
	again = map[xmpp.JID]time.Time{}
	away := false
	for user, until := range users {
		if m.ctx.Err() != nil {
			return nil
		}
		found, down := false, m.flying.down(user)
		if !away {
			all, err := m.host.Sessions.Fresh(user)
			away = err != nil
			for _, s := range all {
				found = found || s.Remote() && getsAny(s)
			}
		}
		switch {
		case found:
			Kept.Run(m.ctx, m.host.Hooks(), Keeping{user, m.flying.tell(user, down)})
		case away:
			again[user] = time.Now().Add(allBack)
		case time.Now().Before(until):
			again[user] = until
		default:
			m.flying.dealt(user, down)
		}
	}
	return again
}

// again puts users back who were not looked for anew meanwhile.
func (s *sought) again(users map[xmpp.JID]time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users == nil {
		s.users = users
		return
	}
	for user, until := range users {
		if _, ok := s.users[user]; !ok || s.users[user].Before(until) {
			s.users[user] = until
		}
	}
}
