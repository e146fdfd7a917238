package stream

import "bytes"

// declaration reads the XML declaration that b begins with, `<?xml …?>`. It
// returns its length; 0 if more bytes are needed. seen is how many bytes were
// looked at before.
func declaration(b []byte, seen int) (int, *Error) {
	const opening = "<?xml"
	n := min(len(b), len(opening))
	if string(b[:n]) != opening[:n] || n < len(b) && class[b[n]]&space == 0 {
		return 0, RestrictedXML.With("a processing instruction")
	}
	end := bytes.IndexByte(b[seen:], '>')
	if end < 0 {
		return 0, nil
	}
	end += seen
	if b[end-1] != '?' {
		return 0, badDeclaration()
	}
	p := pseudo{rest: b[n : end-1]}
	if v, ok := p.take("version"); !ok || !isVersion(v) {
		return 0, badDeclaration()
	}
	if v, ok := p.take("encoding"); ok {
		if !isEncoding(v) {
			return 0, badDeclaration()
		}
		if !bytes.EqualFold(v, []byte("UTF-8")) {
			return 0, UnsupportedEncoding.With("XMPP is in UTF-8")
		}
	}
	if v, ok := p.take("standalone"); ok && string(v) != "yes" && string(v) != "no" {
		return 0, badDeclaration()
	}
	if len(bytes.Trim(p.rest, " \t\r\n")) > 0 {
		return 0, badDeclaration()
	}
	return end + 1, nil
}

func badDeclaration() *Error { return NotWellFormed.With("a malformed XML declaration") }

// pseudo is the rest of a declaration's would-be attributes.
type pseudo struct{ rest []byte }

// take reads the attribute called name if it comes next.
func (p *pseudo) take(name string) (value []byte, ok bool) {
	i := skipSpace(p.rest, 0)
	if i == 0 || !bytes.HasPrefix(p.rest[i:], []byte(name)) {
		return nil, false
	}
	i = skipSpace(p.rest, i+len(name))
	if i == len(p.rest) || p.rest[i] != '=' {
		return nil, false
	}
	i = skipSpace(p.rest, i+1)
	if i == len(p.rest) || p.rest[i] != '"' && p.rest[i] != '\'' {
		return nil, false
	}
	n := bytes.IndexByte(p.rest[i+1:], p.rest[i])
	if n < 0 {
		return nil, false
	}
	value = p.rest[i+1 : i+1+n]
	p.rest = p.rest[i+n+2:]
	return value, true
}

// isVersion reports whether v is a VersionNum (XML 1.0 §2.8).
func isVersion(v []byte) bool {
	minor, ok := bytes.CutPrefix(v, []byte("1."))
	for _, c := range minor {
		ok = ok && c >= '0' && c <= '9'
	}
	return ok && len(minor) > 0
}

// isEncoding reports whether v is an EncName (XML 1.0 §4.3.3).
func isEncoding(v []byte) bool {
	for i, c := range v {
		k := class[c]
		if k&namePart == 0 || i == 0 && (k&nameStart == 0 || c == '_') {
			return false
		}
	}
	return len(v) > 0
}
