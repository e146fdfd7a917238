package storage

import (
	"context"
	"sync"
)

// A Statement is a query and its arguments, to be run later.
type Statement struct {
	Query string
	Args  []any
}

// A Ticket stands for statements in the queue: it says when they are committed,
// which means on the disk, or why they are not. Safe for concurrent use.
type Ticket struct {
	mu      sync.Mutex
	done    chan struct{} // made when somebody asks for it
	settled bool
	err     error
	then    []func(error)

	statements []bound
	jobs       []boundJob
	size       int
	lazy       bool // may wait for others
}

// Settled is a ticket whose fate is known already, for stores that have nothing
// to wait for. A nil error says that all is stored.
func Settled(err error) *Ticket { return &Ticket{settled: true, err: err} }

// Done is closed when the fate of the statements is known.
func (t *Ticket) Done() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done == nil {
		t.done = make(chan struct{})
		if t.settled {
			close(t.done)
		}
	}
	return t.done
}

// Err is nil until Done, and after it if the statements were committed.
func (t *Ticket) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Wait waits for the commit and returns its error, or that of the context if
// that ends first; the statements stay in the queue then.
func (t *Ticket) Wait(ctx context.Context) error {
	select {
	case <-t.Done():
		return t.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Then has f called once with the outcome: now if it is known, else by the
// goroutine that commits, which f must not block.
func (t *Ticket) Then(f func(error)) {
	t.mu.Lock()
	if !t.settled {
		t.then = append(t.then, f)
		t.mu.Unlock()
		return
	}
	err := t.err
	t.mu.Unlock()
	f(err)
}

// settle makes the outcome known. It is called once.
func (t *Ticket) settle(err error) {
	t.mu.Lock()
	t.settled, t.err = true, err
	then := t.then
	t.then, t.statements, t.jobs = nil, nil, nil
	if t.done != nil {
		close(t.done)
	}
	t.mu.Unlock()
	for _, f := range then {
		f(err)
	}
}
