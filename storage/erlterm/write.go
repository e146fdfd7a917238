package erlterm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// reserved are Erlang's words, which are atoms only in quotes.
const reserved = ` after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let maybe not of or orelse
	receive rem try when xor `

func (a Atom) append(b []byte) []byte {
	if plain(string(a)) && !slices.Contains(strings.Fields(reserved), string(a)) {
		return append(b, a...)
	}
	return quoted(b, string(a), '\'')
}

// plain reports whether an atom needs no quotes: a small letter, then letters,
// digits, _ and @.
func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '@'):
		default:
			return false
		}
	}
	return s != ""
}

func (n Int) append(b []byte) []byte { return strconv.AppendInt(b, int64(n), 10) }

func (n Big) append(b []byte) []byte { return append(b, n...) }

// Erlang wants digits on both sides of the point.
func (f Float) append(b []byte) []byte {
	from := len(b)
	b = strconv.AppendFloat(b, float64(f), 'g', -1, 64)
	text := string(b[from:])
	if strings.ContainsRune(text, '.') {
		return b
	}
	if i := strings.IndexByte(text, 'e'); i >= 0 {
		return append(append(b[:from], text[:i]...), ".0"+text[i:]...)
	}
	return append(b, ".0"...)
}

// UTF-8 is written as it is, for its reader takes the bytes as they come and a
// database wants its text to be UTF-8. Other bytes are written as numbers.
func (s Binary) append(b []byte) []byte {
	switch {
	case s == "":
		return append(b, "<<>>"...)
	case utf8.ValidString(string(s)):
		b = append(b, `<<"`...)
		for i := range len(s) {
			b = escaped(b, rune(s[i]), '"', 255)
		}
		return append(b, `">>`...)
	}
	b = append(b, "<<"...)
	for i := range len(s) {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(s[i]), 10)
	}
	return append(b, ">>"...)
}

func (s String) append(b []byte) []byte { return quoted(b, string(s), '"') }

// quoted writes s between quotes, in ASCII.
func quoted(b []byte, s string, quote rune) []byte {
	b = append(b, byte(quote))
	for _, c := range s {
		b = escaped(b, c, quote, 0x7e)
	}
	return append(b, byte(quote))
}

// escaped writes a character that may be a byte up to most.
func escaped(b []byte, c, quote, most rune) []byte {
	switch {
	case c == quote, c == '\\':
		return append(b, '\\', byte(c))
	case c == '\n':
		return append(b, `\n`...)
	case c == '\r':
		return append(b, `\r`...)
	case c == '\t':
		return append(b, `\t`...)
	case c < ' ', c == 0x7f, c > most:
		return fmt.Appendf(b, `\x{%X}`, c)
	}
	return append(b, byte(c))
}

func (l List) append(b []byte) []byte { return append(sequence(append(b, '['), l), ']') }

func (t Tuple) append(b []byte) []byte { return append(sequence(append(b, '{'), t), '}') }

func (l Improper) append(b []byte) []byte {
	b = append(sequence(append(b, '['), l.Items), '|')
	return append(l.Tail.append(b), ']')
}

func (m Map) append(b []byte) []byte {
	b = append(b, "#{"...)
	for i, p := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(p.Key.append(b), " => "...)
		b = p.Value.append(b)
	}
	return append(b, '}')
}

func sequence(b []byte, items []Term) []byte {
	for i, t := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = t.append(b)
	}
	return b
}
