package load

import "time"

// traffic is a load of stanzas that belong to flows: what chat, ping, roster and
// presence have in common.
type traffic struct {
	w     *worker
	flows int
	// send sends the next stanza of a flow, stamped as due at the given time, and
	// returns how many deliveries follow from it.
	send func(flow int, due int64) int

	sending bool // new stanzas are wanted
	from    int64
	last    int64 // when the last delivery came
}

// emit sends and counts.
func (t *traffic) emit(flow int, due int64) {
	n := t.send(flow, due)
	if n == 0 {
		return
	}
	t.w.tally.Sent++
	t.w.tally.Measured.Sent++
	t.w.tally.Expected += uint64(n)
}

// arrived counts a delivery. It returns false for one that has come before.
func (t *traffic) arrived(r *record, s stamp) bool {
	switch r.see(s.number) {
	case doubled:
		t.w.tally.Doubled++
		return false
	case overtaken:
		t.w.tally.Disordered++
	}
	t.last = t.w.now()
	t.w.tally.Got++
	if s.due >= t.from {
		t.w.tally.Measured.Got++
		t.w.tally.Measured.Latency.Add(time.Duration(t.last - s.due))
	}
	return true
}

// again sends the next stanza of a flow if nobody paces it.
func (t *traffic) again(flow int) {
	if t.sending && t.w.Rate == 0 {
		t.emit(flow, t.last)
	}
}

// measure runs the load twice: to warm up, and between two phases.
func (t *traffic) measure() error {
	w := t.w
	if w.Warm > 0 {
		t.run(w.Warm)
	}
	w.loop.rest(200 * time.Millisecond)
	t.from = w.now()
	w.tally.Measured = Tally{}.Measured
	if err := w.phase("measure"); err != nil {
		return err
	}
	if w.opened != nil {
		w.opened()
	}
	began := w.now()
	t.run(w.Duration)
	w.tally.Measured.Seconds = float64(max(t.last-began, 0)) / 1e9
	return w.phase("measured")
}

// run sends for a time and waits for all that follows from it.
func (t *traffic) run(d time.Duration) {
	t.sending = true
	if t.w.Rate > 0 {
		t.pace(d)
	} else {
		for range t.w.Window {
			for flow := range t.flows {
				t.emit(flow, t.w.now())
				if flow%16 == 15 {
					t.w.loop.poll(0)
				}
			}
		}
		t.w.loop.rest(d)
	}
	t.sending = false
	t.await()
}

// pace sends at the job's rate, whatever comes back. A stanza is stamped with
// the time when it was due, so that a stall shows in everything that it delays.
func (t *traffic) pace(d time.Duration) {
	w := t.w
	began := w.now()
	end := began + int64(d)
	step := 1e9 / w.Rate
	for i := 0; ; {
		due := began + int64(float64(i)*step)
		if due >= end {
			return
		}
		now := w.now()
		if due > now {
			w.loop.poll(time.Duration(due - now))
			continue
		}
		w.tally.Measured.Behind = max(w.tally.Measured.Behind, float64(now-due)/1e9)
		t.emit(i%t.flows, due)
		if i++; i%32 == 0 {
			w.loop.poll(0) // also when late: what comes in must not wait
		}
	}
}

// await takes what is under way, until all is there or nothing comes any more.
func (t *traffic) await() {
	tally := &t.w.tally
	t.last = max(t.last, t.w.now())
	t.w.loop.until(5*time.Minute, func() bool {
		return tally.Got >= tally.Expected || t.w.now()-t.last > int64(t.w.Patience)
	})
}

// present logs sessions in and hands them to the loop.
func (w *worker) present(all []*session, a arrival) error {
	if err := w.phase("start"); err != nil {
		return err
	}
	if err := w.loginAll(all, a); err != nil {
		return err
	}
	if err := w.attach(all); err != nil {
		return err
	}
	w.loop.rest(500 * time.Millisecond)
	return nil
}
