package load

import (
	"fmt"
	"strconv"
	"time"
)

// pageSize is how many messages a client asks for at once.
const pageSize = 50

// archive lets pairs of users write to each other until each has so many messages in
// the archive, and then fetch the last page of it again and again (XEP-0313). A
// client's questions are its flow.
func (w *worker) archive() error {
	all := w.users(w.First, w.Sessions)
	if err := w.present(all, available); err != nil {
		return err
	}
	defer w.loop.closeAll(all)
	if err := w.fill(all); err != nil {
		return err
	}
	f := newForm("<iq type='set' id='", "'><query xmlns='urn:xmpp:mam:2' queryid='page'><set xmlns='http://jabber.org/protocol/rsm'><max>"+
		strconv.Itoa(pageSize)+"</max><before/></set></query></iq>", stampSize)
	for _, s := range all {
		s.sent, s.in, s.count = 0, record{}, 0
	}
	t := &traffic{w: w, flows: len(all), send: func(flow int, due int64) int {
		s := all[flow]
		w.loop.send(s, f.stamped(stamp{uint32(flow), s.sent, due}))
		s.sent++
		return 1
	}}
	w.loop.handle = func(s *session, e []byte) {
		switch {
		case is(e, "message"):
			s.count++
			return
		case !is(e, "iq"):
			return
		}
		st, ok := readStamp(attribute(e, "id"))
		if !ok || int(st.flow) != s.number || failed(e) || s.count != pageSize {
			w.wrong(fmt.Appendf(nil, "after %d messages: %s", s.count, e))
			s.count = 0
			return
		}
		s.count = 0
		if t.arrived(&s.in, st) {
			t.again(int(st.flow))
		}
	}
	return t.measure()
}

// fill has every user send half of the messages that each shall have; all of them
// must arrive. Few are under way at once: this is no measurement.
func (w *worker) fill(all []*session) error {
	t := &traffic{w: w, sending: true}
	forms := make([]form, len(all))
	for i := range all {
		forms[i] = newForm("<message type='chat' to='"+all[i^1].bare+"'><body>", "</body></message>", w.Body)
	}
	next := func(flow int) {
		if s := all[flow]; int(s.sent) < (w.Messages+1)/2 {
			w.loop.send(s, forms[flow].stamped(stamp{uint32(flow), s.sent, w.now()}))
			s.sent++
			w.tally.Sent++
			w.tally.Expected++
		}
	}
	w.loop.handle = func(s *session, e []byte) {
		if !is(e, "message") {
			return
		}
		st, ok := readStamp(e)
		if !ok || int(st.flow) != s.number^1 || failed(e) {
			w.wrong(e)
			return
		}
		if t.arrived(&s.in, st) {
			next(int(st.flow))
		}
	}
	for flow := range all {
		next(flow)
	}
	t.last = w.now()
	t.await()
	if w.tally.Got < w.tally.Expected {
		return fmt.Errorf("only %d of the %d messages for the archive arrived", w.tally.Got, w.tally.Expected)
	}
	w.loop.rest(time.Second) // for those that are still being written
	return nil
}
