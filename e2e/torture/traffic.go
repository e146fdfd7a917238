package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// say sends the next message to somebody: to a device, or to a user. It is entered
// before it is written, and nobody else of this device writes one meanwhile, so the
// order of sending is that of the ledger.
func (d *device) say(s *stream) {
	to := d.run.devices[d.chance.IntN(len(d.run.devices))]
	if to.user == d.user {
		return
	}
	address := to.full()
	if d.chance.IntN(5) < 2 {
		address = to.bare()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stream != s || d.move {
		return
	}
	m := d.run.ledger.compose(d.full(), address)
	d.pending = append(d.pending, m)
	s.stanza(d.written(m), m)
}

// written is a message as it is sent. Some pretend to be another: a stanza-id by the
// recipient is for the server to make (XEP-0359 §4).
func (d *device) written(m *message) string {
	forged := ""
	if m.seq%7 == 0 {
		forged = fmt.Sprintf("<stanza-id xmlns='%s' id='forged' by='%s'/>", nsSID, m.user())
	}
	return fmt.Sprintf("<message type='chat' to='%s' id='%s'><body>%d</body>%s</message>", m.to, escaped(m.id), m.seq, forged)
}

// take deals with an element from the server. Counted: it is one that an
// acknowledgement of ours may speak of. Whoever calls holds mu.
func (d *device) take(s *stream, el *element, counted bool) {
	if counted && el.XMLName.Space == "jabber:client" {
		was, complaint := s.replayed(el)
		if complaint != "" {
			d.run.ledger.accuse("%s\n%s", complaint, d.run.ledger.life(s.full))
		}
		if was {
			return // a good client knows it when it sees it
		}
	}
	switch el.XMLName.Local {
	case "a":
		h, err := strconv.ParseUint(el.attr("h"), 10, 32)
		if err != nil {
			d.run.ledger.accuse("%s: %s", d.full(), text(el))
			return
		}
		d.acknowledged(s, uint32(h))
	case "r":
		if !d.lazy {
			s.acknowledge(true)
		}
	case "message":
		d.message(s, el, counted)
	case "presence":
		s.count(el, nil, counted)
		d.present = d.present || el.attr("from") == s.full
		d.presence(el)
	case "iq":
		s.count(el, nil, counted)
	default:
		d.run.ledger.accuse("%s received %s", d.full(), text(el))
	}
}

// acknowledged takes messages off those that would have to be sent again.
func (d *device) acknowledged(s *stream, h uint32) {
	list, err := s.acknowledged(h)
	if err != nil {
		d.run.ledger.accuse("%v", err)
		return
	}
	d.run.ledger.acknowledged(list)
	d.pending = slices.DeleteFunc(d.pending, func(m *message) bool { return slices.Contains(list, m) })
}

// message enters one that came.
func (d *device) message(s *stream, el *element, counted bool) {
	id := el.attr("id")
	if el.attr("type") == "error" {
		s.count(el, nil, counted)
		d.bounced(s, id, el)
		return
	}
	a := &arrival{at: time.Now(), by: d, on: s, delayed: el.child(nsDelay, "delay") != nil, early: !d.present}
	for i := range el.Children {
		c := &el.Children[i]
		if c.XMLName.Space != nsSID || c.XMLName.Local != "stanza-id" || c.attr("by") != d.bare() {
			continue
		}
		if a.sid != "" {
			d.run.ledger.accuse("%s received a message with two stanza-ids of its own: %s", d.full(), text(el))
		}
		a.sid = c.attr("id")
	}
	s.count(el, a, counted)
	m := d.run.ledger.arrive(id, a)
	if a.sid == "forged" && !d.run.alone {
		d.run.ledger.accuse("%s received a forged stanza-id: %s", d.full(), text(el))
	}
	if m != nil && m.user() != d.bare() {
		d.run.ledger.accuse("%s received what is for %s: %s", d.full(), m.to, text(el))
	}
}

// bounced sends a message again that the server has refused for the moment.
func (d *device) bounced(s *stream, id string, el *element) {
	e := el.child("jabber:client", "error")
	if e == nil {
		d.run.ledger.accuse("%s received an error that is none: %s", d.full(), text(el))
		return
	}
	m := d.run.ledger.bounce(id, e.condition())
	if m == nil {
		return
	}
	if e.attr("type") != "wait" {
		d.run.ledger.accuse("%s: refused for good: %s", d.full(), text(el))
		return
	}
	if !slices.Contains(d.pending, m) {
		d.pending = append(d.pending, m)
	}
	s.stanza(d.written(m), m)
}

// escaped is an id as an attribute's value.
func escaped(id string) string {
	out := make([]byte, 0, len(id)+8)
	for i := range len(id) {
		switch c := id[i]; c {
		case '>':
			out = append(out, "&gt;"...)
		default:
			out = append(out, c)
		}
	}
	return string(out)
}
