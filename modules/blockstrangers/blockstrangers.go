// Package blockstrangers refuses messages of people whom the recipient does not
// know: who is in no roster item, and has not been sent presence.
package blockstrangers

import (
	"context"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// ns is ejabberd's name for the feature.
const ns = "urn:ejabberd:block-strangers"

// Module is mod_block_strangers.
var Module = modules.Define("mod_block_strangers", modules.Spec[options]{
	Doc:   "Refuses messages of those who are not in the recipient's roster.",
	Start: start,
})

type options struct {
	Access          acl.Access
	Drop            bool
	Log             bool
	Captcha         bool
	AllowLocalUsers bool
	AllowTransports bool
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access", "none", "Strangers who are let through anyway.")
	f.Bool(&o.Drop, "drop", true, "Refuse what strangers send. If not, it is only logged.")
	f.Bool(&o.Log, "log", false, "Write a line for each message of a stranger into the log.")
	f.Bool(&o.Captcha, "captcha", false, "Let strangers prove with a CAPTCHA that they are people, before they can ask for a subscription.").Fatal()
	f.Bool(&o.AllowLocalUsers, "allow_local_users", true, "Let everybody of this server through.")
	f.Bool(&o.AllowTransports, "allow_transports", true, "Let everybody behind a gateway through that is in the roster itself.")
}

// strangers is the module on one virtual host.
type strangers struct {
	options
	host *modules.Host
}

func start(h *modules.Host, o options) error {
	m := &strangers{o, h}
	h.Feature(ns)
	h.UserFeature(ns)
	sm.UserReceive.Add(h, hooks.Early, m.received)
	sm.Offline.Add(h, hooks.Early, m.offline)
	return nil
}

// received keeps a stranger's message from a device.
func (m *strangers) received(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Kind != xmpp.Message || !m.suspect(st) || s.Directed(st.From) || m.may(ctx, st, s.JID.Bare()) {
		return st, hooks.Next
	}
	m.host.Router.Bounce(ctx, st, errStranger)
	return nil, hooks.Stop
}

// offline keeps a stranger's message from the offline store.
func (m *strangers) offline(ctx context.Context, f sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
	if !m.suspect(st) || m.may(ctx, st, st.To.Bare()) {
		return f, hooks.Next
	}
	m.host.Router.Bounce(ctx, st, errStranger)
	return sm.Pass, hooks.Stop
}

var errStranger = xmpp.PolicyViolation.WithText("Messages from strangers are rejected")

// suspect reports whether the roster is to be asked about a message: it says
// something, and neither its recipient nor this server says it.
func (m *strangers) suspect(st *xmpp.Stanza) bool {
	from := st.From
	switch {
	case st.Type == "error", from.IsZero(), from.Bare() == st.To.Bare():
		return false
	case (m.AllowLocalUsers || from.Local() == "") && m.host.Parts.Serves(from.Domain()):
		return false
	case st.Child(xmpp.NSClient, "body") == nil && st.Child(xmpp.NSClient, "subject") == nil:
		return false
	}
	return !m.Access.Allows(m.host.Rules, local.Subject(from))
}

// may reports whether the message is let through to the user.
func (m *strangers) may(ctx context.Context, st *xmpp.Stanza, user xmpp.JID) bool {
	if m.knows(ctx, user, st.From) || m.AllowTransports && st.From.Local() != "" && m.knows(ctx, user, st.From.Host()) {
		return true
	}
	if m.Log {
		m.host.Log.Info("message from a stranger", "from", st.From.String(), "to", user.String(), "dropped", m.Drop)
	}
	return !m.Drop
}

// knows reports whether the user has, or wants, anything to do with who.
func (m *strangers) knows(ctx context.Context, user, who xmpp.JID) bool {
	c := sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: user, Other: who})
	return c.SeesUser() || c.SeenByUser() || c.Ask == "subscribe"
}
