package disco

import (
	"context"
	"slices"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

const formTypeContacts = "http://jabber.org/network/serverinfo"

// A contact is what some addresses are for, and whose they are.
type contact struct {
	Name    string
	URLs    []string
	Modules []string
}

// Fields declares the options.
func (c *contact) Fields(f *config.Fields) {
	f.String(&c.Name, "name", "", "What the addresses are for: abuse-addresses, admin-addresses, feedback-addresses, sales-addresses, security-addresses, support-addresses.").Required()
	f.Strings(&c.URLs, "urls", nil, "The addresses, as URLs: mailto:, xmpp:, https:.")
	f.Strings(&c.Modules, "modules", []string{"all"}, "The modules whose services the addresses are of, or `all`.")
}

// concerns reports whether the addresses are those of what that module serves.
func (c contact) concerns(module string) bool {
	return slices.Contains(c.Modules, "all") || slices.Contains(c.Modules, module)
}

// contacts says whom to write to (XEP-0157). It is asked by every module that
// answers for a service, and of the server itself.
func (m *module) contacts(_ context.Context, forms []*xmpp.Element, q Query) ([]*xmpp.Element, hooks.Flow) {
	if q.Node != "" || q.To.Local() != "" {
		return forms, hooks.Next
	}
	b := xmpp.Build(nsForm, "x").Attr("type", "result")
	b.Open("", "field").Attr("var", "FORM_TYPE").Attr("type", "hidden")
	b.Open("", "value").Text(formTypeContacts).Close().Close()
	some := false
	for _, c := range m.Contacts {
		if !c.concerns(q.Module) {
			continue
		}
		some = true
		b.Open("", "field").Attr("var", c.Name).Attr("type", "list-multi")
		for _, u := range c.URLs {
			b.Open("", "value").Text(u).Close()
		}
		b.Close()
	}
	if some {
		forms = append(forms, b.Done())
	}
	return forms, hooks.Next
}
