package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The faults last so long.
const (
	outage = 5 * time.Second  // Redis stopped
	frozen = 12 * time.Second // a node, which is two leases
)

// kinds are the faults by name. A server alone has only some.
func (r *run) kinds() map[string]func(context.Context, *fault) error {
	all := map[string]func(context.Context, *fault) error{
		"calm": func(context.Context, *fault) error { return nil },
		"bind": r.bind,
		"kick": r.kick,
		"kill": r.kill,
		"roll": r.roll,

		"vanish": r.vanish,
		"cut":    r.cut,

		"resume-race": r.resumeRace,
	}
	if r.redis != nil {
		maps.Copy(all, map[string]func(context.Context, *fault) error{
			"redis-stop":   r.redisStop,
			"redis-freeze": r.redisFreeze,
			"flush":        r.flush,
			"drop":         r.drop,
			"evict":        r.evict,
			"freeze":       r.freeze,
			"foreign":      r.foreign,
			"kill-two":     r.killTwo,
			"kill-restart": r.killRestart,
			inOutage:       r.killInOutage,
		})
	}
	return all
}

func (r *run) known() []string { return slices.Sorted(maps.Keys(r.kinds())) }

// victim is a node by chance.
func (r *run) victim() *node { return r.nodes[r.chance.IntN(len(r.nodes))] }

// kill ends a node without warning. Half of its clients go to other nodes at once,
// half stay away until the survivors have found out.
func (r *run) kill(ctx context.Context, f *fault) error {
	n := r.victim()
	return r.death(ctx, f, []*node{n}, n.kill)
}

// killTwo ends two nodes at the same time.
func (r *run) killTwo(ctx context.Context, f *fault) error {
	n, rest := r.victim(), slices.Clone(r.nodes)
	i := slices.Index(rest, n)
	m := rest[(i+1)%len(rest)]
	return r.death(ctx, f, []*node{n, m}, func() error {
		if err := n.kill(); err != nil {
			return err
		}
		return m.kill()
	})
}

// killRestart ends a node, which starts again before anybody can have found out.
func (r *run) killRestart(ctx context.Context, f *fault) error {
	n := r.victim()
	r.ledger.describe(f, n.name)
	began := time.Now()
	if err := n.kill(); err != nil {
		return err
	}
	if err := r.startNode(ctx, n); err != nil {
		return err
	}
	if err := r.settled(ctx); err != nil {
		return err
	}
	r.figures.add(f.kind, "all clients connected and listed everywhere, from the death", time.Since(began))
	return nil
}

// death has nodes die, looks what the others make of it, and starts them again.
func (r *run) death(ctx context.Context, f *fault, dead []*node, die func() error) error {
	for _, n := range dead {
		r.ledger.describe(f, n.name)
	}
	mourned := r.halfOf(dead)
	began := time.Now()
	if err := die(); err != nil {
		return err
	}
	if len(dead) < len(r.nodes) {
		if err := r.noticed(ctx, f, mourned, began); err != nil {
			return err
		}
	}
	for _, d := range mourned {
		d.comeBack()
	}
	for _, n := range dead {
		again := time.Now()
		if err := r.startNode(ctx, n); err != nil {
			return err
		}
		r.figures.add(f.kind, "node started again", time.Since(again))
	}
	if err := r.settled(ctx); err != nil {
		return err
	}
	r.figures.add(f.kind, "all clients connected and listed everywhere, from the death", time.Since(began))
	return nil
}

// halfOf are half of the devices on these nodes, told not to come back when their
// streams break.
func (r *run) halfOf(nodes []*node) []*device {
	var out []*device
	takes := r.chance.IntN(2) == 0
	for _, d := range r.devices {
		if s := d.current(); s != nil && slices.Contains(nodes, s.node) {
			if takes = !takes; takes {
				d.stayAway()
				out = append(out, d)
			}
		}
	}
	return out
}

// noticed waits until the devices are listed nowhere and their friends have been
// told, and measures that.
func (r *run) noticed(ctx context.Context, f *fault, mourned []*device, began time.Time) error {
	err := r.until(ctx, "sessions of a dead node to go", func(ctx context.Context) string {
		for _, n := range r.answering() {
			list, err := n.ctl(ctx, "connected_users")
			if err != nil {
				return err.Error()
			}
			for _, d := range mourned {
				if d.current() != nil {
					return d.full() + " has not noticed itself"
				}
				if slices.Contains(list, d.full()) {
					return n.name + " lists " + d.full()
				}
			}
		}
		return ""
	})
	if err != nil {
		return err
	}
	r.figures.add(f.kind, "sessions of the dead were listed for", time.Since(began))
	if f.kind == inOutage {
		r.forgotten(mourned)
		return nil
	}
	err = r.until(ctx, "friends of the dead to be told", func(context.Context) string {
		return r.untold(mourned, nil)
	})
	if err != nil {
		return err
	}
	r.untold(mourned, func(since time.Time) {
		if since.After(began) {
			r.figures.add(f.kind, "a friend was told that somebody is gone", since.Sub(began))
		}
	})
	return nil
}

