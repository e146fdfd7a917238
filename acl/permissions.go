package acl

import (
	"slices"

	"github.com/gabberd/gabberd/config"
)

// A Call is a command that somebody wants to run, as api_permissions sees it.
type Call struct {
	From        string   // the door: ejabberd_ctl, mod_http_api, mod_adhoc_api, ejabberd_web_admin, …
	Tag         string   // of the listener, "" for none
	Who         Subject  // a zero JID: somebody without an account
	OAuth       bool     // the caller showed a token, which is good for Scopes
	Scopes      []string // of the token
	Host        string   // the virtual host the caller came through, "" for none
	Command     string
	CommandTags []string
	Hosts       []string // the values of the arguments named host, in order
}

// A Book finds the rules of a virtual host, or of the whole server for "". It
// returns nil for a host that is not served.
type Book func(host string) *Ruleset

// Permissions is the option api_permissions: who may run which commands from
// where. The zero Permissions permit only the console.
type Permissions struct{ grants []grant }

// A grant permits what it names to whom it names, if all three parts fit.
type grant struct {
	title string
	from  []string // doors; empty: any
	tags  []string // of listeners; empty: any
	who   []identity
	may   selection
}

// An identity is one way to be somebody: one of a condition, an access rule or
// a token.
type identity struct {
	is     []matcher
	access *Access
	scopes []string   // of a token; nil: no token must be used
	under  []identity // with a token: of which one must fit too
}

// Fields declares api_permissions.
func (p *Permissions) Fields(f *config.Fields) {
	config.Value(f, p, "api_permissions", "map of titles to from, who and what", standard(),
		"Who may run which commands, and from where. Without a rule that fits, nobody may.", parsePermissions).
		DefaultText("administrators may run everything but stop and start").
		Example("public: {who: {ip: 127.0.0.1/8}, what: [status]}")
}

// console is the rule that holds unless the operator wrote one of that title.
const console = "console commands"

// standard is what holds when the option is not written.
func standard() Permissions {
	admin := identity{is: []matcher{{what: byList, text: "admin"}}}
	return Permissions{[]grant{{
		title: "admin access",
		who:   []identity{admin, {scopes: []string{"ejabberd:admin"}, under: []identity{admin}}},
		may:   selection{all: true, no: &selection{commands: []string{"start", "stop"}}},
	}}}
}

// Permits reports whether the call may be made, by the rules that book finds
// now. It does not look at the policy of the command.
func (p *Permissions) Permits(book Book, c Call) bool {
	if !p.mayTouch(book, c) {
		return false
	}
	if slices.Contains(c.CommandTags, "internal") && c.From != "ejabberd_web_admin" {
		return false
	}
	if c.Command == "echo" || c.Command == "registered_vhosts" && c.From == "ejabberd_web_admin" {
		return true
	}
	host := ""
	if len(c.Hosts) > 0 {
		host = c.Host
	}
	rs := book(host)
	if rs == nil {
		return false
	}
	named := false
	for i := range p.grants {
		named = named || p.grants[i].title == console
		if p.grants[i].permits(rs, c) {
			return true
		}
	}
	return !named && c.From == "ejabberd_ctl"
}

// mayTouch holds callers with an account to the access rule `configure` of the
// host that the command names.
func (p *Permissions) mayTouch(book Book, c Call) bool {
	if c.Who.JID.IsZero() || len(c.Hosts) != 1 {
		return true
	}
	rs := book(c.Hosts[0])
	return rs != nil && rs.Allows("configure", Subject{JID: c.Who.JID})
}

func (g *grant) permits(rs *Ruleset, c Call) bool {
	if len(g.from) > 0 && !slices.Contains(g.from, c.From) {
		return false
	}
	if len(g.tags) > 0 && (c.Tag == "" || !slices.Contains(g.tags, c.Tag)) {
		return false
	}
	if !g.may.includes(c) {
		return false
	}
	return slices.ContainsFunc(g.who, func(id identity) bool {
		if !c.OAuth {
			return id.scopes == nil && id.fits(rs, c)
		}
		return slices.ContainsFunc(c.Scopes, func(s string) bool { return slices.Contains(id.scopes, s) }) &&
			slices.ContainsFunc(id.under, func(id identity) bool { return id.fits(rs, c) })
	})
}

func (id *identity) fits(rs *Ruleset, c Call) bool {
	if id.access != nil {
		return id.access.Allows(rs, c.Who)
	}
	q := rs.about(c.Who)
	return slices.ContainsFunc(id.is, func(m matcher) bool { return m.holds(q) })
}

// A selection is a set of commands: everything, or some names and tags, without
// those of another selection.
type selection struct {
	all      bool
	commands []string
	tags     []string
	no       *selection
}

func (s *selection) includes(c Call) bool {
	if s == nil {
		return false
	}
	if !s.all && !slices.Contains(s.commands, c.Command) &&
		!slices.ContainsFunc(s.tags, func(t string) bool { return slices.Contains(c.CommandTags, t) }) {
		return false
	}
	return !s.no.includes(c)
}

// Undefined returns warnings about ACLs and rules that p names and o does not
// define.
func (p *Permissions) Undefined(o *Options) error {
	var m mistakes
	for _, g := range p.grants {
		for _, id := range g.who {
			id.undefined(o, &m)
		}
	}
	return m.join()
}

func (id *identity) undefined(o *Options, m *mistakes) {
	if id.access != nil {
		m.add(id.access.Undefined(o))
	}
	o.missing(id.is, m)
	for _, u := range id.under {
		u.undefined(o, m)
	}
}
