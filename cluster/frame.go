package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// A frame is what one node tells another. The byte of its kind never changes its
// meaning; a kind that a node does not know is passed over.
const (
	frameStanza = 's' // domain, full address of the session, the stanza
	frameStays  = 'p' // as frameStanza: "unavailable" from a client that is gone for the addressee only
	frameClose  = 'c' // domain, bare address, ID of the session, condition, text, host
	frameAnswer = 'a' // domain, the domain's address, an IQ that answers a question of the receiver
	frameEvent  = 'e' // domain, event, payload
	frameCharge = 'g' // ranges of sequence numbers: what they stand for is safe
	frameBye    = 'b' // nothing: the sender is gone. It has no sequence number
)

// frameVersion begins every batch of frames.
const frameVersion = 1

// Bounds on one entry of an inbox.
const (
	batchFrames = 64        // stanzas in an entry
	batchBytes  = 256 << 10 // after which an entry takes no more frames
	maxFrames   = 4 * batchFrames
	maxSafe     = 4096 // sequence numbers in a frame that says what is safe
)

// errForeign is the error of everything in an inbox that no gabberd of this
// version has written.
var errForeign = errors.New("not written by gabberd")

// appendBytes writes b with its length before it.
func appendBytes[T string | []byte](to []byte, b T) []byte {
	return append(binary.AppendUvarint(to, uint64(len(b))), b...)
}

// appendFrame writes a frame whose body is known.
func appendFrame(to []byte, kind byte, body []byte) []byte {
	return appendBytes(append(to, kind), body)
}

// stanzaBody appends the body of a frame with a stanza.
func stanzaBody(b []byte, domain string, to xmpp.JID, st *xmpp.Stanza) []byte {
	return st.AppendXML(appendBytes(appendBytes(b, domain), to.String()))
}

// closeBody is the body of a frame that ends a session.
func closeBody(domain string, user xmpp.JID, id sm.ID, reason *stream.Error) []byte {
	if reason == nil {
		reason = &stream.Error{}
	}
	b := appendBytes(appendBytes(nil, domain), user.Bare().String())
	b = binary.AppendVarint(b, id.Time.UnixMicro())
	b = appendBytes(binary.AppendUvarint(b, id.N), id.Node)
	return appendBytes(appendBytes(appendBytes(b, reason.Condition), reason.Text), reason.Host)
}

// eventBody is the body of a frame that tells of an event.
func eventBody(domain, event string, payload []byte) []byte {
	return append(appendBytes(appendBytes(nil, domain), event), payload...)
}

// chargeBody is the body of a frame that says what is safe. seqs are in order.
func chargeBody(seqs []uint64) []byte {
	var b []byte
	for i := 0; i < len(seqs); {
		n := 1
		for i+n < len(seqs) && seqs[i+n] == seqs[i]+uint64(n) {
			n++
		}
		b = binary.AppendUvarint(binary.AppendUvarint(b, seqs[i]), uint64(n))
		i += n
	}
	return b
}

// A reader takes a frame apart. After an error everything is empty.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) jid() xmpp.JID {
	j, err := xmpp.Parse(r.text())
	if err != nil {
		r.bad = true
	}
	return j
}

// A frame has a kind and a body.
type frame struct {
	kind byte
	body []byte
}

// splitFrames takes the frames of an entry apart. The bodies are pieces of b.
func splitFrames(b []byte) ([]frame, error) {
	if len(b) == 0 || b[0] != frameVersion {
		return nil, fmt.Errorf("%w: frames of another version", errForeign)
	}
	var out []frame
	for r := (reader{b: b[1:]}); len(r.b) > 0; {
		kind := r.b[0]
		r.b = r.b[1:]
		body := r.bytes()
		if r.bad || len(out) == maxFrames {
			return nil, fmt.Errorf("%w: malformed frames", errForeign)
		}
		out = append(out, frame{kind, body})
	}
	return out, nil
}

// A parcel is a stanza that has come.
type parcel struct {
	domain string
	to     xmpp.JID
	st     *xmpp.Stanza
}

