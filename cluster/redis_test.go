package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

var discard = slog.New(slog.DiscardHandler)

// client is another connection.
func (w *world) client() *redis.Client {
	w.t.Helper()
	opt := redis.Defaults()
	opt.Server = w.at.URL()
	c, err := redis.Open(context.Background(), opt, discard)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return c
}

// talk has four pairs of clients on a and b write to each other while disturb is
// called in between, and checks that nothing is lost, repeated or reordered.
func (w *world) talk(disturb func(), rounds int) {
	w.t.Helper()
	a, b, _ := w.three()
	const each = 100
	var all []*sender
	var to []*client
	for i := range 4 {
		from, other := a, b
		if i%2 == 1 {
			from, other = b, a
		}
		full := fmt.Sprintf("to%d@localhost/x", i)
		if i < 2 {
			to = append(to, other.loginLate(full))
		} else {
			to = append(to, other.login(full))
		}
		from.sees(full, other.Name())
		all = append(all, from.sender(fmt.Sprintf("from%d@localhost/x", i)))
	}
	for r := range rounds {
		var work sync.WaitGroup
		for i, s := range all {
			work.Go(func() {
				for m := range each {
					s.send(fmt.Sprintf("to%d@localhost/x", i), fmt.Sprintf("m%d", r*each+m))
					if m%10 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		disturb()
		to[0].ack()
		work.Wait()
	}
	for i, c := range to {
		awaitIDs(w.t, fmt.Sprintf("client %d", i), series("m", rounds*each), c.ids)
		c.ack()
	}
	for _, s := range all {
		await(w.t, "all is handled", s.allHandled)
	}
	for i, c := range to {
		if got := c.ids(); !slices.Equal(got, series("m", rounds*each)) {
			w.t.Errorf("client %d in the end: %s", i, short(got))
		}
	}
	for _, n := range []*node{a, b} {
		if n.Counters.Fenced.Load()+n.Counters.Buried.Load() > 0 {
			w.t.Errorf("%s: a living node was taken for dead", n.Name())
		}
	}
	if len(w.offline()) > 0 {
		w.t.Errorf("stored: %v", w.offline())
	}
}

func TestRedisMayBeEmptied(t *testing.T) {
	w := newWorld(t)
	w.talk(func() {
		time.Sleep(5 * time.Millisecond) // into the middle of it
		w.redis.Flush()
	}, 5)
}

func TestRedisMayStartAgainEmpty(t *testing.T) {
	w := newWorld(t)
	w.talk(func() {
		time.Sleep(5 * time.Millisecond)
		w.redis.Kill()
		w.redis.Resume()
	}, 3)
}

func TestRedisMayBeAwayForLongerThanALease(t *testing.T) {
	w := newWorld(t)
	w.talk(func() {
		time.Sleep(5 * time.Millisecond)
		w.redis.Stop()
		time.Sleep(lease + beat)
		w.redis.Resume()
	}, 1)
}

func TestRedisMayFreeze(t *testing.T) {
	w := newWorld(t)
	w.talk(func() {
		time.Sleep(5 * time.Millisecond)
		w.redis.Freeze()
		time.Sleep(lease + beat) // leases run out meanwhile
		w.redis.Thaw()
	}, 1)
}

func TestOnARedisCluster(t *testing.T) {
	parallel(t)
	w := newWorldAt(t, redistest.StartCluster(t))
	a, b, c := w.three()
	juliet := b.loginLate("juliet@localhost/x")
	nurse := c.login("nurse@localhost/x")
	a.sees("juliet@localhost/x", "b")
	a.sees("nurse@localhost/x", "c")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 200)
	s.sendMany("nurse@localhost/x", "n", 200)
	awaitIDs(t, "juliet", series("m", 200), juliet.ids)
	awaitIDs(t, "nurse", series("n", 200), nurse.ids)
	b.kill()
	awaitIDs(t, "the offline store", series("m", 200), w.offline)
	await(t, "all is handled", s.allHandled)
	await(t, "b is gone for all", func() bool { return a.states() == "a up, c up" && c.states() == "a up, c up" })
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, "c has left", func() bool { return a.states() == "a up" })
}

func TestWhatIsForeignIsIgnored(t *testing.T) {
	w := newWorld(t)
	a, b, _ := w.three()
	juliet := b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	inbox, nodes := a.InboxKey("b"), a.NodesKey()
	w.redis.Do("XADD", inbox, "*", "hello", "world")
	w.redis.Do("XADD", inbox, "*", "n", "a", "e", "x", "f", "1", "a", "0", "s", "1", "b", "")
	w.redis.Do("XADD", inbox, "*", "n", "a", "e", a.Epoch(), "f", b.Epoch(), "a", "0", "s", "1", "b", "\x63nonsense")
	w.redis.Do("XADD", inbox, "*", "n", "stranger", "e", "5", "f", b.Epoch(), "a", "99", "s", "1", "b", "\x01s\x05hello")
	w.redis.Do("HSET", nodes, "stranger", "not JSON")
	w.redis.Do("HSET", nodes, "other", `{"v":99}`)
	w.redis.Do("LPUSH", nodes+":epoch:other", "x")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 100)
	awaitIDs(t, "juliet", series("m", 100), juliet.ids)
	await(t, "they are counted", func() bool { return b.Counters.Foreign.Load() >= 4 })
	await(t, "they are deleted", func() bool { return b.inboxLen("b") == 0 })

	// Something of another type stands where ours must be.
	w.redis.Do("DEL", inbox)
	w.redis.Do("SET", inbox, "mine")
	w.redis.Do("DEL", nodes)
	w.redis.Do("SET", nodes, "mine")
	s.sendMany("juliet@localhost/x", "n", 100)
	awaitIDs(t, "juliet", append(series("m", 100), series("n", 100)...), juliet.ids)
	await(t, "all is handled", s.allHandled)
	if got := w.redis.Do("GET", "gabberd:foreign:"+nodes); got != "mine" {
		t.Errorf("what stood there is now %v", got)
	}
	await(t, "all know each other", func() bool { return a.states() == "a up, b up, c up" })
	for _, text := range []string{"field of nobody", "stranger"} {
		if n := strings.Count(w.log.String(), "nodes} "+text); n > 3 {
			t.Errorf("%s was logged %d times", text, n)
		}
	}
}
