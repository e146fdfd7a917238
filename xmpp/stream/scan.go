package stream

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// What a byte may be; class has a set of these for each.
const (
	nameStart = 1 << iota // may begin a name
	namePart              // may stand in a name
	colon                 // separates prefix and local part
	wide                  // belongs to a character above ASCII
	space                 // XML white space
	stopText              // text needs a closer look here
	stopValue             // an attribute value needs a closer look here
	quote                 // begins and ends an attribute value
)

// class is the table of all bytes.
var class = classes()

func classes() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_':
			t[c] = nameStart | namePart
		case c >= '0' && c <= '9' || c == '-' || c == '.':
			t[c] = namePart
		case c == ':':
			t[c] = colon
		case c == ' ':
			t[c] = space
		case c == '\t' || c == '\n' || c == '\r':
			t[c] = space | stopText | stopValue
		case c < ' ', c == '<', c == '&':
			t[c] = stopText | stopValue
		case c == '>':
			t[c] = stopText
		case c == '"' || c == '\'':
			t[c] = stopValue | quote
		case c >= utf8.RuneSelf:
			t[c] = wide | stopText | stopValue
		}
	}
	return t
}

// Eight bytes at once: each holds the same value.
const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// textStop returns the first index from i on that is not plain text: '<', '>',
// '&', a control or part of a wide character; len(b) if there is none.
//
// In a word, the lowest high bit of the sum of tests belongs to a real hit:
// x-ones sets the high bit of a byte that was zero, w-0x20… that of one below
// a space, and a borrow reaches upwards only, out of a byte that is a hit
// itself. '<' and '>' differ in one bit, which is set before comparing.
func textStop(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i : i+8 : i+8])
		angle := (w | 0x02*ones) ^ '>'*ones
		amp := w ^ '&'*ones
		if hit := ((angle - ones) | (amp - ones) | (w - ' '*ones) | w) & highs; hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
	}
	for i < len(b) && class[b[i]]&stopText == 0 {
		i++
	}
	return i
}

// valueStop does the same for an attribute value: '<', '&', a control, part of
// a wide character or, whichever closes it, a quote. One of both quotes can be
// told from '&' by a single bit, which saves a comparison; a '#' that is taken
// for a hit with it is stepped over by the caller.
func valueStop(b []byte, i int, end byte) int {
	same := uint64(0x04 * ones) // '"' and '&'
	if end == '\'' {
		same = 0x01 * ones
	}
	want := same | uint64(end)*ones
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i : i+8 : i+8])
		q := (w | same) ^ want
		lt := w ^ '<'*ones
		if hit := ((q - ones) | (lt - ones) | (w - ' '*ones) | w) & highs; hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
	}
	for i < len(b) && class[b[i]]&stopValue == 0 {
		i++
	}
	return i
}

// skipSpace returns the first index from i on that is no white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && class[b[i]]&space != 0 {
		i++
	}
	return i
}

// skipWide steps over the wide characters from i on. It returns where it came
// to, and an error for what is not UTF-8 (RFC 6120 §4.9.3.22) or no character
// of XML. A character that is cut off by the end of b is not stepped over.
func skipWide(b []byte, i int) (int, *Error) {
	for i < len(b) && b[i] >= utf8.RuneSelf {
		c := b[i]
		if c >= 0xC2 && c <= 0xDF && i+1 < len(b) && b[i+1]&0xC0 == 0x80 {
			i += 2
			continue
		}
		if c >= 0xE1 && c <= 0xEC && i+2 < len(b) && b[i+1]&0xC0 == 0x80 && b[i+2]&0xC0 == 0x80 {
			i += 3
			continue
		}
		_, n, err := wideRune(b[i:])
		if n == 0 {
			return i, err
		}
		i += n
	}
	return i, nil
}

// wideRune decodes the wide character that b begins with. Its length is 0 if it
// is cut off, and with an error if it is none that XML may have.
func wideRune(b []byte) (rune, int, *Error) {
	r, n := utf8.DecodeRune(b)
	switch {
	case r == utf8.RuneError && n == 1:
		if utf8.FullRune(b) {
			return r, 0, UnsupportedEncoding.With("not UTF-8")
		}
		return r, 0, nil
	case r == 0xFFFE || r == 0xFFFF:
		return r, 0, NotWellFormed.With("a character that XML does not know")
	}
	return r, n, nil
}

// badByte says what is wrong with text that has a control at i.
func badByte() *Error { return NotWellFormed.With("a control character") }
