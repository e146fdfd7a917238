package cluster

import (
	_ "embed" // the script
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

//go:embed bury.lua
var burySource string

//go:embed swept.lua
var sweptSource string

// Scripts know nothing of a connection and never change.
var (
	buryScript  = redis.NewScript(burySource)
	sweptScript = redis.NewScript(sweptSource)
)

// sweeps is the dead nodes that this node sweeps.
type sweeps struct {
	mu     sync.Mutex
	active map[string]bool
}

func (s *sweeps) names() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.active {
		names = append(names, name)
	}
	return names
}

// begin is false if the sweep has begun already.
func (s *sweeps) begin(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active[name] {
		return false
	}
	if s.active == nil {
		s.active = map[string]bool{}
	}
	s.active[name] = true
	return true
}

func (s *sweeps) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active[name]
}

func (s *sweeps) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, name)
}

// goneTime is how long it can be read in Redis that a node is gone.
const goneTime = time.Minute

// bury declares nodes dead whose lease has run out, and takes over those whose
// sweeper has died. sure is whether the lack of a sign of life means anything.
func (c *Cluster) bury(sure bool) {
	c.mu.Lock()
	able := c.running && !c.fenced
	c.mu.Unlock()
	if !able {
		return
	}
	for name, m := range *c.nodes.all.Load() {
		if !m.missing.IsZero() || c.sweeps.has(name) || m.state == Up || m.state == Leaving || m.state == Suspect && !sure {
			continue
		}
		got, err := c.script(c.ctx, buryScript, []string{c.nodesKey()}, name, m.epoch, c.opt.Name, c.epoch.Load(), c.opt.Lease.Milliseconds())
		if err != nil || len(got) != 2 {
			continue // the next beat tries again, or finds that it is not dead
		}
		var epoch uint64
		if _, err := fmt.Sscan(got[1], &epoch); err != nil || !c.sweeps.begin(name) {
			continue
		}
		c.log.Warn("a node has died; its sessions are removed", "node", name)
		c.Counters.Buried.Add(1)
		c.nodes.buried(name, epoch)
		c.missed()
		c.work.Go(func() { c.sweep(name, epoch) })
	}
}

// buried notes at once what the next beat would tell.
func (n *nodes) buried(name string, epoch uint64) { n.set(name, epoch, Dead) }

// sweep removes what a dead node has left.
func (c *Cluster) sweep(name string, epoch uint64) {
	defer c.sweeps.end(name)
	for _, h := range *c.hosts.Load() {
		for {
			_, err := h.store.Sweep(c.ctx, name, epoch-1, c.closed(h))
			if err == nil {
				break
			}
			if !c.sleep(c.opt.Beat) {
				return
			}
			if c.isFenced() {
				return
			}
		}
	}
	key := c.inboxKey(name)
	for {
		err := c.orphans.find(c, key, epoch)
		if err == nil {
			break
		}
		if !c.sleep(c.opt.Beat) || c.isFenced() {
			return
		}
	}
	for c.orphans.wait(key) { // until it is known what has become of their senders
		if !c.sleep(c.opt.Beat/4) || c.isFenced() {
			return
		}
		c.orphans.settle(c)
	}
	if err := sweptScript.Run(c.ctx, c.redis, []string{c.nodesKey()}, name, c.opt.Name, goneTime.Milliseconds()).Err(); err == nil {
		c.log.Info("a dead node was swept up", "node", name)
		c.Counters.Swept.Add(1)
	}
}

// sweepSelf removes what this node has left in former epochs of a virtual host.
// What is in the inbox is found by those who read it.
func (c *Cluster) sweepSelf(h *host) {
	c.work.Go(func() {
		for {
			n, err := h.store.Sweep(c.ctx, c.opt.Name, c.epoch.Load()-1, c.closed(h))
			if err == nil {
				c.log.Info("sessions of a former life were removed", "host", h.domain, "sessions", n)
				return
			}
			if !c.sleep(c.opt.Beat) {
				return
			}
		}
	})
}

// closed does what is done when a session closes, for one whose node is dead.
func (c *Cluster) closed(h *host) func(*sm.Session) {
	return func(s *sm.Session) { h.CloseSession(c.nobody(), s, "") }
}

