// Package vcard keeps users' vCards and shows them to whoever asks (XEP-0054),
// and lets people search for users by what is in them (XEP-0055).
package vcard

import (
	"context"
	"errors"
	"fmt"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// NS is the namespace of vCards.
const NS = "vcard-temp"

// maxCached bounds the vCards of a virtual host in memory, in bytes.
const maxCached = 64 << 20

// Module is mod_vcard.
var Module = modules.Define("mod_vcard", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "mod_vcard_sql", Versions: []storage.Version{schema}},
	Doc:      "Keeps users' vCards, and offers a search over them.",
	XEPs:     []string{"0054", "0055"},
	Start:    start,
	Commands: (*module)(nil).commands(),
})

type options struct {
	modules.Backend
	AllowReturnAll bool
	Host, Hosts    []string
	Matches        int
	Search         bool
	Name           string
	Card           *xmpp.Element
	AllHosts       bool
	MaxSize        int64
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Bool(&o.Search, "search", false, "Offer a search over all users. Everybody may use it, also from other servers.")
	f.Hosts(&o.Host, "host", []string{"vjud.@HOST@"}, "The domain of the search. Better use `hosts`.").Must(config.That("one domain", func(l []string) bool { return len(l) == 1 }))
	f.Hosts(&o.Hosts, "hosts", nil, "The domains of the search; @HOST@ stands for the virtual host.")
	f.String(&o.Name, "name", "vCard User Search", "The name of the search, as clients show it.")
	f.IntOrInfinity(&o.Matches, "matches", 30, fmt.Sprintf("How many users a search shows; infinity means %d.", maxMatches)).Must(config.AtLeast(1))
	f.Bool(&o.AllowReturnAll, "allow_return_all", false, "Show everybody if nothing is searched for.")
	f.Bool(&o.AllHosts, "search_all_hosts", true, "Search the users of all virtual hosts. Only with `db_type: mnesia`.")
	CardField(f, &o.Card, "vcard", "The vCard of the server.")
	f.Size(&o.MaxSize, "max_vcard_size", 1<<20, "How big a vCard may be, in bytes.").Must(config.AtLeast[int64](1))
	o.Backend.Fields(f)
}

// module is mod_vcard on one virtual host.
type module struct {
	options
	host  *modules.Host
	store store
	cache *modules.Cache[*xmpp.Element]
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_vcard_sql", schema)
	if err != nil {
		return err
	}
	embedded := o.DBType == "mnesia" || o.DBType == "" && h.DefaultDB == "mnesia"
	m := &module{options: o, host: h, store: store{db, embedded && o.AllHosts}}
	m.cache = modules.NewCache(h.CacheOf(o.Backend), maxCached, weigh)
	h.IQ(NS, m.server)
	h.UserIQ(NS, m.user)
	h.Feature(NS)
	h.UserFeature(NS)
	Set.Add(h, hooks.Normal, m.set)
	Wanted.Add(h, hooks.Normal, m.wanted)
	auth.Removed.Add(h, hooks.Normal, m.removed)
	forget := func(_ context.Context, user xmpp.JID) { m.cache.Forget(user.Bare()) }
	Changed.AddElsewhere(h, hooks.Normal, forget)
	auth.Removed.AddElsewhere(h, hooks.Normal, forget)
	local.ClearCache.AddEverywhere(h, hooks.Normal, func(context.Context, *local.Host) { m.cache.Clear() })
	h.Command(m.commands()...)
	if o.Search {
		m.serve()
	}
	return nil
}

// weigh is how many bytes a vCard takes.
func weigh(el *xmpp.Element) int {
	if el == nil {
		return 0
	}
	return len(el.Inner())
}

// server answers for the server itself.
func (m *module) server(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	if iq.Type != "get" {
		return nil, xmpp.NotAllowed.WithText("This vCard cannot be set")
	}
	if m.Card != nil {
		return m.Card, nil
	}
	return ownCard("gabberd", "XMPP server"), nil
}

func ownCard(name, what string) *xmpp.Element {
	return xmpp.El(NS, "vCard", xmpp.TextEl(NS, "FN", name),
		xmpp.TextEl(NS, "URL", "https://github.com/gabberd/gabberd"), xmpp.TextEl(NS, "DESC", what))
}

// user answers for users: everybody may see a vCard, its owner may set it. An
// account that does not exist looks like one without a vCard.
func (m *module) user(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	card := iq.Payload()
	if card.Name != "vCard" {
		return nil, xmpp.BadRequest.WithText("A request for a vCard is a <vCard/>")
	}
	if iq.Type == "get" {
		found, err := m.get(ctx, iq.To.Bare())
		if errors.Is(err, storage.ErrNotFound) {
			return xmpp.El(NS, "vCard"), nil
		}
		return found, err
	}
	switch {
	case !m.host.Serves(iq.From.Domain()):
		return nil, xmpp.NotAllowed.WithText("Only users of this server can have a vCard here")
	case iq.From.Bare() != iq.To.Bare():
		return nil, xmpp.Forbidden.WithText("You cannot set another user's vCard")
	}
	return nil, m.change(ctx, Setting{iq.From.Bare(), iq}, card)
}

func (m *module) get(ctx context.Context, user xmpp.JID) (*xmpp.Element, error) {
	return m.cache.Get(user, func() (*xmpp.Element, error) { return m.store.get(ctx, user) })
}

// change sets a vCard by way of the hook.
func (m *module) change(ctx context.Context, s Setting, card *xmpp.Element) error {
	if err := m.fits(card); err != nil {
		return err
	}
	// A client may still be here whose account is gone.
	ok, err := m.host.Auth.Exists(ctx, s.User)
	if err != nil {
		return err
	}
	if !ok {
		return xmpp.Forbidden.WithText("There is no such account any more")
	}
	return Set.Run(ctx, m.host.Hooks(), Update{Card: card}, s).Err
}

func (m *module) fits(card *xmpp.Element) error {
	if int64(len(card.Inner())) > m.MaxSize {
		return xmpp.PolicyViolation.WithText(fmt.Sprintf("A vCard may have %d bytes", m.MaxSize))
	}
	return nil
}

// set stores what becomes of a vCard on its way through the hook.
func (m *module) set(ctx context.Context, u Update, s Setting) (Update, hooks.Flow) {
	if u.Err != nil {
		return u, hooks.Stop
	}
	if u.Err = m.fits(u.Card); u.Err == nil {
		u.Err = m.store.set(ctx, s.User, u.Card)
		m.cache.Forget(s.User)
		Changed.Run(ctx, m.host.Hooks(), s.User)
	}
	return u, u.Err != nil
}

func (m *module) wanted(ctx context.Context, _ Answer, user xmpp.JID) (Answer, hooks.Flow) {
	card, err := m.get(ctx, user)
	return Answer{card, err}, hooks.Next
}

func (m *module) removed(ctx context.Context, user xmpp.JID) {
	if err := m.store.remove(ctx, user); err != nil {
		m.host.Log.Error("the vCard of a removed user is still there", "user", user.String(), "error", err)
	}
	m.cache.Forget(user)
}
