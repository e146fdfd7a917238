// Package sm knows who is connected and decides which of a user's devices gets
// what. There is one Sessions for each virtual host.
package sm

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Conflict is what happens when a client binds a resource that is taken.
type Conflict string

// The ways of option resource_conflict.
const (
	AcceptNew   Conflict = "acceptnew"   // the old session is replaced
	CloseOld    Conflict = "closeold"    // the same, as in ejabberd
	CloseNew    Conflict = "closenew"    // the bind fails
	SetResource Conflict = "setresource" // the new one gets another resource
)

// Accounts is what routing must know of users: whether there is one.
type Accounts interface {
	Exists(ctx context.Context, user xmpp.JID) (bool, error)
}

// Settings is what a virtual host makes of its sessions. It is asked each time,
// so that a reload takes effect.
type Settings interface {
	// MaxSessions is how many sessions the user may have, 0 for no limit.
	MaxSessions(user xmpp.JID) int
	// Conflict is what happens when a resource is taken.
	Conflict() Conflict
	// ReplacedTimeout is how long an opener waits for those it replaced.
	ReplacedTimeout() time.Duration
}

// Sessions is the sessions of one virtual host. Its methods may be called by
// anyone, at any time; those that take a context run hooks on the caller's
// goroutine.
type Sessions struct {
	Domain     string
	UserIQ     router.IQTable // requests to a bare address of a user
	node       string
	parked     parked
	resumption resumption
	moves      moves
	copiers    atomic.Int64 // sessions on this node that want copies
	hooks      *hooks.Table
	router     *router.Router
	store      Store
	accounts   Accounts
	settings   Settings
	log        *slog.Logger
}

// Parts is what Sessions works with.
type Parts struct {
	Node     string // the name of this node, empty on a server that is alone
	Hooks    *hooks.Table
	Router   *router.Router
	Store    Store
	Accounts Accounts
	Settings Settings
	Log      *slog.Logger
}

// New returns the sessions of domain: none yet.
func New(domain string, p Parts) *Sessions {
	return &Sessions{Domain: domain, node: p.Node, hooks: p.Hooks, router: p.Router, store: p.Store,
		accounts: p.Accounts, settings: p.Settings, log: p.Log}
}

// Node is the name of this node, empty on a server that is alone.
func (ss *Sessions) Node() string { return ss.node }

// Open makes s known, so that it is routed to. Older sessions with the same
// address are replaced, on whichever node: their streams end with conflict, and
// Open waits a bounded time for that. Should a newer one exist already, s ends. If
// the user has too many sessions the oldest ends.
func (ss *Sessions) Open(ctx context.Context, s *Session) error {
	s.ID.Node = ss.node
	all, err := ss.store.Add(ctx, s)
	if err != nil {
		return err
	}
	ss.wait(ctx, ss.Settle(s, all))
	ss.enforceLimit(s, all)
	Opened.Run(ctx, ss.hooks, s)
	return nil
}

// Settle ends all sessions with the address of s but the newest, and returns those
// that it ended besides s. all is the sessions of the user.
func (ss *Sessions) Settle(s *Session, all []*Session) (ended []*Session) {
	newest := s
	for _, o := range all {
		if o.JID == s.JID && o.ID.After(newest.ID) {
			newest = o
		}
	}
	for _, o := range all {
		if o.JID != s.JID || o.ID == newest.ID {
			continue
		}
		o.Close(stream.Conflict.With("Replaced by new connection"))
		if o.ID != s.ID {
			ended = append(ended, o)
		}
	}
	return ended
}

