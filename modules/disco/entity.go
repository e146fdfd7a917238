package disco

import (
	"context"
	"slices"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// The namespaces of service discovery.
const (
	NSInfo  = "http://jabber.org/protocol/disco#info"
	NSItems = "http://jabber.org/protocol/disco#items"
)

const nsForm = "jabber:x:data"

// An Entity is what service discovery says about somebody (XEP-0030 §3).
type Entity struct {
	Identities []Identity
	Features   []string
	Forms      []*xmpp.Element // XEP-0128
}

// Server asks the hooks in t what the server says about itself. The error is
// what an asker would be told.
func Server(ctx context.Context, t *hooks.Table, q Query) (Entity, error) {
	e := Entity{Identities: LocalIdentity.Run(ctx, t, nil, q), Forms: Forms.Run(ctx, t, nil, q)}
	return e.with(LocalFeatures.Run(ctx, t, Features{}, q))
}

// Account asks the hooks in t what the account q.To says about itself. The
// error is what an asker would be told.
func Account(ctx context.Context, t *hooks.Table, q Query) (Entity, error) {
	e := Entity{Identities: SMIdentity.Run(ctx, t, nil, q), Forms: Forms.Run(ctx, t, nil, q)}
	return e.with(SMFeatures.Run(ctx, t, Features{}, q))
}

func (e Entity) with(f Features) (Entity, error) {
	list, err := f.result()
	if err != nil {
		return Entity{}, err
	}
	e.Features = slices.Clone(list)
	slices.Sort(e.Features)
	e.Features = slices.Compact(e.Features)
	return e, nil
}

// Element is e as the answer to a question about node.
func (e Entity) Element(node string) *xmpp.Element {
	b := xmpp.Build(NSInfo, "query").OptAttr("node", node)
	for _, i := range e.Identities {
		b.Open("", "identity").Attr("category", i.Category).Attr("type", i.Type).
			OptAttr("xml:lang", i.Lang).OptAttr("name", i.Name).Close()
	}
	for _, f := range e.Features {
		b.Open("", "feature").Attr("var", f).Close()
	}
	for _, f := range e.Forms {
		b.Add(f)
	}
	return b.Done()
}

// ParseEntity reads an answer to a question; what is not understood is left
// out.
func ParseEntity(query *xmpp.Element) Entity {
	var e Entity
	for c := range query.Children() {
		switch {
		case c.Is(NSInfo, "identity"):
			e.Identities = append(e.Identities, Identity{c.Attr("category"), c.Attr("type"), c.Attr("xml:lang"), c.Attr("name")})
		case c.Is(NSInfo, "feature"):
			e.Features = append(e.Features, c.Attr("var"))
		case c.Is(nsForm, "x"):
			e.Forms = append(e.Forms, c)
		}
	}
	return e
}

// ItemsElement is a list of items as the answer to a question about node.
func ItemsElement(node string, list []Item) *xmpp.Element {
	b := xmpp.Build(NSItems, "query").OptAttr("node", node)
	for _, i := range list {
		b.Open("", "item").Attr("jid", i.JID.String()).OptAttr("node", i.Node).OptAttr("name", i.Name).Close()
	}
	return b.Done()
}
