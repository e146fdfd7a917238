package cluster

import (
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis"
)

//go:embed take.lua
var takeSource string

//go:embed beat.lua
var beatSource string

//go:embed leave.lua
var leaveSource string

// Scripts know nothing of a connection and never change.
var (
	takeScript  = redis.NewScript(takeSource)
	beatScript  = redis.NewScript(beatSource)
	leaveScript = redis.NewScript(leaveSource)
)

// entryVersion is the version of what a node says about itself.
const entryVersion = 1

// An entry is what a node says about itself in Redis, for the others and for
// people.
type entry struct {
	V        int    `json:"v"`
	Epoch    uint64 `json:"epoch"`
	Started  string `json:"started"` // RFC 3339
	Instance string `json:"instance"`
	State    State  `json:"state"`
	Sessions int    `json:"sessions"`
	By       string `json:"by,omitempty"` // who sweeps it

	Knows map[string]uint64 `json:"knows,omitempty"` // the epochs of the nodes that it tells of what happens
}

// heart keeps this node alive for the others.
type heart struct {
	poke    chan struct{} // beat now
	mu      sync.Mutex    // one beat at a time
	steady  time.Time     // since when each beat has reached the same Redis
	sick    bool          // the last beat has failed, or found Redis emptied
	doubt   atomic.Bool   // a connection was lost: it may be another Redis now
	count   int           // of beats, to count sessions not each time
	entry   entry
	renewed atomic.Pointer[time.Time] // when the lease was last renewed

	unsettled atomic.Pointer[time.Time] // when Redis was last found empty
}

func (c *Cluster) nodesKey() string { return c.redis.Key("{nodes}") }

// ownKeys is the keys of all scripts about this node.
func (c *Cluster) ownKeys() []string {
	all := c.nodesKey()
	return []string{all, all + ":epoch:" + c.opt.Name, all + ":lease:" + c.opt.Name}
}

// errTaken is the error of a name that another node has.
var errTaken = errors.New("a node of this name lives elsewhere")

// take takes a new epoch. A lease that nobody renews is waited for.
func (c *Cluster) take(ctx context.Context) error {
	last := time.Duration(0)
	for {
		got, err := c.script(ctx, takeScript, c.ownKeys(), c.opt.Name, c.opt.Instance, c.opt.Lease.Milliseconds())
		switch {
		case err != nil:
			return fmt.Errorf("join the cluster: %w", err)
		case len(got) == 2 && got[0] == "yours":
			epoch, err := strconv.ParseUint(got[1], 10, 64)
			if err != nil {
				return fmt.Errorf("join the cluster: read the epoch: %w", err)
			}
			c.epoch.Store(epoch)
			c.nodes.forgetSelf()
			return nil
		case len(got) != 3:
			return fmt.Errorf("join the cluster: Redis has answered %q", got)
		}
		ms, _ := strconv.Atoi(got[2]) // 0 is as good as expired
		left := time.Duration(ms) * time.Millisecond
		if last != 0 && left > last {
			return fmt.Errorf("%w: %q is renewed by %s; give this node another name (--node)", errTaken, c.opt.Name, got[1])
		}
		last = left
		select {
		case <-time.After(min(c.opt.Beat/2, left+time.Millisecond)):
		case <-ctx.Done():
			return fmt.Errorf("%w: the lease of %q has not run out yet: %w", errTaken, c.opt.Name, ctx.Err())
		case <-c.ctx.Done():
			return errLeft
		}
	}
}

// script runs a script that answers with a list of texts. If something of
// another type is where a key of ours must be, it is moved aside once.
func (c *Cluster) script(ctx context.Context, s *redis.Script, keys []string, args ...any) ([]string, error) {
	got, err := s.Run(ctx, c.redis, keys, args...).StringSlice()
	if err != nil && strings.Contains(err.Error(), "WRONGTYPE") {
		if err := c.aside(ctx); err != nil {
			return nil, err
		}
		got, err = s.Run(ctx, c.redis, keys, args...).StringSlice()
	}
	return got, err
}

// aside renames keys of another type that are where ours must be.
func (c *Cluster) aside(ctx context.Context) error {
	own := c.ownKeys()
	want := map[string]string{own[0]: "hash", own[1]: "string", own[2]: "string", c.inboxKey(c.opt.Name): "stream"}
	for key, typ := range want {
		is, err := c.redis.Type(ctx, key).Result()
		if err != nil {
			return fmt.Errorf("look at %s: %w", key, err)
		}
		if is == typ || is == "none" {
			continue
		}
		c.Counters.Foreign.Add(1)
		c.once.foreign(key, fmt.Errorf("%w: it is a %s, not a %s; it was renamed", errForeign, is, typ))
		// The same hash tag keeps it where it is on a Redis Cluster.
		to := c.redis.Key("foreign", key)
		if !strings.Contains(key, "{") {
			to = c.redis.Key("foreign", "{"+key+"}")
		}
		if err := c.redis.Rename(ctx, key, to).Err(); err != nil {
			return fmt.Errorf("rename %s: %w", key, err)
		}
	}
	return nil
}

// live beats until the cluster is closed.
func (c *Cluster) live() {
	remove := c.redis.OnState(func(up bool) {
		if !up {
			c.gate.shut()
		}
		c.pokeHeart()
	})
	defer remove()
	tick := time.NewTicker(c.opt.Beat)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		case <-c.heart.poke:
		}
		// Whoever is concerned says so: the connection, when Redis is away.
		if err := c.beat(c.ctx); err != nil && c.ctx.Err() == nil && !errors.Is(err, redis.ErrAway) && !errors.Is(err, errFenced) {
			c.once.warn("heartbeat", "the lease of this node could not be renewed", err)
		}
	}
}

