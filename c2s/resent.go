package c2s

import (
	"hash/maphash"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// A client that resumes is told h, and sends again what comes after (XEP-0198 §5).
// Some of that has come before, and is on its way: its recipients have not
// acknowledged it, or the database is behind. It must neither be routed nor counted
// twice, so it is recognised, and takes the place that it had.

// A resent is a stanza that has come, and that the client sends again.
type resent struct {
	print   uint64
	receipt *sm.Receipt // nil: handled
}

// marks are how stanzas are recognised that a client sends again. They are kept only
// for streams that can be resumed, and only of what is not handled.
type marks struct {
	on    bool
	seed  maphash.Seed
	list  fifo[uint64] // of the stanzas in line
	again []resent     // what is due again, in order
}

func (m *marks) init() { m.on, m.seed = true, maphash.MakeSeed() }

// of is by what a stanza is recognised: kind, type, addressee and id if it has one,
// for a client may add to it when it was sent; else all of it.
func (m *marks) of(fr *stream.Frame) uint64 {
	var h maphash.Hash
	h.SetSeed(m.seed)
	id := fr.Attr("id")
	if len(id) == 0 {
		h.Write(fr.Raw)
		return h.Sum64()
	}
	for _, b := range [][]byte{fr.Name, fr.Attr("type"), fr.Attr("to"), id} {
		h.Write(b)
		h.WriteByte(0)
	}
	return h.Sum64()
}

// keep remembers a stanza that stands in line.
func (m *marks) keep(fr *stream.Frame) {
	if m.on {
		m.list.push(m.of(fr))
	}
}

// drop forgets the first ones in line.
func (m *marks) drop(n uint32) {
	for ; n > 0 && m.on; n-- {
		m.list.pop()
	}
}

// resume returns h for a client that resumes, and has what it will send again be
// recognised.
func (n *handled) resume() uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []resent
	for n.open.len() > 0 {
		p := n.open.pop()
		all = append(all, resent{n.marks.list.pop(), p.receipt})
		for range p.more {
			all = append(all, resent{n.marks.list.pop(), nil})
		}
	}
	n.marks.again = append(all, n.marks.again...) // of the last time, if it did not come to an end
	past := n.marks.settled()
	n.marks.again = n.marks.again[past:]
	n.h += uint32(past)
	n.told, n.asked = n.h, false
	return n.h
}

// settled is how many of the first ones that are due again are handled meanwhile.
func (m *marks) settled() int {
	for i, r := range m.again {
		if !r.receipt.Settled() {
			return i
		}
	}
	return len(m.again)
}

// repeated reports whether a stanza has come before, and counts it then. One that is
// not what was due says that the client does not send the rest again.
func (n *handled) repeated(fr *stream.Frame) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := &n.marks
	if len(m.again) == 0 {
		return false
	}
	print := m.of(fr)
	for i, r := range m.again {
		if r.print == print {
			m.again = m.again[i+1:]
			n.push(r.receipt, fr)
			return true
		}
	}
	m.again = nil
	return false
}
