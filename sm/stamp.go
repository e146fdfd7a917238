package sm

import (
	"hash/fnv"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// Nodes take turns in the microseconds, so that two of them do not give the same
// stamp: a node of a cluster only uses every 16th.
const turns = 16

var lastStamp atomic.Int64

// Stamped is the message with a Stamp; one that has one keeps it. It is for whoever
// is about to keep the message.
func (ss *Sessions) Stamped(st *xmpp.Stanza) *xmpp.Stanza {
	if st.Stamp != 0 {
		return st
	}
	return st.WithStamp(ss.newStamp(time.Now()))
}

// newStamp is a time that no other message has: now, or a little later where there
// are many.
func (ss *Sessions) newStamp(now time.Time) int64 {
	step, turn := int64(1), int64(0)
	if ss.node != "" {
		h := fnv.New32a()
		h.Write([]byte(ss.node))
		step, turn = turns, int64(h.Sum32()%turns)
	}
	for {
		last := lastStamp.Load()
		next := max(now.UnixMicro(), last+1)
		if r := (turn - next%step + step) % step; r > 0 {
			next += r
		}
		if lastStamp.CompareAndSwap(last, next) {
			return next
		}
	}
}
