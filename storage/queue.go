package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	batchTickets = 128                  // a transaction holds at most so many
	batchLinger  = 2 * time.Millisecond // and waits so long for more
	lazyMost     = time.Second          // a lazy ticket waits so long for one that is not
	maxQueued    = 1 << 15              // tickets
	maxBytes     = 64 << 20             // of their arguments
)

// queue collects writes into few transactions, in the order in which they came.
// Its one goroutine ends with close.
type queue struct {
	base *base
	wake chan struct{} // holds a token when there is work or the end has come
	gone chan struct{} // closed when the goroutine has ended

	life   context.Context // ends when what is left is to be given up
	giveUp context.CancelFunc

	mu      sync.Mutex
	waiting []*Ticket
	urgent  int         // how many of them are not lazy
	timer   *time.Timer // runs while there are lazy ones and nobody else
	late    bool        // it is over
	last    *Ticket     // the newest
	size    int         // bytes waiting or being committed
	count   int         // tickets waiting or being committed
	closed  bool
}

func newQueue(b *base) *queue {
	q := &queue{base: b, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	q.life, q.giveUp = context.WithCancel(context.Background())
	go q.run()
	return q
}

// Queue has a statement run soon, together with others, in the order in which
// they were queued. It does not wait: the ticket tells when it is committed.
// Return at once with ErrFull when the queue is full. A database that is away
// is waited for; a statement whose commit got lost on the way may run twice.
func (db *DB) Queue(query string, args ...any) (*Ticket, error) {
	return db.QueueAll(Statement{query, args})
}

// QueueLazily is Queue for what nobody waits for, and what a crash may lose: it is
// committed together with what is queued next, a second later at most. Should the
// database be closed before, it is committed then.
func (db *DB) QueueLazily(query string, args ...any) (*Ticket, error) {
	return db.queue([]Statement{{query, args}}, nil, true)
}

// QueueAll is Queue for statements that must happen altogether or not at all.
// The arguments must not be changed afterwards.
func (db *DB) QueueAll(statements ...Statement) (*Ticket, error) {
	return db.queue(statements, nil, false)
}

// queue queues statements, and jobs that are written behind all statements of the
// transaction.
func (db *DB) queue(statements []Statement, jobs []boundJob, lazy bool) (*Ticket, error) {
	t := &Ticket{lazy: lazy, jobs: jobs, statements: make([]bound, 0, len(statements))}
	for _, s := range statements {
		q, args, err := db.bind(s.Query, s.Args)
		if err != nil {
			return nil, err
		}
		t.statements = append(t.statements, bound{q, args})
		t.size += weight(args)
	}
	for _, j := range jobs {
		t.size += len(j.Queue) + len(j.Key) + len(j.Group) + len(j.Data) + 64
	}
	if err := db.base.queue.add(t); err != nil {
		return nil, err
	}
	return t, nil
}

// Flush waits until nothing that was queued before is on its way any more, lazy or not,
// whatever became of it. It waits as long as a query may take; then, and when the
// context ends before, it returns an error.
func (db *DB) Flush(ctx context.Context) error {
	ctx, cancel := db.base.bound(ctx)
	defer cancel()
	q := db.base.queue
	q.mu.Lock()
	t := q.last
	q.late = len(q.waiting) > 0
	q.mu.Unlock()
	if t == nil {
		return nil
	}
	q.poke()
	select {
	case <-t.Done():
		return nil
	case <-ctx.Done():
		return db.base.failure(ctx, ctx.Err())
	}
}

// Queued is how many tickets of this database wait for their commit.
func (db *DB) Queued() int {
	q := db.base.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// Busy reports whether so much waits for its commit that whoever adds more should
// wait for what he has added: an eighth of what the queue takes. It does not block.
func (db *DB) Busy() bool {
	q := db.base.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count > maxQueued/8 || q.size > maxBytes/8
}

// weight is about how many bytes arguments hold.
func weight(args []any) int {
	n := 0
	for _, a := range args {
		n += 16
		switch a := a.(type) {
		case string:
			n += len(a)
		case []byte:
			n += len(a)
		}
	}
	return n
}

func (q *queue) add(t *Ticket) error {
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return ErrClosed
	case q.count >= maxQueued, q.size+t.size > maxBytes:
		q.mu.Unlock()
		return ErrFull
	}
	q.waiting = append(q.waiting, t)
	q.last = t
	q.count++
	q.size += t.size
	// The first starts the wait for more, a full batch ends it.
	signal := len(q.waiting) == batchTickets
	switch {
	case !t.lazy:
		q.urgent++
		signal = signal || q.urgent == 1
	case q.timer == nil && !q.late:
		q.timer = time.AfterFunc(lazyMost, q.overdue)
	}
	q.mu.Unlock()
	if signal {
		q.poke()
	}
	return nil
}

// overdue ends the time of lazy tickets.
func (q *queue) overdue() {
	q.mu.Lock()
	q.timer, q.late = nil, len(q.waiting) > 0
	q.mu.Unlock()
	q.poke()
}

func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run commits batches until the queue is closed and empty.
func (q *queue) run() {
	defer close(q.gone)
	defer q.giveUp()
	for {
		n, closed := q.look()
		switch {
		case n == 0 && closed:
			return
		case n == 0:
			<-q.wake
			continue
		case n < batchTickets && !closed:
			q.linger()
		}
		q.commit(q.take())
	}
}

// look is how many are to be committed.
func (q *queue) look() (n int, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = len(q.waiting)
	if q.urgent == 0 && !q.late && !q.closed && n < batchTickets {
		n = 0
	}
	return n, q.closed
}

// linger waits for the batch to fill up, for a short while.
func (q *queue) linger() {
	t := time.NewTimer(batchLinger)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return
		case <-q.wake:
			if n, closed := q.look(); n >= batchTickets || closed {
				return
			}
		}
	}
}

