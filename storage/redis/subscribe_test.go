package redis_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

// ear is a subscription whose events can be waited for.
type ear struct{ events chan string }

func hear(ctx context.Context, c *redis.Client, channel string) ear {
	e := ear{make(chan string, 100)}
	c.Subscribe(ctx, channel, func(m string) { e.events <- m }, func() { e.events <- "(subscribed)" })
	return e
}

func (e ear) expect(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-e.events:
		if got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	case <-t.Context().Done():
	}
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var log book
	c := open(t, options(s.URL()), log.logger(slog.LevelDebug))
	e := hear(t.Context(), c, c.Key("sm"))
	e.expect(t, "(subscribed)")
	publish := func(m string) {
		t.Helper()
		if err := c.Publish(t.Context(), c.Key("sm"), m).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		publish(fmt.Sprint(i))
	}
	for i := range 50 {
		e.expect(t, fmt.Sprint(i))
	}

	s.Kill()
	s.Resume()
	e.expect(t, "(subscribed)")
	await(t, "it is back", c.Up)
	publish("after the restart")
	e.expect(t, "after the restart")

	s.Do("CLIENT", "KILL", "TYPE", "pubsub")
	e.expect(t, "(subscribed)")
	publish("after the connection was cut")
	e.expect(t, "after the connection was cut")

	before := len(log.String())
	// Nothing says that the connection is of no use: it stays open.
	s.Freeze()
	await(t, "it is away", func() bool { return !c.Up() })
	await(t, "the subscription is given up", func() bool { return strings.Contains(log.String()[before:], "Redis subscription lost") })
	s.Thaw()
	e.expect(t, "(subscribed)")
	await(t, "it is back", c.Up)
	publish("after it was frozen")
	e.expect(t, "after it was frozen")
}

// Who wants to hear no more hears no more, and the goroutine ends.
func TestSubscribeEnds(t *testing.T) {
	s := redistest.Start(t)
	c := open(t, options(s.URL()), silent)
	ctx, cancel := context.WithCancel(t.Context())
	e := hear(ctx, c, "channel")
	e.expect(t, "(subscribed)")
	cancel()
	await(t, "nobody is subscribed", func() bool {
		return fmt.Sprint(s.Do("PUBSUB", "NUMSUB", "channel")) == "[channel 0]"
	})
}
