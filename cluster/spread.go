package cluster

// Spread tells all other nodes of an event on a virtual host, or of the server
// where domain is empty. It does not wait. A node that lives hears all events of
// another one in order, once, as long as both live.
func (c *Cluster) Spread(domain, event string, payload []byte) {
	body := eventBody(domain, event, payload)
	for name, m := range *c.nodes.all.Load() {
		if !m.living() {
			continue
		}
		l := c.link(name, m.epoch)
		if l == nil {
			continue // gone this moment
		}
		if err := l.send(copied{kind: frameEvent, body: body}); err != nil {
			c.once.warn("event for "+name, "an event could not be told to another node", err)
		}
	}
}

// missed has it known that events may have been lost: with a node that is gone, or
// while this one was cut off.
func (c *Cluster) missed() {
	if c.opt.Missed != nil {
		c.work.Go(c.opt.Missed)
	}
}

// hear hands on what the other nodes spread.
func (c *Cluster) hear() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case h := <-c.events:
			if c.opt.Heard != nil {
				c.opt.Heard(h.domain, h.event, h.payload)
			}
		}
	}
}