// inOutage is the fault in which a node dies while Redis is away, and forgets
// everything: nobody knows any more who was on the node, so nobody can tell friends.
const inOutage = "kill-outage"

// forgotten counts how many friends still see devices that are away.
func (r *run) forgotten(mourned []*device) {
	n := 0
	for _, d := range r.devices {
		for _, m := range d.friends {
			if sees, _ := d.sight(m); sees && d.current() != nil && slices.Contains(mourned, m) {
				n++
			}
		}
	}
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.ledger.totals.untold += n
}

// untold is which friend still sees a device that is away. What the others were
// told, and when, goes to told.
func (r *run) untold(mourned []*device, told func(since time.Time)) string {
	for _, d := range r.devices {
		if s := d.current(); s == nil || s.node.frozen.Load() {
			continue
		}
		for _, m := range d.friends {
			if !slices.Contains(mourned, m) {
				continue
			}
			available, since := d.sight(m)
			if available {
				return d.full() + " sees " + m.full()
			}
			if told != nil && !since.IsZero() {
				told(since)
			}
		}
	}
	return ""
}

// freeze stops a node for longer than its lease, so that the others bury it, and
// lets it go on.
func (r *run) freeze(ctx context.Context, f *fault) error {
	n := r.victim()
	r.ledger.describe(f, n.name)
	mourned := slices.DeleteFunc(r.halfOf([]*node{n}), func(d *device) bool {
		if d.patience > frozen {
			d.comeBack() // hangs on its stream until the node wakes up
			return true
		}
		return false
	})
	began := time.Now()
	n.frozen.Store(true)
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := r.noticed(ctx, f, mourned, began); err != nil {
		return err
	}
	if err := pass(ctx, frozen-time.Since(began)); err != nil {
		return err
	}
	for _, d := range mourned {
		d.comeBack()
	}
	thawed := time.Now()
	if err := n.signal(syscall.SIGCONT); err != nil {
		return err
	}
	n.frozen.Store(false)
	if err := r.settled(ctx); err != nil {
		return err
	}
	r.figures.add(f.kind, "all clients connected and listed everywhere, from the thaw", time.Since(thawed))
	return nil
}

// pass is a fault's length.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// roll restarts all nodes, one after the other, in both of the ways there are.
func (r *run) roll(ctx context.Context, f *fault) error {
	for i, n := range r.nodes {
		how := "SIGTERM"
		if i%2 == 1 && r.redis != nil {
			how = "leave"
		}
		r.ledger.describe(f, n.name+" by "+how)
		took, err := r.endNode(ctx, n, how)
		if err != nil {
			return err
		}
		r.figures.add(f.kind, "node left by "+how, took)
		if err := r.startNode(ctx, n); err != nil {
			return err
		}
		if err := r.settled(ctx); err != nil {
			return err
		}
		for _, d := range r.devices {
			d.goHome()
		}
		if err := r.settled(ctx); err != nil {
			return err
		}
	}
	return nil
}

// endNode ends a node in good order and returns how long that took.
func (r *run) endNode(ctx context.Context, n *node, how string) (time.Duration, error) {
	began := time.Now()
	n.doomed.Store(true)
	if how == "leave" {
		if _, err := n.ctl(ctx, "leave"); err != nil && n.running() {
			return 0, err
		}
	} else if err := n.signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	err := r.until(ctx, n.name+" to end by "+how, func(context.Context) string {
		if n.running() {
			return "it runs"
		}
		return ""
	})
	if err == nil && n.ended() != nil {
		r.ledger.accuse("%s ended by %s with %v: %s", n.name, how, n.ended(), n.logTail(4000))
	}
	return time.Since(began), err
}

// describe says more of a fault.
func (l *ledger) describe(f *fault, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.what = strings.TrimSpace(f.what + fmt.Sprintf(" %s %s;", what, time.Now().Format("15:04:05.000")))
}
