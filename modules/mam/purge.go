package mam

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
)

// purge is a deletion of old messages that goes on in the background.
type purge struct {
	mu      sync.Mutex
	state   string // empty: there was none yet
	deleted int64
	stop    context.CancelFunc // nil: none goes on
}

type purgeArgs struct {
	Host      string
	Old       oldArgs
	BatchSize int
	Rate      int
}

// Fields declares the arguments.
func (a *purgeArgs) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	a.Old.Fields(f)
	f.Int(&a.BatchSize, "batch_size", 1000, "How many at a time.").Must(config.AtLeast(1), config.AtMost(100_000))
	f.Int(&a.Rate, "rate", 10_000, "How many in a minute.").Must(config.AtLeast(1))
}

func (m *mam) startPurge(ctx context.Context, in purgeArgs) (admin.Restuple, error) {
	t := in.Old.before()
	n, err := m.store.countOld(ctx, t, in.Old.kind())
	if err != nil {
		return admin.Restuple{}, err
	}
	p := &m.purge
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop != nil {
		return admin.Restuple{}, admin.Conflict.With("Operation in progress")
	}
	run, cancel := context.WithCancel(m.life)
	p.state, p.deleted, p.stop = "in progress", 0, cancel
	started := m.later.apart(func() { p.finish(m.purgeOld(run, in, t)) })
	if !started {
		cancel()
		return admin.Restuple{}, admin.Conflict.With("the module is being stopped")
	}
	return admin.Restuple{Text: fmt.Sprintf("Removal of %d messages in progress", n)}, nil
}

// purgeOld deletes batch after batch, no faster than the rate allows.
func (m *mam) purgeOld(ctx context.Context, in purgeArgs, t time.Time) error {
	pause := time.NewTicker(max(time.Minute*time.Duration(in.BatchSize)/time.Duration(in.Rate), time.Millisecond))
	defer pause.Stop()
	for {
		n, err := m.store.deleteOld(ctx, t, in.Old.kind(), in.BatchSize)
		if err != nil {
			return err
		}
		m.purge.mu.Lock()
		m.purge.deleted += n
		m.purge.mu.Unlock()
		if n < int64(in.BatchSize) {
			return nil
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *purge) finish(err error) {
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

func (m *mam) purgeStatus(context.Context, hostArgs) (string, error) {
	p := &m.purge
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == "" {
		return "Operation not started", nil
	}
	return p.text(), nil
}

func (m *mam) abortPurge(context.Context, hostArgs) (string, error) {
	p := &m.purge
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stop == nil {
		return "No task running", nil
	}
	p.state = "aborted"
	p.stop()
	return "Operation aborted", nil
}