// pokeHeart has the heart beat now.
func (c *Cluster) pokeHeart() {
	select {
	case c.heart.poke <- struct{}{}:
	default:
	}
}

// hurry has the heart beat soon, if it has not just done so.
func (c *Cluster) hurry() {
	if t := c.heart.renewed.Load(); t == nil || age(*t) > c.opt.Beat/10 {
		c.pokeHeart()
	}
}

// Check looks soon whether this node still lives for the others. It is for who
// has been told by Redis that it does not.
func (c *Cluster) Check() { c.pokeHeart() }

// errFenced is the error of a node whose epoch is over.
var errFenced = errors.New("this node was taken for dead")

// beat renews the lease and learns of the others. It may be called by anyone.
func (c *Cluster) beat(ctx context.Context) error {
	h := &c.heart
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.isFenced() {
		return errFenced
	}
	now := time.Now()
	epoch := c.epoch.Load()
	args := []any{c.opt.Name, epoch, c.opt.Lease.Milliseconds(), c.describe(epoch)}
	for _, name := range c.sweeps.names() {
		args = append(args, name)
	}
	asked := c.nodes.asking()
	got, err := c.script(ctx, beatScript, c.ownKeys(), args...)
	if err != nil {
		h.sick = true
		c.gate.shut()
		return err
	}
	if len(got) == 0 || len(got)%4 != 1 && got[0] != "fenced" {
		return fmt.Errorf("renew the lease: Redis has answered %q", got)
	}
	c.Counters.Beats.Add(1)
	if got[0] == "fenced" {
		c.fence()
		return errFenced
	}
	h.sick = h.doubt.Swap(false) || h.sick
	if last := h.renewed.Load(); h.sick || got[0] != "ok" || last == nil || age(*last) > c.opt.Lease/2 {
		h.steady = now
	}
	back := h.sick || got[0] == "emptied"
	h.sick = false
	h.renewed.Store(&now)
	c.nodes.learn(slices.Values(got[1:]), now.Sub(h.steady) >= c.opt.Lease, asked)
	c.gate.open()
	c.held.kick()
	if back {
		c.back(got[0] == "emptied")
	} else {
		c.rewriteBehind()
	}
	c.bury(now.Sub(h.steady) >= c.opt.Lease)
	c.orphans.settle(c)
	return nil
}

// age is how long ago t was, by whichever clock says more: one of them stands
// still while the machine sleeps.
func age(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// fresh reports whether the lease holds, as far as this node can tell without
// asking.
func (c *Cluster) fresh() bool {
	t := c.heart.renewed.Load()
	return t != nil && age(*t) < c.opt.Lease
}

// lost reports whether this node may be dead for the others without having noticed,
// because it was stopped for longer than a lease, or is, and has not begun anew
// yet. While Redis is away it is not: then nobody dies.
func (c *Cluster) lost() bool {
	return c.cut.Load() || c.gate.isOpen() && !c.fresh()
}

// describe is the entry of this node.
func (c *Cluster) describe(epoch uint64) string {
	h := &c.heart
	if h.count%10 == 0 {
		h.entry.Sessions = c.sessions()
	}
	h.count++
	h.entry.V, h.entry.Epoch, h.entry.Instance = entryVersion, epoch, c.opt.Instance
	h.entry.Started = c.started.UTC().Format(time.RFC3339)
	h.entry.Knows = c.nodes.living()
	h.entry.State = Up
	if c.isLeaving() {
		h.entry.State = Leaving
	}
	text, err := json.Marshal(h.entry)
	if err != nil {
		panic(err) // there is nothing in it that cannot be written
	}
	return string(text)
}

// sessions is how many sessions this node has.
func (c *Cluster) sessions() (n int) {
	for _, h := range *c.hosts.Load() {
		n += len(h.Here())
	}
	return n
}

func (c *Cluster) isFenced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fenced
}

func (c *Cluster) isLeaving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving
}

// back is what is done when Redis is there again, or was emptied: everything that
// was not received is sent again, the inbox is read from its beginning, and the
// sessions are written anew.
func (c *Cluster) back(emptied bool) {
	if emptied {
		c.log.Warn("Redis was emptied; sessions are written and stanzas are sent again")
		c.Counters.Emptied.Add(1)
		c.unsettle()
	}
	c.inbox.rewind.Store(true)
	for _, l := range c.allLinks() {
		l.goBack()
	}
	c.rewrite()
}

// rewrite writes the sessions anew, and has those go on who wait for the store.
func (c *Cluster) rewrite() {
	for _, h := range *c.hosts.Load() {
		c.work.Go(func() { c.rewriteHost(h, true) })
	}
}

// rewriteBehind does what of it is needed, because something could not be written
// or asked.
func (c *Cluster) rewriteBehind() {
	for _, h := range *c.hosts.Load() {
		behind := h.store.Behind()
		if (behind || h.Parked() > 0) && h.repair.TryLock() {
			h.repair.Unlock()
			c.work.Go(func() { c.rewriteHost(h, behind) })
		}
	}
}

func (c *Cluster) rewriteHost(h *host, write bool) {
	h.repair.Lock()
	defer h.repair.Unlock()
	if write {
		err := h.store.Rewrite(c.ctx, func(s *sm.Session, all []*sm.Session) { h.Settle(s, all) })
		if err != nil {
			// The store knows that it is behind: the next beat tries again.
			c.log.Debug("sessions could not be written to Redis", "host", h.domain, "error", err)
			return
		}
	}
	h.Unpark(c.ctx)
}
