package vcardxupdate

import (
	"context"
	"sync"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules/vcard"
	"github.com/gabberd/gabberd/xmpp"
)

// listen hears what makes a hash out of date, on this node and on others.
func (m *xupdate) listen() {
	ctx, cancel := context.WithCancel(m.host.Context())
	m.host.OnStop(func() {
		cancel()
		m.later.close()
	})
	forget := func(_ context.Context, user xmpp.JID) { m.cache.Forget(user.Bare()) }
	// After mod_vcard, from whose memory a hash would be made again.
	const after = 90
	vcard.Changed.Add(m.host, after, forget)
	vcard.Changed.AddElsewhere(m.host, after, func(_ context.Context, user xmpp.JID) { m.changedElsewhere(ctx, user.Bare()) })
	auth.Removed.AddEverywhere(m.host, after, forget)
	local.ClearCache.AddEverywhere(m.host, after, func(context.Context, *local.Host) { m.cache.Clear() })
}

// changedElsewhere has the user's clients on this node tell a hash that was set on
// another one. Who brings the news does not wait for that.
func (m *xupdate) changedElsewhere(ctx context.Context, user xmpp.JID) {
	m.cache.Forget(user)
	if len(m.host.Sessions.Local(user)) == 0 {
		return
	}
	ok := m.later.add(user, func(user xmpp.JID) {
		if ctx.Err() == nil {
			m.allAgain(ctx, user)
		}
	})
	if !ok {
		m.host.Log.Error("too many changes of other nodes wait, contacts do not hear of an avatar", "user", user.String())
	}
}

// maxLater bounds the users whose presence has still to be sent again.
const maxLater = 10_000

// later is those users. One who is waiting already need not wait twice: what is
// sent is made when the turn comes.
type later struct {
	mu      sync.Mutex
	queue   []xmpp.JID
	waiting map[xmpp.JID]bool
	busy    bool
	closed  bool
	all     sync.WaitGroup
}

func newLater() *later { return &later{waiting: map[xmpp.JID]bool{}} }

// add has again called with user, soon. It reports whether there was room.
func (l *later) add(user xmpp.JID, again func(xmpp.JID)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.waiting[user] {
		return true
	}
	if len(l.queue) >= maxLater {
		return false
	}
	l.waiting[user] = true
	l.queue = append(l.queue, user)
	if !l.busy {
		l.busy = true
		l.all.Go(func() { l.work(again) })
	}
	return true
}

func (l *later) work(again func(xmpp.JID)) {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.queue, l.busy = nil, false
			l.mu.Unlock()
			return
		}
		user := l.queue[0]
		l.queue = l.queue[1:]
		delete(l.waiting, user)
		l.mu.Unlock()
		again(user)
	}
}

// close waits until nobody's presence is being sent any more.
func (l *later) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.all.Wait()
}
