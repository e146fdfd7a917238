package announce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// schema is ejabberd's. The row without a name has the message; the others are
// those who have seen it.
var schema = storage.Version{storage.Table{
	Name:    "motd",
	Columns: "username text, server_host text, xml text null, created_at timestamp default",
	Indexes: "unique(server_host, username)",
}}

type store struct{ *storage.DB }

// message returns the message of the day, or storage.ErrNotFound.
func (s store) message(ctx context.Context) (*xmpp.Stanza, error) {
	var xml *string
	if err := s.Get(ctx, []any{&xml}, `SELECT xml FROM motd WHERE {host} AND username = ?`, ""); err != nil {
		return nil, fmt.Errorf("read message of the day: %w", err)
	}
	if xml == nil || *xml == "" {
		return nil, storage.ErrNotFound
	}
	st, err := xmpp.ParseXML([]byte(*xml))
	if err != nil {
		return nil, fmt.Errorf("read message of the day: %w", err)
	}
	return st, nil
}

// set replaces the message, which nobody has seen then. Nil removes it.
func (s store) set(ctx context.Context, st *xmpp.Stanza) error {
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM motd WHERE {host}`); err != nil || st == nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO motd ({server_host,} username, xml) VALUES ({?host,} ?, ?)`, "", st.XML())
		return err
	})
	if err != nil {
		return fmt.Errorf("write message of the day: %w", err)
	}
	return nil
}

// see notes that a user has seen the message. It reports whether that is new.
func (s store) see(ctx context.Context, user xmpp.JID) (bool, error) {
	var there int64
	err := s.Get(ctx, []any{&there}, `SELECT 1 FROM motd WHERE {host} AND username = ?`, user.Local())
	if err == nil {
		return false, nil
	}
	if errors.Is(err, storage.ErrNotFound) {
		var n int64
		n, err = s.Exec(ctx, `INSERT INTO motd ({server_host,} username, xml) VALUES ({?host,} ?, ?) ON CONFLICT ({server_host,} username) DO NOTHING`, user.Local(), "")
		if err == nil {
			return n == 1, nil
		}
	}
	return false, fmt.Errorf("note who has seen the message of the day: %w", err)
}

// A motd is the message of the day and who has seen it. The message itself is
// kept in memory, since every login asks for it.
type motd struct {
	store store
	cache local.Cache

	change sync.Mutex // one change at a time
	mu     sync.Mutex
	now    *xmpp.Stanza // nil: there is none
	seen   map[xmpp.JID]time.Time
}

func openMOTD(ctx context.Context, s store, c local.Cache) (*motd, error) {
	m := &motd{store: s, cache: c, seen: map[xmpp.JID]time.Time{}}
	st, err := s.message(ctx)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	m.now = st
	return m, nil
}

// message is the message of the day, nil if there is none.
func (m *motd) message() *xmpp.Stanza {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// reload reads the message anew. Who has seen it may have seen another one.
func (m *motd) reload(ctx context.Context) error {
	m.change.Lock()
	defer m.change.Unlock()
	st, err := m.store.message(ctx)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.seen = st, map[xmpp.JID]time.Time{}
	return nil
}

// set replaces the message of the day. Nil removes it.
func (m *motd) set(ctx context.Context, st *xmpp.Stanza) error {
	m.change.Lock()
	defer m.change.Unlock()
	if err := m.store.set(ctx, st); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.seen = st, map[xmpp.JID]time.Time{}
	return nil
}

// show returns the message of the day if the user has not seen it, and notes
// that he has now. It waits for the database.
func (m *motd) show(ctx context.Context, user xmpp.JID) (*xmpp.Stanza, error) {
	m.change.Lock()
	defer m.change.Unlock()
	st := m.message()
	if st == nil || m.knows(user) {
		return nil, nil
	}
	fresh, err := m.store.see(ctx, user)
	if err != nil {
		return nil, err
	}
	m.remember(user)
	if !fresh {
		return nil, nil
	}
	// What was seen is the message that is stored now: another node may have
	// changed it a moment ago.
	if st, err = m.store.message(ctx); errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return st, err
}

// knows reports whether the cache has the user among those who have seen it.
func (m *motd) knows(user xmpp.JID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.seen[user]
	return ok && (m.cache.LifeTime == 0 || time.Since(at) < m.cache.LifeTime)
}

// remember puts the user into the cache; a full one is begun anew.
func (m *motd) remember(user xmpp.JID) {
	if !m.cache.Use {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen) >= m.cache.Size {
		m.seen = map[xmpp.JID]time.Time{}
	}
	m.seen[user.Clone()] = time.Now()
}
