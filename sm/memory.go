package sm

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/gabberd/gabberd/xmpp"
)

// shards keeps logins from waiting for each other.
const shards = 64

// Memory is the Store of a server that is alone.
type Memory struct {
	seed  maphash.Seed
	count atomic.Int64
	shard [shards]shard
}

type shard struct {
	mu    sync.RWMutex
	users map[xmpp.JID][]*Session // a slice is replaced, never changed
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{seed: maphash.MakeSeed()} }

func (m *Memory) of(bare xmpp.JID) *shard {
	return &m.shard[maphash.String(m.seed, bare.String())%shards]
}

// Add makes s known. It never fails.
func (m *Memory) Add(_ context.Context, s *Session) ([]*Session, error) {
	bare := s.JID.Bare()
	sh := m.of(bare)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.users == nil {
		sh.users = map[xmpp.JID][]*Session{}
	}
	old := sh.users[bare]
	all := append(old[:len(old):len(old)], s)
	sh.users[bare] = all
	m.count.Add(1)
	return all, nil
}

// Changed does nothing: everybody sees the session itself.
func (m *Memory) Changed(context.Context, *Session) {}

// Remove forgets s. It never fails.
func (m *Memory) Remove(_ context.Context, s *Session) error {
	bare := s.JID.Bare()
	sh := m.of(bare)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	var left []*Session
	for _, o := range sh.users[bare] {
		if o != s {
			left = append(left, o)
		}
	}
	if len(left) == len(sh.users[bare]) {
		return nil
	}
	m.count.Add(-1)
	if left == nil {
		delete(sh.users, bare)
		return nil
	}
	sh.users[bare] = left
	return nil
}

// User is the sessions of a user. It never fails.
func (m *Memory) User(bare xmpp.JID) ([]*Session, error) { return m.Local(bare), nil }

// Fresh is User.
func (m *Memory) Fresh(bare xmpp.JID) ([]*Session, error) { return m.Local(bare), nil }

// Local is the sessions of a user.
func (m *Memory) Local(bare xmpp.JID) []*Session {
	sh := m.of(bare)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.users[bare]
}

// All is every session. It never fails.
func (m *Memory) All() ([]*Session, error) { return m.Here(), nil }

// Here is every session.
func (m *Memory) Here() []*Session {
	out := make([]*Session, 0, m.count.Load())
	for i := range m.shard {
		sh := &m.shard[i]
		sh.mu.RLock()
		for _, l := range sh.users {
			out = append(out, l...)
		}
		sh.mu.RUnlock()
	}
	return out
}

// Count is how many sessions there are. It never fails.
func (m *Memory) Count() (int, error) { return int(m.count.Load()), nil }
