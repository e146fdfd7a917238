package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Bounds on what a configuration may take, so that a file that was made to
// explode names its mistake instead of eating the memory.
const (
	maxFile  = 2 << 20 // bytes of one file
	maxNodes = 200_000 // values, after aliases and macros were put in
	maxText  = 32 << 20
)

// A budget is what is left of the bounds.
type budget struct {
	nodes, bytes int
	over         error // why there is nothing left
}

func newBudget() *budget { return &budget{nodes: maxNodes, bytes: maxText} }

// spend takes a value with so many bytes of text from b.
func (b *budget) spend(n *Node) error {
	b.nodes--
	b.bytes -= len(n.text)
	if b.over == nil && (b.nodes < 0 || b.bytes < 0) {
		b.over = n.Errorf("the configuration becomes too large here: over %d values or %d MB of text, with aliases and macros put in", maxNodes, maxText>>20)
	}
	return b.over
}

// Parse reads YAML out of text, which file is the name of. What it returns is
// not looked at further: no macros, no includes. The error is a *Mistake.
func Parse(file string, text []byte) (*Node, error) {
	return parse(file, text, newBudget())
}

func parse(file string, text []byte, b *budget) (*Node, error) {
	if len(text) > maxFile {
		return nil, &Mistake{File: file, Text: fmt.Sprintf("the file is too large: more than %d MB", maxFile>>20)}
	}
	if m := badText(file, text); m != nil {
		return nil, m
	}
	doc, err := readYAML(text)
	if err != nil {
		return nil, syntaxMistake(file, text, err)
	}
	if doc == nil {
		return &Node{kind: KindMap, file: file, line: 1, column: 1}, nil
	}
	c := converter{file: file, budget: b}
	return c.node(doc.Content[0], 0)
}

// badText finds bytes that are no text.
func badText(file string, text []byte) error {
	line, column := 1, 1
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		control := r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f
		switch {
		case r == utf8.RuneError && size == 1:
			return &Mistake{File: file, Line: line, Column: column, Text: "this is not UTF-8"}
		case control:
			return &Mistake{File: file, Line: line, Column: column, Text: fmt.Sprintf("a control character (%#x) is not allowed in YAML", r)}
		case r == '\n':
			line, column = line+1, 0
		}
		i, column = i+size, column+1
	}
	return nil
}

// errDocuments says that a file has more than one YAML document.
var errDocuments = errors.New("yaml: a second document starts here; only one is allowed")

// readYAML parses the only document in text; nil if there is none.
func readYAML(text []byte) (doc *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: cannot be read: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	doc = new(yaml.Node)
	switch err := dec.Decode(doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, err
	case len(doc.Content) == 0:
		return nil, nil
	}
	switch err := dec.Decode(new(yaml.Node)); {
	case errors.Is(err, io.EOF):
		return doc, nil
	case err != nil:
		return nil, err
	}
	return nil, errDocuments
}

// aLine is how yaml.v3 begins its errors.
var aLine = regexp.MustCompile(`^yaml: (?:line \d+: )?`)

// syntaxMistake finds the line of a YAML error. The parser names the line where
// the surrounding block began, or the one before; the line that matters is the
// first one that the parser needs to see to fail in just this way.
func syntaxMistake(file string, text []byte, err error) error {
	lines := bytes.SplitAfter(text, []byte("\n"))
	want := err.Error()
	at := sort.Search(len(lines)-1, func(i int) bool {
		_, err := readYAML(bytes.Join(lines[:i+1], nil))
		return err != nil && err.Error() == want
	})
	why := aLine.ReplaceAllString(want, "")
	m := &Mistake{File: file, Line: at + 1, Text: "this is not YAML: " + why}
	indent := lines[at][:len(lines[at])-len(bytes.TrimLeft(lines[at], " \t"))]
	switch {
	case bytes.ContainsRune(indent, '\t'):
		m.Text = "this is not YAML: indent with spaces, not tabs"
		m.Column = bytes.IndexByte(indent, '\t') + 1
	case strings.HasPrefix(why, "mapping values are not allowed"):
		m.Text += "; is the indentation right, and is a text with a colon in quotes?"
	case strings.HasPrefix(why, "did not find expected ',' or"):
		m.Text += "; is a bracket not closed?"
	case strings.HasPrefix(why, "did not find expected"):
		m.Text += "; is the indentation the same as in the lines above?"
	case strings.HasPrefix(why, "found unexpected end of stream"):
		m.Text += "; is a quote not closed?"
	case strings.HasPrefix(why, "found character that cannot start"):
		m.Text += "; a text that begins with @, % or ` needs quotes"
	}
	return m
}

// A converter makes our nodes of the parser's, with the aliases put in.
type converter struct {
	file   string
	budget *budget
	open   []*yaml.Node // anchors being put in
}

func (c *converter) node(y *yaml.Node, depth int) (*Node, error) {
	n := &Node{file: c.file, line: y.Line, column: y.Column}
	if depth > maxDepth {
		return nil, n.Errorf("nested deeper than %d", maxDepth)
	}
	if y.Kind == yaml.AliasNode {
		if slices.Contains(c.open, y.Alias) {
			return nil, n.Errorf("the alias *%s contains itself", y.Value)
		}
		c.open = append(c.open, y.Alias)
		defer func() { c.open = c.open[:len(c.open)-1] }()
		return c.node(y.Alias, depth+1)
	}
	var err error
	switch y.Kind {
	case yaml.ScalarNode:
		c.scalar(n, y)
	case yaml.SequenceNode:
		err = c.list(n, y, depth)
	default:
		err = c.mapping(n, y, depth)
	}
	if err == nil {
		err = c.budget.spend(n)
	}
	return n, err
}

func (c *converter) scalar(n *Node, y *yaml.Node) {
	n.kind, n.text = KindScalar, y.Value
	n.quoted = y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if y.Tag == "!!null" && !n.quoted {
		n.kind, n.text = KindNull, ""
	}
}

func (c *converter) list(n *Node, y *yaml.Node, depth int) error {
	n.kind = KindList
	for _, item := range y.Content {
		v, err := c.node(item, depth+1)
		if err != nil {
			return err
		}
		n.add(v)
	}
	return nil
}

func (c *converter) mapping(n *Node, y *yaml.Node, depth int) error {
	n.kind = KindMap
	var merged []*Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, err := c.node(y.Content[i], depth+1)
		if err != nil {
			return err
		}
		value, err := c.node(y.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		if y.Content[i].Tag == "!!merge" {
			merged = append(merged, value)
			continue
		}
		if key.kind != KindScalar {
			return key.Errorf("expected a name, not %s", key.kind)
		}
		n.put(key, value)
	}
	return c.merge(n, merged)
}

// merge puts in what <<: *alias names, except for names that n has itself.
func (c *converter) merge(n *Node, merged []*Node) error {
	for _, m := range merged {
		list := []*Node{m}
		if m.kind == KindList {
			list = m.items
		}
		for _, m := range list {
			if m.kind != KindMap {
				return m.Errorf("expected a map to merge, not %s", m.kind)
			}
			for _, e := range m.entries {
				if n.Key(e.key.text) == nil {
					n.put(e.key, e.value)
				}
			}
		}
	}
	return nil
}
