package modules

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
)

// Batches is how fast a purge deletes.
type Batches struct {
	BatchSize int
	Rate      int // in a minute
}

// Fields declares the arguments of a command that starts a purge, behind those that
// say of what.
func (b *Batches) Fields(f *config.Fields) {
	f.Int(&b.BatchSize, "batch_size", 1000, "How many at a time.").Must(config.AtLeast(1), config.AtMost(100_000))
	f.Int(&b.Rate, "rate", 10_000, "How many in a minute.").Must(config.AtLeast(1))
}

// PurgeBatch is how many rows are deleted at once where there is no hurry: others
// write in between.
const PurgeBatch = 1000

// PurgeAll deletes batch after batch of PurgeBatch rows until there are fewer: remove
// deletes about so many and says how many there were. It waits for the database.
func PurgeAll(remove func(limit int) (int64, error)) error {
	for {
		if n, err := remove(PurgeBatch); err != nil || n < PurgeBatch {
			return err
		}
	}
}

// A Purge is a deletion that goes on in the background, a few rows at a time, so
// that a database which others need is not blocked. There is one at a time. The zero
// value is ready.
type Purge struct {
	mu      sync.Mutex
	state   string // empty: there was none yet
	deleted int64
	stop    context.CancelFunc // nil: none goes on
}

// Start begins a deletion, which ends with ctx. remove deletes at most about limit
// rows and returns how many there were; it is called until there are fewer, no
// faster than b allows. The error is for an operator: one goes on already, or l is
// closed.
func (p *Purge) Start(ctx context.Context, l *Later, b Batches, remove func(ctx context.Context, limit int) (int64, error)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		return admin.Conflict.With("Operation in progress")
	}
	run, cancel := context.WithCancel(ctx)
	if !l.Apart(func() { p.finish(p.run(run, b, remove)) }) {
		cancel()
		return admin.Conflict.With("the module is being stopped")
	}
	p.state, p.deleted, p.stop = "in progress", 0, cancel
	return nil
}

func (p *Purge) run(ctx context.Context, b Batches, remove func(ctx context.Context, limit int) (int64, error)) error {
	pause := time.NewTicker(max(time.Minute*time.Duration(b.BatchSize)/time.Duration(b.Rate), time.Millisecond))
	defer pause.Stop()
	for {
		n, err := remove(ctx, b.BatchSize)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.deleted += n
		p.mu.Unlock()
		if n < int64(b.BatchSize) {
			return nil
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *Purge) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	p.stop = nil
	switch {
	case err == nil:
		p.state = "finished"
	case p.state != "aborted":
		p.state = "failed: " + err.Error()
	}
}

// Status says how far it is, in ejabberd's words.
func (p *Purge) Status() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == "" {
		return "Operation not started"
	}
	return fmt.Sprintf("Operation %s, deleted %d messages", p.state, p.deleted)
}

// Abort ends it and says so, in ejabberd's words.
func (p *Purge) Abort() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop == nil {
		return "No task running"
	}
	p.state = "aborted"
	p.stop()
	return "Operation aborted"
}
