package server

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
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
	grows := func() bool { // by memorySpare at least, or what is left of other tests alone is more
		p, live := percent(), max(reading(live), 1<<20)
		return p >= int(max(memorySpare*100/live, memoryFewest))-memoryUnequal && p <= int(memoryMost*100/live)+memoryUnequal
	}
	eventually(t, "a heap grows as it should between collections", func() bool { runtime.GC(); return grows() })
	big := make([]*[1 << 20]byte, 40)
	for i := range big {
		big[i] = new([1 << 20]byte)
	}
	eventually(t, "a collection changes how much the heap may grow", func() bool { runtime.GC(); return percent() == memoryFewest })
	runtime.KeepAlive(big)
	big = nil
	eventually(t, "a collection changes how much the heap may grow", func() bool { runtime.GC(); return percent() > memoryFewest && grows() })
	stop()
	eventually(t, "a collection changes how much the heap may grow", func() bool { runtime.GC(); return percent() == memoryFewest })
}

func TestCollectAsTheOperatorSays(t *testing.T) {
	t.Setenv("GOGC", "50")
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	collectRarely(t.Context())
	if p := debug.SetGCPercent(50); p != 50 {
		t.Errorf("GOGC=50 has become %d", p)
	}
}

func TestCollector(t *testing.T) {
	const mb = 1 << 20
	now := time.Now()
	c := collector{spare: memorySpare}
	for i, tt := range []struct {
		after time.Duration // since the last collection
		live  uint64
		spare uint64 // megabytes, then
	}{
		{time.Minute, 10 * mb, 8},
		{time.Second / 10, 10 * mb, 16},    // too often
		{time.Second / 10, 10*mb + 1, 32},  // still
		{time.Second / 10, 10 * mb, 32},    // there is an end
		{2 * time.Second, 10 * mb, 32},     // as it should be
		{time.Second / 10, 13 * mb, 8},     // sessions have come
		{time.Second / 10, 13 * mb, 16},    // and stay
		{time.Minute, 13 * mb, 8},          // nothing happens
		{time.Minute, 13 * mb, 8},          // and nothing
		{time.Second / 10, 200 * mb, 8},    // many sessions: Go's own rule
		{time.Second / 10, 200*mb + 1, 16}, // which is the lesser
		{time.Second / 10, mb / 1000, 32},  // nobody is left
		{time.Second / 10, 300 * mb, 8},    // all come at once
	} {
		now = now.Add(tt.after)
		want := int(max(tt.spare*mb*100/max(tt.live, mb), 100))
		if got := c.percent(tt.live, now); got != want {
			t.Errorf("%d: %d %%, want %d", i, got, want)
		}
	}
}

func TestQuiet(t *testing.T) {
	const kb, mb = 1 << 10, 1 << 20
	now := uint64(100 * mb)
	q := quiet{now, now, memoryPasses}
	look := func(what string, more, live uint64, give, first bool) {
		t.Helper()
		now += more
		g, f := q.look(now, live)
		if g != give || f != first {
			t.Errorf("%s: given %v, first %v", what, g, f)
		}
		if g {
			now += 50 * kb
			q.gave(now)
		}
	}
	look("it has started", 0, mb, true, true)
	look("a second time", 100*kb, mb, true, false)
	look("people come", 40*mb, 9*mb, false, false)
	look("some more", mb, 9*mb, false, false)
	look("all are there", 100*kb, 9*mb, true, true)
	look("again", 0, 9*mb, true, false)
	look("a few messages", 300*kb, 9*mb, false, false)
	look("the last time", 0, 9*mb, true, false)
	look("nothing", 10*kb, 9*mb, false, false)
	for range 1000 {
		look("chat all day", 2*mb, 9*mb, false, false)
	}
	look("night", 0, 9*mb, true, true)
	look("", 0, 9*mb, true, false)
	look("", 0, 9*mb, true, false)
	for range 10 {
		look("little", 200*kb, 9*mb, false, false)
	}
	look("but for long", 400*kb, 9*mb, false, false)
	look("is worth it", 0, 9*mb, true, true)
	look("where many are there it is not", 0, 900*mb, true, false)
	look("", 0, 900*mb, true, false)
	look("", 50*mb, 900*mb, false, false)
	look("", 0, 900*mb, false, false)
}
