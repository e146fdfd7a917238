package load

import (
	"fmt"
	"sync"
	"time"
)

// day is what a server sees all day: pairs of users write to each other at the job's
// rate, while others come, fetch their roster, are there for a moment, and go. The
// first half of the sessions, an even number, writes; the rest takes turns coming.
func (w *worker) day() error {
	writers := max(w.Sessions/4*2, 2)
	guests := w.users(w.First+writers, w.Sessions-writers)
	w.Sessions = writers
	v := &visits{w: w, guests: guests, every: time.Duration(float64(time.Second) / max(w.Visits, 0.001))}
	w.opened = v.begin
	err := w.chat()
	if e := v.end(); err == nil {
		err = e
	}
	w.tally.LoginTime.Merge(&v.times)
	w.tally.Logins += v.n
	return err
}

// visits are logins beside the traffic, one at a time on each of a few goroutines.
type visits struct {
	w      *worker
	guests []*session
	every  time.Duration

	stop chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex // of what follows
	times  Histogram
	n      uint64
	failed error
}

// begin lets the first guest come.
func (v *visits) begin() {
	v.stop = make(chan struct{})
	v.wg.Go(func() {
		tick := time.NewTicker(v.every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-v.stop:
				return
			case <-tick.C:
				s := v.guests[i%len(v.guests)]
				if !v.one(&session{number: s.number, user: s.user, bare: s.bare}) {
					return
				}
			}
		}
	})
}

// one lets a guest come and go, and reports whether he was let in.
func (v *visits) one(s *session) bool {
	began := time.Now()
	err := v.w.login(s, available)
	if err == nil {
		err = s.write([]byte("</stream:stream>"))
	}
	s.close()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil {
		v.failed = fmt.Errorf("%s: %w", s.user, err)
		return false
	}
	v.n++
	v.times.Add(time.Since(began))
	return true
}

// end waits for the last guest.
func (v *visits) end() error {
	if v.stop != nil {
		close(v.stop)
		v.wg.Wait()
	}
	return v.failed
}
