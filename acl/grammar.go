package acl

import (
	"errors"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/config"
)

// mistakes collects everything wrong in a value, so that all is said at once.
type mistakes struct {
	list  []error
	wrong bool
}

func (m *mistakes) add(err error) {
	if err == nil {
		return
	}
	var one *config.Mistake
	if !errors.As(err, &one) || !one.Warning {
		m.wrong = true
	}
	m.list = append(m.list, err)
}

func (m *mistakes) take(o mistakes) {
	m.list, m.wrong = append(m.list, o.list...), m.wrong || o.wrong
}

func (m mistakes) join() error { return errors.Join(m.list...) }

// A pair is a keyword and its value, or a word alone, whose value is nil.
type pair struct {
	word  string
	at    *config.Node // the word itself
	value *config.Node
}

// pairs flattens what ejabberd reads as a list of words and key-value pairs: a
// word, a map, or a list of those, however nested.
func pairs(n *config.Node, m *mistakes) []pair {
	switch n.Kind() {
	case config.KindScalar:
		text, _ := n.Scalar()
		return []pair{{word: text, at: n}}
	case config.KindMap:
		var out []pair
		for key, value := range n.Map() {
			at := n.Key(key)
			if value.Kind() == config.KindNull {
				m.add(at.Errorf("%s has no value", key))
				continue
			}
			out = append(out, pair{key, at, value})
		}
		return out
	case config.KindList:
		var out []pair
		for _, item := range n.List() {
			out = append(out, pairs(item, m)...)
		}
		return out
	}
	m.add(n.Wanted("a name, a map or a list"))
	return nil
}

// kinds are the matchers by name. The second half of a name says how its text
// is compared.
var kinds = []string{
	"user", "user_regexp", "user_glob", "server", "server_regexp", "server_glob",
	"resource", "resource_regexp", "resource_glob", "node_regexp", "node_glob", "shared_group", "ip",
}

// parseMatcher reads the values of a matcher and returns one matcher for each.
func parseMatcher(p pair, m *mistakes) []matcher {
	if !slices.Contains(kinds, p.word) {
		m.add(p.at.Errorf("%q is no kind of matcher; there are %s", p.word, strings.Join(kinds, ", ")))
		return nil
	}
	values := []*config.Node{p.value}
	if p.value.Kind() == config.KindList {
		if values = p.value.List(); len(values) == 0 {
			m.add(p.value.Errorf("%s needs at least one value", p.word))
		}
	}
	var out []matcher
	for _, v := range values {
		if v.Kind() != config.KindMap {
			out = m.keep(out)(parseValue(p.word, v))
			continue
		}
		for key, host := range v.Map() {
			out = m.keep(out)(parseKeyed(p.word, v.Key(key), host))
		}
	}
	return out
}

// keep appends a matcher to out unless it came with an error, which is noted.
func (m *mistakes) keep(out []matcher) func(matcher, error) []matcher {
	return func(mt matcher, err error) []matcher {
		if err != nil {
			m.add(err)
			return out
		}
		return append(out, mt)
	}
}

// parseConditions reads what stands behind allow, deny or the value of a shaper
// rule: ACLs by name, matchers, or a mixture.
func parseConditions(n *config.Node, m *mistakes) []matcher {
	var out []matcher
	for _, p := range pairs(n, m) {
		switch {
		case p.value == nil:
			out = append(out, matcher{what: byList, text: p.word, at: p.at})
		case p.word == "acl":
			name, ok := p.value.Scalar()
			if !ok || name == "" {
				m.add(p.value.Wanted("the name of an ACL"))
				continue
			}
			out = append(out, matcher{what: byList, text: name, at: p.value})
		default:
			found := parseMatcher(p, m)
			if len(found) > 1 {
				m.add(p.at.Warnf("all conditions of a rule must hold at once, so several values of %s rarely fit; to allow any of them, make an ACL and name it here", p.word))
			}
			out = append(out, found...)
		}
	}
	if len(out) == 0 && !m.wrong {
		m.add(n.Errorf("needs the name of an ACL or a matcher"))
	}
	return out
}

// parseList reads an ACL.
func parseList(n *config.Node) (List, mistakes) {
	var l List
	var m mistakes
	for _, p := range pairs(n, &m) {
		if p.value == nil {
			m.add(p.at.Errorf("%q must be a matcher with a value, as in user: %s", p.word, p.word))
			continue
		}
		l.matchers = append(l.matchers, parseMatcher(p, &m)...)
	}
	if len(l.matchers) == 0 && !m.wrong {
		m.add(n.Errorf("an ACL needs at least one matcher"))
	}
	return l, m
}

// parseRule reads an ordered list of allow and deny.
func parseRule(n *config.Node) (Rule, mistakes) {
	var r Rule
	var m mistakes
	for _, p := range pairs(n, &m) {
		if p.word != "allow" && p.word != "deny" {
			m.add(p.at.Errorf("%q must be allow or deny", p.word))
			continue
		}
		conditions := []matcher{{what: byList, text: "all"}}
		if p.value != nil {
			conditions = parseConditions(p.value, &m)
		}
		r.entries = append(r.entries, entry[bool]{p.word == "allow", conditions})
	}
	if len(r.entries) == 0 && !m.wrong {
		m.add(n.Errorf("a rule needs at least one allow or deny"))
	}
	return r, m
}
