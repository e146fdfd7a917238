package c2s

import "sync"

// A signal is given once. Its channel exists only when somebody has waited for it:
// most connections are never waited for, and there are many.
type signal struct {
	mu    sync.Mutex
	ch    chan struct{}
	given bool
}

// give wakes all who wait, now and later. It is called once.
func (s *signal) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = true
	if s.ch != nil {
		close(s.ch)
	}
}

// wait is closed when the signal is given.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
		if s.given {
			close(s.ch)
		}
	}
	return s.ch
}
