package load

import "bytes"

// ping lets clients ask the server whether it is there (XEP-0199).
func (w *worker) ping() error {
	return w.query(" to='"+w.Target.Domain+"'", "<ping xmlns='urn:xmpp:ping'/>", nil)
}

// roster lets clients fetch their contacts. Their rosters must have been made
// by the workload befriend.
func (w *worker) roster() error {
	return w.query("", "<query xmlns='jabber:iq:roster'/>", func(e []byte) bool {
		return bytes.Count(e, []byte("<item ")) == w.Contacts
	})
}

// query asks one question again and again; good, if there is one, looks at the
// answers. A client's questions are its flow.
func (w *worker) query(to, payload string, good func([]byte) bool) error {
	all := w.users(w.First, w.Sessions)
	if err := w.present(all, quiet); err != nil {
		return err
	}
	defer w.loop.closeAll(all)
	f := newForm("<iq type='get'"+to+" id='", "'>"+payload+"</iq>", stampSize)
	t := &traffic{w: w, flows: len(all), send: func(flow int, due int64) int {
		s := all[flow]
		w.loop.send(s, f.stamped(stamp{uint32(flow), s.sent, due}))
		s.sent++
		return 1
	}}
	w.loop.handle = func(s *session, e []byte) {
		if !is(e, "iq") {
			return
		}
		st, ok := readStamp(attribute(e, "id"))
		if !ok || int(st.flow) != s.number || failed(e) || good != nil && !good(e) {
			w.wrong(e)
			return
		}
		if t.arrived(&s.in, st) {
			t.again(int(st.flow))
		}
	}
	return t.measure()
}
