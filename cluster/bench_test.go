package cluster_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/cluster"
	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/storage/redis/redistest"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// cost reports stanzas per second, and what one costs this process and Redis.
func cost(b *testing.B, r *redistest.Server, stanzas int, run func()) {
	b.Helper()
	cpu, there, began := ownCPU(b), redisCPU(b, r), time.Now()
	run()
	took := time.Since(began)
	own, far := ownCPU(b)-cpu, redisCPU(b, r)-there
	b.ReportMetric(float64(stanzas)/took.Seconds(), "stanzas/s")
	b.ReportMetric(own.Seconds()*1e6/float64(stanzas), "own-µs/stanza")
	b.ReportMetric(far.Seconds()*1e6/float64(stanzas), "redis-µs/stanza")
	b.ReportMetric(0, "ns/op")
}

func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func redisCPU(b *testing.B, r *redistest.Server) time.Duration {
	sum := 0.0
	for line := range strings.Lines(fmt.Sprint(r.Do("INFO", "cpu"))) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				b.Fatal(err)
			}
			sum += v
		}
	}
	return time.Duration(sum * float64(time.Second))
}

var batches = []int{1, 16, 128}

// BenchmarkNodes is messages from one node to another through everything: links,
// receipts, routing. A batch is sent when the one before has arrived.
func BenchmarkNodes(b *testing.B) {
	for _, n := range batches {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			w := newWorld(b)
			x, y := w.join("a"), w.join("b")
			counted := &counter{got: make(chan int, 1)}
			c := y.login("juliet@localhost/x")
			c.count = counted
			x.sees("juliet@localhost/x", "b")
			to, from := c.JID, xmpp.MustParse("romeo@localhost/r")
			b.ResetTimer()
			cost(b, w.redis, n*b.N, func() {
				for range b.N {
					counted.want(n)
					for range n {
						x.router.Route(context.Background(), xmpp.NewMessage("chat", from, to, xmpp.TextEl(xmpp.NSClient, "body", "Wherefore art thou?")))
					}
					<-counted.got
				}
			})
		})
	}
}

// BenchmarkNodesAtRate is the same at a steady rate, as many clients bring it about:
// what comes together is up to the link.
func BenchmarkNodesAtRate(b *testing.B) {
	for _, perMilli := range []int{1, 5, 20} {
		b.Run(fmt.Sprintf("per-second=%d", perMilli*1000), func(b *testing.B) {
			w := newWorld(b)
			x, y := w.join("a"), w.join("b")
			counted := &counter{got: make(chan int, 1)}
			c := y.login("juliet@localhost/x")
			c.count = counted
			x.sees("juliet@localhost/x", "b")
			to, from := c.JID, xmpp.MustParse("romeo@localhost/r")
			counted.want(b.N * perMilli)
			b.ResetTimer()
			cost(b, w.redis, b.N*perMilli, func() {
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for range b.N {
					<-tick.C
					for range perMilli {
						x.router.Route(context.Background(), xmpp.NewMessage("chat", from, to, xmpp.TextEl(xmpp.NSClient, "body", "Wherefore art thou?")))
					}
				}
				<-counted.got
			})
			b.ReportMetric(float64(x.Counters.Sent.Load())/float64(x.Counters.Letters.Load()), "stanzas/letter")
		})
	}
}

// BenchmarkStream is the same bytes through a Redis Stream with nothing around it:
// XADD, XREAD, and XDEL behind it.
func BenchmarkStream(b *testing.B) {
	raw(b, func(b *testing.B, c *redis.Client, frames []byte, got func([]byte)) (send func()) {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			last := "0"
			for ctx.Err() == nil {
				all, err := c.XRead(redis.Blocking(ctx, time.Second), &goredis.XReadArgs{Streams: []string{"stream", last}, Count: 64, Block: 100 * time.Millisecond}).Result()
				if err != nil || len(all) == 0 {
					continue
				}
				var ids []string
				for _, m := range all[0].Messages {
					last = m.ID
					ids = append(ids, m.ID)
					got([]byte(m.Values["b"].(string)))
				}
				if err := c.XDel(ctx, "stream", ids...).Err(); err != nil && ctx.Err() == nil {
					b.Error(err)
				}
			}
		}()
		b.Cleanup(func() { stop(); <-done })
		return func() {
			if err := c.XAdd(ctx, &goredis.XAddArgs{Stream: "stream", Values: []any{"n", "a", "e", 1, "f", 1, "a", 0, "s", 1, "b", frames}}).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPubSub is the same bytes through PUBLISH and a subscription.
func BenchmarkPubSub(b *testing.B) {
	raw(b, func(b *testing.B, c *redis.Client, frames []byte, got func([]byte)) (send func()) {
		ctx, stop := context.WithCancel(context.Background())
		b.Cleanup(stop)
		ready := make(chan struct{})
		c.Subscribe(ctx, "channel", func(payload string) { got([]byte(payload)) }, func() { close(ready) })
		<-ready
		return func() {
			if err := c.Publish(ctx, "channel", frames).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func raw(b *testing.B, connect func(*testing.B, *redis.Client, []byte, func([]byte)) func()) {
	to := xmpp.MustParse("juliet@localhost/x")
	st := xmpp.NewMessage("chat", xmpp.MustParse("romeo@localhost/r"), to, xmpp.TextEl(xmpp.NSClient, "body", "Wherefore art thou?"))
	for _, n := range batches {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			w := newWorld(b)
			framer, arrived := stream.New(stream.Limits{}), make(chan struct{}, 1)
			send := connect(b, w.client(), cluster.Encode("localhost", to, st, n), func(frames []byte) {
				if got, err := cluster.Decode(framer, frames); err != nil || got != n {
					b.Errorf("%d stanzas, %v", got, err)
				}
				arrived <- struct{}{}
			})
			b.ResetTimer()
			cost(b, w.redis, n*b.N, func() {
				for range b.N {
					send()
					<-arrived
				}
			})
		})
	}
}
