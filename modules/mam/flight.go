package mam

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// landing is how long who looks into an archive waits for what is on its way there.
const landing = time.Second

// flight is how many messages are on their way to the archives of users, so that
// who looks up what he has just said finds it.
type flight struct {
	mu sync.Mutex
	of map[xmpp.JID]*flying

	failed []int64 // stamps, the last so many
	oldest int     // of them, once there are maxFailed
}

// maxFailed is how many messages that did not arrive are remembered: the sender of
// one who wants to know asks in the same breath.
const maxFailed = 1 << 10

type flying struct {
	writes []write
	one    [1]write
	done   chan struct{} // closed when there are none any more; made when somebody waits
}

// A write is a message on its way.
type write struct {
	stamp  int64
	ticket *storage.Ticket
}

// start says that one more is on its way.
func (f *flight) start(user xmpp.JID, stamp int64, t *storage.Ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.of[user]
	if x == nil {
		if f.of == nil {
			f.of = map[xmpp.JID]*flying{}
		}
		x = &flying{}
		x.writes = x.one[:0]
		f.of[user] = x
	}
	x.writes = append(x.writes, write{stamp, t})
}

// any reports whether something is on its way to user's archive.
func (f *flight) any(user xmpp.JID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of[user] != nil
}

// look says how far the message with that stamp is.
func (f *flight) look(user xmpp.JID, stamp int64) Write {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.of[user]; x != nil {
		for _, w := range slices.Backward(x.writes) {
			if w.stamp == stamp {
				return Write{Ticket: w.ticket}
			}
		}
	}
	return Write{Failed: slices.Contains(f.failed, stamp)}
}

// fail remembers that a message did not arrive, for who comes to ask just then.
func (f *flight) fail(stamp int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.failed) < maxFailed {
		f.failed = append(f.failed, stamp)
		return
	}
	f.failed[f.oldest] = stamp
	f.oldest = (f.oldest + 1) % maxFailed
}

// land says that one has arrived, or never will.
func (f *flight) land(user xmpp.JID, t *storage.Ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.of[user]
	switch i := slices.IndexFunc(x.writes, func(w write) bool { return w.ticket == t }); {
	case i == 0: // as a rule: they land in order
		x.writes[0] = write{}
		x.writes = x.writes[1:]
	case i > 0:
		x.writes = slices.Delete(x.writes, i, i+1)
	}
	if len(x.writes) > 0 {
		return
	}
	delete(f.of, user)
	if x.done != nil {
		close(x.done)
	}
}

// wait waits, for a bounded time, until nothing is on its way to user's archive, and
// reports whether that is so.
func (f *flight) wait(ctx context.Context, user xmpp.JID) bool {
	f.mu.Lock()
	x := f.of[user]
	if x == nil {
		f.mu.Unlock()
		return true
	}
	if x.done == nil {
		x.done = make(chan struct{})
	}
	done := x.done
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, landing)
	defer cancel()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}
