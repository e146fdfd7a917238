package sm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// stored has the house keep what finds nobody, and tells the ids.
func stored(h *house) func() string {
	var mu sync.Mutex
	var ids []string
	sm.Offline.Add(h, hooks.Normal, func(_ context.Context, _ sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, st.ID)
		return sm.Stored, hooks.Stop
	})
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(ids, " ")
	}
}

func toJuliet(id string) *xmpp.Stanza {
	return xmpp.New(xmpp.Message, "chat", xmpp.MustParse("romeo@localhost/x"), xmpp.MustParse("juliet@localhost/y"), id)
}

// What a session leaves behind goes first, whatever came while it was closed, and
// receipts are let go of when all is routed.
func TestDetain(t *testing.T) {
	h := newHouse(t)
	got, juliet, ctx := stored(h), xmpp.MustParse("juliet@localhost"), context.Background()
	var settled []string
	receipt := func(id string) *sm.Receipt { return sm.NewReceipt(func() { settled = append(settled, id) }) }
	release, other := h.Detain(juliet), h.Detain(juliet)
	for _, id := range []string{"5", "6"} {
		r := receipt(id)
		h.Route(sm.WithReceipt(ctx, r), toJuliet(id))
		r.Release()
	}
	if got() != "" || len(settled) != 0 {
		t.Fatalf("routed %q, settled %v", got(), settled)
	}
	other(ctx, []sm.Returned{{Stanza: toJuliet("3"), Receipt: receipt("3")}, {Stanza: toJuliet("4")}})
	if got() != "" {
		t.Fatalf("the second to end has routed %q", got())
	}
	release(ctx, []sm.Returned{{Stanza: toJuliet("1"), Receipt: receipt("1")}, {Stanza: toJuliet("2")}})
	h.Route(ctx, toJuliet("7"))
	if got() != "1 2 3 4 5 6 7" || !slices.Equal(settled, []string{"1", "3", "5", "6"}) {
		t.Errorf("routed %q, settled %v", got(), settled)
	}
	if n := h.Parked(); n != 0 {
		t.Errorf("%d wait still", n)
	}
}

// Whoever comes last takes what is left over when the first one is through.
func TestDetainInTurn(t *testing.T) {
	h := newHouse(t)
	got, juliet, ctx := stored(h), xmpp.MustParse("juliet@localhost"), context.Background()
	first, second := h.Detain(juliet), h.Detain(juliet)
	first(ctx, []sm.Returned{{Stanza: toJuliet("1")}})
	second(ctx, []sm.Returned{{Stanza: toJuliet("2")}})
	h.Detain(juliet)(ctx, nil)
	if got() != "1 2" || h.Parked() != 0 {
		t.Errorf("routed %q, %d wait", got(), h.Parked())
	}
}

// Nothing gets lost between many who close and many who send, and each sender's
// order holds.
func TestDetainWhileOthersSend(t *testing.T) {
	h := newHouse(t)
	got, juliet, ctx := stored(h), xmpp.MustParse("juliet@localhost"), context.Background()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 200 {
				h.Route(ctx, toJuliet(fmt.Sprintf("%d-%03d", i, k)))
			}
		})
		wg.Go(func() {
			for range 50 {
				h.Detain(juliet)(ctx, nil)
			}
		})
	}
	wg.Wait()
	h.Detain(juliet)(ctx, nil)
	last, n := [4]string{}, 0
	for _, id := range strings.Fields(got()) {
		var i int
		if _, err := fmt.Sscanf(id, "%d-", &i); err != nil {
			t.Fatal(err)
		}
		if id <= last[i] {
			t.Fatalf("%s comes after %s", id, last[i])
		}
		last[i] = id
		n++
	}
	if n != 800 || h.Parked() != 0 {
		t.Errorf("%d arrived, %d wait", n, h.Parked())
	}
}
