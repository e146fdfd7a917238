// Package mam keeps what users say to each other, and lets them look it up
// (XEP-0313): the message archive.
//
// A message goes into the archive of its sender when he sends it (archive.go), and
// into that of its recipient when it arrives, once however many clients get it.
// Both know it by the same ID, the time when the server took charge of it in
// microseconds, which is also its place in the archive. Nobody waits for the
// database on the way. What is worth keeping is in rules.go, what users want to be
// kept in prefs.go, how they look things up in query.go, and how a message that was
// taken back is emptied in retract.go.
package mam

import (
	"context"
	"sync/atomic"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_mam.
var Module = modules.Define("mod_mam", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: keeper, Versions: schema},
	Also:     also,
	Doc:      "Archives the messages of users and lets them look up what was said.",
	XEPs:     []string{"0059", "0313", "0334", "0359", "0424", "0431", "0441"},
	Start:    start,
	Commands: (*mam)(nil).commands(),
})

// also is the tables besides ejabberd's.
var also = []modules.Tables{
	{Keeper: "gabberd_mam", Versions: own},
	{Keeper: storage.JobsKeeper, Versions: storage.Jobs},
}

type options struct {
	modules.Backend
	Default          string
	AssumeMAMUsage   bool
	RequestActivates bool
	CompressXML      bool
	ClearWithRoom    bool
	Access           acl.Access
	MUCSubFromRoom   bool
	MUCAsMUCSub      bool
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Enum(&o.Default, "default", never, "Whether messages are archived if the user said nothing: always, never, or with contacts.", always, never, fromRoster)
	f.Bool(&o.AssumeMAMUsage, "assume_mam_usage", false, "Take it that clients which come back read the archive: what they may not have got is not sent to others.")
	f.Bool(&o.RequestActivates, "request_activates_archiving", false, "Begin to archive for a user when the archive is first asked for.")
	f.Bool(&o.CompressXML, "compress_xml", false, "Store messages in a shorter form. Those that ejabberd has stored so are read.").Unbuilt()
	f.Bool(&o.ClearWithRoom, "clear_archive_on_room_destroy", true, "Remove the archive of a room with the room.").Unbuilt()
	acl.AccessField(f, &o.Access, "access_preferences", "all", "Who may change their archiving preferences.")
	f.Bool(&o.MUCSubFromRoom, "user_mucsub_from_muc_archive", false, "Look up what subscribed rooms sent in the rooms' archives.").Unbuilt()
	f.Bool(&o.MUCAsMUCSub, "archive_muc_as_mucsub", false, "Show what rooms sent as if the user had subscribed.").Unbuilt()
	o.Backend.Fields(f)
}

// mam is the module on one virtual host.
type mam struct {
	options
	host   *modules.Host
	store  store
	prefs  *modules.Cache[prefs]
	later  modules.Later
	life   context.Context // of what may take long; ends when the module is to stop
	flight flight
	purge  modules.Purge

	full, blind, odd atomic.Bool // that the queue is full, preferences or a row cannot be read was said
	blindUntil       atomic.Int64
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, keeper, schema...)
	if err != nil {
		return err
	}
	for _, t := range also {
		if err := db.Migrate(h.Context(), t.Keeper, t.Versions...); err != nil {
			return err
		}
	}
	m := &mam{options: o, host: h, store: store{db},
		prefs: modules.NewCache(h.CacheOf(o.Backend), maxCached, prefs.weigh)}
	h.OnStop(m.later.Close)
	sm.KeepMessages(h.Context(), h, db)
	var cancel context.CancelFunc
	m.life, cancel = context.WithCancel(h.Context())
	h.OnStop(cancel) // before close, which waits: last added, first done

	sm.UserSend.Add(h, 88, m.sent)
	sm.UserSend.Add(h, 500, m.unmark)
	sm.Receive.Add(h, hooks.Normal, m.received)
	sm.Offline.Add(h, 49, m.homeless)
	sm.IsArchived.Add(h, hooks.Normal, m.isArchived)
	sm.InArchive.Add(h, hooks.Normal, m.inArchive)
	sm.InlineBind.Add(h, hooks.Normal, m.bound)
	Scan.Add(h, hooks.Normal, m.scan)
	Recall.Add(h, hooks.Normal, m.recall)
	Writing.Add(h, hooks.Normal, m.writing)
	auth.Removed.Add(h, hooks.Normal, m.removed)
	PrefsChanged.AddEverywhere(h, hooks.Normal, func(_ context.Context, user xmpp.JID) { m.prefs.Forget(user) })
	local.ClearCache.AddEverywhere(h, hooks.Normal, func(context.Context, *local.Host) { m.prefs.Clear() })

	m.later.Apart(m.takeUp)
	h.UserIQ(ns, m.answer)
	for _, f := range features {
		h.Feature(f)
		h.UserFeature(f)
	}
	h.Command(m.commands()...)
	return nil
}

