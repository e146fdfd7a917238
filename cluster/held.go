package cluster

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Bounds on what waits behind copies.
const (
	maxHeld      = 10_000
	maxHeldBytes = 64 << 20
	defaultHold  = 10 * time.Second // for a node that lives, and does not say that it has taken charge
	holdAway     = time.Minute      // for one of which that cannot be told, because Redis is away
	holdLook     = 200 * time.Millisecond
)

// held keeps messages in order when their way changes. As long as another node
// has not taken charge of messages for a session, and the session is not there
// any more (it has moved, or the node has died), later ones for that user wait. All
// messages wait while this node does not know whether it lives.
type held struct {
	c      *Cluster
	any    atomic.Int64 // users
	kicked chan struct{}
	away   time.Time // when there was no Redis last; of the goroutine that moves lines

	mu    sync.Mutex
	users map[xmpp.JID]*queue
	n     int
	size  int
}

// A queue is what is known of one user.
type queue struct {
	targets []target
	line    []waiting
	moving  bool // somebody is routing the first ones
	since   time.Time
}

// A target is a session on another node with messages that it has not taken
// charge of.
type target struct {
	to xmpp.JID
	l  *link
	n  int
}

type waiting struct {
	st      *xmpp.Stanza
	receipt *sm.Receipt
	host    *host
}

func (d *held) init(c *Cluster) {
	d.c, d.kicked, d.users = c, make(chan struct{}, 1), map[xmpp.JID]*queue{}
}

// add notes a message for a session. It is called under the link's mutex.
func (d *held) add(to xmpp.JID, l *link) {
	user := to.Bare()
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.users[user]
	if q == nil {
		q = &queue{}
		d.users[user] = q
		d.any.Add(1)
	}
	for i := range q.targets {
		if t := &q.targets[i]; t.l == l && t.to == to {
			t.n++
			return
		}
	}
	q.targets = append(q.targets, target{to, l, 1})
}

// done notes that a message for a session needs nothing any more.
func (d *held) done(to xmpp.JID, l *link) {
	user := to.Bare()
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.users[user]
	if q == nil {
		return
	}
	for i := range q.targets {
		if t := &q.targets[i]; t.l == l && t.to == to {
			if t.n--; t.n == 0 {
				q.targets = slices.Delete(q.targets, i, i+1)
			}
			break
		}
	}
	d.tidy(user, q)
	if len(q.line) > 0 {
		d.kick()
	}
}

// tidy forgets a user about whom there is nothing to know.
func (d *held) tidy(user xmpp.JID, q *queue) {
	if len(q.targets)+len(q.line) == 0 && !q.moving && d.users[user] == q {
		delete(d.users, user)
		d.any.Add(-1)
	}
}

// kick has the lines looked at.
func (d *held) kick() {
	select {
	case d.kicked <- struct{}{}:
	default:
	}
}

// watch has every message for a user of h pass by, as the last thing before it is
// routed.
func (d *held) watch(h *host) {
	sm.Receive.Add(owner{h}, hooks.Last+1, func(ctx context.Context, st *xmpp.Stanza, _ *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
		if st == nil || st.Kind != xmpp.Message || d.any.Load() == 0 && !d.c.lost() || !d.holds(ctx, h, st) {
			return st, hooks.Next
		}
		return nil, hooks.Stop
	})
}

// holds keeps st if it has to wait.
func (d *held) holds(ctx context.Context, h *host, st *xmpp.Stanza) bool {
	user := st.To.Bare()
	var few [4]target
	lost := d.c.lost()
	d.mu.Lock()
	q := d.users[user]
	if q == nil && !lost {
		d.mu.Unlock()
		return false
	}
	if !lost {
		waits := len(q.line) > 0 || q.moving
		targets := append(few[:0], q.targets...)
		d.mu.Unlock()
		if !waits && d.way(h, st.To, targets) == wayFree {
			return false
		}
		d.mu.Lock()
		q = d.users[user]
	}
	switch {
	case q == nil && !lost:
		d.mu.Unlock()
		return false // meanwhile it is done
	case q == nil:
		q = &queue{}
		d.users[user.Clone()] = q
		d.any.Add(1)
	}
	ok := d.n < maxHeld && d.size+st.Size() <= maxHeldBytes
	if ok {
		r := sm.ReceiptOf(ctx)
		r.Hold()
		if len(q.line) == 0 && !q.moving {
			q.since = time.Now()
		}
		q.line = append(q.line, waiting{st, r, h})
		d.n++
		d.size += st.Size()
	}
	d.tidy(user, q)
	d.mu.Unlock()
	if lost {
		d.c.hurry()
	}
	d.kick()
	if !ok {
		d.c.Counters.Refused.Add(1)
		d.c.opt.Router.Bounce(ctx, st, xmpp.ResourceConstraint.WithText("Too much waits for the addressee; try again later"))
		return true
	}
	d.c.Counters.Held.Add(1)
	return true
}

