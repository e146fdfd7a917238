// Package sharedroster puts contacts into users' rosters that an operator has
// grouped: the members of a group see those of the groups that are displayed to it.
//
// All groups of a virtual host are kept in memory. store.go has them in the
// database, state.go in memory, push.go tells clients of changes.
package sharedroster

import (
	"context"
	"slices"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_shared_roster.
var Module = modules.Define("mod_shared_roster", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "mod_shared_roster_sql", Versions: schema},
	Doc:      "Groups of contacts that operators give to users.",
	Needs:    []string{"mod_roster"},
	Start:    start,
	Commands: (*shared)(nil).commands(),
})

type options struct{ modules.Backend }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) { o.Backend.Fields(f) }

// shared is the module on one virtual host.
type shared struct {
	host    *modules.Host
	store   store
	memory  *memory
	present *sm.Slot[struct{}] // sessions that are available, and known for it
}

// Priorities that ejabberd has.
const (
	beforeRoster = 30
	afterRoster  = 70
)

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_shared_roster_sql", schema...)
	if err != nil {
		return err
	}
	st := store{db}
	m := &shared{host: h, store: st, memory: newMemory(h, st, h.CacheOf(o.Backend)), present: sm.NewSlot[struct{}]("shared roster")}
	sm.MarkTravels(h, m.present)
	roster.Get.Add(h, afterRoster, m.items)
	sm.JIDInfo.Add(h, afterRoster, m.standing)
	sm.Subscriptions.Add(h, afterRoster, m.contacts)
	sm.InSubscribe.Add(h, beforeRoster, m.received)
	sm.OutSubscribe.Add(h, beforeRoster, m.sent)
	sm.Present.Add(h, hooks.Normal, m.arrived)
	sm.Unpresent.Add(h, hooks.Normal, m.left)
	roster.Changed.AddEverywhere(h, hooks.Late, m.edited)
	auth.Registered.Add(h, hooks.Normal, m.registered)
	auth.Removed.Add(h, hooks.Normal, m.removed)
	auth.Removed.AddEverywhere(h, hooks.Late, m.gone)
	Changed.AddEverywhere(h, hooks.Normal, m.changed)
	local.ClearCache.AddEverywhere(h, hooks.Normal, func(context.Context, *local.Host) { m.memory.drop() })
	h.OnStop(h.Parts.Groups.Provide(h.Domain, m.inGroup))
	h.Command(m.commands()...)
	return nil
}

// lost says that the groups cannot be read, where there is nobody to tell.
func (m *shared) lost(err error) {
	m.host.Log.Error("shared roster groups cannot be read", "error", err)
}

// inGroup answers access rules (shared_group).
func (m *shared) inGroup(user xmpp.JID, name string) bool {
	s, done, err := m.memory.read(m.host.Context())
	if err != nil {
		m.lost(err)
		return false
	}
	defer done()
	g := s.groups[name]
	return g != nil && m.memory.has(s, g, user)
}

// labels is the groups in which user sees other, nil if he does not.
func (m *shared) labels(ctx context.Context, user, other xmpp.JID) []string {
	s, done, err := m.memory.read(ctx)
	if err != nil {
		m.lost(err)
		return nil
	}
	defer done()
	return m.memory.labels(s, user, other)
}

// sees reports whether user sees other in a group.
func (m *shared) sees(ctx context.Context, user, other xmpp.JID) bool {
	return len(m.labels(ctx, user.Bare(), other.Bare())) > 0
}

// items adds the shared contacts to a roster: who is there already is there with
// both subscriptions, and in the groups too.
func (m *shared) items(ctx context.Context, acc roster.Contents, user xmpp.JID) (roster.Contents, hooks.Flow) {
	s, done, err := m.memory.read(ctx)
	if err != nil {
		acc.Err = err
		return acc, hooks.Stop
	}
	sight := m.memory.sight(s, user)
	done()
	if len(sight) == 0 {
		return acc, hooks.Next
	}
	acc.Items = slices.Clone(acc.Items)
	for i := range acc.Items {
		if labels, ok := sight[acc.Items[i].JID]; ok {
			acc.Items[i] = merged(acc.Items[i], labels)
			delete(sight, acc.Items[i].JID)
		}
	}
	own := len(acc.Items)
	for j, labels := range sight {
		acc.Items = append(acc.Items, merged(roster.Item{JID: j}, labels))
	}
	slices.SortFunc(acc.Items[own:], byAddress)
	return acc, hooks.Next
}

// merged is a contact as it is seen that is in shared groups.
func merged(it roster.Item, labels []string) roster.Item {
	it.State = roster.Both
	it.Groups = append(slices.Clone(it.Groups), labels...)
	slices.Sort(it.Groups)
	it.Groups = slices.Compact(it.Groups)
	return it
}

// standing answers how a user stands to somebody: both, if he sees him.
func (m *shared) standing(ctx context.Context, acc sm.Contact, p sm.Pair) (sm.Contact, hooks.Flow) {
	labels := m.labels(ctx, p.User.Bare(), p.Other.Bare())
	if len(labels) == 0 {
		return acc, hooks.Next
	}
	if len(acc.Groups) == 0 {
		acc.Groups = labels
	}
	acc.Subscription, acc.Ask = "both", ""
	return acc, hooks.Next
}

// contacts adds those who are seen to those who get presence.
func (m *shared) contacts(ctx context.Context, acc sm.Contacts, user xmpp.JID) (sm.Contacts, hooks.Flow) {
	s, done, err := m.memory.read(ctx)
	if err != nil {
		m.lost(err)
		return acc, hooks.Next
	}
	sight := m.memory.sight(s, user)
	done()
	if len(sight) == 0 {
		return acc, hooks.Next
	}
	return sm.Contacts{To: join(acc.To, sight), From: join(acc.From, sight)}, hooks.Next
}

func join(list []xmpp.JID, more map[xmpp.JID][]string) []xmpp.JID {
	there := make(map[xmpp.JID]bool, len(list))
	for _, j := range list {
		there[j] = true
	}
	out := slices.Clone(list)
	for j := range more {
		if !there[j] {
			out = append(out, j)
		}
	}
	return out
}

// received keeps subscription stanzas of those whom the user sees from his roster:
// there is nothing to be agreed on.
func (m *shared) received(ctx context.Context, ok bool, st *xmpp.Stanza) (bool, hooks.Flow) {
	if m.sees(ctx, st.To, st.From) {
		return false, hooks.Stop
	}
	return ok, hooks.Next
}

// sent does the same for what the user sends; it goes out.
func (m *shared) sent(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st != nil && m.sees(ctx, s.JID, st.To) {
		return st, hooks.Stop
	}
	return st, hooks.Next
}