// readStanza reads the body of a frame with a stanza.
func readStanza(f *stream.Framer, body []byte) (p parcel, err error) {
	if p, err = readParcel(f, body); err == nil && p.to.IsBare() {
		return p, fmt.Errorf("%w: malformed address", errForeign)
	}
	return p, err
}

// readParcel is readStanza for a stanza to whomever.
func readParcel(f *stream.Framer, body []byte) (p parcel, err error) {
	r := reader{b: body}
	p.domain, p.to = r.text(), r.jid()
	if r.bad {
		return p, fmt.Errorf("%w: malformed address", errForeign)
	}
	doc, err := f.Document(r.b)
	if err != nil {
		return p, fmt.Errorf("%w: %w", errForeign, err)
	}
	if p.st, err = xmpp.ParseStanza(&doc); err != nil {
		return p, fmt.Errorf("%w: %w", errForeign, err)
	}
	if p.st.To.IsZero() {
		return p, fmt.Errorf("%w: a stanza for nobody", errForeign)
	}
	return p, nil
}

// An ending says which session ends, and why.
type ending struct {
	domain string
	user   xmpp.JID
	id     sm.ID
	reason *stream.Error
}

func readClose(body []byte) (ending, error) {
	r := reader{b: body}
	e := ending{domain: r.text(), user: r.jid()}
	e.id = sm.ID{Time: time.UnixMicro(r.int()), N: r.uint(), Node: r.text()}
	reason := stream.Error{Condition: r.text(), Text: r.text(), Host: r.text()}
	if r.bad || len(r.b) > 0 || reason.Condition != "" && !isCondition(reason.Condition) {
		return e, fmt.Errorf("%w: malformed end of a session", errForeign)
	}
	if reason.Condition != "" {
		e.reason = &reason
	}
	return e, nil
}

// isCondition reports whether s can be the name of a condition's element: it is
// written to a client as it is.
func isCondition(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(s) < 64
}

// A heard is an event of another node.
type heard struct {
	domain, event string
	payload       []byte
}

func readEvent(body []byte) (heard, error) {
	r := reader{b: body}
	h := heard{domain: r.text(), event: r.text()}
	if r.bad {
		return h, fmt.Errorf("%w: malformed event", errForeign)
	}
	h.payload = r.b
	return h, nil
}

// A span is sequence numbers from first to last.
type span struct{ first, last uint64 }

func readCharge(body []byte) ([]span, error) {
	var out []span
	left := uint64(maxSafe)
	for r := (reader{b: body}); len(r.b) > 0; {
		first, n := r.uint(), r.uint()
		if r.bad || n == 0 || n > left || first == 0 || first+n < first {
			return nil, fmt.Errorf("%w: malformed sequence numbers", errForeign)
		}
		left -= n
		out = append(out, span{first, first + n - 1})
	}
	return out, nil
}

// A letter is an entry of an inbox, with its frames still together.
type letter struct {
	id     string
	from   string // node
	epoch  uint64 // of the sender
	to     uint64 // epoch of the receiver
	ack    uint64 // what the sender has received of the receiver
	seq    uint64 // of the first frame; 0: they have none
	frames []byte
}

// values is the fields and values of the letter in the inbox, always the same
// ones in the same order, which Redis packs.
func (l *letter) values() []any {
	return []any{"n", l.from, "e", l.epoch, "f", l.to, "a", l.ack, "s", l.seq, "b", l.frames}
}

// readLetter reads an entry of an inbox, where anybody may have written anything.
func readLetter(id string, values map[string]any) (letter, error) {
	l := letter{id: id}
	ok := len(values) == 6
	text := func(field string) string {
		s, is := values[field].(string)
		ok = ok && is
		return s
	}
	number := func(field string) uint64 {
		v, err := strconv.ParseUint(text(field), 10, 64)
		ok = ok && err == nil
		return v
	}
	l.from, l.epoch, l.to, l.ack, l.seq = text("n"), number("e"), number("f"), number("a"), number("s")
	l.frames = []byte(text("b"))
	if !ok || l.from == "" {
		return l, fmt.Errorf("%w: other fields", errForeign)
	}
	return l, nil
}
