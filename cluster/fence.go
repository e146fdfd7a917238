package cluster

import (
	"errors"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// fence is the end of an epoch: the others have taken this node for dead.
func (c *Cluster) fence() {
	c.mu.Lock()
	if c.fenced {
		c.mu.Unlock()
		return
	}
	c.fenced = true
	c.cut.Store(true)
	c.mute.begin()
	links := c.links
	c.links = map[linkKey]*link{}
	c.mu.Unlock()
	c.gate.shut()
	c.Counters.Fenced.Add(1)
	c.log.Error("this node was taken for dead by the others: it ends all streams and begins anew", "node", c.opt.Name)
	for _, l := range links {
		l.forget()
	}
	c.held.forget()
	c.inbox.forget()
	var all []*sm.Session
	for _, h := range *c.hosts.Load() {
		all = append(all, h.store.Forget()...)
	}
	c.work.Go(func() { c.renew(all) })
}

// endTime is how long sessions of a former epoch may take to end.
const endTime = 10 * time.Second

// endAll ends sessions and waits for that.
func (c *Cluster) endAll(all []*sm.Session) {
	for _, s := range all {
		s.Close(stream.Reset.With("This server was cut off from the others"))
	}
	t := time.NewTimer(endTime)
	defer t.Stop()
	for _, s := range all {
		select {
		case <-s.Done():
		case <-t.C:
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// renew begins a new epoch when the streams of the old one are over.
func (c *Cluster) renew(old []*sm.Session) {
	c.endAll(old)
	if c.opt.Fenced != nil {
		c.opt.Fenced()
	}
	for {
		err := c.take(c.ctx)
		if err == nil {
			break
		}
		if errors.Is(err, errTaken) {
			c.log.Error("this node cannot begin anew", "error", err)
		}
		if !c.sleep(c.opt.Beat) {
			return
		}
	}
	c.mu.Lock()
	c.fenced = false
	c.mu.Unlock()
	c.held.forget()
	c.cut.Store(false)
	c.mute.ending()
	c.heart.doubt.Store(true) // nothing of what was known before is sure
	for _, h := range *c.hosts.Load() {
		c.sweepSelf(h)
	}
	c.pokeHeart()
	c.greet()
	c.missed()
	c.log.Info("this node has begun anew", "node", c.opt.Name, "epoch", c.epoch.Load())
}
