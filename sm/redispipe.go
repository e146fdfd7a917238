package sm

import (
	"context"
	"errors"
	"fmt"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/storage/redis"
)

// Bounds on what waits for Redis, and on what is sent to it in one go.
const (
	maxQueue = 10_000
	maxBatch = 64
	maxSends = 4 // of one task
)

// A task is something to be asked of Redis together with others.
type task interface {
	// send puts its commands into a pipeline.
	send(ctx context.Context, p goredis.Pipeliner)
	// read looks at the answers. It reports whether it has more to send; last
	// says that it has not.
	read(ctx context.Context, last bool) (more bool)
	// fail ends it without an answer.
	fail(err error)
}

// A pipe sends tasks to Redis in the order in which they were added, as many at
// once as have come together. One goroutine does it all.
type pipe struct {
	client *redis.Client
	queue  chan task
	mu     sync.RWMutex
	closed bool
}

func newPipe(client *redis.Client) *pipe {
	return &pipe{client: client, queue: make(chan task, maxQueue)}
}

var errClosed = errors.New("the session store is closed")

// add queues a task. It does not wait; the error is ErrFull, or that the pipe is
// closed.
func (p *pipe) add(t task) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return errClosed
	}
	select {
	case p.queue <- t:
		return nil
	default:
		return ErrFull
	}
}

// push is add that waits for room.
func (p *pipe) push(ctx context.Context, t task) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return errClosed
	}
	select {
	case p.queue <- t:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close has run end when everything that was added is done.
func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.queue)
	}
}

// run works until close.
func (p *pipe) run() {
	batch := make([]task, 0, maxBatch)
	for t := range p.queue {
		batch = append(batch[:0], t)
		for len(batch) < maxBatch && len(p.queue) > 0 {
			batch = append(batch, <-p.queue) // nobody else takes
		}
		if err := p.do(batch); err != nil {
			// Nobody waits for the same thing one after the other.
			for range len(p.queue) {
				(<-p.queue).fail(err)
			}
		}
		clear(batch)
	}
}

// do sends a batch and waits for the answers, for redis.Timeout at most each time
// something is sent. The error wraps ErrAway.
func (p *pipe) do(batch []task) error {
	ctx := context.Background() // the client bounds it
	for n := 1; len(batch) > 0; n++ {
		pl := p.client.Pipeline()
		for _, t := range batch {
			t.send(ctx, pl)
		}
		_, err := pl.Exec(ctx) // every command has its own error
		more := batch[:0]
		for _, t := range batch {
			if t.read(ctx, n == maxSends) {
				more = append(more, t)
			}
		}
		if errors.Is(err, redis.ErrAway) {
			for _, t := range more {
				t.fail(away(err))
			}
			return away(err)
		}
		batch = more
	}
	return nil
}

// away says that err keeps us from knowing something.
func away(err error) error {
	if err == nil || errors.Is(err, ErrAway) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}
