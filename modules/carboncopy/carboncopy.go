// Package carboncopy gives a user's clients copies of the messages that his other
// clients send and are sent (XEP-0280), so that all of them show whole
// conversations.
//
// A copy of what a user is sent is made by the node that finds out who gets the
// message (sm.Copies), since there alone it is known who does not. That a client
// wants copies stands in the record of its session, which all nodes see. A copy of
// what he sends is made where he sends it, behind the archive's handler, so that it
// has the archive's id.
package carboncopy

import (
	"context"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	ns        = "urn:xmpp:carbons:2"
	nsRules   = "urn:xmpp:carbons:rules:0"
	nsForward = "urn:xmpp:forward:0"
)

// copyTime is where ejabberd makes copies: behind the archive.
const copyTime hooks.Priority = 89

// Module is mod_carboncopy.
var Module = modules.Define("mod_carboncopy", modules.Spec[options]{
	Doc:   "Copies chats to a user's other clients.",
	XEPs:  []string{"0280"},
	Start: start,
})

type options struct{}

// Fields declares the options: there are none.
func (o *options) Fields(*config.Fields) {}

// carbons is the module on one virtual host.
type carbons struct {
	host *modules.Host
	sent *sm.Slot[*recent] // what copies were made of, for the errors that may come back
}

func start(h *modules.Host, _ options) error {
	m := &carbons{h, sm.NewSlot[*recent]("carbons")}
	h.UserIQ(ns, m.answer)
	h.Feature(ns)
	h.Feature(nsRules)
	sm.UserSend.Add(h, copyTime, m.sends)
	sm.UserReceive.Add(h, copyTime, m.fails)
	sm.Copies.Add(h, hooks.Normal, m.receives)
	sm.InlineFeatures.Add(h, hooks.Normal, offer)
	sm.InlineBind.Add(h, hooks.Normal, m.binds)
	h.OnStop(m.forgetAll)
	return nil
}

// forgetAll gives back what the sessions keep for the module. Who wants copies stays
// known: the module may come back.
func (m *carbons) forgetAll() {
	for _, s := range m.host.Sessions.Here() {
		m.sent.Delete(s)
	}
}

// answer switches copies on and off (XEP-0280 §4, §5). As often as a client likes.
func (m *carbons) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	if iq.From.Bare() != iq.To.Bare() {
		return nil, xmpp.NotAllowed.WithText("Copies are for the account's own clients")
	}
	if iq.Type != "set" {
		return nil, xmpp.NotAllowed.WithText("Copies are switched on or off, not asked for")
	}
	var on bool
	switch iq.Payload().Name {
	case "enable":
		on = true
	case "disable":
	default:
		return nil, xmpp.BadRequest.WithText("Copies are switched with <enable/> and <disable/>")
	}
	s := m.host.Sessions.Find(iq.From)
	if s == nil || s.Remote() {
		return nil, xmpp.NotAllowed.WithText("Copies are for clients that are connected here")
	}
	m.host.Sessions.SetCopied(ctx, s, on)
	return nil, nil
}

// offer says that Bind 2 can switch copies on (XEP-0386).
func offer(_ context.Context, in sm.Inline, _ *sm.Stream) (sm.Inline, hooks.Flow) {
	in.Bind = append(in.Bind, ns)
	return in, hooks.Next
}

// binds switches copies on for a session that is about to be opened.
func (m *carbons) binds(ctx context.Context, a sm.Answers, b sm.Binding) (sm.Answers, hooks.Flow) {
	if b.Request.Child(ns, "enable") != nil {
		m.host.Sessions.SetCopied(ctx, b.Session, true)
	}
	return a, hooks.Next
}

// sends copies what a client sends to the user's others (XEP-0280 §8). Of a
// message to the user himself they get copies as of any that he is sent.
func (m *carbons) sends(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Kind != xmpp.Message || st.Type == "groupchat" || st.Type == "error" || !m.host.Sessions.Copying() {
		return st, hooks.Next
	}
	user := s.JID.Bare()
	all := m.host.Sessions.User(user)
	if !others(all, s) || st.To.Bare() == user || !eligible(st, sm.Out) {
		return st, hooks.Next
	}
	m.remember(s, st)
	c := wrap("sent", st)
	for _, o := range all {
		if o.Copied() && o.JID != s.JID {
			m.host.Sessions.Copy(ctx, o, c)
		}
	}
	return st, hooks.Next
}

// others reports whether a client other than that of s wants copies.
func others(all []*sm.Session, s *sm.Session) bool {
	for _, o := range all {
		if o.Copied() && o.JID != s.JID {
			return true
		}
	}
	return false
}

// receives copies what a user is sent to those who did not get it (XEP-0280 §7).
func (m *carbons) receives(ctx context.Context, c sm.Copying) {
	if !eligible(c.Stanza, sm.In) {
		return
	}
	w := wrap("received", c.Stanza)
	for _, s := range c.For {
		m.host.Sessions.Copy(ctx, s, w)
	}
}

// fails copies the error that answers a message of which there were copies.
func (m *carbons) fails(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Type != "error" || st.Kind != xmpp.Message || !m.remembered(s, st) {
		return st, hooks.Next
	}
	w := wrap("received", st)
	for _, o := range m.host.Sessions.User(s.JID.Bare()) {
		if o.Copied() && o.JID != s.JID {
			m.host.Sessions.Copy(ctx, o, w)
		}
	}
	return st, hooks.Next
}

// wrap is a copy of st, without addresses (XEP-0297).
func wrap(direction string, st *xmpp.Stanza) *xmpp.Stanza {
	el := xmpp.Build(ns, direction).Open(nsForward, "forwarded").Add(st.Element()).Done()
	return xmpp.NewMessage(st.Type, xmpp.JID{}, xmpp.JID{}, el)
}
