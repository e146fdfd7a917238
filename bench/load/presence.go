package load

import (
	"bytes"
	"fmt"
	"time"
)

// contacts of a user are the ones on a ring of all: as many before as behind.
func (w *worker) contact(user, i int) int {
	half := w.Contacts / 2
	if i >= half {
		i++ // not oneself
	}
	return (user + i - half + w.Sessions) % w.Sessions
}

// place is the inverse of contact: which of a user's contacts another one is.
func (w *worker) place(user, contact int) (int, bool) {
	half := w.Contacts / 2
	d := (contact - user + half + w.Sessions) % w.Sessions
	switch {
	case d == half || d > w.Contacts:
		return 0, false
	case d > half:
		d--
	}
	return d, true
}

// presence lets users change their status; every contact must hear of it. As
// many users as the window says have a change under way at any time.
func (w *worker) presence() error {
	all := w.users(w.First, w.Sessions)
	if err := w.present(all, available); err != nil {
		return err
	}
	defer w.loop.closeAll(all)
	w.loop.rest(time.Second) // they still hear of each other
	forms := []form{
		newForm("<presence><show>away</show><status>", "</status></presence>", stampSize),
		newForm("<presence><status>", "</status></presence>", stampSize),
	}
	seen := make([]record, w.Sessions*w.Contacts)
	turn := 0
	t := &traffic{w: w, flows: 1}
	t.send = func(_ int, due int64) int {
		for range all {
			s := all[turn%len(all)]
			turn++
			if s.count > 0 || s.dead {
				continue // its last change is still on its way
			}
			w.loop.send(s, forms[s.sent%2].stamped(stamp{uint32(s.number), s.sent, due}))
			s.sent++
			s.count = w.Contacts
			return w.Contacts
		}
		return 0
	}
	w.loop.handle = func(s *session, e []byte) {
		st, ok := readStamp(e)
		if !is(e, "presence") || !ok || int(st.flow) == s.number {
			return // from logging in, or one's own
		}
		i, known := w.place(s.number, int(st.flow))
		if !known || int(st.flow) >= len(all) || failed(e) {
			w.wrong(e)
			return
		}
		if !t.arrived(&seen[s.number*w.Contacts+i], st) {
			return
		}
		if from := all[st.flow]; from.count > 0 {
			if from.count--; from.count == 0 {
				t.again(0)
			}
		}
	}
	return t.measure()
}

// befriend makes the rosters that presence and roster want, with the stanzas of
// RFC 6121 §3.1. Those that are there already stay.
func (w *worker) befriend() error {
	all := w.users(w.First, w.Sessions)
	if err := w.loginAll(all, available); err != nil {
		return err
	}
	if err := w.attach(all); err != nil {
		return err
	}
	defer w.loop.closeAll(all)
	if w.friends(all) {
		return nil
	}
	w.subscribe(all)
	ok := w.loop.until(30*time.Second, func() bool {
		w.loop.rest(300 * time.Millisecond)
		return w.friends(all)
	})
	if !ok {
		return fmt.Errorf("after all subscriptions, not everybody has %d contacts", w.Contacts)
	}
	return nil
}

// friends says whether every roster is complete.
func (w *worker) friends(all []*session) bool {
	answers, complete := 0, 0
	w.loop.handle = func(s *session, e []byte) {
		if is(e, "iq") && string(attribute(e, "id")) == "friends" {
			answers++
			both := bytes.Count(e, []byte("subscription='both'")) + bytes.Count(e, []byte(`subscription="both"`))
			if both == w.Contacts {
				complete++
			}
		}
	}
	for _, s := range all {
		w.loop.send(s, []byte("<iq type='get' id='friends'><query xmlns='jabber:iq:roster'/></iq>"))
		w.loop.poll(0)
	}
	w.loop.until(30*time.Second, func() bool { return answers >= len(all) })
	return complete == len(all)
}

// subscribe lets everybody ask all contacts, who agree. Few are under way at a
// time: it is no measurement.
func (w *worker) subscribe(all []*session) {
	asked, agreed := 0, 0
	w.loop.handle = func(s *session, e []byte) {
		if !is(e, "presence") {
			return
		}
		switch string(attribute(e, "type")) {
		case "subscribe":
			from, _, _ := bytes.Cut(attribute(e, "from"), []byte("/"))
			w.loop.send(s, []byte("<presence type='subscribed' to='"+string(from)+"'/>"))
		case "subscribed":
			agreed++
		}
	}
	for i := range w.Contacts {
		for n, s := range all {
			w.loop.send(s, []byte("<presence type='subscribe' to='"+all[w.contact(n, i)].bare+"'/>"))
			asked++
			w.loop.until(5*time.Second, func() bool { return asked-agreed < 64 })
		}
	}
	w.loop.until(w.Patience, func() bool { return agreed >= asked })
}
