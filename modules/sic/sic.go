// Package sic tells a client the address its connection comes from, as the
// server sees it (XEP-0279).
package sic

import (
	"context"
	"strconv"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

// The namespaces of the protocol's versions.
const (
	ns0 = "urn:xmpp:sic:0"
	ns1 = "urn:xmpp:sic:1"
)

// Module is mod_sic.
var Module = modules.Define("mod_sic", modules.Spec[options]{
	Doc:   "Tells a client its own IP address.",
	XEPs:  []string{"0279"},
	Start: start,
})

type options struct{}

// Fields declares nothing.
func (*options) Fields(*config.Fields) {}

type module struct{ host *modules.Host }

func start(h *modules.Host, _ options) error {
	m := &module{h}
	for _, ns := range []string{ns0, ns1} {
		h.IQ(ns, m.answer)
		h.UserIQ(ns, m.answer)
		h.Feature(ns)
		h.UserFeature(ns)
	}
	return nil
}

// answer tells nobody the address of somebody else (XEP-0279 §4): what is told
// is that of the session that asks, and one may ask only the server or one's
// own account.
func (m *module) answer(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	if iq.Type != "get" {
		return nil, xmpp.NotAllowed.WithText("Only get is allowed here")
	}
	if iq.To.Local() != "" && iq.To.Bare() != iq.From.Bare() {
		return nil, xmpp.Forbidden.WithText("Nobody is told somebody else's address")
	}
	if iq.From.Domain() != m.host.Domain {
		return nil, xmpp.Forbidden.WithText("Only users of this server have an address here")
	}
	s := m.host.Sessions.Find(iq.From)
	if s == nil || !s.Addr().IsValid() {
		return nil, xmpp.ItemNotFound.WithText("The address is not known")
	}
	ip := s.Addr().Addr().Unmap().WithZone("").String()
	if iq.Payload().NS == ns0 {
		return xmpp.TextEl(ns0, "ip", ip), nil
	}
	b := xmpp.Build(ns1, "address")
	b.Open("", "ip").Text(ip).Close()
	b.Open("", "port").Text(strconv.Itoa(int(s.Addr().Port()))).Close()
	return b.Done(), nil
}