// wait gives sessions that were replaced a bounded time to end.
func (ss *Sessions) wait(ctx context.Context, ended []*Session) {
	wait := ss.settings.ReplacedTimeout()
	if len(ended) == 0 || wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	for _, o := range ended {
		select {
		case <-o.Done():
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (ss *Sessions) enforceLimit(s *Session, all []*Session) {
	limit := ss.settings.MaxSessions(s.JID.Bare())
	if limit <= 0 || len(all) <= limit {
		return
	}
	oldest := all[0]
	for _, o := range all {
		if oldest.ID.After(o.ID) {
			oldest = o
		}
	}
	oldest.Close(stream.Conflict.With("Replaced by new connection"))
}

// Taken reports whether somebody has bound the full address j.
func (ss *Sessions) Taken(j xmpp.JID) bool { return ss.Find(j) != nil }

// CloseSession forgets s: who knew that it was available hears that it is not
// any more, with status as the reason. It is called once, by the connection.
func (ss *Sessions) CloseSession(ctx context.Context, s *Session, status string) {
	if ss.remove(ctx, s) {
		Closed.Run(ctx, ss.hooks, s)
		ss.leave(ctx, s, status)
	}
}

// remove takes s out of the store, and reports whether nobody has done that before.
func (ss *Sessions) remove(ctx context.Context, s *Session) bool {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return false
	}
	if s.Copied() {
		ss.countCopied(false)
	}
	if err := ss.store.Remove(ctx, s); err != nil {
		ss.log.Error("session could not be removed from the store", "jid", s.JID.String(), "error", err)
	}
	return true
}

// SetActiveList makes the privacy list called name that of s, a session of this
// node, in the place of the user's default list, to which an empty name goes back.
// It returns when the other nodes can know of it.
func (ss *Sessions) SetActiveList(ctx context.Context, s *Session, name string) {
	s.rules.Store(&name)
	ss.store.Changed(ctx, s)
}

// Conflict is what happens when a client binds a resource that is taken.
func (ss *Sessions) Conflict() Conflict { return ss.settings.Conflict() }

// Find is the newest session with the full address j, nil if there is none. One
// on this node is found before those on others.
func (ss *Sessions) Find(j xmpp.JID) *Session {
	if s := newest(ss.store.Local(j.Bare()), j); s != nil {
		return s
	}
	return newest(ss.User(j.Bare()), j)
}

func newest(all []*Session, j xmpp.JID) *Session {
	var found *Session
	for _, s := range all {
		if s.JID == j && (found == nil || s.ID.After(found.ID)) {
			found = s
		}
	}
	return found
}

// User is the sessions of a user on all nodes as far as they are known of, in no
// order; where two have one address, the one that gets what is sent there. The slice
// must not be changed. It may ask another machine, for a bounded time.
func (ss *Sessions) User(bare xmpp.JID) []*Session {
	all, err := ss.store.User(bare)
	if err != nil {
		all = ss.store.Local(bare) // whoever is concerned has said so
	}
	return current(all)
}

// Fresh is User, asked anew where a cache would have answered. The error wraps
// ErrAway.
func (ss *Sessions) Fresh(bare xmpp.JID) ([]*Session, error) { return ss.store.Fresh(bare) }

// UserNow is User, asked anew, for who must not overlook a session that has just come to
// another node: he ends them all. While that cannot be told it is those known of.
func (ss *Sessions) UserNow(bare xmpp.JID) []*Session {
	all, err := ss.store.Fresh(bare)
	if err != nil {
		return ss.User(bare)
	}
	return all
}

// Local is the sessions of a user on this node, in no order. The slice must not be
// changed.
func (ss *Sessions) Local(bare xmpp.JID) []*Session { return ss.store.Local(bare) }

// Available is the sessions of a user that have sent presence, in order of
// address.
func (ss *Sessions) Available(bare xmpp.JID) []*Session {
	var out []*Session
	for _, s := range ss.User(bare) {
		if _, ok := s.Priority(); ok {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *Session) int { return strings.Compare(a.JID.String(), b.JID.String()) })
	return out
}

// Here is every session of the virtual host on this node, in no order.
func (ss *Sessions) Here() []*Session { return ss.store.Here() }

// All is every session of the virtual host on all nodes, as far as they are known
// of, in no order. It may ask another machine, for a bounded time.
func (ss *Sessions) All() []*Session {
	all, err := ss.store.All()
	if err != nil {
		return ss.store.Here()
	}
	return all
}

// Count is how many sessions there are on all nodes, as far as they are known of.
func (ss *Sessions) Count() int {
	n, err := ss.store.Count()
	if err != nil {
		return len(ss.store.Here())
	}
	return n
}

// Hooks is the table in which the hooks of these sessions run.
func (ss *Sessions) Hooks() *hooks.Table { return ss.hooks }
