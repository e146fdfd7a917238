package stream

import "bytes"

// The two namespaces that are bound by definition (Namespaces in XML 1.0 §3).
const (
	nsXML   = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS = "http://www.w3.org/2000/xmlns/"
)

// inXML is nsXML as bytes to be handed out; nobody writes to it.
var inXML = []byte(nsXML)

// declare notes a namespace declaration of the tag that is being read; an
// empty prefix stands for the default.
func (w *work) declare(b []byte, prefix, value span) *Error {
	d := decl{prefix: prefix, ns: value}
	if w.odd {
		from := len(w.unescaped)
		w.unescaped = AppendValue(w.unescaped, value.of(b))
		d.ns, d.unescaped = span{int32(from), int32(len(w.unescaped))}, true
	}
	ns := w.nsOf(b, d)
	name := prefix.of(b)
	if (string(name) == "xml") != (string(ns) == nsXML) {
		return NotWellFormed.With("the prefix xml and its namespace belong together")
	}
	if string(ns) == nsXMLNS || string(name) == "xmlns" {
		return NotWellFormed.With("xmlns and its namespace cannot be declared")
	}
	if len(name) == 0 {
		w.defaults = append(w.defaults, d)
		return nil
	}
	if len(ns) == 0 {
		return NotWellFormed.With("a prefix cannot be undeclared")
	}
	if len(w.prefixes)+len(w.scope) >= maxDecls {
		return PolicyViolation.With("too many namespace prefixes")
	}
	w.prefixes = append(w.prefixes, d)
	return nil
}

func (w *work) nsOf(b []byte, d decl) []byte {
	if d.unescaped {
		return d.ns.of(w.unescaped)
	}
	return d.ns.of(b)
}

// bind checks that the prefixes of a tag are bound, that no two of its
// attributes are the same after expansion, and notes what the element takes
// from the stream header.
func (w *work) bind(b []byte) *Error {
	t := w.tag
	switch {
	case len(w.open) == 0:
		if err := w.bindRoot(b); err != nil {
			return err
		}
	case t.colon != 0:
		if _, ok := w.lookup(b, b[t.name.from:t.colon]); !ok {
			return unbound()
		}
	case w.root.colon != 0 && len(w.defaults) == 0:
		if i := find(w.scope, nil); i >= 0 {
			w.used[i/64] |= 1 << (i % 64)
		}
	}
	if w.prefixed == 0 {
		return nil
	}
	w.names = w.names[:0]
	for _, a := range w.attrs[w.rootAttrs:] {
		if a.colon == 0 {
			continue
		}
		prefix := b[a.name.from:a.colon]
		if string(prefix) == "xmlns" {
			continue
		}
		ns, ok := w.lookup(b, prefix)
		if !ok {
			return unbound()
		}
		w.names = append(w.names, expanded{b[a.colon+1 : a.name.to], ns})
	}
	if len(w.names) > 1 && !distinct(w.names) {
		return duplicate()
	}
	return nil
}

// unbound is no bad-namespace-prefix: RFC 6120 §4.9.3.13 has not-well-formed
// for what violates Namespaces in XML; the other is for a prefix that is bound
// and still not wanted.
func unbound() *Error { return NotWellFormed.With("a prefix that is not declared") }

// bindRoot finds the namespace of the element itself.
func (w *work) bindRoot(b []byte) *Error {
	t := w.tag
	w.rootNS, w.scopeNS, w.xmlNS = decl{}, -1, false
	if t.colon == 0 {
		if n := len(w.defaults); n > 0 {
			w.rootNS = w.defaults[n-1]
		} else {
			w.scopeNS = find(w.scope, nil)
		}
		return nil
	}
	prefix := b[t.name.from:t.colon]
	for i := len(w.prefixes) - 1; i >= 0; i-- {
		if bytes.Equal(w.prefixes[i].prefix.of(b), prefix) {
			w.rootNS = w.prefixes[i]
			return nil
		}
	}
	w.xmlNS = string(prefix) == "xml"
	if w.scopeNS = find(w.scope, prefix); w.scopeNS >= 0 {
		w.used[w.scopeNS/64] |= 1 << (w.scopeNS % 64)
	} else if !w.xmlNS {
		return unbound()
	}
	return nil
}

// lookup finds what a prefix is bound to, the innermost declaration first.
func (w *work) lookup(b, prefix []byte) (ns []byte, ok bool) {
	for i := len(w.prefixes) - 1; i >= 0; i-- {
		if bytes.Equal(w.prefixes[i].prefix.of(b), prefix) {
			return w.nsOf(b, w.prefixes[i]), true
		}
	}
	if string(prefix) == "xml" {
		return inXML, true
	}
	if i := find(w.scope, prefix); i >= 0 {
		w.used[i/64] |= 1 << (i % 64)
		return w.scope[i].NS, true
	}
	return nil, false
}

// find returns the index of a prefix among declarations, or -1.
func find(scope []Decl, prefix []byte) int {
	for i := range scope {
		if bytes.Equal(scope[i].Prefix, prefix) {
			return i
		}
	}
	return -1
}
