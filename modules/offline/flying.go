package offline

import (
	"context"
	"sync"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// landing is how long somebody who wants to see what waits for a user waits for
// messages on their way to the disk. With the database away they come later.
const landing = time.Second

// flying knows the last message of each user that is on its way to the disk, so
// that whoever reads sees what was sent before, and order holds.
type flying struct {
	mu   sync.Mutex
	last map[xmpp.JID]*storage.Ticket
}

func (f *flying) add(user xmpp.JID, t *storage.Ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		f.last = map[xmpp.JID]*storage.Ticket{}
	}
	f.last[user.Clone()] = t
}

// landed forgets t.
func (f *flying) landed(user xmpp.JID, t *storage.Ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last[user] == t {
		delete(f.last, user)
	}
}

// wait returns when nothing that was sent before is on its way any more, or
// after a while.
func (f *flying) wait(ctx context.Context, user xmpp.JID) {
	f.mu.Lock()
	t := f.last[user]
	f.mu.Unlock()
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, landing)
	defer cancel()
	// Whether it was stored is settled's business.
	_ = t.Wait(ctx)
}
