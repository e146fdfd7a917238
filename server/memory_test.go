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
	for range 3 { // servers of other tests set it back at the next collection
		done := make(chan struct{})
		runtime.AddCleanup(new([4]uintptr), func(done chan struct{}) { close(done) }, done)
		runtime.GC()
		<-done
	}
	ctx, stop := context.WithCancel(t.Context())
	collectRarely(ctx)
	grows := func() bool { // by memorySpare, or what is left of other tests alone is more
		want, p := int(min(max(memorySpare*100/max(reading(live), 1), fewest), most)), percent()
		return p-want <= memoryUnequal && want-p <= memoryUnequal
	}
	eventually(t, "a heap grows as it should between collections", func() bool { runtime.GC(); return grows() })
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
