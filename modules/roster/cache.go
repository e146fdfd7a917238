package roster

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// maxCached bounds one host's cache, in bytes, whatever cache_size says: rosters
// differ in size.
const maxCached = 128 << 20

// lists is a user's roster as presence and the user's clients need it. It is never
// changed.
type lists struct {
	sm.Contacts
	of      map[xmpp.JID]sm.Contact
	items   []Item // those that clients see, in order of address
	waiting int    // requests that have no answer yet
	weight  int    // bytes that it takes, about

	// What clients are answered that ask for a version, or for none. Made when it
	// is first wanted.
	versioned, plain atomic.Pointer[answer]
}

func newLists(items []Item) *lists {
	const own, each = 500, 300 // bytes that the structs take
	l := &lists{of: make(map[xmpp.JID]sm.Contact, len(items)), items: make([]Item, 0, len(items)), weight: own}
	for i := range items {
		it := &items[i]
		if it.State.Has(To) {
			l.To = append(l.To, it.JID.Bare())
		}
		if it.State.Has(From) {
			l.From = append(l.From, it.JID.Bare())
		}
		if it.State.Has(PendingIn) {
			l.waiting++
		}
		if it.shown() {
			l.of[it.JID] = it.contact()
			l.items = append(l.items, *it)
			l.weight += each + 3*it.size() // as it is, and in two answers
		}
	}
	// Whoever appends to them gets a copy.
	l.To, l.From, l.items = slices.Clip(l.To), slices.Clip(l.From), slices.Clip(l.items)
	return l
}

// cache keeps the lists of the users who were asked for last. What was read
// before a change is not kept after it.
type cache struct {
	local.Cache
	mu      sync.Mutex
	entries map[xmpp.JID]*list.Element // of *cached
	order   list.List                  // the last used in front
	weight  int                        // bytes in all entries, about
	reading map[xmpp.JID]*reading
}

type cached struct {
	user  xmpp.JID
	lists *lists
	until time.Time
}

// reading is a read of the database that goes on, by one goroutine or several.
type reading struct {
	count int
	stale bool
}

func newCache(o local.Cache) *cache {
	return &cache{Cache: o, entries: map[xmpp.JID]*list.Element{}, reading: map[xmpp.JID]*reading{}}
}

// get returns what is known of user, or calls read and remembers its answer.
func (c *cache) get(user xmpp.JID, read func() (*lists, error)) (*lists, error) {
	if !c.Use {
		return read()
	}
	found, r := c.find(user)
	if found != nil {
		return found, nil
	}
	l, err := read()
	c.finish(user, r, l)
	return l, err
}

func (c *cache) find(user xmpp.JID) (*lists, *reading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.entries[user]; ok {
		e := el.Value.(*cached)
		if e.until.IsZero() || time.Now().Before(e.until) {
			c.order.MoveToFront(el)
			return e.lists, nil
		}
		c.drop(el)
	}
	r := c.reading[user]
	if r == nil {
		r = &reading{}
		c.reading[user] = r
	}
	r.count++
	return nil, r
}

// finish ends a read. l is nil if it has failed.
func (c *cache) finish(user xmpp.JID, r *reading, l *lists) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.count--; r.count == 0 && c.reading[user] == r {
		delete(c.reading, user)
	}
	if l == nil || r.stale || c.entries[user] != nil || len(l.of) == 0 && !c.Missed {
		return
	}
	e := &cached{user: user.Clone(), lists: l}
	if c.LifeTime > 0 && c.LifeTime != config.Infinity {
		e.until = time.Now().Add(c.LifeTime)
	}
	c.entries[e.user] = c.order.PushFront(e)
	c.weight += l.weight
	for c.order.Len() > 1 && (c.order.Len() > c.Size || c.weight > maxCached) {
		c.drop(c.order.Back())
	}
}

// forget is called when the roster of user has changed, or may have.
func (c *cache) forget(user xmpp.JID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.entries[user]; ok {
		c.drop(el)
	}
	if r := c.reading[user]; r != nil {
		r.stale = true
		delete(c.reading, user)
	}
}

// clear forgets everything.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.order.Len() > 0 {
		c.drop(c.order.Back())
	}
	for user, r := range c.reading {
		r.stale = true
		delete(c.reading, user)
	}
}

func (c *cache) drop(el *list.Element) {
	e := c.order.Remove(el).(*cached)
	delete(c.entries, e.user)
	c.weight -= e.lists.weight
}
