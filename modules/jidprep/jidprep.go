// Package jidprep tells clients what an address is in its normal form (XEP-0328).
package jidprep

import (
	"context"
	"strings"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

// The namespaces of the extension now, and of its first versions, which ejabberd
// speaks.
const (
	ns  = "urn:xmpp:jidprep:1"
	ns0 = "urn:xmpp:jidprep:0"
)

// Module is mod_jidprep.
var Module = modules.Define("mod_jidprep", modules.Spec[options]{
	Doc:   "Tells clients what an address is in its normal form.",
	XEPs:  []string{"0328"},
	Start: start,
})

type options struct{ Access acl.Access }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access", "local", "Who may ask.")
}

// prep is the module on one virtual host.
type prep struct {
	options
	host *modules.Host
}

func start(h *modules.Host, o options) error {
	m := &prep{o, h}
	for _, space := range []string{ns, ns0} {
		h.IQ(space, m.answer)
		h.Feature(space)
	}
	return nil
}

// answer answers a question (XEP-0328 §3).
func (m *prep) answer(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	if !m.Access.Allows(m.host.Rules, local.Subject(iq.From)) {
		return nil, xmpp.Forbidden.WithText("Access denied by service policy")
	}
	if iq.Type != "get" {
		return nil, xmpp.NotAllowed.WithText("An address can only be asked for")
	}
	el := iq.Payload()
	switch {
	case el.Is(ns0, "jid"):
		j, err := xmpp.Parse(el.Text())
		if err != nil {
			return nil, xmpp.JIDMalformed.WithText("This is no address")
		}
		return xmpp.TextEl(ns0, "jid", j.String()), nil
	case el.Is(ns, "jid-validate-request") && el.Child(ns, "maybe-jid") != nil:
		return result(el.Child(ns, "maybe-jid").Text()), nil
	}
	return nil, xmpp.BadRequest.WithText("There is no such question about an address")
}

func result(text string) *xmpp.Element {
	b := xmpp.Build(ns, "jid-validate-result")
	j, err := xmpp.Parse(text)
	if err != nil {
		return b.Open("", "invalid-jid").Open("", "reason").Text(strings.TrimPrefix(err.Error(), "jid: ")).Close().Close().Done()
	}
	b.Open("", "valid-jid")
	for _, p := range []struct{ name, text string }{{"localpart", j.Local()}, {"domainpart", j.Domain()}, {"resourcepart", j.Resource()}} {
		if p.text != "" {
			b.Open("", p.name).Text(p.text).Close()
		}
	}
	return b.Close().Done()
}
