package main

import (
	"fmt"
	"time"
)

// acks is a client's side of XEP-0198 §4 on one stream. Who resumes it goes on with
// a copy.
type acks struct {
	on      bool       // negotiated
	id      string     // by which the stream can be resumed; empty if it cannot
	sent    uint32     // stanzas written
	base    uint32     // of these, how many the server has acknowledged
	waiting []outgoing // one for each stanza after base

	got    uint32     // stanzas received
	told   uint32     // how many of them were acknowledged to the server
	fresh  []incoming // one for each stanza after told
	least  uint32     // how many of them the server was told of by who wanted to resume
	again  []incoming // what the server must send again next, before anything else
	proofs []proof
}

// An outgoing stanza was written, and may have to be again.
type outgoing struct {
	text string
	m    *message // nil for what is none
	once bool     // it was written
}

// An incoming stanza has come, and may come again.
type incoming struct {
	text string
	a    *arrival // nil for what is no message
}

// A proof is how a client learns that the server has read its acknowledgement: when
// the server acknowledges a stanza that was written after it.
type proof struct {
	after uint32 // stanzas written before the acknowledgement
	of    []*arrival
}

// stanza writes one and counts it, or keeps it for when the stream is resumed. The
// message is nil if it is none.
func (s *stream) stanza(what string, m *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != nil && s.id == "" {
		return
	}
	s.sent++
	s.waiting = append(s.waiting, outgoing{what, m, s.why == nil})
	if m != nil && s.why == nil {
		s.ledger.submitted(m, s, false)
	}
	s.write(what)
}

// repeat writes again what the server has not handled, after a resumption. A node that
// has had the stream all the time knows it when it sees it; one to which the session
// has moved does not.
func (s *stream) repeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	stayed := s.node == s.from.node && s.life == s.from.life && !s.from.strayed.Load()
	for i := range s.waiting {
		w := &s.waiting[i]
		if w.m != nil {
			s.ledger.submitted(w.m, s, w.once && stayed)
		}
		s.write(w.text)
		w.once = true
	}
}

// request asks the server to acknowledge, if it has anything to.
func (s *stream) request() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (s.sent == s.base || !s.on) && s.why == nil {
		return
	}
	if s.asked.IsZero() {
		s.asked = time.Now()
	}
	s.write("<r xmlns='" + nsAcks + "'/>")
}

// count takes note of a stanza that came, unless acknowledgements do not speak of
// it; a is nil if it is no message.
func (s *stream) count(el *element, a *arrival, counted bool) {
	if !counted {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got++
	if a != nil {
		a.number = s.got
	}
	if s.id == "" {
		s.fresh = append(s.fresh, incoming{"", a})
		return
	}
	s.fresh = append(s.fresh, incoming{text(el), a})
}

// replayed reports whether a stanza is one that the server has to send again. If it
// is not what that was, the complaint says so.
func (s *stream) replayed(el *element) (was bool, complaint string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.again) == 0 {
		return false, ""
	}
	i := s.again[0]
	s.again = s.again[1:]
	s.got++
	s.fresh = append(s.fresh, i)
	if is := text(el); is != i.text {
		complaint = fmt.Sprintf("%s has resumed stream %d, and its stanza %d is not what it was:\n    it was %s\n    it is  %s", s.full, s.serial, s.got, i.text, is)
	}
	return true, complaint
}

// acknowledge tells the server what has come. Without need it says nothing, unless
// it was asked.
func (s *stream) acknowledge(asked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on || s.got == s.told && !asked || s.why != nil {
		return
	}
	s.write(fmt.Sprintf("<a xmlns='%s' h='%d'/>", nsAcks, s.got))
	s.told = s.got
	if list := arrivals(s.fresh); len(list) > 0 {
		s.ledger.toldOf(list)
		s.proofs = append(s.proofs, proof{s.sent, list})
	}
	s.fresh = nil
}

// arrivals are the messages among stanzas.
func arrivals(list []incoming) (out []*arrival) {
	for _, i := range list {
		if i.a != nil {
			out = append(out, i.a)
		}
	}
	return out
}

// acknowledged takes the server's count and returns the messages in it that were
// not before.
func (s *stream) acknowledged(h uint32) ([]*message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := h - s.base
	if int(n) > len(s.waiting) {
		return nil, fmt.Errorf("%s has sent %d stanzas and the server acknowledges %d, after %d", s.full, s.sent, h, s.base)
	}
	var out []*message
	for _, w := range s.waiting[:n] {
		if w.m != nil {
			out = append(out, w.m)
		}
	}
	s.waiting, s.base = s.waiting[n:], h
	for len(s.proofs) > 0 && int32(h-s.proofs[0].after) > 0 {
		s.ledger.confirmed(s.proofs[0].of)
		s.proofs = s.proofs[1:]
	}
	return out, nil
}

// adopt goes on with the counts of a stream that the server has resumed. It was told
// that h stanzas had come, so it knows of them; if there were more it must send those
// again.
func (s *stream) adopt(prev *stream, h uint32) {
	prev.mu.Lock()
	defer prev.mu.Unlock()
	s.acks = prev.acks
	s.full, s.ledger, s.from, s.root = prev.full, prev.ledger, prev, prev.origin()
	// Not even the memory is shared: two may do this at once.
	s.waiting = append([]outgoing(nil), prev.waiting...)
	n := h - prev.told
	known := prev.fresh[:n]
	s.again = append(append([]incoming(nil), prev.fresh[n:]...), prev.again...)
	s.got, s.told, s.least, s.fresh, s.proofs = h, h, h, nil, nil
	for _, p := range prev.proofs {
		s.ledger.confirmed(p.of)
	}
	s.ledger.toldOf(arrivals(known))
	s.ledger.confirmed(arrivals(known))
}

// claim is how many stanzas a client says that it has got when it wants to resume:
// all, or as many as it has acknowledged, if it forgets the others.
func (s *stream) claim(forget bool) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !forget:
		s.least = s.got
	case int32(s.least-s.told) < 0:
		s.least = s.told
	}
	return s.least
}

// stale reports whether the server counts less than it has acknowledged already.
func (s *stream) stale(h uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int32(h-s.base) < 0
}

// silence is for how long the server has said nothing although it was asked.
func (s *stream) silence() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.IsZero() {
		return 0
	}
	return time.Since(s.asked)
}

// sound takes note that the server said something.
func (s *stream) sound() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard, s.asked = time.Now(), time.Time{}
}
