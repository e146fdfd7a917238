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
	now := reading(allocated)
	q := quiet{now, now, memoryPasses}
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		give, first := q.look(reading(allocated), reading(live))
		if !give {
			continue
		}
		if first {
			s.trim()
		}
		debug.FreeOSMemory()
		q.gave(reading(allocated))
	}
}

// quiet knows when memory is to be given back.
type quiet struct {
	before, given uint64 // what had been allocated when it was last looked, and given back, in bytes
	passes        int    // collections that are still to follow
}

// look reports whether memory is to be given back now, and whether for the first time
// after a busy time, when now bytes have been allocated in all and so many are live.
func (q *quiet) look(now, live uint64) (give, first bool) {
	if now-q.given > max(memoryWorth, live/4) {
		q.passes = memoryPasses
	}
	rests := now-q.before <= memoryRest
	q.before = now
	if !rests || q.passes == 0 {
		return false, false
	}
	q.passes--
	return true, q.passes == memoryPasses-1
}

// gave says that it was, which allocates, too.
func (q *quiet) gave(now uint64) { q.before, q.given = now, now }

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
// it has doubled, it would be collected twenty times a second while they chat.
const (
	memorySpare   = 8 << 20     // bytes that may be allocated between two collections,
	memoryMost    = 32 << 20    // and at most where they would come too often,
	memoryOften   = time.Second // less than this one behind the other
	memoryFewest  = 100         // how much the heap grows between them, in percent: Go's own
	memoryUnequal = 10          // percent that are not worth stopping everybody for
)

// A collector says how much may be allocated until the next collection.
type collector struct {
	spare, live uint64 // bytes
	at          time.Time
}

// percent is how much the heap may grow, in percent, when a collection has found that
// so many bytes are live. It is twice as much as before where the last collection was a
// moment ago, unless a good part of what was allocated has stayed: what comes to stay, a
// session, among much garbage leaves the heap in pieces.
func (c *collector) percent(live uint64, now time.Time) int {
	switch {
	case live > c.live+c.spare/16:
		c.spare = memorySpare
	case now.Sub(c.at) < memoryOften:
		c.spare = min(2*c.spare, memoryMost)
	case now.Sub(c.at) > 4*memoryOften:
		c.spare = max(c.spare/2, memorySpare)
	}
	c.live, c.at = live, now
	return int(max(c.spare*100/max(live, 1<<20), memoryFewest))
}

// collectRarely lets the heap grow where it would be collected too often, until ctx
// ends. It looks again after each collection. An operator who has set GOGC knows better.
func collectRarely(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	c := collector{spare: memorySpare}
	now := memoryFewest
	var look func()
	look = func() {
		want := c.percent(reading(live), time.Now())
		if ctx.Err() != nil {
			want = memoryFewest
		}
		if diff := want - now; diff > memoryUnequal || diff < -memoryUnequal || want == memoryFewest && now != memoryFewest {
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
