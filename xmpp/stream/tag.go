package stream

import (
	"bytes"
	"slices"
)

// startTag reads a start tag from wherever it stopped. It returns true when
// another state has to go on, false when b has ended.
func (w *work) startTag(b []byte) (bool, *Error) {
	i := w.pos
	for {
		switch w.state {
		case inName:
			end := plainName(b, i)
			if end == len(b) || i > w.tok || class[b[i]]&nameStart == 0 || class[b[end]]&(colon|wide) != 0 {
				var whole bool
				var err *Error
				if end, whole, err = w.name(b, i); !whole {
					w.pos = end
					return false, err
				}
			}
			i = end
			w.named(i)
			fallthrough
		case inAttrs:
			next, err := w.plainAttrs(b, i)
			if err != nil {
				return false, err
			}
			i = skipSpace(b, next)
			w.gap = w.gap || i > next
			if i == len(b) {
				w.pos = i
				return false, nil
			}
			if class[b[i]]&(nameStart|wide) == 0 {
				w.pos = i
				return w.closeTag(b)
			}
			if !w.gap {
				return false, NotWellFormed.With("white space is missing before an attribute")
			}
			w.tok, w.colon, w.state = i, 0, inAttrName
			fallthrough
		case inAttrName:
			end, whole, err := w.name(b, i)
			if !whole {
				w.pos = end
				return false, err
			}
			i, w.nameTo, w.state = end, end, atEquals
			fallthrough
		case atEquals, atQuote:
			next, ok, err := w.assign(b, i)
			if !ok {
				return false, err
			}
			i = next
			fallthrough
		case inValue:
			end, whole, err := w.value(b, i)
			if !whole {
				w.pos = end
				return w.state == inRef, err
			}
			if err := w.addAttr(b, end); err != nil {
				return false, err
			}
			i = end + 1
			w.gap, w.state = false, inAttrs
		}
	}
}

// plainAttrs reads attributes as nearly all are: after one space, with nothing
// unusual in name and value, and all there. It returns where it came to and
// leaves the rest, of which it changes nothing, to the states.
func (w *work) plainAttrs(b []byte, i int) (int, *Error) {
	for i+1 < len(b) && b[i] == ' ' {
		from, sep := i+1, 0
		j := plainName(b, from)
		if j+1 < len(b) && b[j] == ':' && class[b[j+1]]&nameStart != 0 {
			sep = j
			j = plainName(b, j+1)
		}
		if j+2 >= len(b) || b[j] != '=' || class[b[j+1]]&quote == 0 || class[b[from]]&nameStart == 0 {
			break
		}
		q := b[j+1]
		end := valueStop(b, j+2, q)
		if end == len(b) || b[end] != q {
			break
		}
		w.tok, w.colon, w.nameTo, w.val, w.odd = from, sep, j, j+2, false
		if err := w.addAttr(b, end); err != nil {
			return i, err
		}
		i = end + 1
		w.gap = false
	}
	return i, nil
}

// named notes that the name of the tag ends at i.
func (w *work) named(i int) {
	w.tag = tag{
		name:     span{int32(w.tok), int32(i)},
		colon:    int32(w.colon),
		prefixes: int32(len(w.prefixes)),
		defaults: int32(len(w.defaults)),
	}
	w.attrs = w.attrs[:w.rootAttrs]
	w.bloom, w.prefixed = 0, 0
	w.gap, w.state = false, inAttrs
}

// assign reads what stands between the name and the value of an attribute.
func (w *work) assign(b []byte, i int) (next int, ok bool, err *Error) {
	if w.state == atEquals {
		i = skipSpace(b, i)
		if i == len(b) {
			w.pos = i
			return i, false, nil
		}
		if b[i] != '=' {
			return i, false, NotWellFormed.With("an attribute without value")
		}
		i++
		w.state = atQuote
	}
	i = skipSpace(b, i)
	if i == len(b) {
		w.pos = i
		return i, false, nil
	}
	if b[i] != '\'' && b[i] != '"' {
		return i, false, NotWellFormed.With("an attribute value without quotes")
	}
	w.quote = b[i]
	w.val = i + 1
	w.odd, w.state = false, inValue
	return i + 1, true, nil
}

