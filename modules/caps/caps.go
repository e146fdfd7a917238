// Package caps knows what clients can do without asking each of them, and tells
// clients in short what the server can do (XEP-0115).
//
// A client names the set of its features by their hash. Whoever is the first to
// use a name is asked for the features, which are believed only if they have
// that hash; after that the name says it all. The asking is done beside the
// stanzas: nobody waits for it.
package caps

import (
	"context"
	"strings"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// uri names this software, whose features the server's hash is of.
const uri = "https://github.com/gabberd/gabberd"

// Module is mod_caps.
var Module = modules.Define("mod_caps", modules.Spec[options]{
	Tables: modules.Tables{Keeper: "mod_caps_sql", Versions: []storage.Version{schema}},
	Doc:    "Remembers what clients can do by the hash of their features, and announces that of the server.",
	XEPs:   []string{"0115"},
	Start:  start,
})

type options struct{ modules.Backend }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) { o.Backend.Fields(f) }

type module struct {
	host *modules.Host
	*learner
	contacts *sm.Slot[*contacts]
}

// between is ejabberd's priority for capabilities: after most, before the
// archive.
const between hooks.Priority = 75

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_caps_sql", schema)
	if err != nil {
		return err
	}
	cache := h.CacheOf(o.Backend)
	if !cache.Use {
		cache.Size = 0
	}
	m := &module{host: h, learner: newLearner(h, store{db}, cache), contacts: sm.NewSlot[*contacts]("caps")}
	m.learned = m.arrived
	h.OnStop(m.stop)

	sm.PostAuth.Add(h, between, m.streamFeature)
	sm.UserSend.Add(h, between, m.sent)
	sm.PresenceIn.Add(h, between, m.received)
	disco.LocalIdentity.Add(h, between, m.identity)
	disco.LocalFeatures.Add(h, between, m.features)
	disco.Forms.Add(h, between, m.forms)
	h.Feature(nsCaps)
	return nil
}

// own is the server's name for its own features. They may change whenever a
// module starts, so nobody keeps it.
func (m *module) own(ctx context.Context) (Caps, error) {
	e, err := disco.Server(ctx, m.host.Hooks(), disco.Query{From: m.host.JID, To: m.host.JID, Module: "mod_disco"})
	if err != nil {
		return Caps{}, err
	}
	c := Caps{Hash: "sha-1", Node: uri}
	c.Ver, err = verification(e, c.Hash)
	return c, err
}

// streamFeature spares clients the question what the server can do (XEP-0115
// §6.3).
func (m *module) streamFeature(ctx context.Context, l []*xmpp.Element, _ *sm.Stream) ([]*xmpp.Element, hooks.Flow) {
	c, err := m.own(ctx)
	if err != nil {
		m.host.Log.Debug("the server's own features have no hash", "error", err)
		return l, hooks.Next
	}
	return append(l, c.element()), hooks.Next
}

// isOwn reports whether a node of the server stands for the server itself.
func isOwn(node string) bool { return strings.HasPrefix(node, uri+"#") }

func (m *module) identity(ctx context.Context, l []disco.Identity, q disco.Query) ([]disco.Identity, hooks.Flow) {
	if !isOwn(q.Node) {
		return l, hooks.Next
	}
	q.Node = ""
	return disco.LocalIdentity.Run(ctx, m.host.Hooks(), l, q), hooks.Stop
}

func (m *module) features(ctx context.Context, a disco.Features, q disco.Query) (disco.Features, hooks.Flow) {
	if !isOwn(q.Node) {
		return a, hooks.Next
	}
	q.Node = ""
	return disco.LocalFeatures.Run(ctx, m.host.Hooks(), a, q), hooks.Stop
}

func (m *module) forms(ctx context.Context, l []*xmpp.Element, q disco.Query) ([]*xmpp.Element, hooks.Flow) {
	if !isOwn(q.Node) || q.To.Local() != "" {
		return l, hooks.Next
	}
	q.Node = ""
	return disco.Forms.Run(ctx, m.host.Hooks(), l, q), hooks.Stop
}

// sent learns of what the users of this host use.
func (m *module) sent(_ context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st.Kind == xmpp.Presence && st.Type == "" && (st.To.IsZero() || st.To.Bare() == s.JID.Bare()) {
		if c, ok := Read(st); ok {
			m.note(c, s.JID)
		}
	}
	return st, hooks.Next
}
