// Package servicelog sends copies of everything that users send and get to
// services that log it.
package servicelog

import (
	"context"
	"crypto/rand"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const nsForward = "urn:xmpp:forward:0"

// Module is mod_service_log.
var Module = modules.Define("mod_service_log", modules.Spec[options]{
	Doc:   "Sends copies of all that users send and get to services that log it.",
	XEPs:  []string{"0297 partial"},
	Start: start,
})

type options struct{ Loggers []string }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Domains(&o.Loggers, "loggers", nil, "The domains of the services: components, or other servers.")
}

// copier is the module on one virtual host.
type copier struct {
	host    *modules.Host
	loggers []xmpp.JID
}

func start(h *modules.Host, o options) error {
	m := &copier{host: h}
	for _, d := range o.Loggers {
		j, err := xmpp.NewJID("", d, "")
		if err != nil {
			return err
		}
		m.loggers = append(m.loggers, j)
	}
	if len(m.loggers) > 0 {
		sm.UserSend.Add(h, hooks.Normal, m.copy)
		sm.UserReceive.Add(h, hooks.Normal, m.copy)
	}
	return nil
}

// copy sends a copy of the stanza, forwarded (XEP-0297 §3), to all services.
func (m *copier) copy(ctx context.Context, st *xmpp.Stanza, _ *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil {
		return nil, hooks.Next
	}
	// A copy that is not delivered is nothing that the sender waits for.
	ctx = sm.WithReceipt(ctx, nil)
	forwarded := xmpp.El(nsForward, "forwarded", st.Element())
	for _, to := range m.loggers {
		m.host.Send(ctx, xmpp.NewMessage("", m.host.JID, to, forwarded).WithID(rand.Text()))
	}
	return st, hooks.Next
}
