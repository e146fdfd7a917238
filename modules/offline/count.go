package offline

import (
	"context"
	"sync"
	"time"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	countTimeout = 2 * time.Second // how long a sender waits for the database to count
	countAgain   = time.Second     // a full queue is counted again so often, it may have been emptied elsewhere
)

// counts knows how many messages wait for a user, so that not every message
// needs a count in the database. Messages on their way there are counted, too.
//
// Each node of a cluster counts for itself and does not hear of what others store.
// So on n nodes up to n times the limit may wait for a user; nobody loses a
// message because of that, and once there are too many no node takes more.
type counts struct {
	cache local.Cache
	mu    sync.Mutex
	of    map[xmpp.JID]*count
}

type count struct {
	stored, queued int
	limit          int // that the count was made for: it stops there
	at             time.Time
	known          bool
	changes        int           // others' changes so far
	added          int           // messages that were stored so far
	counting       chan struct{} // closed when the count that goes on has ended
}

func newCounts(c local.Cache) *counts { return &counts{cache: c, of: map[xmpp.JID]*count{}} }

// counter counts in the database, up to a limit.
type counter func(ctx context.Context, user xmpp.JID, limit int) (int, error)

// reserve takes one of the user's places and reports whether there was one.
// settled gives it back or fills it. It waits for the database only when the
// count is not known or may be old.
func (c *counts) reserve(ctx context.Context, user xmpp.JID, limit int, read counter) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		e := c.entry(user)
		if c.fresh(e, limit) {
			if e.stored+e.queued >= limit {
				return false, nil
			}
			e.queued++
			return true, nil
		}
		if err := c.update(ctx, user, e, limit, read); err != nil {
			return false, err
		}
	}
}

// take takes a place for a message that is never refused.
func (c *counts) take(user xmpp.JID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entry(user).queued++
}

// fresh reports whether the count can be relied on.
func (c *counts) fresh(e *count, limit int) bool {
	if !e.known || e.limit != limit {
		return false
	}
	age := time.Since(e.at)
	if e.stored+e.queued >= limit {
		return age < countAgain
	}
	if !c.cache.Use {
		return age < countAgain
	}
	return age < c.cache.LifeTime
}

// update counts, or waits for who is counting. It is called with the lock, which
// it lets go meanwhile.
func (c *counts) update(ctx context.Context, user xmpp.JID, e *count, limit int, read counter) error {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	if wait := e.counting; wait != nil {
		c.mu.Unlock()
		defer c.mu.Lock()
		select {
		case <-wait:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	done := make(chan struct{})
	e.counting = done
	changes, added := e.changes, e.added
	c.mu.Unlock()
	n, err := read(ctx, user, limit)
	c.mu.Lock()
	close(done)
	e.counting = nil
	if err != nil {
		return err
	}
	// What was stored during the count may be in it or not: it is counted twice
	// rather than never.
	e.stored, e.limit, e.at, e.known = n+e.added-added, limit, time.Now(), e.changes == changes
	return nil
}

// entry is what is known of user. It is called with the lock.
func (c *counts) entry(user xmpp.JID) *count {
	if e, ok := c.of[user]; ok {
		return e
	}
	for u, e := range c.of {
		if len(c.of) < c.cache.Size {
			break
		}
		if e.queued == 0 && e.counting == nil {
			delete(c.of, u)
		}
	}
	e := &count{}
	c.of[user.Clone()] = e
	return e
}

// settled is called when a message is stored, or will never be.
func (c *counts) settled(user xmpp.JID, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.of[user]
	if e == nil || e.queued == 0 { // it was not limited when it came
		return
	}
	e.queued--
	if err == nil {
		e.stored++
		e.added++
	}
}

// changed is called when messages were taken away.
func (c *counts) changed(user xmpp.JID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.of[user]; e != nil {
		e.known = false
		e.changes++
	}
}

// allChanged is changed for every user.
func (c *counts) allChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.of {
		e.known = false
		e.changes++
	}
}
