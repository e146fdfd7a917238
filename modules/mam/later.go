package mam

import "sync"

// later does things that the goroutine which commits writes must not wait for,
// one after the other and in order. What comes after close is not
// done.
type later struct {
	mu     sync.Mutex
	queue  []func()
	busy   bool
	closed bool
	all    sync.WaitGroup
}

func newLater() *later { return &later{} }

// maxLater bounds what waits to be done.
const maxLater = 1 << 14

// do has f done soon. It does not wait. False: there is too much to do, or the end
// has come.
func (l *later) do(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.queue) >= maxLater {
		return false
	}
	l.queue = append(l.queue, f)
	if !l.busy {
		l.busy = true
		l.all.Go(l.work)
	}
	return true
}

// apart has f done on a goroutine of its own, and reports whether that is so.
func (l *later) apart(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.all.Go(f)
	}
	return !l.closed
}

func (l *later) work() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.queue, l.busy = nil, false
			l.mu.Unlock()
			return
		}
		f := l.queue[0]
		l.queue = l.queue[1:]
		l.mu.Unlock()
		f()
	}
}

// close waits until all is done.
func (l *later) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.all.Wait()
}
