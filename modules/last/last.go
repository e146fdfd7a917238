// Package last remembers when users were last there, and tells those who may
// know (XEP-0012).
package last

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "jabber:iq:last"

// Module is mod_last.
var Module = modules.Define("mod_last", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "mod_last_sql", Versions: schema},
	Doc:      "Remembers when users were last there and what they said when they left.",
	XEPs:     []string{"0012"},
	Start:    start,
	Commands: (*last)(nil).commands(),
})

type options struct{ modules.Backend }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) { o.Backend.Fields(f) }

// last is the module on one virtual host.
type last struct {
	host    *modules.Host
	store   store
	started time.Time
	orphan  *sm.Slot[struct{}] // sessions whose account was removed

	mu      sync.Mutex
	leaving map[xmpp.JID]leave // on the way to the database
}

// leave is an activity that is not stored yet; a later one takes its place.
type leave struct {
	Activity
	number uint64
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_last_sql", schema...)
	if err != nil {
		return err
	}
	m := &last{host: h, store: store{db}, started: time.Now(), orphan: sm.NewSlot[struct{}]("account removed"), leaving: map[xmpp.JID]leave{}}
	h.IQ(ns, m.uptime)
	h.UserIQ(ns, m.answer)
	h.Feature(ns)
	h.UserFeature(ns)
	sm.Unpresent.Add(h, hooks.Normal, m.left)
	sm.Privacy.Add(h, 30, m.guard) // ejabberd's: before the privacy lists
	auth.Registered.Add(h, hooks.Normal, m.registered)
	auth.Removed.AddEverywhere(h, hooks.Early, m.orphans)
	auth.Removed.Add(h, hooks.Normal, m.removed)
	h.Command(m.commands()...)
	return nil
}

// uptime answers how long the server has been up (XEP-0012 §5).
func (m *last) uptime(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	if err := isQuery(iq); err != nil {
		return nil, err
	}
	return ago(time.Since(m.started), ""), nil
}

// answer answers for a user (XEP-0012 §3, §4): to himself and to those who get
// his presence.
func (m *last) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	if err := isQuery(iq); err != nil {
		return nil, err
	}
	user := iq.To.Bare()
	if !m.may(ctx, iq.From, user) || !m.reveals(ctx, user, iq.From) {
		return nil, xmpp.Forbidden.WithText("Not subscribed to this user's presence")
	}
	if len(m.host.Sessions.Available(user)) > 0 {
		return ago(0, ""), nil
	}
	a, err := m.get(ctx, user)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, xmpp.ServiceUnavailable.WithText("No info about last activity found")
	case err != nil:
		return nil, err
	}
	return ago(time.Since(a.Seen), a.Status), nil
}

func isQuery(iq *xmpp.Stanza) error {
	switch {
	case !iq.Payload().Is(ns, "query"):
		return xmpp.BadRequest.WithText("A request for the last activity is a <query/>")
	case iq.Type != "get":
		return xmpp.NotAllowed.WithText("The last activity cannot be set")
	}
	return nil
}

func ago(d time.Duration, status string) *xmpp.Element {
	return xmpp.Build(ns, "query").Attr("seconds", strconv.FormatInt(int64(max(d, 0)/time.Second), 10)).Text(status).Done()
}

// may reports whether who gets the presence of user.
func (m *last) may(ctx context.Context, who, user xmpp.JID) bool {
	if who.Bare() == user {
		return true
	}
	return sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: user, Other: who}).SeesUser()
}

// reveals asks the user's rules: whose presence is blocked for somebody, his
// last activity is, too.
func (m *last) reveals(ctx context.Context, user, who xmpp.JID) bool {
	return m.host.Sessions.Allowed(ctx, user, xmpp.NewPresence("", user, who), sm.Out)
}

// guard keeps questions of those who may not know from the user's clients
// (XEP-0012 §4).
func (m *last) guard(ctx context.Context, ok bool, p sm.PrivacyCheck) (bool, hooks.Flow) {
	st := p.Stanza
	if !ok || st.Kind != xmpp.IQ || p.Direction != sm.In || st.Type != "get" || st.To.IsBare() || !st.Has(ns, "query") {
		return ok, hooks.Next
	}
	user := p.User.Bare()
	if m.may(ctx, st.From, user) && m.reveals(ctx, user, st.From) {
		return true, hooks.Next
	}
	return false, hooks.Stop
}

// left remembers that a client of a user is gone. It does not wait for the
// database.
func (m *last) left(_ context.Context, l sm.Leaving) {
	if _, removed := m.orphan.Get(l.Session); removed {
		return
	}
	store := m.store.setLazily // get knows it meanwhile
	if m.host.Hooks().Spreads() {
		store = m.store.set // other nodes do not
	}
	m.remember(l.Session.JID.Bare(), Activity{time.Now(), clip(l.Status)}, store)
}

func (m *last) registered(_ context.Context, user xmpp.JID) {
	// Not lazily: whoever was never there counts as old (delete_old_users).
	m.remember(user, Activity{time.Now(), "Registered but didn't login"}, m.store.set)
}

// remember queues an activity with one of the store's ways to set it.
func (m *last) remember(user xmpp.JID, a Activity, set func(xmpp.JID, Activity) (*storage.Ticket, error)) {
	m.mu.Lock()
	n := m.leaving[user].number + 1
	m.leaving[user] = leave{a, n}
	// Queued under the lock, so that the last one is also stored last.
	ticket, err := set(user, a)
	m.mu.Unlock()
	if err != nil {
		m.stored(user, n, err)
		return
	}
	ticket.Then(func(err error) { m.stored(user, n, err) })
}

// stored forgets what is in the database now, or will never be.
func (m *last) stored(user xmpp.JID, n uint64, err error) {
	m.mu.Lock()
	if m.leaving[user].number == n {
		delete(m.leaving, user)
	}
	m.mu.Unlock()
	if err != nil {
		m.host.Log.Error("last activity is not stored", "user", user.String(), "error", err)
	}
}

// get is when user was last there: storage.ErrNotFound if never.
func (m *last) get(ctx context.Context, user xmpp.JID) (Activity, error) {
	m.mu.Lock()
	l, ok := m.leaving[user]
	m.mu.Unlock()
	if ok {
		return l.Activity, nil
	}
	return m.store.get(ctx, user)
}

// orphans marks the clients of a user who is no more, on each node its own: that
// they leave is not written down.
func (m *last) orphans(_ context.Context, user xmpp.JID) {
	for _, s := range m.host.Sessions.Local(user) {
		m.orphan.Set(s, struct{}{})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.leaving, user)
}

// removed forgets a user, whose clients may still have to leave.
func (m *last) removed(ctx context.Context, user xmpp.JID) {
	m.mu.Lock()
	// Behind what is queued.
	ticket, err := m.store.remove(user)
	m.mu.Unlock()
	if err == nil {
		err = ticket.Wait(ctx)
	}
	if err != nil {
		m.host.Log.Error("last activity of a removed user is still there", "user", user.String(), "error", err)
	}
}