// An orphan is a letter to an epoch that is over.
type orphan struct {
	key, id string
	from    string
	epoch   uint64 // of the sender
	seq     uint64
	since   time.Time // when it was found
}

// maxOrphans bounds what is kept in mind; the rest is found when the inbox is
// read again.
const maxOrphans = 100_000

// orphans is letters of which is not known yet what becomes of them: their senders
// may live, and have copies, or not.
type orphans struct {
	mu   sync.Mutex
	list []orphan
	have map[string]bool // key and id
	busy bool
}

func (o *orphans) add(x orphan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.have == nil {
		o.have = map[string]bool{}
	}
	x.since = time.Now()
	if k := x.key + " " + x.id; !o.have[k] && len(o.list) < maxOrphans {
		o.have[k] = true
		o.list = append(o.list, x)
	}
}

// find looks through the inbox of a dead node.
func (o *orphans) find(c *Cluster, key string, epoch uint64) error {
	last := "-"
	for {
		letters, err := c.redis.XRangeN(c.ctx, key, last, "+", readCount).Result()
		if err != nil {
			return err
		}
		for _, m := range letters {
			lt, err := readLetter(m.ID, m.Values)
			if err == nil && lt.to < epoch {
				o.add(orphan{key: key, id: lt.id, from: lt.from, epoch: lt.epoch, seq: lt.seq})
			}
		}
		if len(letters) < readCount {
			return nil
		}
		// The last one comes once more, which does no harm: "behind it" can only be
		// said since Redis 6.2.
		last = letters[len(letters)-1].ID
	}
}

// wait reports whether something of that inbox is undecided.
func (o *orphans) wait(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.busy {
		return true
	}
	for _, x := range o.list {
		if x.key == key {
			return true
		}
	}
	return false
}

// settle decides what can be decided, on a goroutine of its own.
func (o *orphans) settle(c *Cluster) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.busy || len(o.list) == 0 {
		return
	}
	o.busy = true
	list := o.list
	o.list = nil
	c.work.Go(func() {
		left := list[:0:0]
		seen := map[linkKey]uint64{}
		for _, x := range list {
			if !o.decide(c, x, seen) {
				left = append(left, x)
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.list = append(left, o.list...)
		clear(o.have)
		for _, x := range o.list {
			o.have[x.key+" "+x.id] = true
		}
		o.busy = false
	})
}

// decide deals with one letter, and reports whether that is done. What is from a
// living sender is thrown away: he has copies. What is from a dead one is routed
// again by who has deleted it.
func (o *orphans) decide(c *Cluster, x orphan, seen map[linkKey]uint64) bool {
	fate := c.nodes.fate(x.from, x.epoch)
	if fate == undecided || fate == alive && !c.nodes.aliveSince(x.from, x.since) {
		return false // a lease may be left of one who has just died
	}
	var letters []goredis.XMessage
	if fate == over {
		var err error
		if letters, err = c.redis.XRange(c.ctx, x.key, x.id, x.id).Result(); err != nil {
			return false
		}
	}
	n, err := c.redis.XDel(c.ctx, x.key, x.id).Result()
	if err != nil {
		return false
	}
	if n == 1 && len(letters) == 1 {
		c.adopt(&letters[0], seen)
	}
	return true
}

// adopt routes the messages in a letter whose sender and receiver are dead. Of
// what was sent several times the first is taken.
func (c *Cluster) adopt(m *goredis.XMessage, seen map[linkKey]uint64) {
	lt, err := readLetter(m.ID, m.Values)
	if err != nil || lt.seq == 0 {
		return
	}
	frames, err := splitFrames(lt.frames)
	if err != nil {
		return
	}
	framer := stream.New(stream.Limits{})
	key := linkKey{lt.from, lt.epoch}
	for i := range frames {
		seq := lt.seq + uint64(i)
		if seq <= seen[key] {
			continue
		}
		seen[key] = seq
		if frames[i].kind != frameStanza {
			continue
		}
		p, err := readStanza(framer, frames[i].body)
		if err != nil || p.st.Kind != xmpp.Message {
			continue
		}
		if h := c.host(p.domain); h != nil {
			c.Counters.Adopted.Add(1)
			h.Reroute(c.nobody(), p.st)
		}
	}
}
