package main

import (
	"fmt"
	"time"
)

// acks is a client's side of XEP-0198 §4 on one stream.
type acks struct {
	on      bool       // negotiated
	sent    uint32     // stanzas written
	base    uint32     // of these, how many the server has acknowledged
	waiting []*message // one for each stanza after base; nil for what is no message

	got    uint32     // stanzas received
	told   uint32     // how many of them were acknowledged to the server
	fresh  []*arrival // messages among those not yet acknowledged
	proofs []proof
}

// A proof is how a client learns that the server has read its acknowledgement: when
// the server acknowledges a stanza that was written after it.
type proof struct {
	after uint32 // stanzas written before the acknowledgement
	of    []*arrival
}

// stanza writes one and counts it. The message is nil if it is none.
func (s *stream) stanza(what string, m *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.why != nil {
		return
	}
	s.sent++
	s.waiting = append(s.waiting, m)
	if m != nil {
		s.ledger.submitted(m, s)
	}
	s.write(what)
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
func (s *stream) count(a *arrival, counted bool) {
	if !counted {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got++
	if a != nil {
		a.number = s.got
		s.fresh = append(s.fresh, a)
	}
}

// acknowledge tells the server what has come. Without need it says nothing, unless
// it was asked.
func (s *stream) acknowledge(asked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on || s.got == s.told && !asked {
		return
	}
	s.write(fmt.Sprintf("<a xmlns='%s' h='%d'/>", nsAcks, s.got))
	s.told = s.got
	if len(s.fresh) > 0 {
		s.ledger.toldOf(s.fresh)
		s.proofs = append(s.proofs, proof{s.sent, s.fresh})
		s.fresh = nil
	}
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
	for _, m := range s.waiting[:n] {
		if m != nil {
			out = append(out, m)
		}
	}
	s.waiting, s.base = s.waiting[n:], h
	for len(s.proofs) > 0 && int32(h-s.proofs[0].after) > 0 {
		s.ledger.confirmed(s.proofs[0].of)
		s.proofs = s.proofs[1:]
	}
	return out, nil
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
