package load

import "bytes"

// A scanner cuts what a server sends into the header of the stream and its
// stanzas. It trusts the server to write XML without comments and CDATA, as
// servers do, and checks nothing: who sends broken XML shows in what is lost.
type scanner struct {
	buf   []byte
	own   []byte // buf's memory, when it is not lent
	pos   int    // all before is looked at
	start int    // of the element under way
	depth int
}

// feed lends bytes to the scanner; until keep is called they must not change.
func (s *scanner) feed(p []byte) {
	if len(s.buf) == 0 {
		s.buf, s.pos, s.start = p, 0, 0
		return
	}
	s.own = append(s.buf, p...)
	s.buf = s.own
}

// keep takes over what is left of what was lent.
func (s *scanner) keep() {
	from := s.pos
	if s.depth > 1 {
		from = s.start
	}
	if from == len(s.buf) {
		s.buf, s.pos, s.start = nil, 0, 0
		if cap(s.own) > 4096 {
			s.own = nil
		}
		return
	}
	s.own = append(s.own[:0], s.buf[from:]...)
	s.buf, s.pos, s.start = s.own, s.pos-from, 0
}

// restart forgets the stream, for the next one on the same connection.
func (s *scanner) restart() { *s = scanner{} }

// next is the header of the stream, a stanza or the stream's end tag; nil when
// more bytes are needed. It is valid until the next call of feed or keep.
func (s *scanner) next() []byte {
	for {
		i := bytes.IndexByte(s.buf[s.pos:], '<')
		if i < 0 {
			s.pos = len(s.buf)
			return nil
		}
		open := s.pos + i
		end := tagEnd(s.buf, open)
		if end < 0 {
			s.pos = open
			return nil
		}
		s.pos = end
		if s.depth <= 1 {
			s.start = open
		}
		if s.tag(s.buf[open:end]) {
			return s.buf[s.start:end]
		}
	}
}

// tag follows one tag and says whether it ends something that next returns.
func (s *scanner) tag(t []byte) bool {
	switch {
	case len(t) < 3 || t[1] == '?':
		return false
	case t[1] == '/':
		s.depth--
		return s.depth <= 1
	case t[len(t)-2] == '/':
		return s.depth <= 1
	case s.depth == 0:
		s.depth++
		return true // the stream's header
	}
	s.depth++
	return false
}

// tagEnd is behind the '>' that closes the tag at open; -1 when it is not there.
func tagEnd(b []byte, open int) int {
	var quote byte
	for i := open + 1; i < len(b); i++ {
		switch c := b[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return -1
}

// attribute is the raw value of an attribute of the element's first tag.
func attribute(element []byte, name string) []byte {
	end := tagEnd(element, 0)
	if end < 0 {
		return nil
	}
	for b := element[:end]; ; {
		i := bytes.Index(b, []byte(name))
		if i < 0 || i+len(name)+2 > len(b) {
			return nil
		}
		before, after := b[max(i-1, 0)], b[i+len(name):]
		if quote := after[1]; before == ' ' && after[0] == '=' && (quote == '"' || quote == '\'') {
			if j := bytes.IndexByte(after[2:], quote); j >= 0 {
				return after[2 : 2+j]
			}
			return nil
		}
		b = after
	}
}

// text is what stands between <name> or <name …> and its end tag.
func text(element []byte, name string) []byte {
	i := bytes.Index(element, []byte("<"+name))
	if i < 0 {
		return nil
	}
	from := tagEnd(element, i)
	if from < 0 {
		return nil
	}
	to := bytes.Index(element[from:], []byte("</"+name+">"))
	if to < 0 {
		return nil
	}
	return element[from : from+to]
}

// is says whether an element has the given name.
func is(element []byte, name string) bool {
	if len(element) < len(name)+2 || string(element[1:1+len(name)]) != name {
		return false
	}
	c := element[1+len(name)]
	return c == ' ' || c == '>' || c == '/'
}

// status says whether a presence from a room has a status code (XEP-0045 §15.6).
func status(presence []byte, code string) bool {
	return bytes.Contains(presence, []byte("code='"+code+"'")) || bytes.Contains(presence, []byte(`code="`+code+`"`))
}

// failed says whether a stanza is of type error.
func failed(stanza []byte) bool { return string(attribute(stanza, "type")) == "error" }
