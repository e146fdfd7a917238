package load

import (
	"errors"
	"time"
)

// unanswered is how many messages a sender of offline messages sends before it
// asks the server for a sign of life.
const unanswered = 20

// offline sends messages to users who are away, then lets them log in and take
// what was kept for them. The first tenth of the sessions, at least one, writes.
func (w *worker) offline() error {
	writers := max(w.Sessions/10, 1)
	all := w.users(w.First, w.Sessions)
	senders, absent := all[:writers], all[writers:]
	if len(absent) == 0 {
		return errors.New("sessions: at least two, one of whom writes")
	}
	if err := w.present(senders, available); err != nil {
		return err
	}
	defer w.loop.closeAll(senders)
	if err := w.empty(len(absent)); err != nil {
		return err
	}
	if err := w.phase("measure"); err != nil {
		return err
	}
	if err := w.store(senders, absent); err != nil {
		return err
	}
	w.loop.rest(300 * time.Millisecond) // what is stored behind the answers counts too
	if err := w.phase("stored"); err != nil {
		return err
	}
	return w.fetch(absent)
}

// empty takes away what earlier runs may have left.
func (w *worker) empty(n int) error {
	old := w.users(w.First+w.Sessions-n, n)
	if err := w.loginAll(old, available); err != nil {
		return err
	}
	if err := w.attach(old); err != nil {
		return err
	}
	w.loop.rest(time.Second)
	w.loop.closeAll(old)
	w.loop.rest(500 * time.Millisecond)
	return nil
}

// store sends the messages: flow i is the messages for the absent user i.
func (w *worker) store(senders, absent []*session) error {
	w.loop.handle = func(s *session, e []byte) {
		switch {
		case is(e, "iq") && string(attribute(e, "id")) == "alive":
			s.count--
		case is(e, "message"):
			w.wrong(e)
		}
	}
	forms := make([]form, len(absent))
	for i, s := range absent {
		forms[i] = newForm("<message type='chat' to='"+s.bare+"'><body>", "</body></message>", w.Body)
	}
	alive := []byte("<iq type='get' id='alive' to='" + w.Target.Domain + "'><ping xmlns='urn:xmpp:ping'/></iq>")
	idle := func(s *session) error {
		w.loop.send(s, alive)
		s.count++
		if !w.loop.until(patience, func() bool { return s.count == 0 }) {
			return errors.New("the server does not answer while it stores")
		}
		return nil
	}
	for m := range w.Messages {
		for i := range absent {
			s := senders[i%len(senders)]
			w.loop.send(s, forms[i].stamped(stamp{uint32(i), uint32(m), w.now()}))
			w.tally.Sent++
			w.tally.Expected++
			if s.sent++; s.sent%unanswered == 0 {
				if err := idle(s); err != nil {
					return err
				}
			}
		}
	}
	for _, s := range senders {
		if err := idle(s); err != nil {
			return err
		}
	}
	return nil
}

// fetch logs the absent users in; what is measured begins with their presence,
// which is what makes the server hand out the messages.
func (w *worker) fetch(absent []*session) error {
	if err := w.loginAll(absent, quiet); err != nil {
		return err
	}
	for i, s := range absent {
		s.number = i
	}
	t := &traffic{w: w}
	w.loop.handle = func(s *session, e []byte) {
		if !is(e, "message") {
			return
		}
		st, ok := readStamp(e)
		if !ok || int(st.flow) != s.number || failed(e) {
			w.wrong(e)
			return
		}
		t.arrived(&s.in, st)
	}
	if err := w.attach(absent); err != nil {
		return err
	}
	defer w.loop.closeAll(absent)
	w.loop.rest(200 * time.Millisecond)
	if err := w.phase("ready"); err != nil {
		return err
	}
	began := w.now()
	for _, s := range absent {
		w.loop.send(s, []byte("<presence/>"))
		w.loop.poll(0)
	}
	t.await()
	w.tally.Measured.Seconds = float64(t.last-began) / 1e9
	return w.phase("measured")
}
