package xmpp

import (
	"bytes"
	"iter"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// The functions of this file read bytes that package stream has accepted, or
// that we wrote: they look for what they need and check nothing.

// str is b as a string without a copy. The bytes of stanzas and elements are
// never written again.
func str(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func isTagSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// tag is where the parts of an opening tag end.
type tag struct {
	name  int  // behind the name
	end   int  // behind the >
	empty bool // ends in />
}

func (t tag) attrsEnd() int {
	if t.empty {
		return t.end - 2
	}
	return t.end - 1
}

// scanTag reads the opening tag at the start of b.
func scanTag(b []byte) tag {
	i := 1
	for i < len(b) && !isTagSpace(b[i]) && b[i] != '>' && b[i] != '/' {
		i++
	}
	t := tag{name: i}
	for i < len(b) {
		switch b[i] {
		case '"', '\'':
			i += 1 + bytes.IndexByte(b[i+1:], b[i])
		case '>':
			t.end, t.empty = i+1, b[i-1] == '/'
			return t
		}
		i++
	}
	t.end = len(b)
	return t
}

var (
	cdataOpen  = []byte("<![CDATA[")
	cdataClose = []byte("]]>")
)

// elementEnd is the length of the element at the start of b.
func elementEnd(b []byte) int {
	depth, i := 0, 0
	for i < len(b) {
		switch {
		case bytes.HasPrefix(b[i:], cdataOpen):
			i += bytes.Index(b[i:], cdataClose) + len(cdataClose)
		case b[i+1] == '/':
			i += bytes.IndexByte(b[i:], '>') + 1
			depth--
		default:
			t := scanTag(b[i:])
			i += t.end
			if !t.empty {
				depth++
			}
		}
		if depth == 0 {
			return i
		}
		i += bytes.IndexByte(b[i:], '<')
	}
	return i
}

// childrenOf goes through the elements of inner, the content of an element.
func childrenOf(inner []byte, def string, outer *scope) iter.Seq[*Element] {
	return func(yield func(*Element) bool) {
		for b := inner; ; {
			b = nextElement(b)
			if len(b) == 0 {
				return
			}
			n := elementEnd(b)
			if !yield(view(b[:n:n], def, outer)) {
				return
			}
			b = b[n:]
		}
	}
}

// nextElement is b from its first opening tag on, empty if there is none.
func nextElement(b []byte) []byte {
	for {
		i := bytes.IndexByte(b, '<')
		if i < 0 {
			return nil
		}
		b = b[i:]
		if !bytes.HasPrefix(b, cdataOpen) {
			return b
		}
		b = b[bytes.Index(b, cdataClose)+len(cdataClose):]
	}
}

// attrsOf goes through the attributes of an opening tag, values still escaped.
func attrsOf(b []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for {
			b = bytes.TrimLeft(b, " \t\r\n")
			eq := bytes.IndexByte(b, '=')
			if eq < 0 {
				return
			}
			name := bytes.TrimRight(b[:eq], " \t\r\n")
			b = bytes.TrimLeft(b[eq+1:], " \t\r\n")
			end := bytes.IndexByte(b[1:], b[0]) + 1
			if !yield(str(name), b[1:end]) {
				return
			}
			b = b[end+1:]
		}
	}
}

func findAttr(b []byte, name string) ([]byte, bool) {
	if len(b) == 0 {
		return nil, false
	}
	for n, v := range attrsOf(b) {
		if n == name {
			return v, true
		}
	}
	return nil, false
}

// attrText is the value of an attribute: references resolved, white space
// normalised (XML 1.0 §3.3.3).
func attrText(v []byte) string {
	if bytes.IndexByte(v, '&') < 0 && !bytes.ContainsAny(v, "\t\r\n") {
		return str(v)
	}
	var s strings.Builder
	v = bytes.ReplaceAll(v, []byte("\r\n"), []byte(" "))
	for len(v) > 0 {
		switch v[0] {
		case '&':
			v = resolve(&s, v)
		case '\t', '\r', '\n':
			s.WriteByte(' ')
			v = v[1:]
		default:
			s.WriteByte(v[0])
			v = v[1:]
		}
	}
	return s.String()
}

// textOf is the character data of an element's content (XML 1.0 §2.11).
func textOf(b []byte) string {
	if bytes.IndexByte(b, '&') < 0 && bytes.IndexByte(b, '<') < 0 && bytes.IndexByte(b, '\r') < 0 {
		return str(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		switch {
		case b[0] == '&':
			b = resolve(&s, b)
		case bytes.HasPrefix(b, cdataOpen):
			n := bytes.Index(b, cdataClose)
			s.WriteString(lines(b[len(cdataOpen):n]))
			b = b[n+len(cdataClose):]
		case b[0] == '<':
			b = b[elementEnd(b):]
		default:
			n := bytes.IndexAny(b, "&<")
			if n < 0 {
				n = len(b)
			}
			s.WriteString(lines(b[:n]))
			b = b[n:]
		}
	}
	return s.String()
}

// lines makes every line end a single \n.
func lines(b []byte) string {
	if bytes.IndexByte(b, '\r') < 0 {
		return str(b)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(b), "\r\n", "\n"), "\r", "\n")
}

// resolve writes what the reference at the start of b stands for and returns
// what is behind it.
func resolve(s *strings.Builder, b []byte) []byte {
	end := bytes.IndexByte(b, ';')
	switch ref := str(b[1:end]); ref {
	case "lt":
		s.WriteByte('<')
	case "gt":
		s.WriteByte('>')
	case "amp":
		s.WriteByte('&')
	case "apos":
		s.WriteByte('\'')
	case "quot":
		s.WriteByte('"')
	default:
		s.WriteRune(charRef(ref))
	}
	return b[end+1:]
}

// charRef is the character of "#10" or "#x1F600".
func charRef(ref string) rune {
	var r rune
	digits, base := ref[1:], rune(10)
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	for _, c := range []byte(digits) {
		switch {
		case c >= 'a':
			c -= 'a' - 10
		case c >= 'A':
			c -= 'A' - 10
		default:
			c -= '0'
		}
		if r = r*base + rune(c); r > utf8.MaxRune {
			return utf8.RuneError
		}
	}
	return r
}
