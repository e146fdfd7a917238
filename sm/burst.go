package sm

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Flusher has something to write that can wait until more has come together.
type Flusher interface{ Flush() }

// A Burst is what one client has sent in one go, as far as it is still being
// worked through. Connections that got something out of it are flushed once, at
// its end: a small write costs as much as a big one.
type Burst struct {
	mu    sync.Mutex
	open  bool
	held  []Flusher
	spare []Flusher // of the goroutine that ends the burst: memory for the next one
	pause <-chan struct{}

	carried atomic.Pointer[Receipt] // of the stanza that is being worked through
}

// maxSpare keeps one big burst from holding memory for ever.
const maxSpare = 64

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
	b.held = b.spare
	b.mu.Unlock()
	for _, f := range held {
		f.Flush()
	}
	clear(held)
	if b.spare = held[:0]; cap(held) > maxSpare {
		b.spare = nil
	}
}

// Pause has the client's next burst wait until done is closed, for a bounded time. It
// is for handlers that keep what the client sends, where that does not go as fast as
// the client: it is slowed down then, and nobody else. A nil Burst does nothing.
func (b *Burst) Pause(done <-chan struct{}) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pause = done
}

// Paused is what the next burst has to wait for, nil for nothing, and forgets it. It
// is for the goroutine that reads the client's stream.
func (b *Burst) Paused() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := b.pause
	b.pause = nil
	return done
}

// Carry makes r the receipt of the stanza that is worked through from now on; nil
// when nobody waits for one. It is for the goroutine that reads the client's
// stream.
func (b *Burst) Carry(r *Receipt) { b.carried.Store(r) }

func (b *Burst) receipt() *Receipt {
	if b == nil {
		return nil
	}
	return b.carried.Load()
}

// BurstOf is the burst that sends within ctx belong to, nil if there is none.
func BurstOf(ctx context.Context) *Burst {
	b, _ := ctx.Value(burstKey{}).(*Burst)
	return b
}

// Hold reports whether f will be flushed at the end of ctx's burst. If not, the
// caller flushes.
func Hold(ctx context.Context, f Flusher) bool { return BurstOf(ctx).Hold(f) }

// Hold reports whether f will be flushed at the end of b. If not, the caller
// flushes. A nil Burst holds nothing.
func (b *Burst) Hold(f Flusher) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		b.held = append(b.held, f)
	}
	return b.open
}
