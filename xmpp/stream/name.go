package stream

// name steps over the name that begins at w.tok, from i on; whole is false if b
// ends before the name does. It is a QName of Namespaces in XML: at most one
// colon, kept in w.colon, and a proper name on both of its sides.
func (w *work) name(b []byte, i int) (_ int, whole bool, err *Error) {
	for {
		if i == len(b) {
			return i, false, nil
		}
		first := i == w.tok || b[i-1] == ':'
		k := class[b[i]]
		if first && k&(nameStart|wide) == 0 {
			return i, false, NotWellFormed.With("a name was expected")
		}
		if k&namePart != 0 {
			i = plainName(b, i+1)
			if i == len(b) {
				return i, false, nil
			}
			k = class[b[i]]
		}
		switch {
		case k&wide != 0:
			n, err := wideInName(b[i:], i == w.tok || b[i-1] == ':')
			if n == 0 {
				return i, false, err
			}
			i += n
		case k&colon != 0:
			if w.colon != 0 {
				return i, false, NotWellFormed.With("two colons in a name")
			}
			w.colon = i
			i++
		default:
			return i, true, nil
		}
	}
}

// plainName returns the first index from i on that is no character of names, or
// one that needs a closer look.
func plainName(b []byte, i int) int {
	for i < len(b) && class[b[i]]&namePart != 0 {
		i++
	}
	return i
}

// wideInName returns the length of the wide character that b begins with; 0 if
// it is cut off, or is none that a name may have there.
func wideInName(b []byte, first bool) (int, *Error) {
	r, n, err := wideRune(b)
	if n == 0 || isNameStart(r) || !first && isNamePart(r) {
		return n, err
	}
	return 0, NotWellFormed.With("a character that names do not have")
}

// isNameStart is NameStartChar of XML 1.0 §2.3 (fifth edition) above ASCII.
func isNameStart(r rune) bool {
	switch {
	case r < 0x370:
		return r >= 0xC0 && r != 0xD7 && r != 0xF7 && r < 0x300
	case r < 0x2000:
		return r != 0x37E
	case r < 0x3001:
		return r == 0x200C || r == 0x200D || r >= 0x2070 && r <= 0x218F || r >= 0x2C00 && r <= 0x2FEF
	case r < 0x10000:
		return r <= 0xD7FF || r >= 0xF900 && r <= 0xFDCF || r >= 0xFDF0 && r <= 0xFFFD
	}
	return r <= 0xEFFFF
}

// isNamePart is what NameChar adds to NameStartChar above ASCII.
func isNamePart(r rune) bool {
	return r == 0xB7 || r >= 0x300 && r <= 0x36F || r == 0x203F || r == 0x2040
}
