package msgforward

import (
	"context"
	"log/slog"
	"time"

	"github.com/gabberd/gabberd/modules/msgforward/target"
)

// How often things are done.
const (
	flushLinger  = 20 * time.Millisecond // before what was delivered is written down
	flushJobs    = 256                   // or so many of them
	pollShared   = 250 * time.Millisecond
	pollAlone    = 10 * time.Second
	houseEvery   = 5 * time.Second
	patience     = time.Second      // after an error of the database
	farewell     = 2 * time.Second  // for what is being sent when the module stops
	overtakeTime = 70 * time.Second // a transaction may last so long
	overtakeSoon = 10 * time.Second // but hardly any does

	markEvery = 5 * time.Millisecond // while transactions that have begun are waited for

	overtakeRounds = 6 // how seldom all of overtakeTime is looked through
)

// A worker delivers the jobs of one destination out of one database: it reads
// them in order, has a few requests under way, and writes down what became of
// them. Everything in it belongs to the goroutine of run, unless a comment says
// otherwise. Of several nodes one has the lease and works, the others wait for it
// to die.
type worker struct {
	store
	d      *destination
	name   string // of the destination
	host   string
	node   string
	target target.Target
	count  *counters
	log    *slog.Logger
	hurry  chan struct{} // holds a token when there may be something new
	again  chan struct{} // holds a token when dead letters were revived

	owner   string
	until   time.Time // the lease ends, for all we know
	renewed time.Time

	lanes    *lanes
	cursor   int64 // number of the last job that was read
	end      bool  // there were no more
	marks    []jobMark
	span     int64 // of numbers in a query
	notUntil time.Time
	circuit  circuit
	sending  map[int64]bool
	inflight int
	results  chan result
	delivery context.Context // of requests
	abandon  context.CancelFunc

	finished   []int64 // delivered and not yet written down
	finishedAt time.Time
	unwritten  []change
	written    *written
	gone       int64 // jobs that do not wait any more, since the start
	house      housekeeping
}

// A result is what became of a batch.
type result struct {
	*batch
	err  error
	took time.Duration
}

// leaseFor is how long a lease lasts without being renewed. It is renewed when a third
// of it is over, and what is left then must be longer than a request.
func (w *worker) leaseFor() time.Duration { return max(15*time.Second, 2*w.d.Timeout+10*time.Second) }

// poke makes the worker look. It may be called from anywhere and does not wait.
func (w *worker) poke() { signal(w.hurry) }

// revived has the worker look for dead letters that wait again. It may be called
// from anywhere and does not wait.
func (w *worker) revived() { signal(w.again) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run works until ctx ends.
func (w *worker) run(ctx context.Context) {
	first := true
	for w.acquire(ctx, first) {
		first = false
		w.reset()
		w.count.begin(w, numbers{})
		w.work(ctx)
		w.count.end(w)
	}
}

// acquire waits for the lease. It reports whether it has it; if not, ctx has ended.
func (w *worker) acquire(ctx context.Context, first bool) bool {
	w.owner = newOwner(w.node)
	var seen lease
	var since time.Time
	for told := false; ; {
		now := time.Now()
		l, err := w.lease(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case err != nil && !told:
			told = true
			w.log.Warn("forwarding waits for the database", "error", err)
		case err != nil:
		case l != seen || since.IsZero():
			seen, since = l, now
		}
		// A worker of this node that did not say goodbye is dead: there is one.
		mine := first && ownerNode(l.owner) == w.node
		if err == nil && (l.owner == "" || mine || now.Sub(since) > w.leaseFor()+2*time.Second) {
			if ok, err := w.take(ctx, w.owner, l); ok && err == nil {
				w.until, w.renewed = now.Add(w.leaseFor()), now
				return true
			}
		}
		pause := pollShared
		if err != nil {
			pause = patience
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// reset forgets what was in memory.
func (w *worker) reset() {
	w.lanes, w.cursor, w.span, w.end, w.notUntil = newLanes(), 0, firstSpan, false, time.Time{}
	w.marks = nil
	w.sending, w.inflight, w.finished = map[int64]bool{}, 0, nil
	w.results = make(chan result, w.d.Concurrency)
	w.written, w.unwritten = new(written), nil
	w.house = housekeeping{}
	w.delivery, w.abandon = context.WithCancel(context.Background())
}

// work delivers until ctx ends or the lease is lost.
func (w *worker) work(ctx context.Context) {
	defer w.abandon()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		if ctx.Err() != nil || !w.keepLease(ctx, now) {
			w.leave()
			return
		}
		w.absorb()
		w.keepHouse(ctx, now)
		w.lanes.wake(now, false)
		w.load(ctx, now)
		w.dispatch(ctx, now)
		w.flush(now, false)
		timer.Reset(max(time.Until(w.nextTime(now)), 0))
		select {
		case <-ctx.Done():
		case r := <-w.results:
			w.handle(r)
			w.handleMore()
		case <-w.hurry:
			w.end = false
		case <-w.again:
			w.house.rescan = true
		case <-timer.C:
		}
	}
}

// handleMore deals with all results that are there, so that batches fill up.
func (w *worker) handleMore() {
	for {
		select {
		case r := <-w.results:
			w.handle(r)
		default:
			return
		}
	}
}

// nextTime is when there is something to do if nothing happens before.
func (w *worker) nextTime(now time.Time) time.Time {
	next := w.house.next
	soon := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	if w.house.scans && !w.lanes.full() {
		soon(now)
	}
	soon(w.renewed.Add(w.leaseFor() / 3))
	if w.Overtakes() {
		soon(w.house.polled.Add(pollShared))
	} else {
		soon(w.house.polled.Add(pollAlone))
	}
	if w.inflight < w.d.Concurrency {
		soon(w.lanes.next())
		if w.circuit.open && len(w.lanes.ready) > 0 && w.inflight == 0 {
			soon(w.circuit.probe)
		}
		if !w.end && !w.lanes.full() {
			soon(w.notUntil)
		}
	}
	if len(w.finished) > 0 {
		soon(w.finishedAt.Add(flushLinger))
	}
	return next
}

// keepLease renews the lease when it is time, and reports whether the queue is
// still this worker's.
func (w *worker) keepLease(ctx context.Context, now time.Time) bool {
	if now.Sub(w.renewed) < w.leaseFor()/3 {
		return true
	}
	ok, err := w.renew(ctx, w.owner)
	switch {
	case err == nil && !ok:
		return false
	case err == nil:
		w.until = now.Add(w.leaseFor())
	case now.After(w.until):
		return false
	}
	w.renewed = now // or tried: not more often
	return true
}

// leave ends deliveries, writes down what has become of them and gives the lease
// back.
func (w *worker) leave() {
	end := time.NewTimer(farewell)
	defer end.Stop()
	for w.inflight > 0 {
		select {
		case r := <-w.results:
			w.handle(r)
		case <-end.C:
			w.abandon()
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*farewell)
	defer cancel()
	for _, t := range w.flush(time.Now(), true) {
		if err := t.Wait(ctx); err != nil {
			w.log.Warn("what was forwarded is not written down and will be forwarded again", "error", err)
		}
	}
	if err := w.release(ctx, w.owner); err != nil {
		w.log.Debug("the queue of forwarding is not given back", "error", err)
	}
}
