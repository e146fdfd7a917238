package announce

import (
	"context"
	"sync"
)

// Bounds on what waits to be done.
const (
	maxAnnouncements = 16
	maxGreetings     = 10_000 // more users at once are greeted at their next login
)

// A crew does what takes long beside the stanzas: one of it sends
// announcements, one greets those who come.
type crew struct {
	cancel        context.CancelFunc
	announcements chan func(context.Context)
	greetings     chan func(context.Context)
	working       sync.WaitGroup
}

func newCrew(ctx context.Context) *crew {
	ctx, cancel := context.WithCancel(ctx)
	c := &crew{cancel: cancel, announcements: make(chan func(context.Context), maxAnnouncements), greetings: make(chan func(context.Context), maxGreetings)}
	for _, jobs := range []chan func(context.Context){c.announcements, c.greetings} {
		c.working.Go(func() {
			for {
				select {
				case f := <-jobs:
					f(ctx)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return c
}

// announce reports whether f will be done; there may be too much to do already.
func (c *crew) announce(f func(context.Context)) bool { return offer(c.announcements, f) }

func (c *crew) greet(f func(context.Context)) bool { return offer(c.greetings, f) }

func offer(jobs chan func(context.Context), f func(context.Context)) bool {
	select {
	case jobs <- f:
		return true
	default:
		return false
	}
}

// stop ends the work. What has not been begun is not done.
func (c *crew) stop() {
	c.cancel()
	c.working.Wait()
}
