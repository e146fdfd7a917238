package xmpp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// Namespaces that the core of the protocol is made of.
const (
	NSClient = "jabber:client"
	NSXML    = "http://www.w3.org/XML/1998/namespace"
)

// An Element is a piece of XML: a view over bytes that were checked when they
// came in. It is never changed and may be kept. A nil *Element is safe to ask:
// it has no name, no attributes and no children.
type Element struct {
	Name, NS string

	raw    []byte // from < to >, both included
	attrs  []byte // what stands in the opening tag behind the name
	inner  []byte // what stands between the tags
	outer  *scope // declarations of the elements around it
	def    string // the default namespace around it
	own    int    // for built elements: bytes of the xmlns behind the name
	prefix bool   // the name has a prefix
}

// scope is the opening tags around an element that declare prefixes.
type scope struct {
	attrs []byte
	outer *scope
}

// ParseElement checks and reads one element out of bytes that are not from the
// stream, a database for example. def is the namespace of an element without
// xmlns. b must not be changed afterwards.
func ParseElement(b []byte, def string) (*Element, error) {
	frame, err := stream.New(stream.Limits{}).Document(b)
	if err != nil {
		return nil, fmt.Errorf("read element: %w", err)
	}
	return view(frame.Raw, def, nil), nil
}

// FrameElement copies a frame into an element.
func FrameElement(f *stream.Frame) (*Element, error) {
	if f.Kind != stream.Element {
		return nil, errors.New("not an element")
	}
	b := append(make([]byte, 0, len(f.Raw)), f.Raw...)
	e := view(b, NSClient, nil)
	for _, d := range f.Borrowed {
		if len(d.Prefix) > 0 {
			e.outer = &scope{appendAttr(nil, "xmlns:"+string(d.Prefix), string(d.NS)), e.outer}
		}
	}
	e.NS = string(f.NS)
	return e, nil
}

// view is the element at the start of b, whose bytes are known to be good.
func view(b []byte, def string, outer *scope) *Element {
	t := scanTag(b)
	end := len(b)
	inner := b[t.end:t.end]
	if !t.empty {
		close := bytes.LastIndexByte(b[:end], '<')
		inner = b[t.end:close]
	}
	e := &Element{raw: b, attrs: b[t.name:t.attrsEnd()], inner: inner, outer: outer, def: def}
	name := str(b[1:t.name])
	if i := strings.IndexByte(name, ':'); i >= 0 {
		e.prefix = true
		e.Name, e.NS = name[i+1:], e.lookup(name[:i])
		return e
	}
	e.Name, e.NS = name, e.defaultNS()
	return e
}

// defaultNS is the namespace of names without a prefix inside e.
func (e *Element) defaultNS() string {
	if v, ok := findAttr(e.attrs, "xmlns"); ok {
		return attrText(v)
	}
	return e.def
}

// lookup is the namespace that prefix stands for.
func (e *Element) lookup(prefix string) string {
	if prefix == "xml" {
		return NSXML
	}
	if v, ok := findAttr(e.attrs, "xmlns:"+prefix); ok {
		return attrText(v)
	}
	for s := e.outer; s != nil; s = s.outer {
		if v, ok := findAttr(s.attrs, "xmlns:"+prefix); ok {
			return attrText(v)
		}
	}
	return ""
}

// inside is the scope of e's children.
func (e *Element) inside() *scope {
	if bytes.Contains(e.attrs, []byte("xmlns:")) {
		return &scope{e.attrs, e.outer}
	}
	return e.outer
}

// Attr is the value of the attribute with that name (as it is written, with its
// prefix), empty if there is none.
func (e *Element) Attr(name string) string {
	v, _ := e.LookupAttr(name)
	return v
}

// LookupAttr is Attr for those who must tell an empty attribute from none.
func (e *Element) LookupAttr(name string) (string, bool) {
	if e == nil {
		return "", false
	}
	v, ok := findAttr(e.attrs, name)
	return attrText(v), ok
}

// Text is the character data of e, without that of its children.
func (e *Element) Text() string {
	if e == nil {
		return ""
	}
	return textOf(e.inner)
}

// Children goes through the elements in e, in order.
func (e *Element) Children() iter.Seq[*Element] {
	if e == nil {
		return func(func(*Element) bool) {}
	}
	return childrenOf(e.inner, e.defaultNS(), e.inside())
}

// Child is the first child with that namespace and name, or nil. An empty ns or
// name stands for any.
func (e *Element) Child(ns, name string) *Element {
	for c := range e.Children() {
		if (ns == "" || c.NS == ns) && (name == "" || c.Name == name) {
			return c
		}
	}
	return nil
}

// Is reports whether e has that namespace and name.
func (e *Element) Is(ns, name string) bool { return e != nil && e.NS == ns && e.Name == name }

// XML is the element as it can stand alone.
func (e *Element) XML() string { return string(e.AppendXML(nil, "")) }

// String is XML, for logs and tests.
func (e *Element) String() string {
	if e == nil {
		return ""
	}
	return e.XML()
}

// AppendXML writes the element where outer is the default namespace, with the
// declarations that it needs there.
func (e *Element) AppendXML(b []byte, outer string) []byte {
	if e == nil {
		return b
	}
	name := scanTag(e.raw).name
	b = append(b, e.raw[:name]...)
	if e.own > 0 {
		if outer == e.NS {
			return append(b, e.raw[name+e.own:]...)
		}
		return append(b, e.raw[name:]...)
	}
	if _, has := findAttr(e.attrs, "xmlns"); !has && e.def != outer {
		b = appendAttr(b, "xmlns", e.def)
	}
	b = e.appendOuter(b)
	return append(b, e.raw[name:]...)
}

// appendOuter writes the prefixes that the elements around e declared and e
// itself does not.
func (e *Element) appendOuter(b []byte) []byte {
	var done []string
	for s := e.outer; s != nil; s = s.outer {
		for a, v := range attrsOf(s.attrs) {
			p, ok := strings.CutPrefix(a, "xmlns:")
			if !ok || contains(done, p) {
				continue
			}
			done = append(done, p)
			if _, has := findAttr(e.attrs, a); !has {
				b = appendRawAttr(b, a, v)
			}
		}
	}
	return b
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// Inner is the bytes between e's tags. They must not be changed.
func (e *Element) Inner() []byte { return e.inner }

// Decode fills v as encoding/xml does. It is for modules that want a struct,
// off the hot path.
func (e *Element) Decode(v any) error {
	if e == nil {
		return errors.New("decode: no element")
	}
	return xml.Unmarshal(e.AppendXML(nil, ""), v)
}