// A way is whether a message may go.
type way uint8

const (
	wayFree  way = iota
	wayMoved     // the session is not where earlier messages went
	wayOver      // the node has died, and earlier messages are being routed again
)

// way looks whether a message to that address may overtake those on their way to
// targets.
func (d *held) way(h *host, to xmpp.JID, targets []target) way {
	for _, t := range targets {
		if !t.l.isOpen() {
			return wayOver
		}
	}
	for _, t := range targets {
		if !to.IsBare() && to != t.to {
			continue
		}
		if s := h.Find(t.to); s == nil || s.ID.Node != t.l.node || !d.c.Current(t.l.node, t.l.epoch) {
			return wayMoved
		}
	}
	return wayFree
}

func (l *link) isOpen() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == linkOpen
}

// move routes what has waited for long enough.
func (d *held) move() {
	t := time.NewTimer(holdLook)
	defer t.Stop()
	for {
		select {
		case <-d.c.ctx.Done():
			return
		case <-d.kicked:
		case <-t.C:
		}
		if !d.c.gate.isOpen() {
			d.away = time.Now()
		}
		for _, user := range d.lines() {
			if d.begin(user) {
				d.route(user)
			}
		}
		t.Reset(holdLook)
	}
}

// lines is the users in whose line somebody waits.
func (d *held) lines() (users []xmpp.JID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == 0 {
		return nil
	}
	for user, q := range d.users {
		if len(q.line) > 0 {
			users = append(users, user)
		}
	}
	return users
}

// begin reports whether the line of user may go on, and then it does.
func (d *held) begin(user xmpp.JID) bool {
	if d.c.lost() {
		return false
	}
	d.mu.Lock()
	q := d.users[user]
	if q == nil || len(q.line) == 0 {
		d.mu.Unlock()
		return false
	}
	targets, first, since := slices.Clone(q.targets), q.line[0], q.since
	d.mu.Unlock()
	switch d.way(first.host, first.st.To, targets) {
	case wayOver:
		return false
	case wayMoved:
		// Nobody is found dead while Redis is away, and for some time after it is back:
		// who has come in line by then waits as long as those before.
		away := d.away
		if t := d.c.heart.unsettled.Load(); t != nil && t.After(away) {
			away = *t // it was away for too short to be noticed, and is empty
		}
		end := since.Add(d.c.opt.Hold)
		if found := away.Add(d.c.opt.Hold + d.c.opt.Lease); found.After(end) {
			end = found
		}
		if time.Now().Before(end) && time.Since(since) < holdAway {
			return false
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users[user] != q {
		return false
	}
	q.moving = true
	return true
}

// route routes the line of a user. Those who come meanwhile stand behind.
func (d *held) route(user xmpp.JID) {
	for d.c.ctx.Err() == nil {
		d.mu.Lock()
		q := d.users[user]
		if q == nil {
			d.mu.Unlock()
			return
		}
		if len(q.line) == 0 {
			q.moving = false
			d.tidy(user, q)
			d.mu.Unlock()
			return
		}
		w := q.line[0]
		q.line[0] = waiting{}
		q.line = q.line[1:]
		d.n--
		d.size -= w.st.Size()
		d.mu.Unlock()
		w.host.Reroute(sm.WithReceipt(d.c.ctx, w.receipt), w.st)
		w.receipt.Release()
	}
}

// forgetLink forgets what is on its way over a link.
func (d *held) forgetLink(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for user, q := range d.users {
		q.targets = slices.DeleteFunc(q.targets, func(t target) bool { return t.l == l })
		d.tidy(user, q)
	}
}

// forget forgets what waits and was sent by clients of this node that will send it
// again elsewhere, because it was not acknowledged. Its receipts stay open for
// ever.
func (d *held) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for user, q := range d.users {
		q.line = slices.DeleteFunc(q.line, func(w waiting) bool {
			if w.receipt != nil {
				d.n--
				d.size -= w.st.Size()
			}
			return w.receipt != nil
		})
		d.tidy(user, q)
	}
}

// waiting is how many messages wait.
func (d *held) waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

// An owner adds hooks on behalf of the cluster to a virtual host.
type owner struct{ h *host }

// Name names the cluster in lists of handlers.
func (o owner) Name() string { return "cluster" }

// Hooks is where the handlers go.
func (o owner) Hooks() *hooks.Table { return o.h.Sessions.Hooks() }

// OnStop is how they are taken away again.
func (o owner) OnStop(f func()) { o.h.removed = append(o.h.removed, f) }