// value steps over an attribute value. It returns where it stopped; whole says
// that the closing quote stands there. A reference is left to another state.
func (w *work) value(b []byte, i int) (_ int, whole bool, err *Error) {
	for {
		i = valueStop(b, i, w.quote)
		if i == len(b) {
			return i, false, nil
		}
		switch c := b[i]; {
		case c == w.quote:
			return i, true, nil
		case c == '&':
			w.odd, w.ref, w.state, w.back = true, i, inRef, inValue
			return i, false, nil
		case c == '<':
			return i, false, NotWellFormed.With("'<' in an attribute value")
		case class[c]&wide != 0:
			end, err := skipWide(b, i)
			if err != nil || end == i {
				return i, false, err
			}
			i = end
		case c < ' ' && class[c]&space == 0:
			return i, false, badByte()
		default:
			w.odd = w.odd || c < ' '
			i++
		}
	}
}

// linear is up to how many attributes are compared with each other one by one.
const linear = 16

// addAttr notes the attribute whose value ends at end.
func (w *work) addAttr(b []byte, end int) *Error {
	a := attr{span{int32(w.tok), int32(w.nameTo)}, span{int32(w.val), int32(end)}, int32(w.colon)}
	seen := w.attrs[w.rootAttrs:]
	if w.limits.Attrs > 0 && len(seen) >= w.limits.Attrs {
		return PolicyViolation.With("too many attributes")
	}
	name := a.name.of(b)
	bit := uint64(1) << ((name[0] + name[len(name)-1] + uint8(len(name))<<2) & 63)
	if w.bloom&bit != 0 && len(seen) < linear {
		for _, o := range seen {
			if bytes.Equal(o.name.of(b), name) {
				return duplicate()
			}
		}
	}
	w.bloom |= bit
	w.attrs = append(w.attrs, a)
	switch {
	case w.colon != 0:
		if string(b[w.tok:w.colon]) != "xmlns" {
			w.prefixed++
			return nil
		}
		return w.declare(b, span{int32(w.colon) + 1, a.name.to}, a.value)
	case len(name) == 5 && string(name) == "xmlns":
		return w.declare(b, span{}, a.value)
	}
	return nil
}

func duplicate() *Error { return NotWellFormed.With("the same attribute twice") }

// closeTag reads the end of a start tag, '>' or '/>'.
func (w *work) closeTag(b []byte) (bool, *Error) {
	empty := b[w.pos] == '/'
	if empty {
		if w.pos+1 == len(b) {
			return false, nil
		}
		w.pos++
	}
	if b[w.pos] != '>' {
		return false, NotWellFormed.With("'>' was expected at the end of a tag")
	}
	w.pos++
	if err := w.checkTag(b); err != nil {
		return false, err
	}
	if len(w.open) == 0 {
		w.root = w.tag
		w.rootAttrs = len(w.attrs)
		w.inner, w.innerTo = w.pos, w.pos
	}
	switch {
	case w.header:
		w.selfEnd = empty
		w.state = finished
	case empty:
		w.leave(w.tag)
	default:
		w.open = append(w.open, w.tag)
		w.state = inText
		return w.text(b)
	}
	return true, nil
}

// leave ends the innermost element, which is not (or no longer) among the open
// ones.
func (w *work) leave(t tag) {
	w.state = inText
	if len(w.open) == 0 {
		w.state = finished
		return // the declarations of the root are still asked for
	}
	w.prefixes = w.prefixes[:t.prefixes]
	w.defaults = w.defaults[:t.defaults]
}

// checkTag checks what can be said only when all of a start tag is known.
func (w *work) checkTag(b []byte) *Error {
	w.elements++
	if w.limits.Elements > 0 && w.elements > w.limits.Elements {
		return PolicyViolation.With("too many elements")
	}
	if w.limits.Depth > 0 && len(w.open) >= w.limits.Depth {
		return PolicyViolation.With("nested too deep")
	}
	if attrs := w.attrs[w.rootAttrs:]; len(attrs) > linear {
		w.names = w.names[:0]
		for _, a := range attrs {
			w.names = append(w.names, expanded{local: a.name.of(b)})
		}
		if !distinct(w.names) {
			return duplicate()
		}
	}
	return w.bind(b)
}

// distinct reports whether no two names are the same.
func distinct(names []expanded) bool {
	if len(names) <= linear/2 {
		for i, n := range names {
			for _, o := range names[:i] {
				if bytes.Equal(n.local, o.local) && bytes.Equal(n.ns, o.ns) {
					return false
				}
			}
		}
		return true
	}
	slices.SortFunc(names, compareNames)
	for i := 1; i < len(names); i++ {
		if compareNames(names[i-1], names[i]) == 0 {
			return false
		}
	}
	return true
}

func compareNames(a, b expanded) int {
	if c := bytes.Compare(a.local, b.local); c != 0 {
		return c
	}
	return bytes.Compare(a.ns, b.ns)
}
