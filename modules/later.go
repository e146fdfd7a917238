package modules

import "sync"

// maxLater bounds what waits to be done.
const maxLater = 1 << 14

// Later does what must not hold up the goroutine that found it to be done: one
// thing after the other, in order, on a goroutine of its own. What waits is
// bounded, and whoever is told that there is no room decides what becomes of it.
//
// The zero value is ready. Its methods may be called by anyone; but for Close they
// do not wait.
type Later struct {
	mu       sync.Mutex
	queue    []func()
	reserved int // places for what may have to be done
	busy     bool
	closed   bool
	all      sync.WaitGroup
}

// Do has f done soon. False: there is too much to do already, or the end has come,
// and f will not be done.
func (l *Later) Do(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.room() && l.add(f)
}

// Reserve keeps a place for what cannot be refused once it turns out that it has to
// be done. Use or Free gives it back. False: there is no room.
func (l *Later) Reserve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.room() {
		return false
	}
	l.reserved++
	return true
}

// Free gives back a place that was reserved and is not needed.
func (l *Later) Free() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved--
}

// Use is Do in a place that was reserved. False: the end has come.
func (l *Later) Use(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reserved--
	return l.add(f)
}

// Apart has f done on a goroutine of its own, for what takes long. Whoever calls it
// sees to it that there are few. False: the end has come.
func (l *Later) Apart(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.all.Go(f)
	}
	return !l.closed
}

// Close waits until everything is done. What comes later is not.
func (l *Later) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.all.Wait()
}

func (l *Later) room() bool { return len(l.queue)+l.reserved < maxLater }

func (l *Later) add(f func()) bool {
	if l.closed {
		return false
	}
	l.queue = append(l.queue, f)
	if !l.busy {
		l.busy = true
		l.all.Go(l.work)
	}
	return true
}

func (l *Later) work() {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.queue, l.busy = nil, false
			l.mu.Unlock()
			return
		}
		f := l.queue[0]
		l.queue[0] = nil
		l.queue = l.queue[1:]
		l.mu.Unlock()
		f()
	}
}
