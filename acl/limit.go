package acl

import (
	"strconv"

	"github.com/gabberd/gabberd/config"
)

// amount is what an entry of a shaper rule gives: a named shaper, a number, or
// no limit. The zero amount is ejabberd's `none`: nothing is said.
type amount struct {
	shaper   string
	number   int
	infinite bool
	at       *config.Node
}

// A LimitRule is an ordered list of amounts and for whom they are, as in
// shaper_rules.
type LimitRule struct{ entries []entry[amount] }

func (r *LimitRule) find(q question) amount {
	for i := range r.entries {
		e := &r.entries[i]
		if _, known := q.o.Shapers[e.value.shaper]; e.value.shaper != "" && !known {
			continue // the entry was warned about, and counts as not written
		}
		if e.fits(q) {
			return e.value
		}
	}
	return amount{}
}

// A Limit is what an option of type shaper holds: the name of a shaper rule, or
// a rule written in its place. The zero Limit, like the name `none`, limits
// nobody.
type Limit struct {
	name   string
	inline *LimitRule
	at     *config.Node // nil for a default
}

// NewLimit returns the Limit that names a shaper rule.
func NewLimit(name string) Limit { return Limit{name: name} }

// Rate returns how fast who may send, by the rules that rs holds now: an
// unlimited Rate where no entry fits, or one that gives no shaper.
func (l Limit) Rate(rs *Ruleset, who Subject) Rate {
	q, a := l.find(rs, who)
	switch {
	case a.shaper != "":
		return q.o.Shapers[a.shaper]
	case a.number > 0:
		return Rate{a.number, a.number}
	}
	return Rate{}
}

// Number returns what the rule gives who: a number, or infinite. Both are zero
// where no entry fits, or one that gives a shaper; the caller then uses its own
// default.
func (l Limit) Number(rs *Ruleset, who Subject) (n int, infinite bool) {
	_, a := l.find(rs, who)
	return a.number, a.infinite
}

func (l Limit) find(rs *Ruleset, who Subject) (question, amount) {
	q := rs.about(who)
	if l.inline != nil {
		return q, l.inline.find(q)
	}
	switch l.name {
	case "", "none":
		return q, amount{}
	case "infinity", "infinite", "unlimited":
		return q, amount{infinite: true}
	}
	rule := q.o.Limits[l.name]
	return q, rule.find(q)
}

// String is the name of the rule, or "inline rule".
func (l Limit) String() string {
	switch {
	case l.inline != nil:
		return "inline rule"
	case l.name == "":
		return "none"
	}
	return l.name
}

// Shaper returns a new Shaper for who, by the shaper rule called name; nil
// where there is no limit.
func (rs *Ruleset) Shaper(name string, who Subject) *Shaper {
	if r := NewLimit(name).Rate(rs, who); r.Limited() {
		return NewShaper(r)
	}
	return nil
}

// Number asks the shaper rule called name, as Limit.Number does.
func (rs *Ruleset) Number(name string, who Subject) (n int, infinite bool) {
	return NewLimit(name).Number(rs, who)
}

// LimitField declares an option that holds a Limit; def is the name of a shaper
// rule, usually `none`.
func LimitField(f *config.Fields, p *Limit, name, def, doc string) *config.Field[Limit] {
	return config.Value(f, p, name, "shaper rule", NewLimit(def), doc, decodeLimit).DefaultText(def)
}

func decodeLimit(n *config.Node) (Limit, error) {
	if n.Kind() == config.KindScalar {
		name, _ := n.Scalar()
		if _, err := strconv.Atoi(name); err != nil && name != "" {
			return Limit{name: name, at: n}, nil
		}
	}
	r, m := parseLimit(n)
	if m.wrong {
		return Limit{}, m.join()
	}
	return Limit{inline: &r, at: n}, m.join()
}

// parseLimit reads a shaper rule: one value for all, or an ordered list of
// values and for whom they are.
func parseLimit(n *config.Node) (LimitRule, mistakes) {
	var r LimitRule
	var m mistakes
	for _, p := range pairs(n, &m) {
		a, err := parseAmount(p)
		if err != nil {
			m.add(err)
			continue
		}
		conditions := []matcher{{what: byList, text: "all"}}
		if p.value != nil {
			conditions = parseConditions(p.value, &m)
		}
		r.entries = append(r.entries, entry[amount]{a, conditions})
	}
	if len(r.entries) == 0 && !m.wrong {
		m.add(n.Errorf("a shaper rule needs at least one value"))
	}
	return r, m
}

func parseAmount(p pair) (amount, error) {
	switch p.word {
	case "none":
		return amount{}, nil
	case "infinity", "infinite", "unlimited":
		return amount{infinite: true}, nil
	case "":
		return amount{}, p.at.Errorf("needs the name of a shaper, a number or infinity")
	}
	n, err := strconv.Atoi(p.word)
	if err != nil {
		return amount{shaper: p.word, at: p.at}, nil
	}
	if n <= 0 {
		return amount{}, p.at.Errorf("must be more than 0, not %d", n)
	}
	return amount{number: n}, nil
}
