package msgforward

import (
	"context"
	"errors"
	"time"

	"github.com/gabberd/gabberd/storage"
)

// numbers are what a queue holds.
type numbers struct {
	waiting, dead int64
	oldest        int64 // when the oldest was stored, in microseconds; 0: none waits
}

func (n *numbers) add(o numbers) {
	n.waiting, n.dead = n.waiting+o.waiting, n.dead+o.dead
	if o.oldest > 0 && (n.oldest == 0 || o.oldest < n.oldest) {
		n.oldest = o.oldest
	}
}

// Bounds on counting: how many numbers a question of an operator may look at, how
// many queries a worker makes at a time, and up to where dead letters are counted.
const (
	countSpan   = 100_000
	countRounds = 20
	maxDead     = 100_000
)

// count is what is in the queue, as exactly as can be said soon: of a long queue it is
// what its worker has counted last, some seconds ago.
func (s store) count(ctx context.Context) (n numbers, err error) {
	var low int64
	err = s.Get(ctx, []any{&n.waiting, &n.oldest, &low}, `SELECT waiting, oldest, low FROM gabberd_job_leases WHERE {host} AND queue = ?`, s.queue)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return n, err
	}
	last, err := s.last(ctx)
	if err != nil {
		return n, err
	}
	if low == 0 {
		if low, err = s.lowest(ctx); err != nil {
			return n, err
		}
		low--
	}
	if last-low <= countSpan {
		if n, err = s.countIn(ctx, low, last); err != nil {
			return n, err
		}
	}
	n.dead, err = s.countDead(ctx)
	return n, err
}

// countIn counts what waits in a range.
func (s store) countIn(ctx context.Context, from, to int64) (n numbers, err error) {
	err = s.Get(ctx, []any{&n.waiting, &n.oldest}, `SELECT COUNT(*), COALESCE(MIN(created), 0) FROM gabberd_jobs
		WHERE {host} AND queue = ? AND state = 0 AND id > ? AND id <= ?`, s.queue, from, to)
	return n, err
}

// countDead counts dead letters, up to maxDead.
func (s store) countDead(ctx context.Context) (n int64, err error) {
	err = s.Get(ctx, []any{&n}, `SELECT COUNT(*) FROM (SELECT id FROM gabberd_jobs WHERE {host} AND queue = ? AND died > 0 LIMIT ?) AS letters`,
		s.queue, int64(maxDead))
	return n, err
}

// note writes down what the worker who is owner has counted.
func (s store) note(ctx context.Context, owner string, n numbers, low int64) error {
	_, err := s.Exec(ctx, `UPDATE gabberd_job_leases SET waiting = ?, oldest = ?, low = ? WHERE {host} AND queue = ? AND owner = ?`,
		n.waiting, n.oldest, low, s.queue, owner)
	return err
}

// unnote says that jobs below low may wait again.
func (s store) unnote(ctx context.Context) error {
	_, err := s.Exec(ctx, `UPDATE gabberd_job_leases SET low = 0 WHERE {host} AND queue = ?`, s.queue)
	return err
}

// A census is a count of what waits that goes on over several rounds where there is
// much.
type census struct {
	under bool  // way
	at    int64 // so far
	low   int64 // where it has begun
	gone  int64 // jobs that did not wait any more when it began
	numbers
}

// takeCensus goes on counting. It reports whether it is finished.
func (w *worker) takeCensus(ctx context.Context, now time.Time) (n numbers, finished bool) {
	c := &w.house.census
	if !c.under {
		low := w.lanes.lowest(w.cursor)
		*c = census{under: true, at: low, low: low, gone: w.gone}
		if w.Overtakes() {
			c.low = min(low, w.house.before(now.Add(-overtakeTime)))
		}
	}
	last, err := w.last(ctx)
	for range countRounds {
		if err != nil || c.at >= last {
			break
		}
		var part numbers
		upto := min(c.at+lastSpan, last)
		if part, err = w.countIn(ctx, c.at, upto); err == nil {
			c.add(part)
			c.at = upto
		}
	}
	if err != nil || c.at < last {
		return n, false
	}
	c.under = false
	n = c.numbers
	n.waiting = max(0, n.waiting-(w.gone-c.gone))
	if n.waiting == 0 {
		n.oldest = 0
	}
	if n != w.house.noted || c.low != w.house.low {
		if w.note(ctx, w.owner, n, c.low) == nil {
			w.house.noted, w.house.low = n, c.low
		}
	}
	return n, true
}

// recount counts dead letters, and has the others counted anew.
func (w *worker) recount(ctx context.Context) {
	w.house.census.under = false
	if n, err := w.countDead(ctx); err == nil {
		w.count.dead(w, n)
	}
}
