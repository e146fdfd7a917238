package cluster

import (
	"context"
	"fmt"
	"time"
)

// leaveLook is how often is looked whether this node may go.
const leaveLook = 10 * time.Millisecond

// Close leaves the cluster in order. It is called when all local sessions have
// ended. It waits, as long as ctx lasts, until the other nodes have taken charge
// of what this one has sent, and this one of what has come; then it says goodbye,
// and from then on nothing that this node has written holds. The error says what
// was left behind; the node is out of the cluster also then.
func (c *Cluster) Close(ctx context.Context) error {
	c.mu.Lock()
	again := c.leaving
	c.leaving = true
	running := c.running
	c.mu.Unlock()
	if again {
		<-c.ctx.Done()
		c.work.Wait()
		return nil
	}
	var err error
	if running {
		c.pokeHeart()
		c.wakeInbox()      // it may wait for a letter, and has not heard that we leave
		c.tally.write(ctx) // of streams that have just ended
		err = c.drain(ctx)
		c.stopReading(ctx)
	}
	if gone := c.goodbye(ctx); err == nil {
		err = gone
	}
	c.end()
	return err
}

// end stops everything.
func (c *Cluster) end() {
	c.mu.Lock()
	c.stop()
	c.mu.Unlock()
	c.work.Wait()
}

// drain waits until nothing is under way.
func (c *Cluster) drain(ctx context.Context) error {
	begun := c.inbox.reading.Load()
	for {
		copies, held := c.Waiting()
		if c.inbox.emptyAt.Load() > begun && c.inbox.quiet() && c.linksIdle() && held == 0 {
			return nil
		}
		select {
		case <-time.After(leaveLook):
		case <-ctx.Done():
			return fmt.Errorf("leave the cluster: %d stanzas for other nodes and %d that wait are left: %w", copies, held, ctx.Err())
		}
	}
}

func (c *Cluster) linksIdle() bool {
	for _, l := range c.allLinks() {
		if !l.idle() {
			return false
		}
	}
	return true
}

// stopReading has nothing more taken out of the inbox, and waits until the others
// were told what was.
func (c *Cluster) stopReading(ctx context.Context) {
	close(c.inbox.closing)
	select {
	case <-c.inbox.over:
	case <-ctx.Done():
	}
	for _, l := range c.allLinks() {
		l.repeatAck()
	}
	for !c.linksTold() && ctx.Err() == nil {
		if !c.sleep(leaveLook) {
			return
		}
	}
}

// linksTold reports whether everybody was told what this node has received and
// taken charge of.
func (c *Cluster) linksTold() bool {
	for _, l := range c.allLinks() {
		l.mu.Lock()
		told := l.state != linkOpen || !l.posting && len(l.safe) == 0 && l.acked == l.in && l.ackBy.IsZero() && l.sent == l.last
		l.mu.Unlock()
		if !told {
			return false
		}
	}
	return true
}

// goodbye takes this node out of the list and tells the others.
func (c *Cluster) goodbye(ctx context.Context) error {
	c.heart.mu.Lock() // no beat puts it back
	defer c.heart.mu.Unlock()
	if c.isFenced() {
		return nil
	}
	epoch := c.epoch.Load()
	if err := leaveScript.Run(ctx, c.redis, c.ownKeys(), c.opt.Name, epoch, goneTime.Milliseconds()).Err(); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	c.mu.Lock()
	c.fenced = true
	c.mu.Unlock()
	for name, m := range *c.nodes.all.Load() {
		if m.living() {
			// They find out by themselves soon.
			_ = c.post(name, []letter{{from: c.opt.Name, epoch: epoch, to: m.epoch, frames: appendFrame([]byte{frameVersion}, frameBye, nil)}})
		}
	}
	return nil
}
