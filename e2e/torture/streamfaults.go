package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// How long connections are cut, how often, and how many times streams are fought for.
const (
	cutting  = 3 * time.Second
	cutPause = 100 * time.Millisecond
	fights   = 4
)

// cut breaks connections of devices that resume, some in the middle of a stanza,
// some while they resume.
func (r *run) cut(ctx context.Context, f *fault) error {
	r.cutting.Store(true)
	defer r.cutting.Store(false)
	began, n := time.Now(), 0
	for time.Since(began) < cutting {
		for _, d := range r.devices {
			if s := d.current(); s != nil && d.resumes && r.chance.IntN(6) == 0 {
				s.cut(r.chance.IntN(3) == 0, r.chance.IntN(2) == 0)
				n++
			}
		}
		if err := pass(ctx, cutPause); err != nil {
			return err
		}
	}
	r.cutting.Store(false)
	r.ledger.describe(f, fmt.Sprintf("%d connections", n))
	return r.settled(ctx)
}

// resumeRace has devices resume their streams over two connections at once, some
// while the old one is still open: exactly one has it then.
func (r *run) resumeRace(ctx context.Context, _ *fault) error {
	for range fights {
		for _, d := range r.devices {
			s := d.current()
			if s == nil || !d.resumes || r.chance.IntN(2) == 0 {
				continue
			}
			open := r.chance.IntN(2) == 0
			d.tell(func() { d.race, d.vanish = true, open })
			if !open {
				s.cut(false, r.chance.IntN(2) == 0)
			}
		}
		if err := pass(ctx, 300*time.Millisecond); err != nil {
			return err
		}
		if err := r.settled(ctx); err != nil {
			return err
		}
	}
	r.find()
	return nil
}

// contend resumes a stream over two connections at once, and returns the one that has
// it; nil if there was no answer.
func (d *device) contend(ctx context.Context, prev *stream) *stream {
	var both sync.WaitGroup
	var streams [2]*stream
	var said [2]verdict
	var errs [2]error
	c := d.card()
	c.prev, c.h, c.only = prev, prev.claim(d.chance.IntN(2) == 0), true
	for i := range streams {
		both.Go(func() {
			streams[i], said[i], _, errs[i] = login(ctx, prev.node, c)
			if streams[i] != nil {
				streams[i].serial = int(d.run.serials.Add(1))
				streams[i].readAhead()
			}
		})
	}
	both.Wait()
	for i, err := range errs {
		if err != nil && said[i] != failed && said[i] != failedWith {
			d.run.refused(d, prev.node, err)
		}
	}
	if said[0] >= failed && said[1] >= failed {
		d.run.ledger.accuse("%s has asked for stream %s over two connections, and neither has it\n%s", d.full(), prev.number(), d.run.ledger.life(d.full()))
	}
	s := streams[0]
	switch {
	case s == nil:
		s = streams[1]
	case streams[1] != nil:
		s = d.survivor(ctx, s, streams[1])
	}
	if s != nil {
		d.heard(prev.node, prev, resumed, 0)
	}
	return s
}

// survivor is the one of two connections that keeps a stream which both have resumed.
func (d *device) survivor(ctx context.Context, a, b *stream) *stream {
	d.run.ledger.attempted("had by two, one after the other")
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case <-a.ahead.over:
		a, b = b, a
	case <-b.ahead.over:
	case <-ctx.Done():
	case <-over.C:
		d.run.ledger.accuse("%s: two connections have stream %s\n%s", d.full(), a.from.number(), d.run.ledger.life(d.full()))
	}
	b.end(errCut)
	return a
}

// A pump reads a stream for who may not look at it at once.
type pump struct {
	got  chan received
	over chan struct{} // closed when the stream has ended
}

type received struct {
	el  *element
	err error
}

// pumped is how much is read in advance.
const pumped = 20_000

// readAhead has the stream read from now on, before anybody asks for what comes. The
// goroutine ends with the stream.
func (s *stream) readAhead() {
	p := &pump{got: make(chan received, pumped), over: make(chan struct{})}
	s.ahead = p
	go func() {
		defer close(p.got)
		for {
			el, err := s.receive()
			p.got <- received{el, err}
			if err != nil {
				close(p.over)
				return
			}
		}
	}()
}

func (s *stream) number() string { return strconv.Itoa(s.serial) }
