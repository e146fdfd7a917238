package sm

import (
	"context"
	"sync/atomic"
)

// A Receipt is what has still to happen before a stanza that a client has sent
// counts as handled (XEP-0198 §4). It has carriers: the goroutine that routes
// the stanza, a write on its way to the disk, a client that has not acknowledged
// it, another node. It is settled once, when a carrier says that the message is
// safe, or when the last one has let go without that: then the message was
// answered, dropped by a rule, or given to a client that acknowledges nothing.
//
// A nil Receipt is one nobody waits for; its methods do nothing. The methods may
// be called by anyone, at any time, and never block.
type Receipt struct {
	carriers atomic.Int32
	settled  atomic.Bool
	tell     func()
	lose     func() // nil where nobody minds
}

// NewReceipt returns a receipt with one carrier, the caller. settled is called
// once, on any goroutine and maybe under locks: it must not block.
func NewReceipt(settled func()) *Receipt {
	r := &Receipt{tell: settled}
	r.carriers.Store(1)
	return r
}

// NewReceiptOr is NewReceipt for who must know when the stanza is abandoned, too: then
// abandoned is called in the place of settled.
func NewReceiptOr(settled, abandoned func()) *Receipt {
	r := NewReceipt(settled)
	r.lose = abandoned
	return r
}

// Abandon is a carrier that ends without a word, because this node does: whoever has
// sent the stanza keeps it, and sends it again when the node is gone.
func (r *Receipt) Abandon() {
	if r != nil && r.lose != nil && r.settled.CompareAndSwap(false, true) {
		r.lose()
	}
}

// Hold adds a carrier. Only a carrier may add one.
func (r *Receipt) Hold() {
	if r != nil {
		r.carriers.Add(1)
	}
}

// Release is a carrier letting go of a stanza that it has not made safe.
func (r *Receipt) Release() {
	if r != nil && r.carriers.Add(-1) == 0 {
		r.settle()
	}
}

// Leave is Release for a carrier that others can stand in for: it lets go unless it
// is the last, and reports whether it has. Of several that leave at once one stays.
func (r *Receipt) Leave() bool {
	if r == nil {
		return false
	}
	for n := r.carriers.Load(); n > 1; n = r.carriers.Load() {
		if r.carriers.CompareAndSwap(n, n-1) {
			return true
		}
	}
	return false
}

// Secure is a carrier letting go of a stanza that is safe: committed, or
// acknowledged by whom it was for.
func (r *Receipt) Secure() {
	if r == nil {
		return
	}
	r.settle()
	r.carriers.Add(-1)
}

func (r *Receipt) settle() {
	if r.settled.CompareAndSwap(false, true) {
		r.tell()
	}
}

// Settled reports whether nothing has to happen any more.
func (r *Receipt) Settled() bool { return r == nil || r.settled.Load() }

type receiptKey struct{}

type receiptCtx struct {
	context.Context
	r *Receipt
}

func (c receiptCtx) Value(key any) any {
	if _, ok := key.(receiptKey); ok {
		return c.r
	}
	return c.Context.Value(key)
}

// WithReceipt returns a context in which stanzas are routed on behalf of r.
func WithReceipt(ctx context.Context, r *Receipt) context.Context { return receiptCtx{ctx, r} }

// ReceiptOf is the receipt of the stanza that is being routed in ctx, nil if
// nobody waits for one. Whoever keeps the stanza beyond the call holds it.
func ReceiptOf(ctx context.Context) *Receipt {
	if r, ok := ctx.Value(receiptKey{}).(*Receipt); ok {
		return r
	}
	return BurstOf(ctx).receipt()
}
