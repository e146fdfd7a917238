package load

// logins logs users in, once each. They stay until all are there.
func (w *worker) logins() error {
	all := w.users(w.First, w.Sessions)
	return w.measured(all, func(s *session) error { return w.login(s, available) })
}

// measured logs sessions in between the phases of a measurement, and ends them.
func (w *worker) measured(all []*session, login func(*session) error) error {
	if err := w.phase("start"); err != nil {
		return err
	}
	if err := w.timed(all, login); err != nil {
		return err
	}
	if err := w.phase("done"); err != nil {
		return err
	}
	if err := w.attach(all); err != nil {
		return err
	}
	w.loop.closeAll(all)
	return nil
}

// idle logs users in and lets them rest.
func (w *worker) idle() error {
	all := w.users(w.First, w.Sessions)
	if err := w.present(all, available); err != nil {
		return err
	}
	defer w.loop.closeAll(all)
	if err := w.phase("resting"); err != nil {
		return err
	}
	w.loop.rest(w.Rest)
	return w.phase("rested")
}
