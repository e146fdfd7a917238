// Package clientstate holds back what a client at which nobody looks does not need
// now: presence, chat states and events of PEP (XEP-0352). Of what replaces each
// other only the last is kept. It is sent when the client says that it is active
// again, and before anything else from the same contact, so that the order of what
// a contact has sent remains.
//
// What is held was not sent: stream management does not count it yet. It is lost
// when the session ends; a client that logs in again asks for all of it anew.
// Messages with anything that cannot be told again are never held.
package clientstate

import (
	"context"
	"sync/atomic"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:xmpp:csi:0"

// filterTime is behind those who change what a client is sent.
const filterTime hooks.Priority = 75

// Module is mod_client_state.
var Module = modules.Define("mod_client_state", modules.Spec[options]{
	Doc:   "Holds back what an inactive client does not need now.",
	XEPs:  []string{"0352", "0085"},
	Start: start,
})

type options struct{ Presence, ChatStates, PEP bool }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Bool(&o.Presence, "queue_presence", true, "Hold back presence while a client is inactive, all but the last of each contact's client.")
	f.Bool(&o.ChatStates, "queue_chat_states", true, "Hold back chat states while a client is inactive, all but the last of each contact's client.")
	f.Bool(&o.PEP, "queue_pep", true, "Hold back events of PEP nodes while a client is inactive, all but the last of each item.")
}

// csi is the module on one virtual host.
type csi struct {
	options
	host   *modules.Host
	queues *sm.Slot[*queue]
	idle   atomic.Int64 // how many queues there are: with none nobody is looked up
}

func start(h *modules.Host, o options) error {
	m := &csi{options: o, host: h, queues: sm.NewSlot[*queue]("csi")}
	sm.PostAuth.Add(h, hooks.Normal, offer)
	sm.Nonzas.Add(h, hooks.Normal, m.said)
	sm.InlineFeatures.Add(h, hooks.Normal, offerInline)
	sm.InlineBind.Add(h, hooks.Normal, m.binds)
	sm.FilterSend.Add(h, filterTime, m.filter)
	sm.SessionResumed.Add(h, hooks.Normal, m.wake) // a client that comes back is active (XEP-0352 §5.2)
	sm.SessionPacked.Add(h, hooks.Normal, func(ctx context.Context, l sm.Luggage, s *sm.Session) (sm.Luggage, hooks.Flow) {
		m.wake(ctx, s) // so that what is held back goes with it
		return l, hooks.Next
	})
	sm.Closed.Add(h, hooks.Normal, m.forget)
	h.OnStop(func() {
		for _, s := range h.Sessions.Here() {
			m.wake(context.Background(), s)
			m.forget(context.Background(), s)
		}
	})
	return nil
}

func offer(_ context.Context, features []*xmpp.Element, _ *sm.Stream) ([]*xmpp.Element, hooks.Flow) {
	return append(features, xmpp.El(ns, "csi")), hooks.Next
}

// offerInline says that Bind 2 can begin with an inactive client (XEP-0386).
func offerInline(_ context.Context, in sm.Inline, _ *sm.Stream) (sm.Inline, hooks.Flow) {
	in.Bind = append(in.Bind, ns)
	return in, hooks.Next
}

// binds heeds what a client says of itself while it binds.
func (m *csi) binds(_ context.Context, a sm.Answers, b sm.Binding) (sm.Answers, hooks.Flow) {
	if b.Request.Child(ns, "inactive") != nil {
		m.rest(b.Session)
	}
	return a, hooks.Next
}

// said deals with a client's word about itself (XEP-0352 §4). It runs on the
// goroutine that reads the client's stream.
func (m *csi) said(ctx context.Context, done bool, n sm.Nonza) (bool, hooks.Flow) {
	if done || n.Element.NS != ns {
		return done, hooks.Next
	}
	switch n.Element.Name {
	case "active":
		m.wake(ctx, n.Session)
	case "inactive":
		m.rest(n.Session)
	default:
		return false, hooks.Next
	}
	Changed.Run(ctx, m.host.Hooks(), Activity{n.Session, n.Element.Name == "active"})
	return true, hooks.Stop
}

// rest begins to hold things back.
func (m *csi) rest(s *sm.Session) {
	q, ok := m.queues.Get(s)
	if !ok {
		q = &queue{from: m.host.JID}
		m.queues.Set(s, q)
		m.idle.Add(1)
	}
	q.rest()
}

// wake sends what was held back, and holds back nothing more.
func (m *csi) wake(ctx context.Context, s *sm.Session) {
	if q, ok := m.queues.Get(s); ok {
		q.wake(ctx, s)
	}
}

// forget lets go of a session that is over.
func (m *csi) forget(_ context.Context, s *sm.Session) {
	if _, ok := m.queues.Get(s); ok {
		m.queues.Delete(s)
		m.idle.Add(-1)
	}
}

// filter decides about a stanza that is about to be written.
func (m *csi) filter(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || m.idle.Load() == 0 {
		return st, hooks.Next
	}
	q, ok := m.queues.Get(s)
	if !ok || q.take(ctx, s, st, m.kind) {
		return st, hooks.Next
	}
	return nil, hooks.Stop
}

// kind is what the stanza replaces and is replaced by, and false if it is to be sent
// at once.
func (m *csi) kind(st *xmpp.Stanza, s *sm.Session) (key, bool) {
	switch {
	case st.Kind == xmpp.Presence:
		return key{kind: presence, from: st.From}, m.Presence && holdsPresence(st, s)
	case st.Kind != xmpp.Message:
		return key{}, false
	case m.ChatStates && isChatState(st, s):
		return key{kind: chatState, from: st.From}, true
	case m.PEP:
		return eventOf(st)
	}
	return key{}, false
}
