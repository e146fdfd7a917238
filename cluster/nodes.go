package cluster

import (
	_ "embed" // the scripts
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/storage/redis"
)

//go:embed raise.lua
var raiseSource string

var raiseScript = redis.NewScript(raiseSource)

// State is how a node is, as far as the others know.
type State string

// The states of a node.
const (
	Up      State = "up"
	Suspect State = "suspect" // its lease has run out, and nobody has declared it dead yet
	Dead    State = "dead"    // somebody sweeps it
	Leaving State = "leaving"
	gone    State = "gone" // it has left, or was swept
)

// A member is what is known of a node. epoch is the only one in which what it has
// written holds; of one that is dead or gone, none does that it has written yet.
type member struct {
	entry
	epoch   uint64
	state   State
	lease   time.Duration // that was left
	missing time.Time     // since when there is no entry; zero while there is one
	seen    time.Time     // when it was learned
	renewed time.Time     // when it was last seen to have renewed its lease
}

// living reports whether something the node has written may hold.
func (m member) living() bool { return m.state != Dead && m.state != gone }

// nodes is what is known of the other nodes. Nodes that are gone are remembered,
// lest what they have written comes to life.
type nodes struct {
	c   *Cluster
	all atomic.Pointer[map[string]member] // replaced whole

	mu      sync.Mutex // changes
	unknown map[string]bool
}

// maxUnknown bounds the names that others may have made up.
const maxUnknown = 1000

func (n *nodes) init(c *Cluster) {
	n.c, n.unknown = c, map[string]bool{}
	n.all.Store(&map[string]member{})
}

func (n *nodes) get(name string) (member, bool) {
	m, ok := (*n.all.Load())[name]
	return m, ok
}

// current reports whether what another node has written in that epoch holds.
func (n *nodes) current(name string, epoch uint64) bool {
	m, ok := n.get(name)
	switch {
	case ok && epoch < m.epoch:
		return false
	case ok && epoch == m.epoch:
		return m.living()
	case ok:
		n.c.hurry() // it has begun anew
		return true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	absent, asked := n.unknown[name]
	if !asked && len(n.unknown) < maxUnknown {
		n.unknown[name] = false
		n.c.hurry()
	}
	return !absent
}

// asking is the names of which somebody wants to know.
func (n *nodes) asking() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for name := range n.unknown {
		names = append(names, name)
	}
	return names
}

// learn takes in what a beat has told: name, entry, epoch and lease of each node.
// sure is whether the lack of a sign of life means anything; asked is names that
// were in doubt when the beat began.
func (n *nodes) learn(rows iter.Seq[string], sure bool, asked []string) {
	n.mu.Lock()
	old := *n.all.Load()
	all := make(map[string]member, len(old))
	next, stop := iter.Pull(rows)
	defer stop()
	for {
		name, ok := next()
		if !ok {
			break
		}
		text, _ := next()
		epoch, _ := next()
		lease, _ := next()
		if name == n.c.opt.Name {
			continue
		}
		if m, ok := n.read(name, text, epoch, lease); ok {
			m.compare(old[name], n.c.opt.Beat/4)
			all[name] = n.fenceBack(name, m, old[name])
		}
	}
	for name, m := range old {
		if _, ok := all[name]; !ok {
			all[name] = m.away(sure, n.c.opt.Lease)
		}
	}
	news := false
	for name, m := range all {
		delete(n.unknown, name)
		news = news || m.living() && (m.epoch != old[name].epoch || !old[name].living())
	}
	for _, name := range asked {
		if _, ok := all[name]; !ok && sure {
			n.unknown[name] = true
		}
	}
	lost := false
	for name, m := range old {
		lost = lost || m.living() && (m.epoch != all[name].epoch || !all[name].living())
	}
	n.all.Store(&all)
	n.mu.Unlock()
	n.c.review()
	if lost {
		n.c.missed()
	}
	if news {
		n.c.pokeHeart() // who is new waits until he is known
	}
}

// living is the epochs of the other nodes that live.
func (n *nodes) living() map[string]uint64 {
	out := map[string]uint64{}
	for name, m := range *n.all.Load() {
		if m.living() {
			out[name] = m.epoch
		}
	}
	return out
}

// introduced reports whether all nodes that are up know this one in that epoch: from
// then on it hears of everything that happens.
func (n *nodes) introduced(epoch uint64) bool {
	for _, m := range *n.all.Load() {
		if m.state == Up && m.Knows[n.c.opt.Name] != epoch {
			return false
		}
	}
	return true
}

