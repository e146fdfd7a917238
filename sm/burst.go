package sm

import (
	"context"
	"sync"
)

// A Flusher has something to write that can wait until more has come together.
type Flusher interface{ Flush() }

// A Burst is what one client has sent in one go, as far as it is still being
// worked through. Connections that got something out of it are flushed once, at
// its end: a small write costs as much as a big one.
type Burst struct {
	mu   sync.Mutex
	open bool
	held []Flusher
}

type burstKey struct{}

type burstCtx struct {
	context.Context
	b *Burst
}

func (c burstCtx) Value(key any) any {
	if _, ok := key.(burstKey); ok {
		return c.b
	}
	return c.Context.Value(key)
}

// WithBurst returns a context whose sends belong to b while b is open.
func WithBurst(ctx context.Context, b *Burst) context.Context { return burstCtx{ctx, b} }

// Begin opens the burst. It is for the goroutine that reads the client's stream.
func (b *Burst) Begin() {
	b.mu.Lock()
	b.open = true
	b.mu.Unlock()
}

// End closes the burst and flushes whatever was held.
func (b *Burst) End() {
	b.mu.Lock()
	b.open = false
	held := b.held
	b.held = nil
	b.mu.Unlock()
	for _, f := range held {
		f.Flush()
	}
}

// Hold reports whether f will be flushed at the end of ctx's burst. If not, the
// caller flushes.
func Hold(ctx context.Context, f Flusher) bool {
	b, ok := ctx.Value(burstKey{}).(*Burst)
	if !ok {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		b.held = append(b.held, f)
	}
	return b.open
}
