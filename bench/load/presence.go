package load

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
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
	case contact < 0 || contact >= w.Sessions || d == half || d > w.Contacts:
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
		if !known || failed(e) {
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
	if err := w.subscribe(all); err != nil {
		return err
	}
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

// atOnce is how many pairs become friends at the same time: it is no
// measurement.
const atOnce = 32

// subscribe makes friends of everybody and the contacts that come behind him on
// the ring. He asks, they agree and ask in turn, he agrees; so a pair's requests
// never cross, of which servers make different things.
func (w *worker) subscribe(all []*session) error {
	begun, done := 0, 0
	w.loop.handle = func(s *session, e []byte) {
		if !is(e, "presence") {
			return
		}
		from, _, _ := bytes.Cut(attribute(e, "from"), []byte("/"))
		kind := string(attribute(e, "type"))
		if kind != "subscribe" && kind != "subscribed" {
			return
		}
		i, known := w.place(s.number, w.member(string(from)))
		first := i >= w.Contacts/2
		switch {
		case !known:
			w.wrong(e)
		case kind == "subscribed" && !first:
			done++
		case kind == "subscribe":
			w.loop.send(s, []byte("<presence type='subscribed' to='"+string(from)+"'/>"))
			if !first {
				w.loop.send(s, []byte("<presence type='subscribe' to='"+string(from)+"'/>"))
			}
		}
	}
	for i := w.Contacts / 2; i < w.Contacts; i++ {
		for n, s := range all {
			w.loop.send(s, []byte("<presence type='subscribe' to='"+all[w.contact(n, i)].bare+"'/>"))
			begun++
			if !w.loop.until(patience, func() bool { return begun-done < atOnce }) {
				return fmt.Errorf("only %d of %d subscriptions were agreed on", done, begun)
			}
		}
	}
	if !w.loop.until(patience, func() bool { return done == begun }) {
		return fmt.Errorf("only %d of %d subscriptions were agreed on", done, begun)
	}
	return nil
}

// member is the number of a session by its user's address; -1 for a stranger.
func (w *worker) member(bare string) int {
	number := strings.TrimPrefix(strings.TrimSuffix(bare, "@"+w.Target.Domain), w.Target.Prefix)
	n, err := strconv.Atoi(number)
	if n -= w.First; err != nil || n < 0 || n >= w.Sessions {
		return -1
	}
	return n
}
