package config

import "strings"

// A scope is what the values of a part of the file may refer to late:
// keywords. A nil scope has none.
type scope struct {
	keywords map[string]*Node
}

// apply returns a deep copy of n in which keywords are replaced: whole values
// that are a keyword in capitals without quotes, and @NAME@ in texts.
func (s *scope) apply(n *Node, b *budget) (*Node, error) {
	c := *n
	c.parent, c.step, c.items, c.entries, c.scope = nil, "", nil, nil, s
	if n.kind == KindScalar {
		if k := s.keywords[n.text]; k != nil && !n.quoted && isMacroName(n.text) {
			c.kind, c.text, c.quoted, c.items, c.entries = k.kind, k.text, k.quoted, k.items, k.entries
			if k.kind != KindScalar {
				v, err := (&scope{}).apply(&c, b)
				v.enter(s)
				return v, err
			}
		} else {
			c.text = s.expand(n.text)
		}
	}
	if err := b.spend(&c); err != nil {
		return &c, err
	}
	for _, item := range n.items {
		v, err := s.apply(item, b)
		if err != nil {
			return &c, err
		}
		c.add(v)
	}
	for _, e := range n.entries {
		key, err := s.apply(e.key, b)
		if err != nil {
			return &c, err
		}
		if key.kind != KindScalar {
			return &c, e.key.Errorf("the keyword %s is %s and cannot be a name", e.key.text, key.kind)
		}
		value, err := s.apply(e.value, b)
		if err != nil {
			return &c, err
		}
		c.put(key, value)
	}
	return &c, nil
}

// enter puts n and all below it into s.
func (n *Node) enter(s *scope) {
	n.scope = s
	for _, item := range n.items {
		item.enter(s)
	}
	for _, e := range n.entries {
		e.key.enter(s)
		e.value.enter(s)
	}
}

// expand replaces each @NAME@ in s whose NAME is a keyword with a single value.
func (s *scope) expand(text string) string {
	if s == nil || strings.Count(text, "@") < 2 {
		return text
	}
	return substitute(text, func(name string) (string, bool) { return s.keywords[name].Scalar() })
}

// maxExpanded is the length of a text from which on nothing more is put in.
const maxExpanded = 4 << 20

// substitute replaces each @NAME@ that value knows.
func substitute(text string, value func(string) (string, bool)) string {
	var b strings.Builder
	for b.Len() < maxExpanded {
		i := strings.IndexByte(text, '@')
		if i < 0 {
			break
		}
		j := strings.IndexByte(text[i+1:], '@')
		if j < 0 {
			break
		}
		name := text[i+1 : i+1+j]
		if v, ok := value(name); ok && isMacroName(name) {
			b.WriteString(text[:i])
			b.WriteString(v)
			text = text[i+j+2:]
			continue
		}
		b.WriteString(text[:i+1])
		text = text[i+1:]
	}
	b.WriteString(text)
	return b.String()
}

// isMacroName tells whether s can be the name of a macro or keyword.
func isMacroName(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}

// copy returns a deep copy of n without a parent, at the same place of the file.
func (n *Node) copy() *Node {
	c := *n
	c.parent, c.step, c.items, c.entries = nil, "", nil, nil
	for _, item := range n.items {
		c.add(item.copy())
	}
	for _, e := range n.entries {
		c.put(e.key.copy(), e.value.copy())
	}
	return &c
}
