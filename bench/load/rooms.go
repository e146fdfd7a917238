package load

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// rooms lets the occupants of rooms write to all others (XEP-0045). Each message
// comes to everybody in the room, its sender too. Flow i is what session i writes.
func (w *worker) rooms() error {
	all := w.users(w.First, w.Sessions)
	if err := w.present(all, quiet); err != nil {
		return err
	}
	defer w.loop.closeAll(all)
	if err := w.enter(all); err != nil {
		return err
	}
	forms := make([]form, len(all))
	for i := range all {
		forms[i] = newForm("<message type='groupchat' to='"+w.room(i)+"'><body>", "</body></message>", w.Body)
	}
	seen := make([]record, len(all)*w.Occupants)
	t := &traffic{w: w, flows: len(all), send: func(flow int, due int64) int {
		s := all[flow]
		w.loop.send(s, forms[flow].stamped(stamp{uint32(flow), s.sent, due}))
		s.sent++
		return w.Occupants
	}}
	w.loop.handle = func(s *session, e []byte) {
		if !is(e, "message") {
			return
		}
		st, ok := readStamp(e)
		if !ok {
			return // the room's subject
		}
		if failed(e) || int(st.flow)/w.Occupants != s.number/w.Occupants {
			w.wrong(e)
			return
		}
		if t.arrived(&seen[s.number*w.Occupants+int(st.flow)%w.Occupants], st) && int(st.flow) == s.number {
			t.again(s.number)
		}
	}
	return t.measure()
}

// room is the address of the room that a session is in.
func (w *worker) room(session int) string {
	return "room" + strconv.Itoa((w.First+session)/w.Occupants) + "@conference." + w.Target.Domain
}

// enter has everybody join, those first who make the rooms.
func (w *worker) enter(all []*session) error {
	var refused error
	in := 0
	w.loop.handle = func(s *session, e []byte) {
		switch {
		case failed(e) && refused == nil:
			refused = fmt.Errorf("%s cannot enter: %.300s", s.user, e)
		case is(e, "presence") && status(e, "110"), is(e, "iq") && string(attribute(e, "id")) == "open":
			in++
		}
	}
	join := func(s *session) {
		w.loop.send(s, []byte("<presence to='"+w.room(s.number)+"/"+s.user+"'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"))
	}
	for i := 0; i < len(all); i += w.Occupants {
		join(all[i])
		// A new room may be closed until its owner has said that it is as he wants it.
		w.loop.send(all[i], []byte("<iq type='set' id='open' to='"+w.room(i)+
			"'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>"))
	}
	owners := len(all) / w.Occupants
	done := func(n int) error {
		ok := w.loop.until(patience, func() bool { return in >= n || refused != nil })
		switch {
		case refused != nil:
			return refused
		case !ok:
			return errors.New("not everybody is in his room")
		}
		return nil
	}
	if err := done(2 * owners); err != nil {
		return err
	}
	for _, s := range all {
		if s.number%w.Occupants != 0 {
			join(s)
			w.loop.poll(0)
		}
	}
	if err := done(owners + len(all)); err != nil {
		return err
	}
	w.loop.rest(500 * time.Millisecond) // for what others hear of it
	return nil
}
