package erlterm

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep terms may lie in each other, and maxDigits how long a
// number may be. ejabberd comes nowhere near.
const (
	maxDepth  = 64
	maxDigits = 4096
)

// Parse reads one term, as ejabberd does: every byte outside of ASCII is a
// character of its own, so that the bytes of a binary come out as they stand
// there. Only a string marked /utf8 is taken for the text that it looks like. A full stop may follow it, and white space and comments
// may stand around it. The error is a *SyntaxError.
func Parse(text string) (Term, error) {
	p := &parser{text: text}
	t, err := p.term(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.take(".") {
		p.space()
	}
	if p.at < len(p.text) {
		return nil, p.wrong("something follows the term")
	}
	return t, nil
}

type parser struct {
	text    string
	at      int
	unicode bool // characters are UTF-8 and not bytes
}

func (p *parser) wrong(format string, args ...any) error {
	return &SyntaxError{p.at, fmt.Sprintf(format, args...)}
}

// space skips white space and comments.
func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\r', '\n', '\f', '\v':
			p.at++
		case '%':
			for p.at < len(p.text) && p.text[p.at] != '\n' {
				p.at++
			}
		default:
			return
		}
	}
}

// next is the next byte after white space; 0 at the end.
func (p *parser) next() byte {
	p.space()
	return p.peek(0)
}

func (p *parser) peek(n int) byte {
	if p.at+n < len(p.text) {
		return p.text[p.at+n]
	}
	return 0
}

// take skips s if it is next.
func (p *parser) take(s string) bool {
	if strings.HasPrefix(p.text[p.at:], s) {
		p.at += len(s)
		return true
	}
	return false
}

func (p *parser) term(depth int) (Term, error) {
	if depth > maxDepth {
		return nil, p.wrong("terms lie more than %d deep in each other", maxDepth)
	}
	switch c := p.next(); {
	case p.at == len(p.text):
		return nil, p.wrong("the text ends where a term is wanted")
	case 'a' <= c && c <= 'z':
		return p.word(), nil
	case c == '\'':
		s, err := p.quote()
		return Atom(s), err
	case c == '"':
		return p.strings()
	case c == '$', c == '-', c == '+', '0' <= c && c <= '9':
		return p.number()
	case c == '[':
		return p.list(depth)
	case p.take("{"):
		items, err := p.items("}", depth)
		return Tuple(items), err
	case p.take("<<"):
		return p.binary()
	case p.take("#{"):
		return p.pairs(depth)
	case c == '#' || c == '<':
		return nil, p.wrong("a process, reference or function cannot be read back")
	default:
		return nil, p.wrong("%q is not the beginning of a term", c)
	}
}

// word is an atom without quotes.
func (p *parser) word() Atom {
	from := p.at
	for plain("a"+p.text[p.at:min(p.at+1, len(p.text))]) && p.at < len(p.text) {
		p.at++
	}
	return Atom(p.text[from:p.at])
}

// list reads [A, B] and [A | B].
func (p *parser) list(depth int) (Term, error) {
	p.at++
	items, err := p.sequence("]", depth)
	if err != nil {
		return nil, err
	}
	if p.take("]") {
		return List(items), nil
	}
	if len(items) == 0 || !p.take("|") {
		return nil, p.wrong("the list is not closed")
	}
	tail, err := p.term(depth + 1)
	if err != nil {
		return nil, err
	}
	p.space()
	if !p.take("]") {
		return nil, p.wrong("the list is not closed")
	}
	if more, ok := Items(tail); ok {
		return List(append(items, more...)), nil
	}
	return Improper{items, tail}, nil
}

// items reads terms and what closes them.
func (p *parser) items(closing string, depth int) ([]Term, error) {
	items, err := p.sequence(closing, depth)
	if err == nil && !p.take(closing) {
		err = p.wrong("%q is wanted", closing)
	}
	return items, err
}

// sequence reads terms with commas between them, up to what cannot go on.
func (p *parser) sequence(closing string, depth int) ([]Term, error) {
	if p.space(); strings.HasPrefix(p.text[p.at:], closing) {
		return nil, nil
	}
	var items []Term
	for {
		t, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, t)
		if p.space(); !p.take(",") {
			return items, nil
		}
	}
}

// pairs reads a map. Of two equal keys the last one counts, as in Erlang.
func (p *parser) pairs(depth int) (Term, error) {
	m := Map{}
	seen := map[string]int{}
	if p.next() == '}' {
		p.at++
		return m, nil
	}
	for {
		key, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.space(); !p.take("=>") {
			return nil, p.wrong("=> is wanted after a key")
		}
		value, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		name := Format(key)
		if i, ok := seen[name]; ok {
			m[i].Value = value
		} else {
			seen[name] = len(m)
			m = append(m, Pair{key, value})
		}
		p.space()
		switch {
		case p.take("}"):
			return m, nil
		case !p.take(","):
			return nil, p.wrong("a comma or } is wanted in a map")
		}
	}
}

// binary reads what is between << and >>: numbers and strings, with their types.
func (p *parser) binary() (Term, error) {
	var b []byte
	for first := true; ; first = false {
		if p.space(); first && p.take(">>") {
			return Binary(""), nil
		}
		piece, err := p.segment()
		if err != nil {
			return nil, err
		}
		b = append(b, piece...)
		p.space()
		switch {
		case p.take(">>"):
			return Binary(b), nil
		case !p.take(","):
			return nil, p.wrong("a comma or >> is wanted in a binary")
		}
	}
}

// segment reads one piece of a binary, in bytes. Without /utf8 a character is
// cut to a byte.
func (p *parser) segment() ([]byte, error) {
	from := p.at
	chars, err := p.chars()
	if err != nil {
		return nil, err
	}
	if p.space(); !p.take("/") {
		b := make([]byte, len(chars))
		for i, c := range chars {
			b[i] = byte(c)
		}
		return b, nil
	}
	if kind := p.word(); kind != "utf8" {
		return nil, p.wrong("a binary of the type %q", kind)
	}
	end := p.at
	p.at, p.unicode = from, true
	chars, err = p.chars()
	p.at, p.unicode = end, false
	if i := slices.IndexFunc(chars, func(c rune) bool { return !valid(c) }); i >= 0 {
		return nil, p.wrong("%d is no character", chars[i])
	}
	return []byte(string(chars)), err
}

// chars reads a string or a number in a binary.
func (p *parser) chars() ([]rune, error) {
	switch c := p.next(); {
	case c == '"':
		s, err := p.strings()
		if err != nil {
			return nil, err
		}
		return []rune(string(s.(String))), nil
	case c == '$', c == '-', '0' <= c && c <= '9':
		n, err := p.number()
		if err != nil {
			return nil, err
		}
		i, ok := n.(Int)
		if !ok || i < -128 || i > utf8.MaxRune {
			return nil, p.wrong("%s is no byte", Format(n))
		}
		return []rune{rune(i)}, nil
	}
	return nil, p.wrong("a binary holds numbers and strings")
}
