package config

import (
	"slices"
	"strings"

	"github.com/gabberd/gabberd/config/known"
)

// A topic is what the names in a map are names of, so that a name which nothing
// here declares can be looked up in what ejabberd knows.
type topic struct {
	options []known.Option
	quiet   bool // what it is about is itself not built: check, say nothing more
}

// ModuleTopic returns n as the options of a module: Decode then tells options
// of ejabberd's that are not built yet from misspelled ones. Nodes that come
// from a Tree have it already.
func (n *Node) ModuleTopic(module string) *Node {
	m, _ := known.FindModule(module)
	return n.about(&topic{options: m.Options})
}

// ListenerTopic returns n as the options of a listener module, as ModuleTopic.
func (n *Node) ListenerTopic(module string) *Node {
	l, _ := known.FindListener(module)
	return n.about(&topic{options: slices.Concat(known.Common(), l.Options)})
}

func (n *Node) about(t *topic) *Node {
	if n == nil {
		n = &Node{}
	}
	c := *n
	c.topic = t
	return &c
}

// unclaimed returns what is to be said of an entry that no Declarer claims, and
// false if its name is not known either.
func (t *topic) unclaimed(key, value *Node) (error, bool) {
	if t == nil {
		return nil, false
	}
	o, ok := known.Find(t.options, key.text)
	if !ok {
		return nil, false
	}
	err := checkType(value, o.Type)
	switch {
	case err != nil || t.quiet:
		return err, true
	case o.Fatal && !harmless(value, o):
		return key.Errorf("%s", fatalText), true
	}
	return key.Warnf("%s", unbuiltText), true
}

func (t *topic) names() []string {
	if t == nil {
		return nil
	}
	out := make([]string, len(t.options))
	for i, o := range t.options {
		out[i] = o.Name
	}
	return out
}

// harmless tells whether a server that ignores o with value v does what the
// file asks for anyway.
func harmless(v *Node, o known.Option) bool {
	safe := strings.Fields(o.Safe)
	switch v.Kind() {
	case KindScalar:
		for part := range strings.SplitSeq(v.text, "|") {
			if !slices.Contains(safe, part) {
				return false
			}
		}
		return true
	case KindList:
		for _, item := range v.List() {
			if !harmless(item, o) {
				return false
			}
		}
		return true
	case KindMap:
		return v.Len() == 0
	}
	return true
}
