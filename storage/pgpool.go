package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// pgPool is a pool of connections to one PostgreSQL database. When the database
// is away, callers hear so at once instead of all waiting for a connection;
// when it is back, whoever comes after a short pause finds it.
type pgPool struct {
	*pgxpool.Pool
	cancel context.CancelFunc
	work   sync.WaitGroup // keepalive

	mu    sync.Mutex
	away  error     // why there is no connection
	until time.Time // no new attempt before
	pause time.Duration
}

const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

func newPgPool(config *pgxpool.Config, o SQL) (*pgPool, error) {
	ctx, cancel := context.WithCancel(context.Background())
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		cancel()
		return nil, err
	}
	p := &pgPool{Pool: pool, cancel: cancel, pause: firstPause}
	if o.KeepaliveInterval > 0 {
		p.work.Go(func() { p.keepalive(ctx, o.KeepaliveInterval) })
	}
	return p, nil
}

// acquire takes a connection, which the caller must release.
func (p *pgPool) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if err := p.gone(); err != nil {
		return nil, err
	}
	conn, err := p.Acquire(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.away, p.pause = nil, firstPause
		return conn, nil
	case ctx.Err() != nil:
		return nil, ctx.Err() // the caller's hurry says nothing about the database
	case p.away != nil && time.Now().Before(p.until):
		return nil, p.away // somebody else has found out as well
	}
	p.away = fmt.Errorf("%w: %w", ErrUnavailable, err)
	p.until = time.Now().Add(p.pause)
	p.pause = min(2*p.pause, lastPause)
	return nil, p.away
}

// gone says why there is no use in trying to connect now.
func (p *pgPool) gone() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away != nil && time.Now().Before(p.until) {
		return p.away
	}
	return nil
}

// keepalive uses connections that nobody uses, for the firewalls on the way.
func (p *pgPool) keepalive(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, conn := range p.AcquireAllIdle(ctx) {
			limited, cancel := context.WithTimeout(ctx, every)
			if err := conn.Ping(limited); err != nil && !errors.Is(err, context.Canceled) {
				_ = conn.Conn().Close(limited) // the pool makes another
			}
			cancel()
			conn.Release()
		}
	}
}

// close waits for connections in use and closes all.
func (p *pgPool) close() {
	p.cancel()
	p.work.Wait()
	p.Close()
}
