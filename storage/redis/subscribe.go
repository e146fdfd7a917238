package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// How a subscription is watched over.
const (
	quiet    = 2 * time.Second        // without a word, after which it is pinged; as long may the answer take
	subPause = 200 * time.Millisecond // before it is tried again
)

// Subscribe hears what is published on channel, in a goroutine of its own, until
// ctx or the Client ends. received is called with each message, one after the
// other. onSubscribed, which may be nil, is called before the first message of
// every subscription, the first and those after a connection was lost: what was
// published in between is lost, and caches that live on it must be dropped. A
// connection that is dead without saying so is noticed after 4 seconds.
func (c *Client) Subscribe(ctx context.Context, channel string, received func(payload string), onSubscribed func()) {
	ctx, cancel := context.WithCancel(ungated(ctx))
	stop := context.AfterFunc(c.ctx, cancel)
	if onSubscribed == nil {
		onSubscribed = func() {}
	}
	c.work.Go(func() {
		defer stop()
		defer cancel()
		for ctx.Err() == nil {
			err := c.listen(ctx, channel, received, onSubscribed)
			if ctx.Err() != nil {
				return
			}
			if c.log.Enabled(ctx, slog.LevelDebug) {
				c.log.DebugContext(ctx, "Redis subscription lost", "channel", channel, "err", err)
			}
			c.left(err)
			select {
			case <-ctx.Done():
			case <-time.After(subPause):
			}
		}
	})
}

// listen is one subscription, until it breaks.
func (c *Client) listen(ctx context.Context, channel string, received func(string), onSubscribed func()) error {
	sub := c.all.Subscribe(ctx)
	// Closing is what ends a read.
	done := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer func() {
		if done() {
			_ = sub.Close() // it is broken already
		}
	}()
	if c.log.Enabled(ctx, slog.LevelDebug) {
		c.log.DebugContext(ctx, "Redis command", "cmd", "SUBSCRIBE "+channel)
	}
	if err := sub.Subscribe(ctx, channel); err != nil {
		return fmt.Errorf("subscribe to %s: %w", channel, err)
	}
	asked := true // an answer is due
	for {
		got, err := sub.ReceiveTimeout(ctx, quiet)
		if err != nil {
			if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() || asked {
				return fmt.Errorf("listen to %s: %w", channel, err)
			}
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("ping the subscription to %s: %w", channel, err)
			}
			asked = true
			continue
		}
		asked = false
		switch m := got.(type) {
		case *goredis.Subscription:
			onSubscribed()
		case *goredis.Message:
			received(m.Payload)
		}
	}
}
