package cluster

import (
	"encoding/binary"
	"fmt"

	"github.com/gabberd/gabberd/xmpp"
)

// The frames by which sessions move.
const (
	frameWant  = 'w' // domain, bare address, number, id of the stream: who has it?
	frameNone  = 'n' // number, whether h is known, h: not here
	frameMove  = 'm' // domain, number, that of frameWant or 0, the session as JSON
	frameTaken = 't' // number of frameMove, whether it was taken
)

var errMalformedMove = fmt.Errorf("%w: malformed move of a session", errForeign)

func flag(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}

func wantBody(domain string, user xmpp.JID, n uint64, id string) []byte {
	b := appendBytes(appendBytes(nil, domain), user.String())
	return appendBytes(binary.AppendUvarint(b, n), id)
}

func noneBody(n uint64, known bool, h uint32) []byte {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, n), flag(known))
	return binary.AppendUvarint(b, uint64(h))
}

func moveBody(domain string, n, fetched uint64, text []byte) []byte {
	b := binary.AppendUvarint(appendBytes(make([]byte, 0, len(domain)+len(text)+32), domain), n)
	return append(binary.AppendUvarint(b, fetched), text...)
}

func takenBody(n uint64, yes bool) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, n), flag(yes))
}

// A want asks for a session.
type want struct {
	domain string
	user   xmpp.JID
	n      uint64
	id     string
}

func readWant(body []byte) (want, error) {
	r := reader{b: body}
	w := want{domain: r.text(), user: r.jid(), n: r.uint(), id: r.text()}
	if r.bad || len(r.b) > 0 || !w.user.IsBare() {
		return w, errMalformedMove
	}
	return w, nil
}

// An offered is a session on its way.
type offered struct {
	domain     string
	n, fetched uint64
	text       []byte
}

func readOffered(body []byte) (offered, error) {
	r := reader{b: body}
	o := offered{domain: r.text(), n: r.uint(), fetched: r.uint()}
	if r.bad {
		return o, errMalformedMove
	}
	o.text = r.b
	return o, nil
}

// moved acts on a frame about the move of a session.
func (b *inbox) moved(d delivery) error {
	r := reader{b: d.f.body}
	switch d.f.kind {
	case frameWant:
		w, err := readWant(d.f.body)
		if err != nil {
			return err
		}
		b.c.wanted(d.l, w)
	case frameMove:
		o, err := readOffered(d.f.body)
		if err != nil {
			return err
		}
		b.c.accept(d.l, o)
	case frameNone:
		n, known, h := r.uint(), r.uint(), r.uint()
		if r.bad || known > 1 || h > 1<<32-1 {
			return errMalformedMove
		}
		b.c.moves.none(n, known == 1, uint32(h))
	case frameTaken:
		n, yes := r.uint(), r.uint()
		if r.bad || yes > 1 {
			return errMalformedMove
		}
		b.c.moves.took(n, yes == 1)
	}
	return nil
}
