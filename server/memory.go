package server

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memoryInterval is how often memory is looked at.
const memoryInterval = 2 * time.Second

// memoryPasses is how many collections follow a busy time. Each halves the stacks
// that have become too big, and empties what pools have kept since the last.
const memoryPasses = 3

// giveBack returns memory to the operating system when a busy time is over, until
// ctx ends: after a thousand logins most of what they needed is not needed any
// more. While the server is busy it does nothing.
func (s *Server) giveBack(ctx context.Context) {
	t := time.NewTicker(memoryInterval)
	defer t.Stop()
	cycles := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	read := func() uint64 {
		metrics.Read(cycles)
		return cycles[0].Value.Uint64()
	}
	before, passes := read(), memoryPasses
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := read()
		switch {
		case now != before:
			passes = memoryPasses
		case passes > 0:
			if passes == memoryPasses {
				s.trim()
			}
			passes--
			debug.FreeOSMemory()
			now = read()
		}
		before = now
	}
}

// trim has connections at rest hold less.
func (s *Server) trim() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, l := range s.listeners {
		l.c2s.Trim()
	}
}
