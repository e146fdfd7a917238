// Package offline keeps messages for users who are not there, and hands them
// over when they come (XEP-0160). Clients that would rather choose can look at
// what waits for them message by message (XEP-0013).
package offline

import (
	"context"
	"errors"
	"hash/maphash"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_offline.
var Module = modules.Define("mod_offline", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "mod_offline_sql", Versions: schema},
	Also:     []modules.Tables{{Keeper: storage.JobsKeeper, Versions: storage.Jobs}},
	Doc:      "Keeps messages for users who are not there until they come back.",
	XEPs:     []string{"0013", "0022", "0023", "0160", "0203", "0334"},
	Start:    start,
	Commands: (*offline)(nil).commands(),
})

type options struct {
	modules.Backend
	Max              acl.Limit
	StoreEmptyBody   string
	StoreGroupchat   bool
	BounceGroupchat  bool
	UseMAMForStorage bool
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.LimitField(f, &o.Max, "access_max_user_messages", "max_user_offline_messages", "How many messages may wait for a user: a shaper rule that gives a number. Without such a rule there is no limit.")
	f.Enum(&o.StoreEmptyBody, "store_empty_body", "unless_chat_state", "Whether messages without a text are kept: always, never, or unless all they say is that somebody is typing.", "unless_chat_state", "true", "false")
	f.Bool(&o.UseMAMForStorage, "use_mam_for_storage", false, "Keep messages that are archived in the archive alone, and of them no more here than where they are.")
	f.Bool(&o.BounceGroupchat, "bounce_groupchat", false, "Tell a room that its message could not be kept.")
	f.Bool(&o.StoreGroupchat, "store_groupchat", false, "Also keep messages of type groupchat.")
	o.Backend.Fields(f)
}

// offline is the module on one virtual host.
type offline struct {
	options
	host   *modules.Host
	ctx    context.Context // ends when the module begins to stop
	store  store
	counts *counts
	locks  locks
	later  modules.Later
	due    due
	flying flying
	handed handed
	sought sought
	states *sm.Slot[*state]
	mu     sync.Mutex // for making states
	purge  modules.Purge
	stored [shards]atomic.Int64 // how many messages have been stored for users of a lock
}

// state is what the module knows of a session.
type state struct {
	chooses atomic.Bool  // the client looks for itself (XEP-0013): nothing is pushed
	served  atomic.Bool  // the client was given what waited when it came
	feeding atomic.Bool  // it is being sent more than fits at once
	empty   atomic.Int64 // 1 more than stored was when nothing waited
}

// pack is what of it counts on another node.
func (x *state) pack() (text string) {
	if x.chooses.Load() {
		text += "chooses "
	}
	if x.served.Load() {
		text += "served "
	}
	return text
}

func unpackState(text string) *state {
	x := new(state)
	for _, word := range strings.Fields(text) {
		switch word {
		case "chooses":
			x.chooses.Store(true)
		case "served":
			x.served.Store(true)
		}
	}
	return x
}

// state is that of s.
func (m *offline) state(s *sm.Session) *state {
	m.mu.Lock()
	defer m.mu.Unlock()
	x, ok := m.states.Get(s)
	if !ok {
		x = new(state)
		m.states.Set(s, x)
	}
	return x
}

// shards is how many locks there are.
const shards = 64

// locks keep two sessions of a user from being given the same message.
type locks struct {
	seed maphash.Seed
	mu   [shards]sync.Mutex
}

func (l *locks) of(user xmpp.JID) *sync.Mutex { return &l.mu[l.shard(user)] }

