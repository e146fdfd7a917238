package redis_test

import (
	"errors"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	s := redistest.StartCluster(t)
	c := open(t, options(s.URL()), silent)
	if !c.IsCluster() {
		t.Error("it is no cluster")
	}
	works(t, c)
	e := hear(t.Context(), c, c.Key("sm"))
	e.expect(t, "(subscribed)")
	publish := func(m string) {
		t.Helper()
		if err := c.Publish(t.Context(), c.Key("sm"), m).Err(); err != nil {
			t.Fatal(err)
		}
	}
	publish("hello")
	e.expect(t, "hello")

	run := func() {
		t.Helper()
		if _, err := push.Run(t.Context(), c, []string{c.Key("one")}, "a").Result(); err != nil {
			t.Fatal(err)
		}
		var all []*goredis.Cmd
		if _, err := c.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
			for i := range 30 { // all over the nodes
				all = append(all, push.Queue(t.Context(), p, []string{c.Key("list", fmt.Sprint(i))}, i))
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for i, cmd := range all {
			if got, err := cmd.Text(); err != nil || got != fmt.Sprint(i) {
				t.Errorf("%d: got %q, %v", i, got, err)
			}
		}
	}
	run()
	run()
	for _, n := range s.Nodes {
		n.Do("SCRIPT", "FLUSH")
	}
	run()
	for i := range 30 {
		if n, err := c.LLen(t.Context(), c.Key("list", fmt.Sprint(i))).Result(); err != nil || n != 3 {
			t.Errorf("list %d has %d, %v", i, n, err)
		}
	}

	clusterOrder(t, c)

	for _, n := range s.Nodes {
		n.Kill()
	}
	await(t, "it is away", func() bool { return !c.Up() })
	if err := c.Get(t.Context(), c.Key("x")).Err(); !errors.Is(err, redis.ErrAway) {
		t.Errorf("got %v", err)
	}
	for _, n := range s.Nodes {
		n.Resume()
	}
	s.Await()
	await(t, "it is back", c.Up)
	works(t, c)
	e.expect(t, "(subscribed)")
	publish("again")
	e.expect(t, "again")
	run()
}

// clusterOrder has scripts for one key keep their order when its node knows one
// of them, and another node the other.
func clusterOrder(t *testing.T, c *redis.Client) {
	t.Helper()
	drop := redis.NewScript(`return redis.call('DEL', KEYS[1])`)
	for i := range 10 {
		if err := drop.Run(t.Context(), c, []string{c.Key("elsewhere", fmt.Sprint(i))}).Err(); err != nil {
			t.Fatal(err)
		}
		key := []string{c.Key("order", fmt.Sprint(i))}
		if err := push.Run(t.Context(), c, key, "a").Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
			drop.Queue(t.Context(), p, key)
			push.Queue(t.Context(), p, key, "b")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := c.LRange(t.Context(), key[0], 0, -1).Result(); err != nil || fmt.Sprint(got) != "[b]" {
			t.Errorf("got %q, %v", got, err)
		}
		drop = redis.NewScript(fmt.Sprintf(`return redis.call('DEL', KEYS[1]) -- %d`, i))
	}
}

// One node of three is gone, and not the one that is looked at: the others
// refuse all commands, which is seen too.
func TestClusterWithoutOne(t *testing.T) {
	t.Parallel()
	s := redistest.StartCluster(t)
	c := open(t, options(s.URL()), silent)
	works(t, c)
	slot, ok := s.Nodes[0].Do("CLUSTER", "KEYSLOT", "{nodes}").(int64)
	if !ok {
		t.Fatal("no slot")
	}
	other := s.Nodes[0] // which has the first third
	if slot < 16384/3 {
		other = s.Nodes[2]
	}
	other.Freeze()
	await(t, "it is away", func() bool { return !c.Up() })
	other.Thaw()
	s.Await()
	await(t, "it is back", c.Up)
	works(t, c)
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	s := redistest.StartWatched(t)
	c := open(t, options(s.URL()), silent)
	works(t, c)
	e := hear(t.Context(), c, "channel")
	e.expect(t, "(subscribed)")
	await(t, "the replica has it", func() bool { return s.Replica.Do("GET", c.Key("x")) == "1" })
	s.Master.Kill()
	await(t, "it is away", func() bool { return !c.Up() })
	await(t, "the replica has taken over", c.Up)
	works(t, c)
	await(t, "subscribed anew", func() bool {
		return fmt.Sprint(s.Replica.Do("PUBSUB", "NUMSUB", "channel")) == "[channel 1]"
	})
}
