package offline

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	// landing is how long somebody who wants to see what waits for a user waits for
	// messages on their way to the disk. With the database away they come later.
	landing = time.Second
	// behindMost is how long what is for a user who has come waits behind them.
	behindMost = 5 * time.Second
)

// flying knows for each user the messages that are on their way to the disk, and from
// there to a client that has come meanwhile, so that whoever reads sees what was sent
// before, and nothing overtakes them.
type flying struct {
	any   atomic.Int64            // users
	apart func(release) (ok bool) // calls it on a goroutine of its own, if that can still be had
	mu    sync.Mutex
	users map[xmpp.JID]*flight
	left  []release // of those who ended when it could not
}

// A release lets go what has waited (sm.Sessions.Detain).
type release = func(context.Context, []sm.Returned)

// A flight is what is under way to one user.
type flight struct {
	last    *storage.Ticket // of the newest message
	up      int             // messages of which it is not known yet whether they are on the disk
	down    uint64          // messages on the disk
	dealt   uint64          // of these, those that a client who is there has been given
	told    uint64          // by which another node was told that messages wait here, 0 if none was
	toldOf  uint64          // of how many of down
	release release         // nil: nothing waits behind
	timer   *time.Timer     // ends it
}

// add notes a message that begins its way.
func (f *flying) add(user xmpp.JID, t *storage.Ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.users[user]
	if x == nil {
		x = &flight{}
		if f.users == nil {
			f.users = map[xmpp.JID]*flight{}
		}
		f.users[user.Clone()] = x
		f.any.Add(1)
	}
	x.last = t
	x.up++
}

// landed notes that a message is on the disk, and is to be dealt with, or that it
// never will be.
func (f *flying) landed(user xmpp.JID, stored bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.users[user]
	if x == nil {
		return
	}
	x.up--
	if stored {
		x.down++
	}
	f.over(user, x)
}

// down is how many messages for user are on the disk, for dealt.
func (f *flying) down(user xmpp.JID) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.users[user]; x != nil {
		return x.down
	}
	return 0
}

// dealt notes that a client who is there has been given the first down of the messages,
// or that there is none.
func (f *flying) dealt(user xmpp.JID, down uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.users[user]; x != nil {
		x.dealt = max(x.dealt, down)
		f.over(user, x)
	}
}

// tell is the number that another node is to answer with when its client has been given
// the first down of the messages.
func (f *flying) tell(user xmpp.JID, down uint64) (n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = rand.Uint64() | 1
	if x := f.users[user]; x != nil {
		x.told, x.toldOf = n, down
		f.bound(user, x)
	}
	return n
}

// given notes that another node has answered.
func (f *flying) given(user xmpp.JID, n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.users[user]; x != nil && x.told == n {
		x.dealt = max(x.dealt, x.toldOf)
		f.over(user, x)
	}
}

// wait returns when nothing that was sent before is on its way to the disk any more, or
// after a while.
func (f *flying) wait(ctx context.Context, user xmpp.JID) {
	f.mu.Lock()
	x := f.users[user]
	var t *storage.Ticket
	if x != nil {
		t = x.last
	}
	f.mu.Unlock()
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, landing)
	defer cancel()
	// Whether it was stored is settled's business.
	_ = t.Wait(ctx)
}

// has reports whether something is under way to user.
func (f *flying) has(user xmpp.JID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.users[user] != nil
}

// behind has what comes for user wait until what is under way has arrived.
func (f *flying) behind(user xmpp.JID, ss *sm.Sessions) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x := f.users[user]; x != nil && x.release == nil {
		x.release = ss.Detain(user)
		f.bound(user, x)
	}
}

// bound has x end after a while, come what may.
func (f *flying) bound(user xmpp.JID, x *flight) {
	if x.timer != nil {
		return
	}
	user = user.Clone()
	x.timer = time.AfterFunc(behindMost, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.users[user] == x {
			f.end(user, x)
		}
	})
}

// over ends x if nothing is under way any more.
func (f *flying) over(user xmpp.JID, x *flight) {
	if x.up == 0 && x.dealt >= x.down {
		f.end(user, x)
	}
}

// end forgets x and lets go what waits behind it.
func (f *flying) end(user xmpp.JID, x *flight) {
	delete(f.users, user)
	f.any.Add(-1)
	if x.timer != nil {
		x.timer.Stop()
	}
	if x.release != nil && !f.apart(x.release) {
		f.left = append(f.left, x.release)
	}
}

// close lets everybody go.
func (f *flying) close(ctx context.Context) {
	f.mu.Lock()
	for user, x := range f.users {
		f.end(user, x)
	}
	left := f.left
	f.left = nil
	f.mu.Unlock()
	for _, r := range left {
		r(ctx, nil)
	}
}