// introduce waits until the other nodes know this one. One that has just died is
// not waited for long.
func (c *Cluster) introduce() {
	end := time.Now().Add(3 * c.opt.Beat)
	for !c.nodes.introduced(c.epoch.Load()) && time.Now().Before(end) && c.sleep(c.opt.Beat/20) {
		if c.beat(c.ctx) != nil {
			return // it is tried again, and nobody can tell us of anything now
		}
	}
}

// compare finds out whether the node has renewed its lease since it was old: then
// more is left than time has gone by.
func (m *member) compare(old member, slack time.Duration) {
	m.seen, m.renewed = time.Now(), old.renewed
	if !old.seen.IsZero() && m.lease > old.lease-m.seen.Sub(old.seen)+slack {
		m.renewed = m.seen
	}
}

// aliveSince reports whether a node has been seen to live after t.
func (n *nodes) aliveSince(name string, t time.Time) bool {
	m, ok := n.get(name)
	return name == n.c.opt.Name || ok && m.renewed.After(t)
}

// read is a row of what a beat has told.
func (n *nodes) read(name, text, epoch, lease string) (member, bool) {
	var m member
	err := json.Unmarshal([]byte(text), &m.entry)
	if err == nil && m.V != entryVersion {
		err = fmt.Errorf("%w: version %d", errForeign, m.V)
	}
	if err != nil {
		n.c.Counters.Foreign.Add(1)
		n.c.once.foreign(n.c.nodesKey()+" "+clip(name), err)
		return m, false
	}
	m.epoch, err = strconv.ParseUint(epoch, 10, 64)
	if err != nil {
		// Redis was emptied, and the node will write it again.
		m.epoch = m.Epoch
	}
	ms, _ := strconv.Atoi(lease) // negative or nothing: it has run out
	m.lease = time.Duration(max(ms, 0)) * time.Millisecond
	switch {
	case m.State == Dead && m.lease == 0:
		m.state = Dead
		m.epoch = max(m.epoch, m.Epoch+1)
	case m.State == gone && m.lease == 0:
		m.state = gone
		m.epoch = max(m.epoch, m.Epoch+1)
	case m.lease == 0:
		m.state = Suspect
	case m.State == Leaving:
		m.state = Leaving
	default:
		m.state = Up
	}
	return m, true
}

// fenceBack keeps an epoch that is known to be over from coming back: Redis has
// lost its last writes, or the node was away for so long that it was given up.
func (n *nodes) fenceBack(name string, m, old member) member {
	if m.epoch >= old.epoch {
		return m
	}
	key, least := n.c.nodesKey()+":epoch:"+name, old.epoch
	n.c.work.Go(func() {
		// If it fails, the next beat finds the same again.
		_ = raiseScript.Run(n.c.ctx, n.c.redis, []string{key}, least).Err()
	})
	old.missing = time.Time{}
	if old.living() {
		old.state = Suspect
	}
	return old
}

// away is a member whose entry was not there.
func (m member) away(sure bool, lease time.Duration) member {
	switch {
	case m.missing.IsZero() || !sure && m.living():
		m.missing = time.Now()
	case m.living() && time.Since(m.missing) > lease:
		m.state = gone
		m.epoch++
	}
	if m.state == Dead { // swept
		m.state = gone
	}
	if m.living() {
		m.state = Suspect
	}
	m.lease = 0
	return m
}

// left notes that a node has said goodbye.
func (n *nodes) left(name string, epoch uint64) { n.set(name, epoch+1, gone) }

// set notes what the next beat would tell: that nothing holds which the node has
// written before epoch.
func (n *nodes) set(name string, epoch uint64, state State) {
	n.mu.Lock()
	all := maps.Clone(*n.all.Load())
	if m := all[name]; m.epoch <= epoch {
		m.epoch, m.state, m.lease = epoch, state, 0
		all[name] = m
		n.all.Store(&all)
	}
	n.mu.Unlock()
	n.c.review()
}

// forgetSelf is called when this node has taken an epoch.
func (n *nodes) forgetSelf() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.unknown)
}

// A fate is what has become of a node's epoch.
type fate uint8

const (
	undecided fate = iota
	alive
	over
)

// fate is what has become of an epoch of some node.
func (n *nodes) fate(name string, epoch uint64) fate {
	if name == n.c.opt.Name {
		if epoch == n.c.epoch.Load() {
			return alive
		}
		return over
	}
	m, ok := n.get(name)
	switch {
	case !ok:
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.unknown[name] {
			return over
		}
		if _, asked := n.unknown[name]; !asked && len(n.unknown) < maxUnknown {
			n.unknown[name] = false
		}
		return undecided
	case epoch < m.epoch, epoch == m.epoch && !m.living():
		return over
	case epoch == m.epoch && m.lease > 0:
		return alive
	}
	return undecided
}

// clip keeps what others have written from filling logs.
func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
