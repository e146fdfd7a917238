package stream

import (
	"bytes"
	"unicode/utf8"
)

// reference reads what begins with the '&' at w.ref: one of the five entities
// of XML or a character (RFC 6120 §11.1 forbids all others).
func (w *work) reference(b []byte) (bool, *Error) {
	i := max(w.pos, w.ref+1)
	for i < len(b) && (class[b[i]]&namePart != 0 || b[i] == '#' && i == w.ref+1) {
		i++
	}
	w.pos = i
	if i == len(b) {
		return false, nil
	}
	if b[i] != ';' {
		return false, NotWellFormed.With("'&' that begins no reference")
	}
	name := b[w.ref+1 : i]
	if r := resolve(name); r < 0 {
		if len(name) > 0 && class[name[0]]&nameStart != 0 {
			return false, RestrictedXML.With("an entity that is not predefined")
		}
		return false, NotWellFormed.With("a reference to no character")
	}
	w.pos, w.state = i+1, w.back
	return true, nil
}

// resolve returns the character that stands behind a reference, which is given
// without '&' and ';'; -1 if there is none.
func resolve(name []byte) rune {
	switch string(name) {
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "amp":
		return '&'
	case "quot":
		return '"'
	case "apos":
		return '\''
	}
	if len(name) < 2 || name[0] != '#' {
		return -1
	}
	digits, base := name[1:], rune(10)
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	r := rune(-1)
	for _, c := range digits {
		d := digit(c)
		if d >= base {
			return -1
		}
		r = max(r, 0)*base + d
		if r > utf8.MaxRune {
			return -1
		}
	}
	if !isChar(r) {
		return -1
	}
	return r
}

func digit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return 16
}

// AppendValue appends what an attribute value means: references resolved,
// white space that is written as such made spaces (XML 1.0 §3.3.3). raw must
// have come through a Framer.
func AppendValue(b, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '&':
			b, i = appendReference(b, raw, i)
		case '\r':
			if i+1 < len(raw) && raw[i+1] == '\n' {
				i++
			}
			b = append(b, ' ')
		case '\t', '\n':
			b = append(b, ' ')
		default:
			b = append(b, c)
		}
	}
	return b
}

// AppendText appends what a run of text means: references resolved, CDATA
// sections opened, line ends as XML has them (XML 1.0 §2.11). raw must be text
// without tags that has come through a Framer.
func AppendText(b, raw []byte) []byte {
	for len(raw) > 0 {
		i := bytes.IndexAny(raw, "&<\r")
		if i < 0 {
			return append(b, raw...)
		}
		b = append(b, raw[:i]...)
		switch raw[i] {
		case '&':
			b, i = appendReference(b, raw, i)
		case '\r':
			b = append(b, '\n')
			if i+1 < len(raw) && raw[i+1] == '\n' {
				i++
			}
		default:
			section := raw[min(i+len(cdataOpen), len(raw)):]
			end := bytes.Index(section, []byte("]]>"))
			if end < 0 {
				return b
			}
			b = appendLines(b, section[:end])
			i += len(cdataOpen) + end + 2
		}
		raw = raw[i+1:]
	}
	return b
}

// appendLines appends text in which nothing but line ends has a meaning.
func appendLines(b, raw []byte) []byte {
	for i, c := range raw {
		switch {
		case c != '\r':
			b = append(b, c)
		case i+1 == len(raw) || raw[i+1] != '\n':
			b = append(b, '\n')
		}
	}
	return b
}

// appendReference appends the character that the reference at i stands for,
// and returns where the reference ends.
func appendReference(b, raw []byte, i int) ([]byte, int) {
	n := bytes.IndexByte(raw[i:], ';')
	if n < 0 {
		return append(b, '&'), i
	}
	r := resolve(raw[i+1 : i+n])
	if r < 0 {
		return append(b, '&'), i
	}
	return utf8.AppendRune(b, r), i + n
}
