package server

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
)

// TestCollectRarely also looks at the end: a server that has stopped leaves the
// process as it was.
func TestCollectRarely(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	percent := func() int {
		p := debug.SetGCPercent(-1)
		debug.SetGCPercent(p)
		return p
	}
	ctx, stop := context.WithCancel(t.Context())
	runtime.GC() // other tests have left something, how much is left to chance
	collectRarely(ctx)
	grows := func() bool { // by memorySpare, or what is left of other tests alone is more
		want, p := int(min(max(memorySpare*100/max(reading(live), 1), fewest), most)), percent()
		return p-want <= memoryUnequal && want-p <= memoryUnequal
	}
	if !grows() {
		t.Errorf("a heap of %d bytes grows by %d %% between collections", reading(live), percent())
	}
	big := make([]*[1 << 20]byte, 40)
	for i := range big {
		big[i] = new([1 << 20]byte)
	}
	eventually(t, "a collection changes how much the heap may grow", func() bool { runtime.GC(); return percent() == fewest })
	runtime.KeepAlive(big)
	big = nil
	eventually(t, "a collection changes how much the heap may grow", func() bool { runtime.GC(); return percent() > fewest && grows() })
	stop()
	eventually(t, "a collection changes how much the heap may grow", func() bool { runtime.GC(); return percent() == fewest })
}

func TestCollectAsTheOperatorSays(t *testing.T) {
	t.Setenv("GOGC", "50")
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	collectRarely(t.Context())
	if p := debug.SetGCPercent(50); p != 50 {
		t.Errorf("GOGC=50 has become %d", p)
	}
}