func (q *queue) take() []*Ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), batchTickets)
	batch := make([]*Ticket, n)
	copy(batch, q.waiting)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	for _, t := range batch {
		if !t.lazy {
			q.urgent--
		}
	}
	if rest == q.urgent { // no lazy ones are left
		q.late = false
		if q.timer != nil {
			q.timer.Stop()
			q.timer = nil
		}
	}
	return batch
}

// commit stores a batch. Where one ticket fails, those before it are committed,
// it is tried alone, and then those after it: neighbours survive, and the order
// holds.
func (q *queue) commit(batch []*Ticket) {
	for len(batch) > 0 {
		at, err := q.attempt(batch)
		switch {
		case err == nil:
			q.settle(batch, nil)
			return
		case q.life.Err() != nil:
			q.settle(batch, fmt.Errorf("%w: %w", ErrClosed, err))
			return
		case len(batch) == 1:
			q.settle(batch, err)
			return
		case at < 0:
			at = len(batch) / 2 // nobody knows who it was: search by halves
			q.commit(batch[:at])
			batch = batch[at:]
		default:
			q.commit(batch[:at])
			q.commit(batch[at : at+1])
			batch = batch[at+1:]
		}
	}
}

// attempt runs a batch, again and again while the database is away.
func (q *queue) attempt(batch []*Ticket) (at int, err error) {
	pause := delay{next: 20 * time.Millisecond, most: 2 * time.Second}
	told := false
	for {
		ctx, cancel := q.base.bound(q.life)
		at, err = q.base.engine.batch(ctx, batch, jobStatement(q.base.flavour, batch))
		err = q.base.failure(ctx, err)
		late := ctx.Err() != nil
		cancel()
		if err == nil && told {
			q.base.log.Info("queued writes go on", "database", q.base.name)
		}
		if q.base.engine.again(err) {
			continue
		}
		if !errors.Is(err, ErrUnavailable) || late && q.base.ping(q.life) == nil {
			return at, err // the statement's own fault
		}
		if !told {
			q.base.log.Warn("queued writes wait for the database", "database", q.base.name, "error", err)
			told = true
		}
		if pause.wait(q.life) != nil {
			return -1, err
		}
	}
}

// settle tells the outcome and makes room.
func (q *queue) settle(batch []*Ticket, err error) {
	q.mu.Lock()
	for _, t := range batch {
		q.size -= t.size
	}
	q.count -= len(batch)
	q.mu.Unlock()
	for _, t := range batch {
		t.settle(err)
	}
}

// close commits what is queued; when ctx ends it gives up and returns how many
// tickets were lost.
func (q *queue) close(ctx context.Context) int {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
	select {
	case <-q.gone:
		return 0
	case <-ctx.Done():
	}
	q.mu.Lock()
	lost := q.count
	rest := q.waiting
	q.waiting, q.urgent = nil, 0
	if q.timer != nil {
		q.timer.Stop()
	}
	q.mu.Unlock()
	q.giveUp()
	<-q.gone
	q.settle(rest, ErrClosed)
	return lost
}
