package sm_test

import (
	"context"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/sm"
)

// A receipt is settled by the first carrier that has made the stanza safe, or by
// the last that lets go; once, whatever the order.
func TestReceiptIsSettledOnce(t *testing.T) {
	for name, c := range map[string]struct {
		steps string // h: hold, r: release, s: secure
		after int    // steps after which it is settled
	}{
		"nobody else carries it":        {"r", 1},
		"a carrier lets go":             {"hrr", 3},
		"a carrier secures it":          {"hrs", 3},
		"secured while it is routed":    {"hsr", 2},
		"two carriers, the first safe":  {"hhrsr", 4},
		"two carriers, the second safe": {"hhrrs", 5},
		"two carriers, both safe":       {"hhrss", 4},
		"handed from one to the next":   {"hrhrr", 5},
	} {
		t.Run(name, func(t *testing.T) {
			settled := 0
			r := sm.NewReceipt(func() { settled++ })
			for i, step := range c.steps {
				switch step {
				case 'h':
					r.Hold()
				case 'r':
					r.Release()
				case 's':
					r.Secure()
				}
				if want := i+1 >= c.after; r.Settled() != want || (settled == 1) != want {
					t.Fatalf("after %q it is settled %d times, Settled says %v", c.steps[:i+1], settled, r.Settled())
				}
			}
		})
	}
}

func TestReceiptOfNobodyIsFree(t *testing.T) {
	var r *sm.Receipt
	r.Hold()
	r.Secure()
	r.Release()
	if !r.Settled() || sm.ReceiptOf(context.Background()) != nil {
		t.Error("somebody waits for a receipt that nobody has made")
	}
}

func TestReceiptTravelsWithTheBurstOrTheContext(t *testing.T) {
	var b sm.Burst
	ctx := sm.WithBurst(context.Background(), &b)
	first, second := sm.NewReceipt(func() {}), sm.NewReceipt(func() {})
	if sm.ReceiptOf(ctx) != nil {
		t.Error("a burst begins with a receipt")
	}
	b.Carry(first)
	if sm.ReceiptOf(ctx) != first {
		t.Error("the burst's receipt is not found")
	}
	if sm.ReceiptOf(sm.WithReceipt(ctx, second)) != second {
		t.Error("the nearer receipt does not win")
	}
	if sm.ReceiptOf(sm.WithReceipt(ctx, nil)) != nil {
		t.Error("a stanza that nobody waits for has the receipt of another")
	}
	b.Carry(nil)
	if sm.ReceiptOf(ctx) != nil {
		t.Error("a receipt stays behind")
	}
}

func TestReceiptAtOnce(t *testing.T) {
	for range 200 {
		var settled int // the race detector sees a second one
		r := sm.NewReceipt(func() { settled++ })
		var wg sync.WaitGroup
		for i := range 8 {
			r.Hold()
			wg.Go(func() {
				if i%2 == 0 {
					r.Secure()
				} else {
					r.Release()
				}
			})
		}
		r.Release()
		wg.Wait()
		if settled != 1 {
			t.Fatalf("settled %d times", settled)
		}
	}
}
