// Package disco says what the server and its users' accounts are, what they can
// do and what belongs to them (XEP-0030), and whom to write to about the server
// (XEP-0157).
//
// What it says comes from the hooks in this package; the features that modules
// announce through their host are among it.
package disco

import (
	"context"
	"slices"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_disco.
var Module = modules.Define("mod_disco", modules.Spec[options]{
	Doc:   "Answers questions about what the server and its users can do, and names contact addresses of the server.",
	XEPs:  []string{"0030", "0157"},
	Start: start,
})

type options struct {
	Name         string
	ExtraDomains []string
	Contacts     []contact
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.String(&o.Name, "name", "gabberd", "The name of the server, as clients show it.")
	f.Domains(&o.ExtraDomains, "extra_domains", nil, "More domains to list among the services of the server.")
	config.List(f, &o.Contacts, "server_info", "Addresses to write to, by what they are for (XEP-0157).").
		Example("[{name: abuse-addresses, urls: [\"mailto:abuse@example.org\"]}]")
}

type module struct {
	options
	host  *modules.Host
	extra []xmpp.JID
}

func start(h *modules.Host, o options) error {
	m := &module{options: o, host: h}
	for _, d := range o.ExtraDomains {
		j, err := xmpp.Parse(d)
		if err != nil {
			return err
		}
		m.extra = append(m.extra, j)
	}
	LocalIdentity.Add(h, hooks.Last, m.serverIdentity)
	LocalFeatures.Add(h, hooks.Last, m.serverFeatures)
	LocalItems.Add(h, hooks.Last, m.services)
	SMIdentity.Add(h, hooks.Last, m.accountIdentity)
	SMFeatures.Add(h, hooks.Last, m.accountFeatures)
	SMItems.Add(h, hooks.Last, m.resources)
	Forms.Add(h, hooks.Last, m.contacts)

	h.IQ(NSInfo, m.serverInfo)
	h.IQ(NSItems, m.serverItems)
	h.UserIQ(NSInfo, m.accountInfo)
	h.UserIQ(NSItems, m.accountItems)
	for _, ns := range []string{NSInfo, NSItems} {
		h.Feature(ns)
		h.UserFeature(ns)
	}
	return nil
}

// query reads a request.
func query(iq *xmpp.Stanza) (Query, error) {
	p := iq.Payload()
	switch {
	case iq.Type != "get":
		return Query{}, xmpp.NotAllowed.WithText("Only get is allowed here")
	case p.Name != "query":
		return Query{}, xmpp.BadRequest
	}
	return Query{From: iq.From, To: iq.To, Node: p.Attr("node"), Lang: iq.Lang, Module: "mod_disco"}, nil
}

func (m *module) serverInfo(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	q, err := query(iq)
	if err != nil {
		return nil, err
	}
	e, err := Server(ctx, m.host.Hooks(), q)
	if err != nil {
		return nil, err
	}
	return e.Element(q.Node), nil
}

func (m *module) serverItems(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	q, err := query(iq)
	if err != nil {
		return nil, err
	}
	list, err := LocalItems.Run(ctx, m.host.Hooks(), Items{}, q).result()
	if err != nil {
		return nil, err
	}
	return ItemsElement(q.Node, list), nil
}

// accountInfo and accountItems tell a stranger nothing, not even whether there
// is such an account (XEP-0030 §8).
func (m *module) accountInfo(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	q, err := query(iq)
	if err != nil {
		return nil, err
	}
	if !m.trusts(ctx, q) {
		return nil, xmpp.ServiceUnavailable
	}
	e, err := Account(ctx, m.host.Hooks(), q)
	if err != nil {
		return nil, err
	}
	return e.Element(q.Node), nil
}

func (m *module) accountItems(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	q, err := query(iq)
	if err != nil {
		return nil, err
	}
	if !m.trusts(ctx, q) {
		return nil, xmpp.ServiceUnavailable
	}
	list, err := SMItems.Run(ctx, m.host.Hooks(), Items{}, q).result()
	if err != nil {
		return nil, err
	}
	return ItemsElement(q.Node, list), nil
}

// trusts reports whether the asker may know about the account: its user, and
// who gets the user's presence.
func (m *module) trusts(ctx context.Context, q Query) bool {
	user, asker := q.To.Bare(), q.From.Bare()
	if user == asker {
		return true
	}
	return sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: user, Other: asker}).SeesUser()
}

func (m *module) serverIdentity(_ context.Context, l []Identity, q Query) ([]Identity, hooks.Flow) {
	if q.Node == "" {
		l = append(l, Identity{Category: "server", Type: "im", Name: m.Name})
	}
	return l, hooks.Next
}

func (m *module) serverFeatures(_ context.Context, a Features, q Query) (Features, hooks.Flow) {
	if q.Node == "" {
		a = a.With(m.host.Features()...)
	}
	return a, hooks.Next
}

// services lists the other domains of the virtual host.
func (m *module) services(_ context.Context, a Items, q Query) (Items, hooks.Flow) {
	if q.Node != "" {
		return a, hooks.Next
	}
	domains := slices.Clone(m.extra)
	for _, r := range m.host.Router.Routes() {
		if r.Host != m.host.Domain || r.Domain == m.host.Domain {
			continue
		}
		if j, err := xmpp.Parse(r.Domain); err == nil && !slices.Contains(domains, j) {
			domains = append(domains, j)
		}
	}
	a = a.With()
	for _, j := range domains {
		a = a.With(Item{JID: j})
	}
	return a, hooks.Next
}

func (m *module) accountIdentity(_ context.Context, l []Identity, q Query) ([]Identity, hooks.Flow) {
	if q.Node == "" {
		l = append(l, Identity{Category: "account", Type: "registered"})
	}
	return l, hooks.Next
}

func (m *module) accountFeatures(_ context.Context, a Features, q Query) (Features, hooks.Flow) {
	if q.Node == "" {
		a = a.With(m.host.UserFeatures()...)
	}
	return a, hooks.Next
}

// resources lists the user's clients that are available: who may ask has their
// presence anyway.
func (m *module) resources(_ context.Context, a Items, q Query) (Items, hooks.Flow) {
	if q.Node != "" {
		return a, hooks.Next
	}
	a = a.With()
	for _, s := range m.host.Sessions.Available(q.To.Bare()) {
		a = a.With(Item{JID: s.JID, Name: s.JID.Local()})
	}
	return a, hooks.Next
}
