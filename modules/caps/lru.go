package caps

import (
	"container/list"
	"sync"
	"time"
)

// An lru keeps the entries that were used last, up to a number and an age.
type lru[K comparable, V any] struct {
	mu    sync.Mutex
	size  int
	age   time.Duration
	order *list.List // of *entry, the newest first
	byKey map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	since time.Time
}

func newLRU[K comparable, V any](size int, age time.Duration) *lru[K, V] {
	return &lru[K, V]{size: size, age: age, order: list.New(), byKey: map[K]*list.Element{}}
}

func (c *lru[K, V]) get(k K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.byKey[k]
	if !ok {
		return v, false
	}
	e := el.Value.(*entry[K, V])
	if time.Since(e.since) > c.age {
		c.drop(el)
		return v, false
	}
	c.order.MoveToFront(el)
	return e.value, true
}

func (c *lru[K, V]) put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(k, v)
}

// set is put with c.mu held.
func (c *lru[K, V]) set(k K, v V) {
	if el, ok := c.byKey[k]; ok {
		c.drop(el)
	}
	if c.size <= 0 {
		return
	}
	c.byKey[k] = c.order.PushFront(&entry[K, V]{k, v, time.Now()})
	if len(c.byKey) > c.size {
		c.drop(c.order.Back())
	}
}

// change replaces the value of k by what f makes of it, the zero value where
// there is none. The age of an entry is not changed.
func (c *lru[K, V]) change(k K, f func(V) V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byKey[k]; ok {
		if e := el.Value.(*entry[K, V]); time.Since(e.since) <= c.age {
			e.value = f(e.value)
			return
		}
	}
	var none V
	c.set(k, f(none))
}

func (c *lru[K, V]) drop(el *list.Element) {
	c.order.Remove(el)
	delete(c.byKey, el.Value.(*entry[K, V]).key)
}
