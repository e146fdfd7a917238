package stream

import "bytes"

// text reads text up to the next tag or reference.
func (w *work) text(b []byte) (bool, *Error) {
	i := w.pos
	for {
		i = textStop(b, i)
		w.pos = i
		if i == len(b) {
			return false, nil
		}
		switch c := b[i]; {
		case c == '<':
			w.state = atMarkup
			return w.markup(b)
		case c == '&':
			w.ref, w.state, w.back = i, inRef, inText
			return true, nil
		case c == '>':
			// Before these two stands at least the tag that opened the element.
			if b[i-1] == ']' && b[i-2] == ']' {
				return false, NotWellFormed.With("']]>' in text")
			}
			i++
		case class[c]&wide != 0:
			end, err := skipWide(b, i)
			if err != nil || end == i {
				return false, err
			}
			i = end
		case class[c]&space == 0:
			return false, badByte()
		default:
			i++
		}
	}
}

// cdata reads a CDATA section up to its end.
func (w *work) cdata(b []byte) (bool, *Error) {
	i := w.pos
	for {
		i = textStop(b, i)
		w.pos = i
		if i == len(b) {
			return false, nil
		}
		switch c := b[i]; {
		case c == '>':
			i++
			// The '[' of the opening keeps this from looking before the section.
			if b[i-2] == ']' && b[i-3] == ']' {
				w.pos, w.state = i, inText
				return true, nil
			}
		case class[c]&wide != 0:
			end, err := skipWide(b, i)
			if err != nil || end == i {
				return false, err
			}
			i = end
		case c < ' ' && class[c]&space == 0:
			return false, badByte()
		default:
			i++
		}
	}
}

// markup decides what begins with the '<' at w.pos.
func (w *work) markup(b []byte) (bool, *Error) {
	i := w.pos
	if i+1 >= len(b) {
		return false, nil
	}
	switch b[i+1] {
	case '/':
		return w.endTag(b)
	case '!':
		return w.bang(b)
	case '?':
		return false, RestrictedXML.With("a processing instruction")
	}
	w.pos, w.tok, w.colon, w.state = i+1, i+1, 0, inName
	return true, nil
}

const cdataOpen = "<![CDATA["

// bang tells a CDATA section from what XMPP forbids (RFC 6120 §11.1).
func (w *work) bang(b []byte) (bool, *Error) {
	rest := b[w.pos:]
	n := min(len(rest), len(cdataOpen))
	switch {
	case string(rest[:n]) == cdataOpen[:n]:
		if n < len(cdataOpen) {
			return false, nil
		}
		if len(w.open) == 0 {
			return false, BadFormat.With("text outside of an element")
		}
		w.pos += n
		w.state = inCDATA
		return true, nil
	case n >= 4 && string(rest[:4]) == "<!--":
		return false, RestrictedXML.With("a comment")
	case n == 3 && rest[2] == '-':
		return false, nil
	case rest[2] == 'D':
		return false, RestrictedXML.With("a document type")
	}
	return false, NotWellFormed.With("'<!' that begins nothing known")
}

// endTag compares a closing tag with the element that is open.
func (w *work) endTag(b []byte) (bool, *Error) {
	if len(w.open) == 0 {
		return false, NotWellFormed.With("a closing tag where nothing is open")
	}
	t := w.open[len(w.open)-1]
	name := t.name.of(b)
	from := w.pos + 2
	to := from + len(name)
	if to >= len(b) {
		return false, nil
	}
	if !bytes.Equal(b[from:to], name) {
		return false, NotWellFormed.With("a closing tag of another name")
	}
	w.innerTo = w.pos
	w.pos, w.state = to, inEnd
	return w.end(b)
}

// end reads the rest of a closing tag after its name.
func (w *work) end(b []byte) (bool, *Error) {
	w.pos = skipSpace(b, w.pos)
	if w.pos == len(b) {
		return false, nil
	}
	if b[w.pos] != '>' {
		return false, NotWellFormed.With("a closing tag of another name")
	}
	w.pos++
	last := len(w.open) - 1
	t := w.open[last]
	w.open = w.open[:last]
	w.leave(t)
	return true, nil
}
