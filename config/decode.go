package config

import (
	"slices"
)

// Decode sets what d declares from the map n, and everything that n does not
// have to its default. It returns all mistakes and all warnings, each a
// *Mistake. Options with mistakes keep their default. An n that is nil or empty
// sets all defaults.
func Decode(n *Node, d Declarer) (mistakes, warnings []error) {
	return decodeAll(n, option, n.rest(), d)
}

// A noun is how a field is called in messages.
type noun string

const (
	option   noun = "option"
	argument noun = "argument"
)

// rest is told of the entries that no field claims; it returns what there is to
// report, and false if it does not know the name either.
type rest func(key, value *Node) (error, bool)

// rest returns what becomes of names that nothing declares: the topic of n
// knows, if there is one.
func (n *Node) rest() rest {
	if n == nil {
		return (*topic)(nil).unclaimed
	}
	return n.topic.unclaimed
}

// decodeAll decodes n into all of ds, which must not declare the same name
// twice. Names that none declares go to other.
func decodeAll(n *Node, what noun, other rest, ds ...Declarer) (mistakes, warnings []error) {
	f := collect(ds)
	for _, x := range f.list {
		x.reset(n.where())
	}
	if n.Kind() != KindMap && n.Kind() != KindNull {
		return []error{n.Wanted("a map")}, nil
	}
	if n.Len() > maxOptions {
		return []error{n.Errorf("more than %d names", maxOptions)}, nil
	}
	note := func(n *Node, err error) {
		m, w := sortOut(n, err)
		mistakes, warnings = append(mistakes, m...), append(warnings, w...)
	}
	p := pass{f, n, what, other, map[string]*Node{}}
	if n != nil {
		for _, e := range n.entries {
			note(e.key, p.one(e))
		}
	}
	for _, x := range f.list {
		info := x.about()
		if p.seen[info.Name] == nil && (info.Required || what == argument && !info.Optional) {
			note(n, missing(n, info.Name, what))
		}
	}
	for _, check := range f.wholes {
		if len(mistakes) > 0 {
			break
		}
		if err := check(); err != nil {
			note(n, n.mistake(err.Error()))
		}
	}
	return mistakes, warnings
}

// collect has all of ds declare their fields.
func collect(ds []Declarer) *Fields {
	f := new(Fields)
	for _, d := range ds {
		d.Fields(f)
	}
	return f
}

func missing(n *Node, name string, what noun) error {
	m := n.mistake("this " + string(what) + " is required")
	if m.Path != "" {
		m.Path += "."
	}
	m.Path += name
	return m
}

// A pass is one decoding of a map.
type pass struct {
	*Fields
	n     *Node
	what  noun
	other rest
	seen  map[string]*Node // the names so far, as they are called today
}

// one decodes an entry of the map into the field of that name.
func (p *pass) one(e entry) error {
	x, old := p.find(e.key.text)
	if x == nil {
		if err, known := p.other(e.key, e.value); known {
			return err
		}
		return e.key.Errorf("no such %s%s", p.what, didYouMean(e.key.text, append(p.names(), p.n.topic.names()...)))
	}
	info := x.about()
	if before := p.seen[info.Name]; before != nil {
		if !old && before.text == e.key.text {
			return e.key.Errorf("written twice; the first is in line %d", before.line)
		}
		return e.key.Errorf("the same as %s in line %d; keep one of them", before.text, before.line)
	}
	p.seen[info.Name] = e.key
	err := x.decode(e.value)
	switch {
	case old:
		return join(err, e.key.Warnf("is now called %s; please rename it", info.Name))
	case info.Fatal:
		return join(err, e.key.Errorf("%s", fatalText))
	case info.Unbuilt:
		return join(err, e.key.Warnf("%s", unbuiltText))
	}
	return err
}

// What is said of options that are not built yet.
const (
	unbuiltText = "is not built yet and has no effect"
	fatalText   = "is not built yet, and to ignore it would admit, lose or misplace something; take it out to start"
)

// find returns the field called name, now or formerly.
func (f *Fields) find(name string) (x field, old bool) {
	for _, x := range f.list {
		if x.about().Name == name {
			return x, false
		}
	}
	for _, x := range f.list {
		if slices.Contains(x.about().Old, name) {
			return x, true
		}
	}
	return nil, false
}

func (f *Fields) names() []string {
	out := make([]string, len(f.list))
	for i, x := range f.list {
		out[i] = x.about().Name
	}
	return out
}

// where returns the scope of n.
func (n *Node) where() *scope {
	if n == nil {
		return nil
	}
	return n.scope
}
