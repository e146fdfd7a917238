package load

// chat lets pairs of users write to each other: flow i is from session i to its
// partner. Every message goes to the partner's bare address.
func (w *worker) chat() error {
	all := w.users(w.First, w.Sessions)
	if err := w.present(all, available); err != nil {
		return err
	}
	defer w.loop.closeAll(all)
	forms := make([]form, len(all))
	for i := range all {
		forms[i] = newForm("<message type='chat' to='"+all[i^1].bare+"'><body>", "</body></message>", w.Body)
	}
	t := &traffic{w: w, flows: len(all), send: func(flow int, due int64) int {
		s := all[flow]
		w.loop.send(s, forms[flow].stamped(stamp{uint32(flow), s.sent, due}))
		s.sent++
		return 1
	}}
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
			t.again(int(st.flow))
		}
	}
	return t.measure()
}

// wrong counts a stanza that should not have come.
func (w *worker) wrong(e []byte) {
	w.tally.Errors++
	if w.loop.why == "" {
		w.loop.why = "unexpected: " + string(e[:min(len(e), 300)])
	}
}
