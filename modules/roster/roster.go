// Package roster keeps users' contact lists, and decides with them who may see
// whose presence (RFC 6121 §2 and §3). It answers clients that read and change
// their roster, runs the state machine of presence subscriptions, and tells the
// rest of the server how a user stands to somebody.
package roster

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_roster.
var Module = modules.Define("mod_roster", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "mod_roster_sql", Versions: schema},
	Doc:      "Contact lists and presence subscriptions: who is in a user's roster and who sees whose presence.",
	XEPs:     []string{"0237"},
	Start:    start,
	Commands: (*roster)(nil).commands(),
})

type options struct {
	modules.Backend
	Access         acl.Access
	Versioning     bool
	StoreCurrentID bool
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access", "all", "Who may change their roster and ask for subscriptions. Others keep the roster they have.")
	f.Bool(&o.Versioning, "versioning", false, "Let clients that still have the roster be told only what has changed (RFC 6121 §2.6).")
	f.Bool(&o.StoreCurrentID, "store_current_id", false, "Keep the roster's version in the database instead of computing it from the roster each time. Not for hosts with shared rosters, whose changes it does not see.")
	o.Backend.Fields(f)
}

// roster is the module on one virtual host.
type roster struct {
	options
	host       *modules.Host
	store      store
	cache      *cache
	none       *lists          // the roster of everybody who has no contacts
	ctx        context.Context // ends when the module begins to stop
	news       news
	locks      locks
	interested *sm.Slot[struct{}] // sessions that have asked for the roster (RFC 6121 §2.2)
	asked      *sm.Slot[struct{}] // available sessions that were shown waiting requests
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_roster_sql", schema...)
	if err != nil {
		return err
	}
	m := &roster{
		options: o, host: h, store: store{db, o.StoreCurrentID}, cache: newCache(h.CacheOf(o.Backend)), none: newLists(nil),
		locks:      locks{seed: maphash.MakeSeed()},
		interested: sm.NewSlot[struct{}]("roster interested"), asked: sm.NewSlot[struct{}]("roster requests shown"),
	}
	sm.MarkTravels(h, m.interested)
	sm.MarkTravels(h, m.asked)
	h.UserIQ(ns, m.answer)
	h.UserFeature(ns)
	sm.PostAuth.Add(h, hooks.Normal, m.features)
	sm.Present.Add(h, hooks.Normal, m.showRequests)
	sm.Unpresent.Add(h, hooks.Normal, m.gone)
	sm.OutSubscribe.Add(h, hooks.Normal, m.sent)
	sm.InSubscribe.Add(h, hooks.Normal, m.received)
	sm.Subscriptions.Add(h, hooks.Normal, m.contacts)
	sm.JIDInfo.Add(h, hooks.Normal, m.standing)
	Get.Add(h, hooks.Normal, m.stored)
	Waiting.Add(h, hooks.Normal, m.waiting)
	Own.Add(h, hooks.Normal, m.own)
	Push.Add(h, hooks.Normal, m.show)
	Befriend.Add(h, hooks.Normal, m.befriend)
	auth.Removed.Add(h, hooks.Normal, m.removeUser)
	m.listen()
	h.Command(m.commands()...)
	return nil
}

// locks makes changes of one roster follow each other, so that clients hear of
// them in the order in which they were stored.
type locks struct {
	seed maphash.Seed
	mu   [64]sync.Mutex
}

func (l *locks) of(user xmpp.JID) *sync.Mutex {
	return &l.mu[maphash.String(l.seed, user.String())%uint64(len(l.mu))]
}

// features offers versions and pre-approval (RFC 6121 §2.6.1, §3.4.1).
func (m *roster) features(_ context.Context, offered []*xmpp.Element, _ *sm.Stream) ([]*xmpp.Element, hooks.Flow) {
	if m.Versioning {
		offered = append(offered, xmpp.El("urn:xmpp:features:rosterver", "ver"))
	}
	return append(offered, xmpp.El("urn:xmpp:features:pre-approval", "sub")), hooks.Next
}

// lists is user's roster, from memory if possible.
func (m *roster) lists(ctx context.Context, user xmpp.JID) (*lists, error) {
	return m.cache.get(user, func() (*lists, error) {
		items, err := m.store.items(ctx, user)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return m.none, nil
		}
		return newLists(items), nil
	})
}

// contacts answers sm: who sees whom.
func (m *roster) contacts(ctx context.Context, acc sm.Contacts, user xmpp.JID) (sm.Contacts, hooks.Flow) {
	l, err := m.lists(ctx, user)
	switch {
	case err != nil:
		m.host.Log.Error("presence goes to nobody: the roster cannot be read", "user", user.String(), "error", err)
	case acc.To == nil && acc.From == nil:
		return l.Contacts, hooks.Next
	default:
		acc.To, acc.From = append(acc.To, l.To...), append(acc.From, l.From...)
	}
	return acc, hooks.Next
}

// standing answers sm: how a user stands to somebody. Contacts are looked for
// with their resource first, then without.
func (m *roster) standing(ctx context.Context, acc sm.Contact, p sm.Pair) (sm.Contact, hooks.Flow) {
	l, err := m.lists(ctx, p.User)
	if err != nil {
		m.host.Log.Error("a stranger is whom the roster would tell: it cannot be read", "user", p.User.String(), "error", err)
		return acc, hooks.Next
	}
	c, ok := l.of[p.Other]
	if !ok {
		c, ok = l.of[p.Other.Bare()]
	}
	if ok {
		return c, hooks.Next
	}
	return acc, hooks.Next
}

// stored adds what the user himself has put into his roster.
func (m *roster) stored(ctx context.Context, acc Contents, user xmpp.JID) (Contents, hooks.Flow) {
	l, err := m.lists(ctx, user)
	switch {
	case err != nil:
		acc.Err = err
		return acc, hooks.Stop
	case len(acc.Items) == 0:
		acc.Items, acc.stored = l.items, l
	default:
		acc.Items = append(acc.Items, l.items...)
	}
	return acc, hooks.Next
}

// own is what the user himself has put into his roster of somebody.
func (m *roster) own(ctx context.Context, acc *Item, p sm.Pair) (*Item, hooks.Flow) {
	l, err := m.lists(ctx, p.User)
	if err != nil {
		m.host.Log.Error("a contact is not known: the roster cannot be read", "user", p.User.String(), "error", err)
		return acc, hooks.Next
	}
	if _, ok := l.of[p.Other]; !ok {
		return acc, hooks.Next
	}
	for i := range l.items {
		if l.items[i].JID == p.Other {
			return &l.items[i], hooks.Next
		}
	}
	return acc, hooks.Next
}

// show tells clients what another module has made of a contact.
func (m *roster) show(ctx context.Context, s Sight) {
	push(ctx, m.listeners(s.User), Change{User: s.User, Contact: s.Contact}, s.Item)
}

// removeUser takes leave of everybody on behalf of a user who is no more.
func (m *roster) removeUser(ctx context.Context, user xmpp.JID) {
	l := m.locks.of(user)
	l.Lock()
	items, err := m.store.items(ctx, user)
	if err == nil {
		err = m.store.remove(ctx, user)
	}
	m.cache.forget(user)
	l.Unlock()
	if err != nil {
		m.host.Log.Error("the roster of a removed user is still there", "user", user.String(), "error", err)
		return
	}
	for i := range items {
		m.part(ctx, user, &items[i])
	}
}
