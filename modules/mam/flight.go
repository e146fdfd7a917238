package mam

import (
	"context"
	"sync"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// landing is how long who looks into an archive waits for what is on its way there.
const landing = time.Second

// flight is how many messages are on their way to the archives of users, so that
// who looks up what he has just said finds it.
type flight struct {
	mu sync.Mutex
	of map[xmpp.JID]*flying
}

type flying struct {
	n    int
	done chan struct{} // closed when there are none any more; made when somebody waits
}

// start says that one more is on its way.
func (f *flight) start(user xmpp.JID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.of[user]
	if x == nil {
		if f.of == nil {
			f.of = map[xmpp.JID]*flying{}
		}
		x = &flying{}
		f.of[user] = x
	}
	x.n++
}

// land says that one has arrived, or never will.
func (f *flight) land(user xmpp.JID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.of[user]
	if x.n--; x.n > 0 {
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
