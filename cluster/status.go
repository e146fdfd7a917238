package cluster

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// Counters is what has happened since the start of this process.
type Counters struct {
	Sent     atomic.Uint64 // frames, each time
	Resent   atomic.Uint64 // frames that were sent again for want of an answer
	Letters  atomic.Uint64 // entries written into inboxes of others
	Received atomic.Uint64 // frames that were taken
	Repeated atomic.Uint64 // frames that had been taken, or were not the next
	Charged  atomic.Uint64 // messages that others have taken charge of
	Rerouted atomic.Uint64 // stanzas that were routed again because a node was gone
	Adopted  atomic.Uint64 // messages of dead senders to dead receivers that were routed again
	Moved    atomic.Uint64 // sessions that have gone on on another node
	Refused  atomic.Uint64 // stanzas that were over a bound
	Held     atomic.Uint64 // messages that had to wait behind others
	Late     atomic.Uint64 // letters of nodes whose epoch is over
	Homeless atomic.Uint64 // stanzas for virtual hosts that are not here
	Foreign  atomic.Uint64 // what others have written under our names
	Beats    atomic.Uint64 // times the lease was renewed
	Emptied  atomic.Uint64 // times Redis was found empty
	Fenced   atomic.Uint64 // times this node was taken for dead
	Buried   atomic.Uint64 // nodes that this one has begun to sweep
	Swept    atomic.Uint64 // nodes that this one has swept up
}

// A Status is a node as it looks from here.
type Status struct {
	Name     string        `json:"name"`
	Epoch    uint64        `json:"epoch"`
	State    State         `json:"state"`
	Lease    time.Duration `json:"lease"`    // that is left
	Sessions int           `json:"sessions"` // as counted some seconds ago
	Inbox    int           `json:"inbox"`    // entries; -1: Redis cannot be asked
	Started  time.Time     `json:"started"`
	Self     bool          `json:"self"`
}

// Nodes is all nodes in order of name, this one among them. It asks Redis, for a
// bounded time.
func (c *Cluster) Nodes(ctx context.Context) []Status {
	self := Status{Name: c.opt.Name, Epoch: c.epoch.Load(), State: Up, Sessions: c.sessions(), Started: c.started, Self: true}
	if t := c.heart.renewed.Load(); t != nil {
		self.Lease = max(c.opt.Lease-age(*t), 0)
	}
	switch {
	case c.isLeaving():
		self.State = Leaving
	case c.isFenced():
		self.State = Dead
	case self.Lease == 0:
		self.State = Suspect
	}
	out := []Status{self}
	for name, m := range *c.nodes.all.Load() {
		if m.state == gone {
			continue
		}
		started, _ := time.Parse(time.RFC3339, m.Started) // zero if it says nothing of use
		out = append(out, Status{Name: name, Epoch: m.epoch, State: m.state, Lease: m.lease, Sessions: m.Sessions, Started: started})
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	for i := range out {
		n, err := c.redis.XLen(ctx, c.inboxKey(out[i].Name)).Result()
		if err != nil {
			n = -1
		}
		out[i].Inbox = int(n)
	}
	return out
}

// Waiting is how many stanzas this node keeps copies of, and how many wait behind
// others.
func (c *Cluster) Waiting() (copies, held int) {
	for _, l := range c.allLinks() {
		l.mu.Lock()
		copies += len(l.waiting) + len(l.uncharge)
		l.mu.Unlock()
	}
	return copies, c.held.waiting()
}
