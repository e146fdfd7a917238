// Package privacy keeps users' privacy lists: who may send them what, and to whom
// they want nothing to be sent (XEP-0016). mod_blocking is another way to the same
// lists.
//
// A user has any number of named lists. One may be his default; a client may have
// another one active, for its own session. list.go has what a list says, check.go
// asks it, iq.go and change.go are how clients read and change lists.
package privacy

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "jabber:iq:privacy"

// maxCached bounds the lists that are kept in memory, in bytes.
const maxCached = 32 << 20

// Module is mod_privacy.
var Module = modules.Define("mod_privacy", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "mod_privacy_sql", Versions: schema},
	Doc:      "Privacy lists: who may send a user what, and who gets nothing of him.",
	XEPs:     []string{"0016"},
	Start:    start,
	Commands: (*privacy)(nil).commands(),
})

type options struct{ modules.Backend }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) { o.Backend.Fields(f) }

// privacy is the module on one virtual host.
type privacy struct {
	host    *modules.Host
	store   store
	cache   *modules.Cache[*rules]
	seed    maphash.Seed
	locks   [64]sync.Mutex // changes of one user's lists follow each other
	kept    *sm.Slot[*rules]
	keeps   bool          // in sessions of this node
	changes atomic.Uint64 // what was read before one is not kept in a session after it
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_privacy_sql", schema...)
	if err != nil {
		return err
	}
	use := h.CacheOf(o.Backend)
	m := &privacy{
		host: h, store: store{db}, cache: modules.NewCache(use, maxCached, (*rules).weight), seed: maphash.MakeSeed(),
		kept: sm.NewSlot[*rules]("privacy lists"), keeps: use.Use && use.Missed,
	}
	h.UserIQ(ns, m.answer)
	h.Feature(ns)
	sm.Privacy.Add(h, hooks.Normal, m.check)
	Blocked.Add(h, hooks.Normal, m.blocked)
	Block.Add(h, hooks.Normal, m.block)
	Changed.AddEverywhere(h, hooks.First, m.changed)
	auth.Removed.Add(h, hooks.Normal, m.removed)
	auth.Removed.AddEverywhere(h, hooks.Late, func(_ context.Context, user xmpp.JID) { m.forget(user) })
	local.ClearCache.AddEverywhere(h, hooks.Normal, m.clear)
	h.Command(m.commands()...)
	return nil
}

// of is the lists of user, from memory if possible: those of a client that is
// connected to this node are kept with its session. s may be nil.
func (m *privacy) of(ctx context.Context, user xmpp.JID, s *sm.Session) (*rules, error) {
	keeps := s != nil && m.keeps && !s.Remote()
	if keeps {
		if r, ok := m.kept.Get(s); ok {
			return r, nil
		}
	}
	changes := m.changes.Load()
	r, err := m.cache.Get(user, func() (*rules, error) {
		r, err := m.store.rules(ctx, user)
		if err == nil && r == nil {
			err = storage.ErrNotFound
		}
		return r, err
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	if keeps {
		m.kept.Set(s, r)
		if m.changes.Load() != changes {
			m.kept.Delete(s)
		}
	}
	return r, nil
}

// forget is called when the lists of user have changed, or may have.
func (m *privacy) forget(user xmpp.JID) {
	m.changes.Add(1)
	m.cache.Forget(user)
	for _, s := range m.host.Sessions.Local(user) {
		m.kept.Delete(s)
	}
}

func (m *privacy) clear(context.Context, *local.Host) {
	m.changes.Add(1)
	m.cache.Clear()
	for _, s := range m.host.Sessions.Here() {
		m.kept.Delete(s)
	}
}

// removed forgets a user who is no more.
func (m *privacy) removed(ctx context.Context, user xmpp.JID) {
	l := m.lock(user)
	l.Lock()
	defer l.Unlock()
	if err := m.store.remove(ctx, user); err != nil {
		m.host.Log.Error("privacy lists of a removed user are still there", "user", user.String(), "error", err)
	}
}

func (m *privacy) lock(user xmpp.JID) *sync.Mutex {
	return &m.locks[maphash.String(m.seed, user.String())%uint64(len(m.locks))]
}

// commands are what an operator can do about lists.
func (m *privacy) commands() []admin.Command {
	return []admin.Command{
		admin.New("privacy_set", "Send an IQ set about privacy lists on behalf of a user.", m.set).Tags("stanza").
			Example("", "user1", "myserver.com", "<query xmlns='jabber:iq:privacy'>..."),
	}
}
