package acl

import (
	"github.com/gabberd/gabberd/config"
)

// An entry of a rule gives its value to whom all its matchers fit.
type entry[T any] struct {
	value    T
	matchers []matcher
}

func (e *entry[T]) fits(q question) bool {
	for i := range e.matchers {
		if !e.matchers[i].holds(q) {
			return false
		}
	}
	return len(e.matchers) > 0
}

// A Rule is an ordered list of allow and deny, as in access_rules.
type Rule struct{ entries []entry[bool] }

func (r *Rule) allows(q question) bool {
	for i := range r.entries {
		if r.entries[i].fits(q) {
			return r.entries[i].value
		}
	}
	return false
}

// An Access is what an option of type acl holds: the name of an access rule, or
// a rule written in its place. The zero Access allows nobody.
type Access struct {
	name   string
	inline *Rule
	at     *config.Node // nil for a default
}

// NewAccess returns the Access that names a rule.
func NewAccess(name string) Access { return Access{name: name} }

// Allows reports whether who may, by the rules that rs holds now. It allocates
// nothing and may be called from anywhere; it blocks only where a rule asks a
// shared group.
func (a Access) Allows(rs *Ruleset, who Subject) bool {
	switch {
	case a.inline != nil:
		return a.inline.allows(rs.about(who))
	case a.name == "all":
		return true
	case a.name == "none" || a.name == "":
		return false
	}
	q := rs.about(who)
	rule, ok := q.o.Rules[a.name]
	return ok && rule.allows(q)
}

// String is the name of the rule, or "inline rule".
func (a Access) String() string {
	if a.inline != nil {
		return "inline rule"
	}
	return a.name
}

// AccessField declares an option that holds an Access; def is the name of a
// rule, usually `all` or `none`.
func AccessField(f *config.Fields, p *Access, name, def, doc string) *config.Field[Access] {
	return config.Value(f, p, name, "access rule", NewAccess(def), doc, decodeAccess).DefaultText(def)
}

func decodeAccess(n *config.Node) (Access, error) {
	if n.Kind() == config.KindScalar {
		name, _ := n.Scalar()
		if name == "" {
			return Access{}, n.Wanted("the name of an access rule, or a list of allow and deny")
		}
		return Access{name: name, at: n}, nil
	}
	r, m := parseRule(n)
	if m.wrong {
		return Access{}, m.join()
	}
	return Access{inline: &r, at: n}, m.join()
}
