package sm

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// others is what Redis knew of a user's sessions on other nodes when it was
// asked. It is never changed.
type others struct {
	user     xmpp.JID
	sessions []*Session
	nobody   bool      // not on this node either
	until    time.Time // when it has become too old; zero: never

	used atomic.Bool // since the hand has passed
	at   int         // in the ring
	with atomic.Pointer[joined]
}

// joined is the sessions of a user on all nodes, kept so that asking again
// allocates nothing.
type joined struct{ local, all []*Session }

// A flight is a question to Redis about one user that is under way.
type flight struct {
	user xmpp.JID
	done chan struct{}
	got  *others // once done
	err  error   // once done
}

// cacheShards keeps lookups of different users from waiting for each other.
const cacheShards = 16

// cache is what is known of the sessions of users on other nodes, and who is
// asking for it. What was asked before a notification came is not kept: an answer
// is kept only by a flight that is still the newest of its user.
type cache struct {
	opt   RedisOptions
	size  int         // of a shard; 0 keeps nothing
	ready atomic.Bool // notifications come in
	seed  maphash.Seed
	shard [cacheShards]cacheShard
}

type cacheShard struct {
	mu      sync.RWMutex
	known   map[xmpp.JID]*others
	flights map[xmpp.JID]*flight
	ring    []*others // all of known; the hand goes round and takes out what was not used
	hand    int
}

func newCache(opt RedisOptions) *cache {
	c := &cache{opt: opt, seed: maphash.MakeSeed()}
	if opt.Cache {
		c.size = (opt.CacheSize-1)/cacheShards + 1
	}
	for i := range c.shard {
		c.shard[i].known = map[xmpp.JID]*others{}
		c.shard[i].flights = map[xmpp.JID]*flight{}
	}
	return c
}

func (c *cache) of(user xmpp.JID) *cacheShard {
	return &c.shard[maphash.String(c.seed, user.String())%cacheShards]
}

// get is what is known of user, nil if nothing is. fresh is false for what is too
// old to be used without asking.
func (c *cache) get(user xmpp.JID) (o *others, fresh bool) {
	sh := c.of(user)
	sh.mu.RLock()
	o = sh.known[user]
	sh.mu.RUnlock()
	if o == nil {
		return nil, false
	}
	if !o.used.Load() {
		o.used.Store(true)
	}
	return o, o.until.IsZero() || time.Now().Before(o.until)
}

// ask is a flight for user: the one that is under way, or a new one, which is then
// the caller's to land. old is what the caller has found with get: should something
// newer have landed since, that is the flight.
func (c *cache) ask(user xmpp.JID, old *others) (f *flight, mine bool) {
	sh := c.of(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f := sh.flights[user]; f != nil {
		return f, false
	}
	if o := sh.known[user]; o != nil && o != old {
		return &flight{user: o.user, done: landed, got: o}, false
	}
	return sh.begin(user), true
}

// landed is closed.
var landed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// begin is a new flight for user, which the caller lands. What is under way for
// him already will not be kept.
func (c *cache) begin(user xmpp.JID) *flight {
	sh := c.of(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.begin(user)
}

func (sh *cacheShard) begin(user xmpp.JID) *flight {
	f := &flight{user: user.Clone(), done: make(chan struct{})}
	sh.flights[f.user] = f
	return f
}

// land ends a flight with what was answered, and keeps that if nothing has
// happened meanwhile.
func (c *cache) land(f *flight, got *others, err error) {
	f.got, f.err = got, err
	sh := c.of(f.user)
	sh.mu.Lock()
	if sh.flights[f.user] == f {
		delete(sh.flights, f.user)
		if err == nil && c.ready.Load() && c.size > 0 && (c.opt.CacheMissed || !got.nobody) {
			c.keep(sh, got)
		} else if err == nil {
			sh.forget(f.user)
		}
	}
	sh.mu.Unlock()
	close(f.done)
}

// keep puts o into the cache, in the place of something that was not used lately
// if that is full.
func (c *cache) keep(sh *cacheShard, o *others) {
	if c.opt.CacheLife > 0 {
		o.until = time.Now().Add(c.opt.CacheLife)
	}
	if old := sh.known[o.user]; old != nil {
		o.at = old.at
	} else if len(sh.ring) < c.size {
		o.at = len(sh.ring)
		sh.ring = append(sh.ring, nil)
	} else {
		for sh.hand %= len(sh.ring); sh.ring[sh.hand].used.Swap(false); {
			sh.hand = (sh.hand + 1) % len(sh.ring)
		}
		delete(sh.known, sh.ring[sh.hand].user)
		o.at = sh.hand
		sh.hand++
	}
	sh.ring[o.at] = o
	sh.known[o.user] = o
}

// forget takes user out of the cache.
func (sh *cacheShard) forget(user xmpp.JID) {
	o := sh.known[user]
	if o == nil {
		return
	}
	delete(sh.known, user)
	last := len(sh.ring) - 1
	moved := sh.ring[last]
	sh.ring[o.at], moved.at = moved, o.at
	sh.ring[last] = nil
	sh.ring = sh.ring[:last]
}

// drop forgets what is known of user and what is being asked about him.
func (c *cache) drop(user xmpp.JID) {
	sh := c.of(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.flights, user)
	sh.forget(user)
}

// dropAll forgets everything. From now on answers are kept if ready, that is if
// notifications come in.
func (c *cache) dropAll(ready bool) {
	c.ready.Store(false)
	for i := range c.shard {
		sh := &c.shard[i]
		sh.mu.Lock()
		clear(sh.known)
		clear(sh.flights)
		clear(sh.ring)
		sh.ring, sh.hand = sh.ring[:0], 0
		sh.mu.Unlock()
	}
	c.ready.Store(ready)
}

// len is how many users are known of.
func (c *cache) len() int {
	n := 0
	for i := range c.shard {
		sh := &c.shard[i]
		sh.mu.RLock()
		n += len(sh.known)
		sh.mu.RUnlock()
	}
	return n
}
