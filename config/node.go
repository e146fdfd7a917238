package config

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// Kind is what a Node is.
type Kind uint8

// The kinds of nodes.
const (
	KindNull   Kind = iota // nothing was written, or null
	KindScalar             // one word, number or text
	KindList
	KindMap
)

// String names the kind as a message to a person does.
func (k Kind) String() string {
	return [...]string{"nothing", "a single value", "a list", "a map"}[k]
}

// A Node is a value in a configuration file, with the place where it stands.
// Nodes are not changed after they were made and may be read from anywhere. A
// nil Node is like an empty one.
type Node struct {
	kind         Kind
	file         string
	line, column int
	text         string
	quoted       bool // never a macro, a keyword or a number by accident
	items        []*Node
	entries      []entry

	parent *Node
	step   string // how the parent calls it: a name, or [2]
	scope  *scope // keywords that a value may refer to; nil: none
	topic  *topic // what the names of a map are names of; nil: not known
}

// An entry is a name and its value in a map. The name knows its own place.
type entry struct {
	key   *Node
	value *Node
}

// Kind returns what n is.
func (n *Node) Kind() Kind {
	if n == nil {
		return KindNull
	}
	return n.kind
}

// File returns the name of the file that n was read from, "" if there is none.
func (n *Node) File() string {
	if n == nil {
		return ""
	}
	return n.file
}

// Line and Column return where n stands in its file, counted from 1.
func (n *Node) Line() int {
	if n == nil {
		return 0
	}
	return n.line
}

// Column returns the column of the first character of n, counted from 1.
func (n *Node) Column() int {
	if n == nil {
		return 0
	}
	return n.column
}

// maxStep is how much of a name is shown in a path.
const maxStep = 64

// Path returns how to get to n, as in "listen[0].port".
func (n *Node) Path() string {
	var steps []string
	for ; n != nil; n = n.parent {
		if n.step != "" {
			steps = append(steps, clip(n.step, maxStep))
		}
	}
	var b strings.Builder
	for i := len(steps) - 1; i >= 0; i-- {
		if b.Len() > 0 && !strings.HasPrefix(steps[i], "[") {
			b.WriteByte('.')
		}
		b.WriteString(steps[i])
	}
	return b.String()
}

// Scalar returns the text of a single value as it was written, without quotes.
func (n *Node) Scalar() (text string, ok bool) {
	if n.Kind() != KindScalar {
		return "", false
	}
	return n.text, true
}

// Quoted tells whether a single value was written in quotes.
func (n *Node) Quoted() bool { return n != nil && n.quoted }

// List returns the values of a list in order; nil for anything else.
func (n *Node) List() []*Node {
	if n == nil {
		return nil
	}
	return n.items
}

// Map yields the names and values of a map in the order of the file; nothing
// for anything else.
func (n *Node) Map() iter.Seq2[string, *Node] {
	return func(yield func(string, *Node) bool) {
		if n == nil {
			return
		}
		for _, e := range n.entries {
			if !yield(e.key.text, e.value) {
				return
			}
		}
	}
}

// Get returns the value that a map has for name; nil when there is none.
func (n *Node) Get(name string) *Node {
	for k, v := range n.Map() {
		if k == name {
			return v
		}
	}
	return nil
}

// Key returns the node of the name itself, for messages that point at the
// name rather than its value; nil when there is none.
func (n *Node) Key(name string) *Node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		if e.key.text == name {
			return e.key
		}
	}
	return nil
}

// seenFrom says where n stands, for somebody who looks at other.
func (n *Node) seenFrom(other *Node) string {
	if n.file == other.file {
		return fmt.Sprintf("line %d", n.line)
	}
	return fmt.Sprintf("%s line %d", n.file, n.line)
}

// Duplicates returns a Mistake for each name that a map has more than once; nil
// if there is none.
func (n *Node) Duplicates() error {
	var errs []error
	seen := map[string]*Node{}
	for _, e := range n.pairs() {
		if before := seen[e.key.text]; before != nil {
			errs = append(errs, e.key.Errorf("written twice; the first is in %s", before.seenFrom(e.key)))
			continue
		}
		seen[e.key.text] = e.key
	}
	return errors.Join(errs...)
}

// Len returns how many entries a map or a list has.
func (n *Node) Len() int {
	if n == nil {
		return 0
	}
	return len(n.items) + len(n.entries)
}

// Errorf returns a Mistake at n.
func (n *Node) Errorf(format string, args ...any) error {
	return n.mistake(fmt.Sprintf(format, args...))
}

// Warnf returns a Mistake at n that does not stop the start. A decoder may
// join it to its other errors or return it beside a good value.
func (n *Node) Warnf(format string, args ...any) error {
	m := n.mistake(fmt.Sprintf(format, args...))
	m.Warning = true
	return m
}

func (n *Node) mistake(text string) *Mistake {
	return &Mistake{File: n.File(), Line: n.Line(), Column: n.Column(), Path: n.Path(), Text: text}
}

// Wanted returns the Mistake that n is not what was expected.
func (n *Node) Wanted(what string) error {
	if n.Kind() == KindScalar {
		return n.Errorf("expected %s, not %s", what, quote(n.text))
	}
	return n.Errorf("expected %s, not %s", what, n.Kind())
}

// word makes a single value that has no place in a file.
func word(text string) *Node { return &Node{kind: KindScalar, text: text} }

// under hangs n below parent, where it is called step.
func (n *Node) under(parent *Node, step string) *Node {
	n.parent, n.step = parent, step
	return n
}

// add puts an item at the end of a list.
func (n *Node) add(item *Node) {
	n.items = append(n.items, item.under(n, "["+strconv.Itoa(len(n.items))+"]"))
}

// put adds a name and a value to a map.
func (n *Node) put(key, value *Node) {
	key.parent, key.step = n, key.text
	n.entries = append(n.entries, entry{key, value.under(n, key.text)})
}

// quote shows a value of a person's in a message, shortened.
func quote(s string) string { return strconv.Quote(clip(s, 80)) }

// clip shortens s to about n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
