package msgforward

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/storage"
)

// load reads jobs until enough are in memory.
func (w *worker) load(ctx context.Context, now time.Time) {
	if w.end || now.Before(w.notUntil) || w.lanes.full() {
		return
	}
	last, err := w.settled(ctx, now)
	for err == nil && w.cursor < last && !w.lanes.full() {
		var page []*job
		upto := min(w.cursor+w.span, last)
		if page, err = w.page(ctx, w.cursor, upto); err != nil {
			break
		}
		w.cursor = upto
		for _, j := range page {
			if !w.lanes.loaded[j.id] {
				w.lanes.add(j, now)
			}
		}
		if w.span = min(2*w.span, lastSpan); len(page) > firstSpan/4 {
			w.span = firstSpan
		}
	}
	if err != nil {
		w.notUntil = now.Add(patience)
		return
	}
	w.end, w.house.polled = w.cursor >= last, now
	if w.end && len(w.marks) > 0 {
		w.end, w.notUntil = false, now.Add(markEvery)
	}
}

// settled is a number up to which no job can become visible any more. Where several
// nodes write, one could overtake another of its conversation: that of a transaction
// which has its number already and is not committed. Somebody else's transaction that
// goes on and on is not waited for.
func (w *worker) settled(ctx context.Context, now time.Time) (int64, error) {
	m, err := w.MarkJobs(ctx)
	if err != nil || w.node == "" {
		return m.ID, err
	}
	if n := len(w.marks); m.ID > w.cursor && (n == 0 || w.marks[n-1].ID < m.ID) {
		w.marks = append(w.marks, jobMark{m, now})
	}
	last := w.cursor
	for len(w.marks) > 0 && (w.marks[0].Begun <= m.Ended || now.Sub(w.marks[0].at) > overtakeSoon) {
		last, w.marks = w.marks[0].ID, w.marks[1:]
	}
	return last, nil
}

// A jobMark is the end of the queue as it was at some time.
type jobMark struct {
	storage.JobMark
	at time.Time
}

// fill reads jobs of a lane that has none in memory. It reports whether there are
// any; if not, the lane is where it belongs.
func (w *worker) fill(ctx context.Context, x *lane, now time.Time) bool {
	// The next number is its first job if it has waited.
	first, err := w.one(ctx, x.last+1)
	switch {
	case err != nil:
	case x.group == "":
		x.more = false
		fallthrough
	case first != nil && first.group == x.group:
		if first != nil && !w.lanes.loaded[first.id] {
			w.lanes.put(x, first)
		}
	default:
		var l []*job
		l, x.more, err = w.ofGroup(ctx, x.group, x.last, w.cursor, laneJobs)
		for _, j := range l {
			if !w.lanes.loaded[j.id] {
				w.lanes.put(x, j)
			}
		}
	}
	if err != nil {
		x.more = true
		w.lanes.wait(x, now.Add(patience))
		return false
	}
	if len(x.jobs) == 0 {
		w.lanes.settle(x, now)
		return false
	}
	return true
}

// dispatch sends what can be sent.
func (w *worker) dispatch(ctx context.Context, now time.Time) {
	for w.inflight < w.d.Concurrency && len(w.lanes.ready) > 0 && now.Add(w.d.Timeout).Before(w.until) {
		size := w.d.Batch
		if w.circuit.open {
			if w.inflight > 0 || now.Before(w.circuit.probe) {
				return
			}
			size = 1
		}
		b := w.collect(ctx, size, now)
		if len(b.jobs) == 0 {
			continue
		}
		for _, j := range b.jobs {
			w.sending[j.id] = true
		}
		w.inflight++
		go w.deliver(b)
	}
}