func (l *locks) shard(user xmpp.JID) uint64 { return maphash.String(l.seed, user.String()) % shards }

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_offline_sql", schema...)
	if err != nil {
		return err
	}
	if err := db.Migrate(h.Context(), storage.JobsKeeper, storage.Jobs...); err != nil {
		return err
	}
	sm.KeepMessages(h.Context(), h, db)
	m := &offline{
		options: o, host: h, store: store{db}, counts: newCounts(h.CacheOf(o.Backend)),
		locks: locks{seed: maphash.MakeSeed()}, states: sm.NewSlot[*state]("offline messages"),
	}
	ctx, cancel := context.WithCancel(h.Context())
	m.ctx = ctx
	h.OnStop(func() {
		cancel()
		m.later.Close()
		m.flying.close(context.WithoutCancel(ctx))
	})
	m.flying.apart = func(r release) bool {
		return m.later.Apart(func() { r(context.WithoutCancel(ctx), nil) })
	}
	m.states.Travels(h, (*state).pack, unpackState)
	sm.Offline.Add(h, hooks.Normal, m.homeless)
	sm.BounceUser.Add(h, hooks.Normal, m.bounced)
	sm.Receive.Add(h, hooks.Last, m.behind)
	sm.SelfPresent.Add(h, hooks.Last, m.before)
	sm.Present.Add(h, hooks.Normal, m.came)
	sm.Unpresent.Add(h, hooks.Normal, m.left)
	sm.InlineBind.Add(h, hooks.Normal, m.bound)
	auth.Removed.Add(h, hooks.Normal, m.removeUser)
	if o.UseMAMForStorage && !h.Loaded("mod_mam") {
		h.Log.Warn("use_mam_for_storage has no effect: mod_mam is not enabled")
	}
	m.listen()
	m.offerChoice()
	h.Command(m.commands()...)
	return nil
}

// homeless keeps a message that has found nobody at home.
func (m *offline) homeless(ctx context.Context, fate sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
	if !m.wants(st) {
		return fate, hooks.Next
	}
	if e := m.keep(ctx, st, m.fromArchive(fate)); e != nil {
		m.refuse(ctx, st, e)
		return sm.Pass, hooks.Stop
	}
	return sm.Stored, hooks.Next
}

// bounced keeps messages of rooms, if the operator wants that: they do not pass
// by Offline.
func (m *offline) bounced(ctx context.Context, fate sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
	if fate != sm.Bounce || st.Kind != xmpp.Message || st.Type != "groupchat" || !st.To.IsBare() || !m.wants(st) {
		return fate, hooks.Next
	}
	ok, err := m.host.Auth.Exists(ctx, st.To)
	if err != nil || !ok || !m.host.Sessions.Allowed(ctx, st.To, st, sm.In) {
		return fate, hooks.Next
	}
	return m.homeless(ctx, fate, st)
}

// keep queues the message for the database and does not wait for it: of one that is
// archived, where it is. The error is for the sender.
func (m *offline) keep(ctx context.Context, st *xmpp.Stanza, archived bool) *xmpp.Error {
	if !m.later.Reserve() { // for telling the sender, should it not be stored
		return xmpp.ResourceConstraint.WithText("The server cannot store messages at the moment")
	}
	e := m.queue(ctx, st, archived)
	if e != nil {
		m.later.Free()
	}
	return e
}

// queue is keep with a place for what may have to be done later.
func (m *offline) queue(ctx context.Context, st *xmpp.Stanza, archived bool) *xmpp.Error {
	user := st.To.Bare()
	if e := m.reserve(ctx, user, archived); e != nil {
		return e
	}
	var row *xmpp.Stanza
	if at := place(st, user); archived && at != 0 {
		st = st.WithStamp(at)
		row = reference(st, user, m.host.JID, at)
	} else {
		archived, st = false, m.host.Sessions.Stamped(st)
		row = stamped(st, m.host.JID, time.Now())
	}
	var jobs []storage.Job
	if sm.Storing.Heard(m.host.Hooks()) {
		jobs = sm.Storing.Run(ctx, m.host.Hooks(), nil, sm.Storage{Table: "spool", User: user, Peer: st.From, Direction: sm.In, Stanza: st})
	}
	ticket, err := m.store.add(user, row, jobs...)
	if err != nil {
		m.counts.settled(user, err)
		if !errors.Is(err, storage.ErrFull) {
			m.host.Log.Error("a message cannot be queued", "user", user.String(), "error", err)
		}
		return xmpp.ResourceConstraint.WithText("The server cannot store messages at the moment")
	}
	if m.store.Busy() {
		sm.BurstOf(ctx).Pause(ticket.Done())
	}
	// The sender's client is told that the message is handled when it is on the
	// disk, or when it was told that it is not.
	receipt := sm.ReceiptOf(ctx)
	receipt.Hold()
	// Then is called where nothing may block.
	m.flying.add(user, ticket)
	if archived {
		m.written(ctx, st, ticket, func(err, absent error) { m.settled(st, receipt, err, absent) })
	} else {
		ticket.Then(func(err error) { m.settled(st, receipt, err, nil) })
	}
	return nil
}

