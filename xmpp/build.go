package xmpp

import "unicode/utf8"

// A Builder writes an element. Its methods may be chained; names, namespaces
// and prefixes are the program's own and not checked, values and texts may be
// anything: what XML cannot hold is replaced by U+FFFD.
type Builder struct {
	b    []byte
	own  int
	open []level
	tag  bool // the last opening tag still lacks its >
}

type level struct{ ns, name string }

// Build begins an element.
func Build(ns, name string) *Builder {
	b := &Builder{b: make([]byte, 0, 256)}
	b.Open(ns, name)
	b.own = len(b.b) - 1 - len(name)
	return b
}

// El is an element with nothing but children.
func El(ns, name string, children ...*Element) *Element {
	b := Build(ns, name)
	for _, c := range children {
		b.Add(c)
	}
	return b.Done()
}

// TextEl is an element with nothing but text.
func TextEl(ns, name, text string) *Element { return Build(ns, name).Text(text).Done() }

// Open begins a child; Close ends it. An empty ns is the namespace around it.
func (b *Builder) Open(ns, name string) *Builder {
	b.endTag()
	outer := ""
	if n := len(b.open); n > 0 {
		outer = b.open[n-1].ns
	}
	if ns == "" {
		ns = outer
	}
	b.b = append(append(b.b, '<'), name...)
	if ns != outer {
		b.b = appendAttr(b.b, "xmlns", ns)
	}
	b.open = append(b.open, level{ns, name})
	b.tag = true
	return b
}

// Attr adds an attribute to the element that was opened last. It must come
// before texts and children.
func (b *Builder) Attr(name, value string) *Builder {
	if !b.tag {
		panic("xmpp: Attr behind the opening tag")
	}
	b.b = appendAttr(b.b, name, value)
	return b
}

// OptAttr is Attr for a value that is left out when it is empty.
func (b *Builder) OptAttr(name, value string) *Builder {
	if value == "" {
		return b
	}
	return b.Attr(name, value)
}

// Text adds character data.
func (b *Builder) Text(s string) *Builder {
	if s != "" {
		b.endTag()
		b.b = AppendText(b.b, s)
	}
	return b
}

// Add adds a child that exists already. Nil adds nothing.
func (b *Builder) Add(e *Element) *Builder {
	if e != nil {
		b.endTag()
		b.b = e.AppendXML(b.b, b.open[len(b.open)-1].ns)
	}
	return b
}

// Close ends the element that was opened last.
func (b *Builder) Close() *Builder {
	l := b.open[len(b.open)-1]
	b.open = b.open[:len(b.open)-1]
	if b.tag {
		b.b = append(b.b, '/', '>')
		b.tag = false
		return b
	}
	b.b = append(append(append(b.b, '<', '/'), l.name...), '>')
	return b
}

// Done ends whatever is open and returns the element. The Builder must not be
// used any more.
func (b *Builder) Done() *Element {
	for len(b.open) > 0 {
		b.Close()
	}
	e := view(b.b, "", nil)
	e.own = b.own
	return e
}

func (b *Builder) endTag() {
	if b.tag {
		b.b = append(b.b, '>')
		b.tag = false
	}
}

func appendAttr(b []byte, name, value string) []byte {
	b = append(append(append(b, ' '), name...), '=', '\'')
	return append(escape(b, value, true), '\'')
}

// appendRawAttr writes a value that is still escaped; it may hold one kind of
// quotes.
func appendRawAttr(b []byte, name string, value []byte) []byte {
	q := byte('\'')
	for _, c := range value {
		if c == '\'' {
			q = '"'
			break
		}
	}
	b = append(append(append(b, ' '), name...), '=', q)
	return append(append(b, value...), q)
}

// AppendText writes s as character data.
func AppendText(b []byte, s string) []byte { return escape(b, s, false) }

// escape writes s so that a parser reads s again; what is not a character of
// XML 1.0 (§2.2) becomes U+FFFD.
func escape(b []byte, s string, attr bool) []byte {
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		rep, size := "", 1
		switch {
		case c == '<':
			rep = "&lt;"
		case c == '>':
			rep = "&gt;"
		case c == '&':
			rep = "&amp;"
		case c == '\'' && attr:
			rep = "&apos;"
		case c == '\r':
			rep = "&#13;"
		case c == '\n' && attr:
			rep = "&#10;"
		case c == '\t' && attr:
			rep = "&#9;"
		case c < 0x20 && c != '\n' && c != '\t':
			rep = "\uFFFD"
		case c >= 0x80:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 || r == 0xFFFE || r == 0xFFFF {
				rep = "\uFFFD"
			}
		}
		if rep != "" {
			b = append(append(b, s[from:i]...), rep...)
			from = i + size
		}
		i += size
	}
	return append(b, s[from:]...)
}
