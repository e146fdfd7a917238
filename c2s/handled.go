package c2s

import (
	"strconv"
	"sync"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// maxOpen is how many messages of a client may be neither safe nor given up: the
// recipients' clients do not acknowledge them, or the database is away. Each costs
// us no more than its place in line, for whoever carries it has a bound of his own.
// More messages are refused with an error. Reading no more from the client would
// be wrong: its own acknowledgements come the same way, and others wait for those.
const maxOpen = 10_000

// When h has moved without the client having sent something, it is told: soon if it
// has asked before, and others have been settled meanwhile, or after a while.
const (
	tellSoon  = 10 * time.Millisecond
	tellLater = time.Second
)

// handled is h of XEP-0198: how many of a client's stanzas are handled, in the
// order in which they came, so that one that is not holds back those behind it. A
// message is handled when its receipt is settled, everything else when routing is
// through.
type handled struct {
	settled func()      // moved, as a value
	tell    func()      // writes an acknowledgement that nobody has asked for
	mu      sync.Mutex  // innermost: nothing is called with it
	h       uint32      // stanzas that are handled; it wraps around
	open    fifo[place] // the first message that is not, and what stands behind
	told    uint32      // the h that the client knows
	asked   bool        // the client has asked and was told of less than it had sent
	due     bool        // the timer runs
	soon    bool        // and not for long
	over    bool        // the stream has ended
	timer   *time.Timer
	marks   marks
}

// A place in line is that of a message, and of the stanzas right behind it that
// are handled.
type place struct {
	receipt *sm.Receipt
	more    uint32
}

// full reports whether no more messages can be taken.
func (n *handled) full() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open.len()+len(n.marks.again) >= maxOpen
}

// add counts the next stanza, which fr is. A nil receipt is settled.
func (n *handled) add(r *sm.Receipt, fr *stream.Frame) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.push(r, fr)
}

// push is add for who holds the mutex.
func (n *handled) push(r *sm.Receipt, fr *stream.Frame) {
	switch {
	case !r.Settled():
		n.open.push(place{receipt: r})
		n.marks.keep(fr)
	case n.open.len() > 0:
		n.open.back().more++
		n.marks.keep(fr)
	default:
		n.h++
	}
}

// moved is called when a receipt is settled, by anybody.
func (n *handled) moved() {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.h
	for n.open.len() > 0 && n.open.front().receipt.Settled() {
		past := 1 + n.open.pop().more
		n.marks.drop(past)
		n.h += past
	}
	if (n.h != before || n.told != n.h) && !n.over {
		n.schedule()
	}
}

// schedule has the client told of h.
func (n *handled) schedule() {
	wait := tellLater
	if n.asked {
		wait = tellSoon
	}
	switch {
	case n.due && (n.soon || !n.asked):
		return
	case n.timer == nil:
		n.timer = time.AfterFunc(wait, n.tell)
	default:
		n.timer.Reset(wait)
	}
	n.due, n.soon = true, n.asked
}

// rings says that the timer has run out, and whether there is something to tell.
func (n *handled) rings() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.due = false
	return n.told != n.h && !n.over
}

// ask remembers that the client wants to know.
func (n *handled) ask() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = true
}

// appendTo appends an acknowledgement as it goes over the wire.
func (n *handled) appendTo(b []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = n.h
	n.asked = n.asked && n.open.len() > 0
	b = append(b, "<a xmlns='"+nsSM+"' h='"...)
	return append(strconv.AppendUint(b, uint64(n.h), 10), "'/>"...)
}

// count is h.
func (n *handled) count() uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.h
}

// known is h for a client that is away: it has not begun to send again what is handled
// meanwhile, and need not.
func (n *handled) known() uint32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.open.len() > 0 {
		return n.h
	}
	return n.h + uint32(n.marks.settled())
}

// end says that nobody can be told any more.
func (n *handled) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.over = true
	if n.timer != nil {
		n.timer.Stop()
	}
}
