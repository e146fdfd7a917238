package msgforward

import (
	"context"
	"time"

	"github.com/gabberd/gabberd/config"
)

// housekeeping is what a worker does now and then.
type housekeeping struct {
	next    time.Time
	polled  time.Time // when the queue was last read to its end
	marks   []mark
	cleaned int64 // so far through the table
	swept   bool  // what was there when the worker began was looked through once
	sweep   int64 // the last of it
	rescan  bool  // jobs that were read may wait again
	scan    int64 // so far looked for these
	scans   bool  // they are being looked for
	rounds  int

	census census
	noted  numbers // as the database has them
	low    int64
}

// A mark is how far the queue had been read at some time.
type mark struct {
	at time.Time
	id int64
}

// before is how far the queue had been read then; 0 if that is not known.
func (h *housekeeping) before(t time.Time) int64 {
	var id int64
	for _, m := range h.marks {
		if m.at.After(t) {
			break
		}
		id = m.id
	}
	return id
}

// forgetMarks drops marks that nobody will ask for.
func (h *housekeeping) forgetMarks(t time.Time) {
	for len(h.marks) > 1 && !h.marks[1].at.After(t) {
		h.marks = h.marks[1:]
	}
}

// keepHouse does what is due: looking for what was overlooked, counting, keeping
// the queue within its bound, forgetting.
func (w *worker) keepHouse(ctx context.Context, now time.Time) {
	h := &w.house
	every := pollAlone
	if w.Overtakes() {
		every = pollShared
	}
	if now.Sub(h.polled) >= every {
		h.polled, w.end = now, false
	}
	if h.rescan {
		h.rescan, h.scans, h.scan, h.next = false, true, 0, now
		w.recount(ctx)
	}
	if h.scans && !w.lanes.full() {
		h.scan = w.look(ctx, h.scan, now)
		h.scans = h.scan < w.cursor
	}
	if now.Before(h.next) {
		return
	}
	if h.next.IsZero() {
		w.recount(ctx)
	}
	h.next = now.Add(houseEvery)
	if w.Overtakes() {
		w.lookBack(ctx, now)
	}
	n, finished := w.takeCensus(ctx, now)
	if finished {
		if n.waiting > countSpan {
			h.next = now.Add(6 * houseEvery) // counting takes its time
		}
		w.limit(ctx, n, now)
		w.count.queue(w, n)
	}
	w.clean(ctx, now)
}

// lookBack looks for jobs that became visible late.
func (w *worker) lookBack(ctx context.Context, now time.Time) {
	h := &w.house
	back := time.Duration(overtakeSoon)
	if h.rounds++; h.rounds%overtakeRounds == 0 {
		back = overtakeTime
	}
	for at := h.before(now.Add(-back)); at < w.cursor; {
		next := w.look(ctx, at, now)
		if next <= at {
			return // the database is away, which others say
		}
		at = next
	}
}

// look reads jobs that wait in a part of the queue that was read already: those
// that were committed after others with higher numbers, and revived ones. It returns
// how far it has come: at least to the end of a span, unless the database is away.
func (w *worker) look(ctx context.Context, from int64, now time.Time) int64 {
	var strays []int64
	upto := min(from+lastSpan, w.cursor)
	err := w.between(ctx, from, upto, func(id int64, group string) {
		switch {
		case w.lanes.known(id, group):
		case len(strays) < windowJobs:
			strays = append(strays, id)
		default:
			upto = min(upto, id-1)
		}
	})
	if err != nil {
		return from
	}
	for _, id := range strays {
		j, err := w.one(ctx, id)
		if err != nil {
			return id - 1
		}
		if j != nil {
			w.lanes.stray(j, now)
			w.lanes.settle(w.lanes.byName[laneName(j.group, j.id)], now)
		}
	}
	return upto
}

// limit keeps the queue within its bounds: what is too much, and what is too old,
// goes to the dead letters.
func (w *worker) limit(ctx context.Context, n numbers, now time.Time) {
	for excess := n.waiting - int64(w.d.MaxQueue); excess > 0; {
		gone := w.buryFirst(ctx, now.Add(time.Hour), int(min(excess, maxIDs)), now, "the queue was full")
		if gone == 0 {
			break
		}
		excess -= gone
	}
	if n.oldest > 0 && w.d.Retry.tooOld(n.oldest, now) {
		w.buryFirst(ctx, now.Add(-w.d.Retry.GiveUp), maxIDs, now, "given up: it has waited too long")
	}
}

// buryFirst makes dead letters of the first jobs that were stored before, but not
// of those that are being sent. It returns how many.
func (w *worker) buryFirst(ctx context.Context, before time.Time, limit int, now time.Time, why string) int64 {
	found, err := w.first(ctx, w.lanes.lowest(w.cursor), w.cursor, before, limit+len(w.sending))
	if err != nil {
		return 0
	}
	ids := found[:0]
	gone := map[int64]bool{}
	for _, id := range found {
		if !w.sending[id] && len(ids) < limit {
			ids = append(ids, id)
			gone[id] = true
		}
	}
	if len(ids) == 0 {
		return 0
	}
	s := bury(ids, now, why)
	n, err := w.Exec(ctx, s.Query, s.Args...)
	if err != nil {
		return 0
	}
	w.lanes.remove(gone, now)
	w.count.died(w, n)
	w.gone += n
	return n
}

// Bounds on cleaning, which keeps deliveries waiting: queries at a time, and the
// numbers that one spans.
const (
	cleanRounds = 20
	cleanSpan   = 2048
)

// clean forgets what was delivered long ago, and old dead letters. It goes through
// the table again and again, a part each time.
func (w *worker) clean(ctx context.Context, now time.Time) {
	h := &w.house
	h.marks = append(h.marks, mark{now, w.cursor})
	old := now.Add(-w.d.Remember)
	last := h.before(old)
	if !h.swept {
		// How old this is only its rows say.
		if h.sweep == 0 {
			first, err := w.store.lowest(ctx)
			if err == nil {
				h.sweep, err = w.last(ctx)
			}
			if err != nil {
				return
			}
			h.cleaned = max(0, first-1)
		}
		last = h.sweep
	}
	h.forgetMarks(now.Add(-max(w.d.Remember, overtakeTime)))
	if h.cleaned >= last {
		first, err := w.store.lowest(ctx)
		if err != nil || first == 0 {
			return
		}
		h.cleaned = first - 1
	}
	var buried int64
	for range cleanRounds {
		if h.cleaned >= last {
			break
		}
		upto := min(h.cleaned+cleanSpan, last)
		if _, err := w.forget(ctx, done, old, h.cleaned, upto); err != nil {
			return
		}
		if !h.swept && w.index(ctx, h.cleaned, upto) != nil {
			return
		}
		if w.d.KeepDead != config.Infinity {
			n, err := w.forget(ctx, dead, now.Add(-w.d.KeepDead), h.cleaned, upto)
			if err != nil {
				return
			}
			buried += n
		}
		h.cleaned = upto
	}
	if buried > 0 {
		w.recount(ctx)
	}
	h.swept = h.swept || h.sweep > 0 && h.cleaned >= h.sweep
	if h.cleaned < last {
		h.next = now.Add(houseEvery / 20) // there is more
	}
}
