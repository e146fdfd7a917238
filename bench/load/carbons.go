package load

import (
	"fmt"
	"strconv"
	"time"
)

// carbons is chat between users who have several devices each (XEP-0280): what the
// first device of one writes comes to all devices of the other and to the other
// devices of his own. Flow i is from user i to his partner.
func (w *worker) carbons() error {
	all := w.devices()
	if err := w.phase("start"); err != nil {
		return err
	}
	if err := w.loginAll(all, quiet); err != nil {
		return err
	}
	for _, s := range all {
		if err := w.copied(s); err != nil {
			return fmt.Errorf("%s: %w", s.user, err)
		}
	}
	if err := w.attach(all); err != nil {
		return err
	}
	defer w.loop.closeAll(all)
	w.loop.rest(500 * time.Millisecond)
	forms := make([]form, w.Sessions)
	for i := range forms {
		forms[i] = newForm("<message type='chat' to='"+all[(i^1)*w.Devices].bare+"'><body>", "</body></message>", w.Body)
	}
	own := make([]record, len(all)) // of what the user's first device has sent
	t := &traffic{w: w, flows: w.Sessions, send: func(flow int, due int64) int {
		s := all[flow*w.Devices]
		w.loop.send(s, forms[flow].stamped(stamp{uint32(flow), s.sent, due}))
		s.sent++
		return 2*w.Devices - 1
	}}
	w.loop.handle = func(s *session, e []byte) {
		if !is(e, "message") {
			return
		}
		st, ok := readStamp(e)
		user, first := s.number/w.Devices, s.number%w.Devices == 0
		sent := int(st.flow) == user
		if !ok || failed(e) || !sent && int(st.flow) != user^1 || sent && first {
			w.wrong(e)
			return
		}
		r := &s.in
		if sent {
			r = &own[s.number]
		}
		if t.arrived(r, st) && first {
			t.again(int(st.flow))
		}
	}
	return t.measure()
}

// devices makes the sessions of each user, one behind the other.
func (w *worker) devices() []*session {
	var all []*session
	for _, u := range w.users(w.First, w.Sessions) {
		for d := range w.Devices {
			all = append(all, &session{number: len(all), user: u.user, bare: u.bare, resource: "device" + strconv.Itoa(d)})
		}
	}
	return all
}

// copied asks for carbons and makes a device available. Messages for the bare
// address are for the first one, so that the others get carbons.
func (w *worker) copied(s *session) error {
	e, err := s.reply("carbons", "<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>")
	if err == nil && failed(e) {
		err = fmt.Errorf("carbons: %.300s", e)
	}
	if err != nil {
		return err
	}
	presence := "<presence/>"
	if s.number%w.Devices == 0 {
		presence = "<presence><priority>5</priority></presence>"
	}
	s.scan.keep()
	return s.write([]byte(presence))
}
