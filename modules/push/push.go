// Package push tells the app servers of a user's clients that something has come
// for a client which is not there, so that they wake it (XEP-0357).
//
// Handlers, which run on the goroutine of who has sent the message, only note that
// there is something to tell. One goroutine finds out whom to tell what, and each
// app server's node has another one while it owes an answer: what comes meanwhile
// for the same node waits, the latest alone. So a service that answers slowly, or
// never, costs a bounded amount and holds up nobody else.
//
// What was decided about the last messages for each user is kept in memory, for
// operators who are asked why a phone stayed silent (explain.go). It is that of this
// node, as is the count of messages that a notification tells.
package push

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:xmpp:push:0"

// storedTime is behind those who store messages.
const storedTime hooks.Priority = 55

// Module is mod_push.
var Module = modules.Define("mod_push", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "mod_push_sql", Versions: schema},
	Doc:      "Tells a client's push service about new messages.",
	XEPs:     []string{"0357"},
	Commands: (*push)(nil).commands(),
	Start:    start,
})

type options struct {
	modules.Backend
	NotifyOn      string
	IncludeSender bool
	IncludeBody   string
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Enum(&o.NotifyOn, "notify_on", "all", "What is told: messages with a text, or all that comes for a client.", "messages", "all")
	f.Bool(&o.IncludeSender, "include_sender", false, "Tell the address of who has sent the message.")
	f.String(&o.IncludeBody, "include_body", "New message", "Tell the text of the message (true), nothing of it (false), or this text in its place.")
	o.Backend.Fields(f)
}

// push is the module on one virtual host.
type push struct {
	options
	host  *modules.Host
	store store
	cache *modules.Cache[[]target] // by user; never changed
	cfg   local.Cache
	books *books
	queue chan note

	wakes  chan *notification    // whom a round wakes
	waking chan struct{}         // holds something for each of those that owes an answer
	round  atomic.Pointer[round] // the last one; nil: there was none

	mu      sync.Mutex
	flights map[flightKey]*flight
	work    sync.WaitGroup
}

// Bounds on what waits.
const (
	maxNotes   = 1000
	maxFlights = 1000 // besides those of a round
)

// cacheBytes bounds the cache, whatever its size in entries.
const cacheBytes = 32 << 20

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_push_sql", schema...)
	if err != nil {
		return err
	}
	m := &push{options: o, host: h, store: store{db}, cfg: h.CacheOf(o.Backend), books: newBooks(),
		queue: make(chan note, maxNotes), wakes: make(chan *notification), waking: make(chan struct{}, maxWaking), flights: map[flightKey]*flight{}}
	m.cache = modules.NewCache(m.cfg, cacheBytes, weigh)
	h.UserIQ(ns, m.answer)
	h.UserFeature(ns)
	sm.Offline.Add(h, storedTime, m.homeless)
	sm.Storing.Add(h, hooks.Normal, m.archived)
	sm.Opened.Add(h, hooks.Normal, m.came)
	sm.SessionPending.Add(h, hooks.Normal, m.pending)
	sm.Queued.Add(h, hooks.Normal, m.queued)
	sm.SessionResumed.Add(h, hooks.Normal, m.came)
	Wake.Add(h, hooks.Normal, m.wake)
	WakeAll.Add(h, hooks.Normal, m.wakeAll)
	enabled.Travels(h, strconv.FormatBool, func(text string) bool { return text == "true" })
	auth.Removed.Add(h, hooks.Normal, m.removed)
	auth.Removed.AddElsewhere(h, hooks.Normal, func(_ context.Context, user xmpp.JID) { m.cache.Forget(user) })
	Changed.AddEverywhere(h, hooks.Normal, func(_ context.Context, user xmpp.JID) { m.cache.Forget(user) })
	local.ClearCache.AddEverywhere(h, hooks.Normal, func(context.Context, *local.Host) { m.cache.Clear() })
	h.Command(m.commands()...)
	h.OnStop(m.work.Wait)
	ctx, cancel := context.WithCancel(h.Context())
	h.OnStop(cancel) // before Wait: last added, first done
	m.work.Go(func() { m.run(ctx) })
	return nil
}

// weigh is how many bytes the targets of a user take.
func weigh(list []target) int {
	n := 0
	for _, t := range list {
		n += 100 + len(t.Service.String()) + len(t.Node) + len(t.form)
	}
	return n
}

// targets is whom to tell of what comes for a user; none is no error.
func (m *push) targets(ctx context.Context, user xmpp.JID) ([]target, error) {
	list, err := m.cache.Get(user, func() ([]target, error) {
		list, err := m.store.list(ctx, user)
		if err == nil && len(list) == 0 {
			err = storage.ErrNotFound
		}
		return list, err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return list, err
}

// homeless tells of a message that has found nobody and is stored.
func (m *push) homeless(_ context.Context, fate sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
	user := st.To.Bare()
	p := m.books.page(user, st)
	switch {
	case fate != sm.Stored && fate != sm.Archived:
		p.step("nobody is there, and the message was not stored (%s): nothing is told", fate)
	case st.Stamp != 0 && m.books.told(user, st.Stamp):
		p.step("nobody is there; it was told of when it was archived")
	default:
		p.step("nobody is there, and the message waits (%s)", fate)
		m.enqueue(note{user: user, st: st, page: p})
	}
	return fate, hooks.Next
}

// archived tells of a message that goes to the archive: those of the user's clients
// that are not there, though others may be.
func (m *push) archived(ctx context.Context, jobs []storage.Job, s sm.Storage) ([]storage.Job, hooks.Flow) {
	user := s.User.Bare()
	if s.Table != "archive" || user.Domain() != m.host.Domain {
		return jobs, hooks.Next
	}
	if m.cfg.Use && m.cfg.Missed { // else the database would be asked here, for every message
		if list, err := m.targets(ctx, user); err == nil && len(list) == 0 {
			return jobs, hooks.Next
		}
	}
	if s.Direction == sm.In {
		m.books.tell(user, s.Stanza.Stamp)
	}
	p := m.books.page(user, s.Stanza)
	p.step("the message goes to the archive")
	m.enqueue(note{user: user, st: s.Stanza, sent: s.Direction == sm.Out, absent: true, page: p})
	return jobs, hooks.Next
}

// enqueue has the goroutine of the module look at n.
func (m *push) enqueue(n note) {
	select {
	case m.queue <- n:
	default:
		n.page.step("too much is to be told at the moment: this is not")
	}
}

// came begins to count anew what a user has not seen.
func (m *push) came(_ context.Context, s *sm.Session) { m.books.seen(s.JID.Bare()) }

// removed forgets a user.
func (m *push) removed(ctx context.Context, user xmpp.JID) {
	if err := m.store.removeUser(ctx, user); err != nil {
		m.host.Log.Error("push services of a removed user are left", "user", user.String(), "error", err)
	}
	m.cache.Forget(user)
	m.books.forget(user)
}
