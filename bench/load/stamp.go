package load

import "bytes"

// A stamp tells which flow a stanza belongs to, its number in it and when it
// was due. It is text of a fixed length, so that it is written in place.
type stamp struct {
	flow, number uint32
	due          int64 // nanoseconds of the worker's clock
}

const (
	stampMark = "gl-"
	stampSize = len(stampMark) + 8 + 8 + 16
	hexDigits = "0123456789abcdef"
)

// A form is a stanza with a place for a stamp.
type form struct {
	bytes []byte
	at    int
}

// newForm puts a stamp between head and tail, and behind it as many letters as
// make size bytes of both.
func newForm(head, tail string, size int) form {
	f := form{at: len(head)}
	f.bytes = append(f.bytes, head...)
	f.bytes = append(f.bytes, bytes.Repeat([]byte("0"), stampSize)...)
	copy(f.bytes[f.at:], stampMark)
	if more := size - stampSize; more > 0 {
		f.bytes = append(f.bytes, ' ')
		f.bytes = append(f.bytes, bytes.Repeat([]byte("x"), more-1)...)
	}
	f.bytes = append(f.bytes, tail...)
	return f
}

// stamped is the stanza with the stamp; valid until the next call.
func (f *form) stamped(s stamp) []byte {
	p := f.bytes[f.at+len(stampMark):]
	putHex(p[:8], uint64(s.flow))
	putHex(p[8:16], uint64(s.number))
	putHex(p[16:32], uint64(s.due))
	return f.bytes
}

func putHex(p []byte, v uint64) {
	for i := len(p) - 1; i >= 0; i-- {
		p[i] = hexDigits[v&15]
		v >>= 4
	}
}

// readStamp finds the first stamp of a stanza.
func readStamp(stanza []byte) (stamp, bool) {
	i := bytes.Index(stanza, []byte(stampMark))
	if i < 0 || i+stampSize > len(stanza) {
		return stamp{}, false
	}
	p := stanza[i+len(stampMark):]
	flow, ok1 := readHex(p[:8])
	number, ok2 := readHex(p[8:16])
	due, ok3 := readHex(p[16:32])
	return stamp{uint32(flow), uint32(number), int64(due)}, ok1 && ok2 && ok3
}

func readHex(p []byte) (v uint64, ok bool) {
	for _, c := range p {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// A record is what one receiver has seen of one flow.
type record struct {
	next    uint32              // all before have come or are missing
	missing map[uint32]struct{} // those that others have overtaken
}

// What a record finds out about a stanza.
type verdict int

const (
	inOrder verdict = iota
	overtaken
	doubled
)

// see takes note of a stanza's number.
func (r *record) see(number uint32) verdict {
	if number >= r.next {
		for ; r.next < number; r.next++ {
			if r.missing == nil {
				r.missing = map[uint32]struct{}{}
			}
			r.missing[r.next] = struct{}{}
		}
		r.next = number + 1
		return inOrder
	}
	if _, ok := r.missing[number]; ok {
		delete(r.missing, number)
		return overtaken
	}
	return doubled
}
