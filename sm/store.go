package sm

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/gabberd/gabberd/xmpp"
)

// A Store remembers the sessions of one virtual host. Reading never waits; Add
// and Remove may wait for another machine, bounded by ctx.
type Store interface {
	// Add makes s known. Sessions with the same address may exist beside it.
	Add(ctx context.Context, s *Session) error
	// Remove forgets s, and no other session with its address.
	Remove(ctx context.Context, s *Session) error
	// User is the sessions of a user, in no order. The slice must not be changed.
	User(bare xmpp.JID) []*Session
	// All is every session, in no order.
	All() []*Session
	// Count is how many there are.
	Count() int
}

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
func (m *Memory) Add(_ context.Context, s *Session) error {
	bare := s.JID.Bare()
	sh := m.of(bare)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.users == nil {
		sh.users = map[xmpp.JID][]*Session{}
	}
	old := sh.users[bare]
	sh.users[bare] = append(old[:len(old):len(old)], s)
	m.count.Add(1)
	return nil
}

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

// User is the sessions of a user.
func (m *Memory) User(bare xmpp.JID) []*Session {
	sh := m.of(bare)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.users[bare]
}

// All is every session.
func (m *Memory) All() []*Session {
	out := make([]*Session, 0, m.Count())
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

// Count is how many sessions there are.
func (m *Memory) Count() int { return int(m.count.Load()) }
