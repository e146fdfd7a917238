package config

import (
	"slices"
	"strings"
)

// envMacro begins the names of environment variables that define macros.
const envMacro = "EJABBERD_MACRO_"

// macros are the values that may be written by name anywhere in the files.
type macros struct {
	defs   map[string]*macro
	budget *budget
	open   []string // being put in, outermost first
}

type macro struct {
	key, value *Node
	env        bool
}

// define takes in a define_macro map. Duplicates are mistakes; what the
// environment defines goes before the file.
func (ms *macros) define(n *Node) (errs []error) {
	if n.Kind() != KindMap && n.Kind() != KindNull {
		return []error{n.Wanted("a map of names to values")}
	}
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		name := e.key.text
		before := ms.defs[name]
		switch {
		case !isMacroName(name):
			errs = append(errs, e.key.Errorf("the name of a macro has only the letters A to Z, digits and _"))
		case before == nil:
			ms.defs[name] = &macro{key: e.key, value: e.value}
		case before.env:
		default:
			errs = append(errs, e.key.Errorf("defined twice; the first is in %s", before.key.seenFrom(e.key)))
		}
	}
	return errs
}

// environment defines the macros in the variables of a process: NAME=value.
func (ms *macros) environment(env []string) (errs []error) {
	env = slices.Sorted(slices.Values(env))
	for _, v := range env {
		name, text, _ := strings.Cut(v, "=")
		name, ok := strings.CutPrefix(name, envMacro)
		if !ok {
			continue
		}
		n, err := parse(envMacro+name, []byte(text), ms.budget)
		if err == nil && !isMacroName(name) {
			err = n.Errorf("the name of a macro has only the letters A to Z, digits and _")
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if strings.TrimSpace(text) == "" {
			n = &Node{kind: KindScalar, file: envMacro + name}
		}
		ms.defs[name] = &macro{key: n, value: n, env: true}
	}
	return errs
}

// expand returns a copy of n with all macros put in. Where a mistake is, the
// copy has what was written. When the budget is over, what it returns is not to
// be used.
func (ms *macros) expand(n *Node, errs *[]error) *Node {
	if n.kind == KindScalar {
		return ms.scalar(n, errs)
	}
	c := *n
	c.parent, c.step, c.items, c.entries = nil, "", nil, nil
	if ms.budget.spend(&c) != nil {
		return &c
	}
	for _, item := range n.items {
		c.add(ms.expand(item, errs))
	}
	for _, e := range n.entries {
		key := ms.expand(e.key, errs)
		if key.kind != KindScalar {
			*errs = append(*errs, e.key.Errorf("this macro stands for a name, so that its value must be a single one, not %s", key.kind))
			key = e.key.copy()
		}
		c.put(key, ms.expand(e.value, errs))
	}
	return &c
}

// scalar puts macros into a single value: all of it, or between @ signs.
func (ms *macros) scalar(n *Node, errs *[]error) *Node {
	c := *n
	c.parent, c.step = nil, ""
	if !n.quoted && isMacroName(n.text) && ms.defs[n.text] != nil {
		if v := ms.value(n, n.text, errs); v != nil {
			v.file, v.line, v.column = n.file, n.line, n.column
			return v
		}
		return &c
	}
	if strings.Count(n.text, "@") >= 2 {
		c.text = substitute(n.text, func(name string) (string, bool) {
			if ms.defs[name] == nil {
				return "", false
			}
			v := ms.value(n, name, errs)
			if v == nil {
				return "", false
			}
			if v.kind != KindScalar {
				*errs = append(*errs, n.Errorf("the macro %s is %s and cannot stand inside a text", name, v.kind))
				return "", false
			}
			return v.text, true
		})
	}
	if ms.budget.spend(&c) != nil {
		c.text = ""
	}
	return &c
}

// value returns a copy of what the macro called name stands for, macros put in;
// nil after a mistake. at is where it is used.
func (ms *macros) value(at *Node, name string, errs *[]error) *Node {
	m := ms.defs[name]
	if i := slices.Index(ms.open, name); i >= 0 {
		*errs = append(*errs, m.key.Errorf("this macro contains itself: %s", strings.Join(append(slices.Clone(ms.open[i:]), name), " → ")))
		return nil
	}
	if ms.budget.over != nil {
		return nil
	}
	if len(ms.open) > maxDepth {
		*errs = append(*errs, at.Errorf("macros stand in each other deeper than %d", maxDepth))
		return nil
	}
	ms.open = append(ms.open, name)
	defer func() { ms.open = ms.open[:len(ms.open)-1] }()
	return ms.expand(m.value, errs)
}
