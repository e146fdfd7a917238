package sm

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// These are inside the package because no one can force from the outside what
// happens between a question and its answer.

func cacheOf(opt RedisOptions) *cache {
	opt.Cache = true
	c := newCache(opt)
	c.dropAll(true)
	return c
}

var everything = RedisOptions{CacheSize: 100, CacheMissed: true}

func (c *cache) store(user xmpp.JID, nobody bool) {
	f := c.begin(user)
	c.land(f, &others{user: f.user, nobody: nobody}, nil)
}

func (c *cache) has(user xmpp.JID) bool { o, _ := c.get(user); return o != nil }

// What was asked before something changed is not kept as what is so after it.
func TestCacheRace(t *testing.T) {
	user, other := xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
	for name, happens := range map[string]func(*cache){
		"a notification":   func(c *cache) { c.drop(user) },
		"a subscription":   func(c *cache) { c.dropAll(true) },
		"a later question": func(c *cache) { c.begin(user) },
	} {
		c := cacheOf(everything)
		f, mine := c.ask(user, nil)
		if again, his := c.ask(user, nil); !mine || his || again != f {
			t.Fatal("two who ask at once do not share the answer")
		}
		happens(c)
		if late, _ := c.ask(user, nil); late == f {
			t.Errorf("%s: whoever asks now gets an answer from before", name)
		}
		c.land(f, &others{user: f.user}, nil)
		if c.has(user) {
			t.Errorf("%s: an answer from before is kept", name)
		}
	}
	c := cacheOf(everything)
	f, _ := c.ask(user, nil)
	c.drop(other)
	c.land(f, &others{user: f.user}, nil)
	if !c.has(user) {
		t.Error("a notification about somebody else counts")
	}
}

func TestCacheKeeps(t *testing.T) {
	user := xmpp.MustParse("romeo@localhost")
	c := cacheOf(everything)
	f := c.begin(user)
	c.land(f, nil, errors.New("away"))
	if c.has(user) {
		t.Error("what could not be read is kept")
	}
	c.store(user, true)
	c.land(c.begin(user), nil, errors.New("away"))
	if !c.has(user) {
		t.Error("a failed read has taken away what was known")
	}
	c.drop(user)
	if c.has(user) || c.len() != 0 {
		t.Error("dropped, and still there")
	}

	c = newCache(RedisOptions{Cache: true, CacheSize: 10, CacheMissed: true})
	if c.store(user, false); c.has(user) {
		t.Error("it keeps something although no notifications come in")
	}
	c = newCache(RedisOptions{CacheSize: 10, CacheMissed: true})
	c.dropAll(true)
	if c.store(user, false); c.has(user) {
		t.Error("it keeps something although it shall not")
	}
	c = cacheOf(RedisOptions{CacheSize: 10})
	if c.store(user, true); c.has(user) {
		t.Error("it remembers who is not there although it shall not")
	}
	if c.store(user, false); !c.has(user) {
		t.Error("it does not remember who is there")
	}
	if c.store(user, true); c.has(user) {
		t.Error("it remembers who was there")
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := cacheOf(RedisOptions{CacheSize: 160, CacheMissed: true})
	often := xmpp.MustParse("often@localhost")
	c.store(often, false)
	for i := range 5000 {
		user := xmpp.MustParse(fmt.Sprintf("u%d@localhost", i))
		c.store(user, false)
		if c.of(user).known[user] == nil { // which is no use of it
			t.Fatalf("%v was not kept", user)
		}
		if !c.has(often) {
			t.Fatalf("who is asked for always was thrown out by the %dth", i)
		}
		if i%3 == 0 {
			c.drop(user)
		}
	}
	if n := c.len(); n > 160 || n < 100 {
		t.Errorf("%d are kept", n)
	}
	for i := range c.shard {
		sh := &c.shard[i]
		if len(sh.ring) != len(sh.known) || len(sh.flights) != 0 {
			t.Errorf("%d known, %d in the ring, %d asked for", len(sh.known), len(sh.ring), len(sh.flights))
		}
	}
	c.dropAll(true)
	if c.len() != 0 || c.has(often) {
		t.Error("not everything was dropped")
	}
}

func TestCacheGrowsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		user := xmpp.MustParse("romeo@localhost")
		c := cacheOf(RedisOptions{CacheSize: 10, CacheMissed: true, CacheLife: time.Hour})
		c.store(user, false)
		time.Sleep(time.Hour - 1)
		if _, fresh := c.get(user); !fresh {
			t.Error("too old before its time")
		}
		time.Sleep(time.Nanosecond)
		if o, fresh := c.get(user); fresh || o == nil {
			t.Error("it can be used after its time, or not even when Redis is away")
		}
	})
}
