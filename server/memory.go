package server

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memoryInterval is how often memory is looked at.
const memoryInterval = 2 * time.Second

// A server is at rest when it allocates no more than memoryRest in that time, and has
// something to give back when it has allocated memoryWorth since it last did, and a
// quarter of what is live: a collection costs by that. In bytes. Five hundred messages in
// two seconds are not rest.
const (
	memoryRest  = 256 << 10
	memoryWorth = 2 << 20
)

// memoryPasses is how many collections follow a busy time. Each halves the stacks
// that have become too big, and empties what pools have kept since the last.
const memoryPasses = 3

// giveBack returns memory to the operating system when a busy time is over, until
// ctx ends: after a thousand logins most of what they needed is not needed any
// more. While the server is busy it does nothing.
func (s *Server) giveBack(ctx context.Context) {
	t := time.NewTicker(memoryInterval)
	defer t.Stop()
	collectRarely(ctx)
	before, passes := reading(allocated), memoryPasses
	given := before
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := reading(allocated)
		if now-given > max(memoryWorth, reading(live)/4) {
			passes = memoryPasses
		}
		if passes > 0 && now-before <= memoryRest {
			if passes == memoryPasses {
				s.trim()
			}
			passes--
			debug.FreeOSMemory()
			now = reading(allocated)
			given = now
		}
		before = now
	}
}

// trim has connections at rest hold less.
func (s *Server) trim() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.listeners {
		l.service.Trim()
	}
}

// What is asked of the runtime, both in bytes.
const (
	allocated = "/gc/heap/allocs:bytes"
	live      = "/gc/heap/live:bytes"
)

func reading(name string) uint64 {
	one := []metrics.Sample{{Name: name}}
	metrics.Read(one)
	return one[0].Value.Uint64()
}

// A server of a few users has a heap of a few megabytes. Collected each time that
// it has doubled, it would be collected twenty times a second while they log in.
const (
	memorySpare   = 8 << 20 // bytes that may be allocated between two collections
	fewest        = 100     // how much the heap grows between them, in percent: Go's own
	most          = 400
	memoryUnequal = 10 // percent that are not worth stopping everybody for
)

// collectRarely lets the heap grow by memorySpare where it would be collected
// sooner, until ctx ends. It looks again after each collection. An operator who
// has set GOGC knows better.
func collectRarely(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	now := fewest
	var look func()
	look = func() {
		want := int(min(max(memorySpare*100/max(reading(live), 1), fewest), most))
		if ctx.Err() != nil {
			want = fewest
		}
		if diff := want - now; diff > memoryUnequal || diff < -memoryUnequal || want == fewest && now != fewest {
			debug.SetGCPercent(want)
			now = want
		}
		if ctx.Err() == nil {
			// What nobody holds is cleaned up by the next collection.
			runtime.AddCleanup(new([4]uintptr), func(again func()) { again() }, look)
		}
	}
	look()
}
