package c2s

import (
	"sync"
	"time"
)

// crewRest is how long a goroutine waits for another client to log in.
const crewRest = 500 * time.Millisecond

// A crew is the goroutines that log clients in: a handshake and a login make a stack
// grow several times, which is not done anew for each client. Who has logged in and is
// at rest waits on a goroutine of its own, whose stack is small.
type crew struct {
	free chan *Conn // to those who wait for one
	over <-chan struct{}
	all  sync.WaitGroup
}

// start has somebody run c.
func (w *crew) start(c *Conn) {
	select {
	case w.free <- c:
	default:
		w.all.Go(func() { w.work(c) })
	}
}

func (w *crew) work(c *Conn) {
	t := time.NewTimer(crewRest)
	defer t.Stop()
	for {
		c.guest = true
		c.start()
		t.Reset(crewRest)
		select {
		case c = <-w.free:
		case <-t.C:
			return
		case <-w.over:
			return
		}
	}
}

// atEase reports whether the client, who has logged in on a goroutine of the crew, is
// at rest and shall wait elsewhere.
func (c *Conn) atEase() bool {
	s := c.session.Load()
	if s == nil {
		return false
	}
	if _, ok := s.Priority(); !ok {
		return false // there is more to come
	}
	return !c.sock.poll()
}
