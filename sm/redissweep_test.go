package sm_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

func lines(text any) iter.Seq[string] { return strings.SplitSeq(fmt.Sprint(text), "\r\n") }

// tally counts how often each session was called gone.
type tally struct {
	mu sync.Mutex
	of map[sm.ID]int
}

func (c *tally) gone(s *sm.Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[sm.ID]int{}
	}
	c.of[s.ID]++
}

func (c *tally) once(t *testing.T, want int) {
	t.Helper()
	if len(c.of) != want {
		t.Errorf("%d sessions are gone, not %d", len(c.of), want)
	}
	for id, n := range c.of {
		if n != 1 {
			t.Errorf("%v is gone %d times", id, n)
		}
	}
}

// fill opens n sessions on a node, as quickly as it goes.
func (n *node) fill(count int) {
	n.t.Helper()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for k := i; k < count; k += 50 {
				s := sessionOn(n.name, fmt.Sprintf("u%d@localhost/%d", k%1000, k))
				if _, err := n.store.Add(context.Background(), s); err != nil {
					n.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Two survivors remove what a dead node has left: in steps, every session once, and
// nothing of what the node has written since.
func TestSweep(t *testing.T) {
	t.Run("one Redis", func(t *testing.T) {
		server := redistest.Start(t)
		sweep(t, newWorld(t, server))
		var scans int
		for line := range lines(server.Do("INFO", "commandstats")) {
			_, _ = fmt.Sscanf(line, "cmdstat_hscan:calls=%d,", &scans) // the others do not match
		}
		if scans < 3000/1000 {
			t.Errorf("3000 sessions were read in %d steps", scans)
		}
	})
	t.Run("Redis Cluster", func(t *testing.T) { sweep(t, newWorld(t, redistest.StartCluster(t))) })
}

func sweep(t *testing.T, w *world) {
	a, b, c := w.join("a@x"), w.join("b@x"), w.join("c@x")
	a.fill(3000)
	known := a.available("romeo@localhost/orchard", "7")
	own := sessionOn("b@x", "u1@localhost/own")
	add(t, b.store, own)
	a.begin(2)
	again := sessionOn("a@x", "u2@localhost/again") // the node has come back, and is not swept
	add(t, a.store, again)

	var gone tally
	var sum [2]int
	var wg sync.WaitGroup
	for i, n := range []*node{b, c} {
		wg.Go(func() {
			var err error
			if sum[i], err = n.store.Sweep(context.Background(), "a@x", 1, func(s *sm.Session) {
				if p, ok := s.Priority(); s.ID == known.ID && (p != 7 || !ok) {
					t.Errorf("romeo is gone with priority %d, %v", p, ok)
				}
				gone.gone(s)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	gone.once(t, 3001)
	if sum[0]+sum[1] != 3001 {
		t.Errorf("%v were removed", sum)
	}
	for _, n := range []*node{b, c} {
		if all := must[[]*sm.Session](t)(n.store.All()); ids(all) != ids([]*sm.Session{own, again}) {
			t.Errorf("%s sees %s", n.name, ids(all))
		}
	}
	if n := must[int](t)(c.store.Count()); n != 2 {
		t.Errorf("Count is %d", n)
	}
	a.store.Forget()
	known.leave()
}

// A node that starts cleans what it has left itself, also when whoever began that
// before has not come to its end: his cursor may have skipped what is new since.
func TestSweepTakesUpACursor(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t, server)
	a := w.join("a")
	a.fill(3000)
	key := a.client.Key("sm", "localhost", "node", "a")
	_, cursor, err := a.client.HScan(context.Background(), key, 0, "", 1000).Result()
	if err != nil || cursor == 0 {
		t.Fatalf("the cursor is %d, %v", cursor, err)
	}
	server.Do("SET", key+":deletioncursor", fmt.Sprint(cursor))
	server.Do("DEL", a.client.Key("sm", "localhost")) // which would make up for it
	a.store.Forget()
	a.begin(2)
	var gone tally
	if n, err := a.store.Sweep(context.Background(), "a", 1, gone.gone); n != 3000 || err != nil {
		t.Errorf("removed %d, %v", n, err)
	}
	gone.once(t, 3000)
	if ttl := fmt.Sprint(server.Do("TTL", key+":deletioncursor")); ttl != "30" && ttl != "29" {
		t.Errorf("the cursor stays for %s s", ttl)
	}
	if n, err := a.store.Sweep(context.Background(), "a", 1, gone.gone); n != 0 || err != nil {
		t.Errorf("the second time removed %d, %v", n, err)
	}
}

// An index that was lost is made up for by the other one.
func TestSweepWithoutAnIndex(t *testing.T) {
	server := redistest.Start(t)
	for _, lost := range [][]string{{"sm", "localhost", "node", "a"}, {"sm", "localhost"}} {
		w := newWorld(t, server)
		a, b := w.join("a"), w.join("b")
		s, own := sessionOn("a", "romeo@localhost/orchard"), sessionOn("b", "romeo@localhost/balcony")
		add(t, a.store, s)
		add(t, b.store, own)
		server.Do("DEL", a.client.Key(lost...))
		a.begin(2)
		var gone tally
		if n, err := b.store.Sweep(context.Background(), "a", 1, gone.gone); n != 1 || err != nil {
			t.Errorf("without %v removed %d, %v", lost, n, err)
		}
		gone.once(t, 1)
		if got := fmt.Sprint(server.Do("HKEYS", a.client.Key("sm", "romeo@localhost"))); got != "["+own.ID.String()+"]" {
			t.Errorf("without %v left: %s", lost, got)
		}
	}
}