// reserve takes one of the places that user has for messages. Messages that are
// archived are not refused.
func (m *offline) reserve(ctx context.Context, user xmpp.JID, archived bool) *xmpp.Error {
	limit, infinite := m.Max.Number(m.host.Rules, local.Subject(user))
	if infinite || limit <= 0 {
		return nil
	}
	if archived {
		m.counts.take(user)
		return nil
	}
	ok, err := m.counts.reserve(ctx, user, limit, m.store.count)
	if err != nil {
		m.host.Log.Error("waiting messages cannot be counted", "user", user.String(), "error", err)
		return xmpp.ResourceConstraint.WithText("The server cannot store messages at the moment")
	}
	if !ok {
		return xmpp.ResourceConstraint.WithText("Your contact offline message queue is full. The message has been discarded.")
	}
	return nil
}

// settled is called when it is known whether the message is on the disk: err is about
// what was stored here, absent about what was to be in the archive.
func (m *offline) settled(st *xmpp.Stanza, receipt *sm.Receipt, err, absent error) {
	user := st.To.Bare()
	m.counts.settled(user, err)
	switch {
	case err != nil:
		m.host.Log.Error("a message was not stored", "user", user.String(), "error", err)
		m.later.Use(func() {
			m.refuse(context.WithoutCancel(m.ctx), st, xmpp.ResourceConstraint.WithText("The server could not store the message"))
			receipt.Release()
			m.flying.landed(user, false)
		})
		return
	case absent != nil:
		m.later.Use(func() {
			m.whole(st, receipt)
			m.flying.landed(user, false)
		})
		return
	}
	m.later.Free()
	receipt.Secure()
	m.stored[m.locks.shard(user)].Add(1)
	m.flying.landed(user, true)
	// The user may have come, and been given what there was, in the meantime.
	if !m.serveHere(user) && !m.seek(user) {
		m.flying.dealt(user, m.flying.down(user))
	}
}

// refuse tells the sender that his message is lost, and rooms only if the
// operator wants that.
func (m *offline) refuse(ctx context.Context, st *xmpp.Stanza, e *xmpp.Error) {
	if st.Type != "groupchat" && inRoom(st) == nil || m.BounceGroupchat {
		m.host.Router.Bounce(ctx, st, e)
	}
}

// removeUser forgets what waits for a user who is no more.
func (m *offline) removeUser(ctx context.Context, user xmpp.JID) {
	_, err := m.store.clear(ctx, user)
	m.counts.changed(user)
	if err != nil {
		m.host.Log.Error("messages for a removed user are still there", "user", user.String(), "error", err)
	}
}

// offerChoice adds what XEP-0013 needs.
func (m *offline) offerChoice() {
	h := m.host
	h.Feature(nsOffline)
	h.Feature("msgoffline")
	h.UserFeature(nsOffline)
	h.UserFeature("msgoffline")
	h.UserIQ(nsOffline, m.answer)
	disco.SMIdentity.Add(h, hooks.Normal, m.identity)
	disco.SMFeatures.Add(h, hooks.Normal, m.features)
	disco.SMItems.Add(h, hooks.Normal, m.headers)
	disco.Forms.Add(h, hooks.Normal, m.number)
}

// priority is the priority in a presence, which sm has checked.
func priority(st *xmpp.Stanza) int {
	p, err := strconv.Atoi(strings.Trim(st.Child(xmpp.NSClient, "priority").Text(), " \t\r\n"))
	if err != nil {
		return 0
	}
	return p
}
