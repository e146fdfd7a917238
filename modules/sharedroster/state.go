package sharedroster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

// state is all groups of the virtual host and who is in them.
type state struct {
	at        time.Time // when it was read
	groups    map[string]*group
	members   map[string]map[xmpp.JID]struct{} // by name
	of        map[xmpp.JID][]string            // groups
	special   []*group                         // with all users, or with all who are online
	everybody map[xmpp.JID]struct{}            // accounts; nil: nobody asks
	stale     bool                             // it is to be read again
}

func (s *state) add(user xmpp.JID, group string) {
	if s.members[group] == nil {
		s.members[group] = map[xmpp.JID]struct{}{}
	}
	if _, ok := s.members[group][user]; !ok {
		user = user.Clone()
		s.members[group][user] = struct{}{}
		s.of[user] = append(s.of[user], group)
	}
}

func (s *state) take(user xmpp.JID, group string) {
	delete(s.members[group], user)
	s.of[user] = slices.DeleteFunc(slices.Clone(s.of[user]), func(g string) bool { return g == group })
	if len(s.of[user]) == 0 {
		delete(s.of, user)
	}
}

// memory is the state, once it is read.
type memory struct {
	host  *modules.Host
	store store
	use   local.Cache

	mu     sync.RWMutex
	unlock func() // mu.RUnlock
	state  *state // nil: not read yet
}

func newMemory(h *modules.Host, st store, use local.Cache) *memory {
	m := &memory{host: h, store: st, use: use}
	m.unlock = m.mu.RUnlock
	return m
}

// read returns the state, which the caller may use until it calls done, and must
// not call read before. It waits for the database if nothing is known yet.
func (m *memory) read(ctx context.Context) (s *state, done func(), err error) {
	for {
		m.mu.RLock()
		if m.fresh() {
			return m.state, m.unlock, nil
		}
		m.mu.RUnlock()
		m.mu.Lock()
		if !m.fresh() {
			if s, err = m.load(ctx); err != nil || !m.use.Use {
				m.mu.Unlock()
				return s, func() {}, err
			}
			m.state = s
		}
		m.mu.Unlock()
	}
}

func (m *memory) fresh() bool {
	return m.state != nil && !m.state.stale && m.use.Use && (m.use.LifeTime <= 0 || m.use.LifeTime == config.Infinity || time.Since(m.state.at) < m.use.LifeTime)
}

// load reads everything.
func (m *memory) load(ctx context.Context) (*state, error) {
	s := &state{at: time.Now(), members: map[string]map[xmpp.JID]struct{}{}, of: map[xmpp.JID][]string{}}
	var err error
	if s.groups, err = m.store.groups(ctx); err != nil {
		return nil, err
	}
	if err := m.store.members(ctx, s.add); err != nil {
		return nil, err
	}
	for _, g := range s.groups {
		if g.all || g.online {
			s.special = append(s.special, g)
		}
		if g.all && s.everybody == nil {
			s.everybody = map[xmpp.JID]struct{}{}
			for user, err := range m.host.Auth.Users(ctx, "") {
				if err != nil {
					return nil, err
				}
				s.everybody[user] = struct{}{}
			}
		}
	}
	return s, nil
}

// drop forgets everything.
func (m *memory) drop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = nil
}

// change edits what is known, if anything is.
func (m *memory) change(f func(*state)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != nil {
		f(m.state)
	}
}

// has reports whether user is in the group.
func (m *memory) has(s *state, g *group, user xmpp.JID) bool {
	if _, ok := s.members[g.name][user]; ok {
		return true
	}
	if g.all {
		if _, ok := s.everybody[user]; ok {
			return true
		}
	}
	return g.online && user.Domain() == m.host.Domain && m.online(user)
}

func (m *memory) online(user xmpp.JID) bool {
	for _, x := range m.host.Sessions.User(user) {
		if _, ok := x.Priority(); ok {
			return true
		}
	}
	return false
}

// everyone calls f for all who are in the group.
func (m *memory) everyone(s *state, g *group, f func(xmpp.JID)) {
	for j := range s.members[g.name] {
		f(j)
	}
	if g.all {
		for j := range s.everybody {
			f(j)
		}
	}
	if g.online {
		for _, x := range m.host.Sessions.All() {
			if _, ok := x.Priority(); ok {
				f(x.JID.Bare())
			}
		}
	}
}

// shows calls f for the groups whose members user sees, until f returns false. One
// may come twice.
func (m *memory) shows(s *state, user xmpp.JID, f func(*group) bool) {
	each := func(g *group) bool {
		for _, name := range g.displayed {
			if d := s.groups[name]; d != nil && !f(d) {
				return false
			}
		}
		return true
	}
	for _, name := range s.of[user] {
		if g := s.groups[name]; g != nil && !each(g) {
			return
		}
	}
	if user.Domain() != m.host.Domain {
		return
	}
	for _, g := range s.special {
		if !each(g) {
			return
		}
	}
}

// labels is the groups in which user sees other, by what clients call them.
func (m *memory) labels(s *state, user, other xmpp.JID) (out []string) {
	if len(s.groups) == 0 || user == other {
		return nil
	}
	m.shows(s, user, func(g *group) bool {
		if m.has(s, g, other) && !slices.Contains(out, g.label) {
			out = append(out, g.label)
		}
		return true
	})
	return out
}

// sight is everybody whom user sees, with the labels.
func (m *memory) sight(s *state, user xmpp.JID) map[xmpp.JID][]string {
	out := map[xmpp.JID][]string{}
	m.shows(s, user, func(g *group) bool {
		m.everyone(s, g, func(j xmpp.JID) {
			if j != user && !slices.Contains(out[j], g.label) {
				out[j] = append(out[j], g.label)
			}
		})
		return true
	})
	return out
}