// collect makes a batch of up to size jobs.
func (w *worker) collect(ctx context.Context, size int, now time.Time) *batch {
	b := new(batch)
	for len(b.jobs) < size && len(w.lanes.ready) > 0 {
		x := w.lanes.pop()
		switch {
		case len(x.jobs) == 0 && !w.fill(ctx, x, now):
		case x.alone && len(b.jobs) > 0:
			w.lanes.unpop(x)
			return b
		case x.alone:
			w.lanes.take(x, b, 1)
			return b
		case !w.lanes.take(x, b, size-len(b.jobs)):
			w.lanes.unpop(x)
			return b
		}
	}
	return b
}

// deliver sends a batch, on a goroutine of its own which ends within the timeout.
func (w *worker) deliver(b *batch) {
	ctx, cancel := context.WithTimeout(w.delivery, w.d.Timeout)
	defer cancel()
	start := time.Now()
	messages, err := w.messages(b)
	if err == nil {
		err = w.target.Deliver(ctx, messages)
	}
	w.results <- result{b, err, time.Since(start)}
}

func (w *worker) messages(b *batch) ([]target.Message, error) {
	out := make([]target.Message, 0, len(b.jobs))
	for _, j := range b.jobs {
		e, err := decode(j.data)
		if err != nil {
			return nil, &target.Final{Err: err}
		}
		m, err := w.d.message(w.host, j.key, j.group, e)
		if err != nil {
			return nil, &target.Final{Err: err}
		}
		out = append(out, m)
	}
	return out, nil
}

// handle deals with what became of a batch.
func (w *worker) handle(r result) {
	now := time.Now()
	w.inflight--
	for _, j := range r.jobs {
		delete(w.sending, j.id)
	}
	for _, x := range r.lanes {
		x.busy = false
	}
	switch {
	case r.err == nil:
		w.succeeded(r, now)
	case w.delivery.Err() != nil: // the module stops
		w.lanes.giveBack(r.batch)
	default:
		w.failed(r, now)
	}
}

func (w *worker) succeeded(r result, now time.Time) {
	w.count.succeeded(len(r.jobs), r.retried, r.took)
	if w.circuit.succeeded() {
		w.count.ill(false)
		w.log.Info("a destination of forwarding is well again")
		w.lanes.wake(now, true)
	}
	if len(w.finished) == 0 {
		w.finishedAt = now
	}
	w.finished = append(w.finished, r.ids()...)
	w.gone += int64(len(r.jobs))
	for _, x := range r.lanes {
		x.alone, x.due = false, time.Time{}
		w.lanes.settle(x, now)
	}
}

func (w *worker) failed(r result, now time.Time) {
	w.count.failed(len(r.jobs), r.retried, r.err)
	var final *target.Final
	var later *target.Later
	isFinal := errors.As(r.err, &final)
	errors.As(r.err, &later)
	if len(r.jobs) > 1 && isFinal {
		// Nobody knows which of them it is about.
		w.lanes.giveBack(r.batch)
		for _, x := range r.lanes {
			x.alone = true
			w.lanes.settle(x, now)
		}
		return
	}
	var after time.Duration
	if later != nil {
		after = min(later.After, maxRetryAfter)
	}
	if len(r.lanes) > 1 {
		w.circuit.several = true
	}
	if w.circuit.failed(r.lanes[0].name, now, after, &w.d.Retry) {
		w.count.ill(true)
		w.log.Warn("a destination of forwarding is ill: messages wait until it is well", "error", r.err)
	}
	if isFinal {
		w.died(r.ids(), now, r.err.Error())
		w.lanes.settle(r.lanes[0], now)
		return
	}
	w.lanes.giveBack(r.batch)
	for _, x := range r.lanes {
		w.tryLater(x, r, now, after)
	}
}

