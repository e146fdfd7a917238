// Package private keeps small pieces of XML for a user's clients: bookmarks,
// settings, whatever one client wants to tell the others (XEP-0049). Nobody but
// the user's own clients can see or change them.
//
// ejabberd also copies bookmarks from here to PEP and back (XEP-0048, XEP-0402)
// and announces that. This is not built: what is stored here stays here, and
// nothing is announced.
package private

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "jabber:iq:private"

// maxAsked bounds the pieces in one request.
const maxAsked = 64

// Module is mod_private.
var Module = modules.Define("mod_private", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "mod_private_sql", Versions: []storage.Version{schema}},
	Doc:      "Keeps private data for users' clients. Bookmarks are not copied to PEP and back yet.",
	XEPs:     []string{"0049"},
	Start:    start,
	Commands: (*private)(nil).commands(),
})

type options struct{ modules.Backend }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) { o.Backend.Fields(f) }

// private is the module on one virtual host.
type private struct {
	host  *modules.Host
	store store
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_private_sql", schema)
	if err != nil {
		return err
	}
	m := &private{h, store{db}}
	h.UserIQ(ns, m.answer)
	auth.Removed.Add(h, hooks.Normal, m.removed)
	h.Command(m.commands()...)
	return nil
}

// answer stores or returns a user's own data (XEP-0049 §3). Whatever stands in
// to, only the sender's own is within reach.
func (m *private) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	user := iq.From.Bare()
	if user != iq.To.Bare() {
		return nil, xmpp.Forbidden.WithText("Private data is its owner's alone")
	}
	query := iq.Payload()
	if !query.Is(ns, "query") {
		return nil, xmpp.BadRequest.WithText("A request for private data is a <query/>")
	}
	pieces, err := read(query)
	if err != nil {
		return nil, err
	}
	if iq.Type == "get" {
		return m.get(ctx, user, pieces)
	}
	return nil, m.set(ctx, user, pieces)
}

// nsBanned is where bans are kept, beside what users keep. It is not theirs.
const nsBanned = "ejabberd:banned"

// A piece is an element that is kept under its namespace.
type piece struct {
	ns string
	el *xmpp.Element
}

// read returns the pieces in a request. What has no namespace of its own cannot
// be kept.
func read(query *xmpp.Element) ([]piece, error) {
	var out []piece
	for c := range query.Children() {
		if c.NS == "" || c.NS == ns {
			continue
		}
		switch {
		case c.NS == nsBanned:
			return nil, xmpp.NotAllowed.WithText("This is for the server's operators")
		case len(out) == maxAsked:
			return nil, xmpp.PolicyViolation.WithText("Too many elements in one request")
		case len(c.NS) > maxNamespace:
			return nil, xmpp.PolicyViolation.WithText("The name of a namespace is too long")
		}
		out = append(out, piece{c.NS, c})
	}
	if len(out) == 0 {
		return nil, xmpp.BadRequest.WithText("No private data found in this query")
	}
	return out, nil
}

// get answers with what is stored, and with the question where nothing is. Each
// namespace is answered once, so that a short question cannot have a long answer
// many times over.
func (m *private) get(ctx context.Context, user xmpp.JID, asked []piece) (*xmpp.Element, error) {
	b := xmpp.Build(ns, "query")
	seen := map[string]bool{}
	for _, p := range asked {
		if seen[p.ns] {
			continue
		}
		seen[p.ns] = true
		el, err := m.store.get(ctx, user, p.ns)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			el = p.el
		case err != nil:
			return nil, err
		}
		b.Add(el)
	}
	return b.Done(), nil
}

func (m *private) set(ctx context.Context, user xmpp.JID, pieces []piece) error {
	// A client may still be here whose account is gone.
	ok, err := m.host.Auth.Exists(ctx, user)
	if err != nil {
		return err
	}
	if !ok {
		return xmpp.Forbidden.WithText("There is no such account any more")
	}
	err = m.store.set(ctx, user, pieces)
	if errors.Is(err, errFull) {
		return xmpp.ResourceConstraint.WithText("There is no room for more private data")
	}
	return err
}

func (m *private) removed(ctx context.Context, user xmpp.JID) {
	if err := m.store.remove(ctx, user); err != nil {
		m.host.Log.Error("private data of a removed user is still there", "user", user.String(), "error", err)
	}
}
