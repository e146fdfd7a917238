package vcard

import (
	"context"

	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

const nsSearch = "jabber:iq:search"

// maxMatches bounds what a search shows, whatever matches says.
const maxMatches = 10_000

// service is the search, on the domains that it has.
type service struct {
	*module
	iq router.IQTable
}

// serve makes the search reachable.
func (m *module) serve() {
	s := &service{module: m}
	s.iq.Handle(nsSearch, s.search)
	s.iq.Handle(NS, s.card)
	s.iq.Handle(disco.NSInfo, s.info)
	s.iq.Handle(disco.NSItems, s.items)
	domains := m.Hosts
	if len(domains) == 0 {
		domains = m.Host
	}
	for _, d := range domains {
		m.host.Serve(d, s)
	}
}

// Route answers requests to the domain itself. There is nobody on it.
func (s *service) Route(ctx context.Context, st *xmpp.Stanza) {
	switch {
	case st.Kind != xmpp.IQ:
	case st.To.Local() == "" && st.To.IsBare():
		s.host.Router.Answer(ctx, &s.iq, st)
	default:
		s.host.Router.Bounce(ctx, st, xmpp.ServiceUnavailable)
	}
}

func (s *service) card(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	if iq.Type != "get" {
		return nil, xmpp.NotAllowed.WithText("This vCard cannot be set")
	}
	return ownCard("gabberd/mod_vcard", "Search for users by their vCards"), nil
}

// query reads a question of service discovery.
func (s *service) query(iq *xmpp.Stanza) (disco.Query, error) {
	q := disco.Query{From: iq.From, To: iq.To, Node: iq.Payload().Attr("node"), Lang: iq.Lang, Module: s.host.Name()}
	switch {
	case iq.Type != "get":
		return q, xmpp.NotAllowed.WithText("Only get is allowed here")
	case q.Node != "":
		return q, xmpp.ItemNotFound.WithText("No such node")
	}
	return q, nil
}

func (s *service) info(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	q, err := s.query(iq)
	if err != nil {
		return nil, err
	}
	return disco.Entity{
		Identities: []disco.Identity{{Category: "directory", Type: "user", Name: s.Name}},
		Features:   []string{disco.NSInfo, disco.NSItems, nsSearch, NS},
		Forms:      disco.Forms.Run(ctx, s.host.Hooks(), nil, q),
	}.Element(""), nil
}

func (s *service) items(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	if _, err := s.query(iq); err != nil {
		return nil, err
	}
	return disco.ItemsElement("", nil), nil
}

// search gives out the form, or what was found with it (XEP-0055 §2, §3).
func (s *service) search(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	query := iq.Payload()
	if !query.Is(nsSearch, "query") {
		return nil, xmpp.BadRequest.WithText("A search is a <query/>")
	}
	if iq.Type == "get" {
		return xmpp.El(nsSearch, "query",
			xmpp.TextEl(nsSearch, "instructions", "You need a client that supports x:data to search"),
			asking(iq.To).Element()), nil
	}
	answer, err := form.Find(query)
	if err != nil {
		return nil, err
	}
	if answer == nil || answer.Kind != form.Submit {
		return nil, xmpp.BadRequest.WithText("Incorrect data form")
	}
	found, err := s.find(ctx, answer)
	if err != nil {
		return nil, err
	}
	return xmpp.El(nsSearch, "query", results(iq.To, found).Element()), nil
}

func asking(service xmpp.JID) *form.Form {
	f := form.New(form.Ask, nsSearch)
	f.Title = "Search users in " + service.String()
	f.Instructions = []string{"Fill in the form to search for any matching XMPP User (Add * to the end of field to match substring)"}
	for _, x := range fields {
		f.Fields = append(f.Fields, form.TextField(x.name, x.label, ""))
	}
	return f
}

// find searches for what is in the form. A field with several values, or none,
// does not count.
func (s *service) find(ctx context.Context, answer *form.Form) ([]hit, error) {
	wanted := map[string]string{}
	for _, x := range fields {
		if v := answer.Values(x.name); len(v) == 1 && v[0] != "" && v[0] != "*" {
			wanted[x.name] = v[0]
		}
	}
	if len(wanted) == 0 && !s.AllowReturnAll {
		return nil, nil
	}
	return s.store.search(ctx, wanted, min(s.Matches, maxMatches))
}

func results(service xmpp.JID, found []hit) *form.Form {
	f := form.New(form.Result, nsSearch)
	f.Title = "Search Results for " + service.String()
	f.Reported = []form.Field{{Var: "jid", Type: form.JIDSingle, Label: "Jabber ID"}}
	for _, x := range fields[1:] {
		f.Reported = append(f.Reported, form.Field{Var: x.name, Type: form.TextSingle, Label: x.label})
	}
	for _, h := range found {
		row := []form.Field{{Var: "jid", Values: []string{h.jid}}}
		for i, x := range fields[1:] {
			row = append(row, form.Field{Var: x.name, Values: []string{h.texts[i]}})
		}
		f.Items = append(f.Items, row)
	}
	return f
}