// tryLater has the jobs of a lane that were in a failed batch tried again.
func (w *worker) tryLater(x *lane, r result, now time.Time, after time.Duration) {
	x.alone = true
	due := now.Add(max(w.d.Retry.pause(x.jobs[0].tries+1), after))
	var again, gone []int64
	tried := map[int64]bool{}
	for _, j := range r.jobs {
		tried[j.id] = true
	}
	for _, j := range x.jobs {
		switch {
		case !tried[j.id]:
		case w.d.Retry.tooOld(j.created, due):
			gone = append(gone, j.id)
		default:
			again = append(again, j.id)
			j.tries++
		}
	}
	if len(gone) > 0 {
		ids := map[int64]bool{}
		for _, id := range gone {
			ids[id] = true
		}
		w.lanes.removeFrom(x, ids)
		w.died(gone, now, "given up: "+r.err.Error())
	}
	if len(again) > 0 {
		w.write(change{postpone(again, due, brief(r.err)), nil})
		x.due = due
	}
	w.lanes.settle(x, now)
}

// pause is how long to wait after a message has failed so often.
func (r *retry) pause(tries int) time.Duration {
	most := math.Min(float64(r.First)*math.Pow(r.Factor, float64(tries-1)), float64(r.Ceiling))
	if r.Jitter {
		most *= rand.Float64()
	}
	return max(time.Duration(most), time.Millisecond)
}

// tooOld reports whether a message is not worth a try at that time.
func (r *retry) tooOld(created int64, at time.Time) bool {
	return r.GiveUp != config.Infinity && at.Sub(time.UnixMicro(created)) > r.GiveUp
}

// died makes dead letters of jobs.
func (w *worker) died(ids []int64, now time.Time, why string) {
	w.count.died(w, int64(len(ids)))
	w.gone += int64(len(ids))
	for len(ids) > 0 {
		n := min(len(ids), maxIDs)
		w.write(change{bury(ids[:n], now, why), ids[:n:n]})
		ids = ids[n:]
	}
}

// flush writes down what was delivered, when it is time or in any case. The tickets
// are those of what it has queued.
func (w *worker) flush(now time.Time, all bool) []*storage.Ticket {
	var out []*storage.Ticket
	left := w.unwritten
	w.unwritten = nil
	for _, c := range left {
		out = append(out, w.write(c)...)
	}
	for len(w.unwritten) == 0 && (len(w.finished) >= flushJobs || len(w.finished) > 0 && (all || now.Sub(w.finishedAt) >= flushLinger)) {
		n := min(len(w.finished), maxIDs)
		ids := w.finished[:n:n]
		w.finished, w.finishedAt = w.finished[n:], now
		out = append(out, w.write(change{finish(ids, now), ids})...)
	}
	return out
}

// A change is a statement and the jobs whose state it changes.
type change struct {
	storage.Statement
	ids []int64
}

// write queues a change. What cannot be queued, or is not committed, is tried again
// by flush.
func (w *worker) write(c change) []*storage.Ticket {
	t, err := w.QueueAll(c.Statement)
	if err != nil {
		w.unwritten = append(w.unwritten, c)
		return nil
	}
	written := w.written
	t.Then(func(err error) { written.add(c, err) })
	return []*storage.Ticket{t}
}

// absorb learns what was written since the last time: of jobs whose new state is in
// the database nothing needs to be remembered.
func (w *worker) absorb() {
	w.written.mu.Lock()
	ids, failed := w.written.ids, w.written.failed
	w.written.ids, w.written.failed = nil, nil
	w.written.mu.Unlock()
	for _, id := range ids {
		delete(w.lanes.loaded, id)
	}
	if len(failed) > 0 {
		w.log.Warn("the state of forwarded messages is not written", "error", failed[0].err)
	}
	for _, f := range failed {
		w.unwritten = append(w.unwritten, f.change)
	}
}

// written is the changes that were committed, or not. The goroutine that commits
// adds to it.
type written struct {
	mu     sync.Mutex
	ids    []int64
	failed []failedChange
}

type failedChange struct {
	change
	err error
}

func (w *written) add(c change, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && !errors.Is(err, storage.ErrClosed) {
		w.failed = append(w.failed, failedChange{c, err})
		return
	}
	w.ids = append(w.ids, c.ids...)
}

func brief(err error) string { return strings.ToValidUTF8(fmt.Sprintf("%.500s", err.Error()), "") }
