package modules

import (
	"container/list"
	"errors"
	"sync"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// A Cache keeps something about the users who were asked for last: as many and
// as long as the cache options say, and never more than a number of bytes. It is
// safe for concurrent use.
type Cache[V any] struct {
	options local.Cache
	weigh   func(V) int
	limit   int

	mu      sync.Mutex
	changes uint64 // what was read before a change is not kept after it
	byUser  map[xmpp.JID]*list.Element
	order   list.List // of *cached[V], the last used in front
	weight  int
}

type cached[V any] struct {
	user   xmpp.JID
	value  V
	err    error // nil or storage.ErrNotFound
	weight int
	until  time.Time // zero: for ever
}

// NewCache returns an empty cache. weigh says how many bytes a value takes,
// limit how many all of them may take.
func NewCache[V any](o local.Cache, limit int, weigh func(V) int) *Cache[V] {
	return &Cache[V]{options: o, weigh: weigh, limit: limit, byUser: map[xmpp.JID]*list.Element{}}
}

// Get returns what is known about user, or what read returns. That there is
// nothing (storage.ErrNotFound) may be remembered, other errors are not.
func (c *Cache[V]) Get(user xmpp.JID, read func() (V, error)) (V, error) {
	if !c.options.Use {
		return read()
	}
	c.mu.Lock()
	if e := c.find(user); e != nil {
		defer c.mu.Unlock()
		return e.value, e.err
	}
	changes := c.changes
	c.mu.Unlock()
	v, err := read()
	if err == nil || c.options.Missed && errors.Is(err, storage.ErrNotFound) {
		c.keep(changes, &cached[V]{user: user, value: v, err: err})
	}
	return v, err
}

// Forget is called when what is kept about user has changed.
func (c *Cache[V]) Forget(user xmpp.JID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	if el, ok := c.byUser[user]; ok {
		c.drop(el)
	}
}

// Clear forgets everything.
func (c *Cache[V]) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	for c.order.Len() > 0 {
		c.drop(c.order.Back())
	}
}

// find is what is kept about user, with c.mu held.
func (c *Cache[V]) find(user xmpp.JID) *cached[V] {
	el, ok := c.byUser[user]
	if !ok {
		return nil
	}
	e := el.Value.(*cached[V])
	if !e.until.IsZero() && !time.Now().Before(e.until) {
		c.drop(el)
		return nil
	}
	c.order.MoveToFront(el)
	return e
}

func (c *Cache[V]) keep(changes uint64, e *cached[V]) {
	const own = 200 // bytes, about, that an entry takes itself
	e.user, e.weight = e.user.Clone(), c.weigh(e.value)+len(e.user.String())+own
	if life := c.options.LifeTime; life > 0 && life != config.Infinity {
		e.until = time.Now().Add(life)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes != changes || c.byUser[e.user] != nil {
		return
	}
	c.byUser[e.user] = c.order.PushFront(e)
	c.weight += e.weight
	for c.order.Len() > c.options.Size || c.weight > c.limit {
		c.drop(c.order.Back())
	}
}

func (c *Cache[V]) drop(el *list.Element) {
	e := c.order.Remove(el).(*cached[V])
	delete(c.byUser, e.user)
	c.weight -= e.weight
}