// features are what service discovery says of the server and of users.
var features = []string{ns, ns + "#extended", nsStanzaID, nsTombstone, nsFullText}

// PrefsChanged is run when a user's archiving preferences have changed, on all
// nodes.
var PrefsChanged = hooks.NewEvent[xmpp.JID]("mam_prefs_changed", "A user's archiving preferences (bare address) have changed.").
	Everywhere(hooks.Text(xmpp.Parse))

// takeUp makes the messages of others, such as an ejabberd that had this database
// before, known to the search for words.
func (m *mam) takeUp() {
	ctx := m.life
	for after := int64(0); ; {
		last, err := m.store.FindWords(ctx, words, after)
		switch {
		case ctx.Err() != nil || err == nil && last == 0:
			return
		case err != nil:
			m.host.Log.Error("older messages cannot be searched until the next start", "error", err)
			return
		}
		after = last
	}
}

// removed forgets a user.
func (m *mam) removed(ctx context.Context, user xmpp.JID) {
	if err := m.forget(ctx, user); err != nil {
		m.host.Log.Error("the archive of a removed user is still there", "user", user.String(), "error", err)
	}
}

// forget removes the archive and the preferences of a user.
func (m *mam) forget(ctx context.Context, user xmpp.JID) error {
	err := m.clear(ctx, user, nil)
	if err == nil {
		err = m.store.removePrefs(ctx, user)
	}
	PrefsChanged.Run(ctx, m.host.Hooks(), user)
	return err
}

// clear removes the archive of a user, or what it has of a peer.
func (m *mam) clear(ctx context.Context, user xmpp.JID, peer *xmpp.JID) error {
	m.flight.wait(ctx, user)
	return modules.PurgeAll(func(limit int) (int64, error) { return m.store.remove(ctx, user, peer, limit) })
}

// isArchived says of a message that was archived that its recipient will find it,
// if the operator takes it that his clients look.
func (m *mam) isArchived(_ context.Context, yes bool, st *xmpp.Stanza) (bool, hooks.Flow) {
	return yes || m.AssumeMAMUsage && archived(st, st.To.Bare()), hooks.Next
}

// inArchive looks for a message in the archive of whom it is for.
func (m *mam) inArchive(ctx context.Context, yes bool, st *xmpp.Stanza) (bool, hooks.Flow) {
	user := st.To.Bare()
	if yes || !archived(st, user) {
		return yes, hooks.Next
	}
	for el := range st.Children() {
		if !by(el, user) {
			continue
		}
		if id, err := parseID(el.Attr("id")); err == nil {
			there, err := m.store.has(ctx, user, id)
			return there && err == nil, hooks.Next // what cannot be told is not thrown away
		}
	}
	return false, hooks.Next
}

// bound tells a client that binds by Bind 2 where its archive ends, from where it has
// to look (XEP-0386 §3.2).
func (m *mam) bound(ctx context.Context, a sm.Answers, b sm.Binding) (sm.Answers, hooks.Flow) {
	el, err := m.metadata(ctx, b.Session.JID.Bare())
	if err != nil {
		m.host.Log.Error("a client is not told where its archive ends", "user", b.Session.JID.Bare().String(), "error", err)
		return a, hooks.Next
	}
	return append(a, el), hooks.Next
}
