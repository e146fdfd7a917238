package c2s

import (
	"net/netip"
	"sync"
)

// How many connections of one listener may be there that have not logged in: all
// together, and from one address (a /64 network of IPv6).
const (
	maxEarly        = 10_000
	maxEarlyAddress = 1_000
)

// A crowd counts the connections that have not logged in. They cost memory and
// have shown nothing for it, so there is a limit, and one address cannot use it
// up.
type crowd struct {
	mu    sync.Mutex
	total int
	from  map[netip.Prefix]int
}

// enter counts c, or reports that it is one too many.
func (w *crowd) enter(c *Conn) bool {
	p := networkOf(c.stream.Addr.Addr())
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.total >= maxEarly || p.IsValid() && w.from[p] >= maxEarlyAddress {
		return false
	}
	if w.from == nil {
		w.from = map[netip.Prefix]int{}
	}
	w.total++
	w.from[p]++
	c.early = true
	return true
}

// leave takes c out again, if it is still counted. Only c's own goroutine may
// call it, once that runs.
func (w *crowd) leave(c *Conn) {
	if !c.early {
		return
	}
	c.early = false
	p := networkOf(c.stream.Addr.Addr())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.total--
	if w.from[p]--; w.from[p] == 0 {
		delete(w.from, p)
	}
}

// networkOf is what one stranger can easily have: an address, or a /64 network.
// It is invalid for those who come through a unix socket.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
