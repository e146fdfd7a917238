// Package cluster is the other nodes: who they are, and how a stanza gets to a
// client that is connected to one of them without being lost. The nodes know
// each other through Redis only. A server that is alone never enters here.
//
// # Who is there
//
// A node has a name and an epoch, which grows whenever the node starts or was
// taken for dead. It renews a lease. When the lease runs out, one of the others
// moves its epoch on, which fences it, and sweeps up what it has left: its
// sessions, and what waits in its inbox. What a node has written holds only
// while it has the epoch it was written in.
//
//   - A node is declared dead only by one who has been connected for a whole
//     lease to a Redis that was not emptied meanwhile.
//   - A node that has not renewed its lease in time, though there is a Redis,
//     takes nothing out of its inbox, puts nothing into another and routes no
//     message of its clients before it has renewed it.
//   - A node that finds that its epoch was moved on ends all its streams,
//     forgets its links without counting anything as handled, and begins anew in
//     a new epoch.
//
// # How a stanza gets there
//
// Each node has an inbox, a Redis Stream. A link is what two nodes, each in one
// epoch, have to tell each other; when either begins anew, so does the link.
//
//  1. Frames of a link have sequence numbers without gaps. The receiver takes
//     the next one only: nothing arrives twice, or out of order, however often
//     it was sent.
//  2. The sender keeps a frame until it was received, and a message until the
//     receiver has taken charge of it: its client has acknowledged it, or it was
//     stored, or the client acknowledges nothing and has been given it. That a
//     message is safe is itself a frame, which the receiver keeps until it was
//     received. So Redis may be emptied at any time.
//  3. The receipt of a stanza is held while there is a copy. It is secured when
//     the receiver has taken charge, and let go when the stanza was routed again
//     or, without a message, received.
//  4. When a link ends because the other node's epoch is over, first everything
//     is taken out of the own inbox that it had still written, so that what it
//     has taken charge of is known; then all other copies are routed again, in
//     order. No frame of a former epoch is taken after one of a later epoch.
//  5. While there are copies of messages for a client on a link that ends, or
//     whose session is not there any more, later messages for that user wait
//     behind them (hold.go).
//  6. An entry stays in an inbox until all of it is safe. What a dead node has in
//     its inbox of senders that are dead as well is routed again by whoever
//     sweeps it; what is from a living sender is thrown away, for the sender has
//     copies. The entry is deleted first, and only who has deleted it goes on.
//  7. Everything is bounded. Over the bound a stanza is bounced to its sender.
//
// From 3 and 6 follows that a stanza is never counted as handled before it is
// safe, whoever dies; and from 1 and 4 that none arrives twice where nobody died.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/xmpp"
)

// How long a node lives without a sign of life, and how often it gives one.
const (
	defaultLease = 6 * time.Second
	defaultBeat  = time.Second
)

// Options is what a Cluster works with.
type Options struct {
	Redis    *redis.Client
	Router   *router.Router // for errors to the senders of stanzas that cannot be sent
	Log      *slog.Logger
	Name     string // of this node
	Instance string // tells processes that share this node's data directory from others

	// Fenced is called when the others have taken this node for dead, after all
	// sessions of served hosts were told to end (stream error reset). The node
	// begins anew when it has returned and they have ended. It may be nil.
	Fenced func()
	// Missed is called when events that another node has spread may have been lost,
	// with that node or because this one was cut off. It may be nil.
	Missed func()
	// Heard is called with every event that another node has spread, one after
	// the other, on a goroutine of its own. It may be nil.
	Heard func(domain, event string, payload []byte)

	Lease time.Duration // 6 s when zero; for tests
	Beat  time.Duration // 1 s when zero; for tests
	Hold  time.Duration // how long messages wait behind earlier ones that a node does not answer for: 10 s when zero; for tests
}

// A Store is what must be done about the sessions of a virtual host when nodes
// come and go: sm.Redis does it. All methods may be called by anyone, at any time.
type Store interface {
	// Rewrite writes all sessions of this node again, in its present epoch, and
	// returns when that is done. settle is called for sessions that have met
	// others with their address.
	Rewrite(ctx context.Context, settle func(s *sm.Session, all []*sm.Session)) error
	// Behind reports whether Rewrite should be called.
	Behind() bool
	// Sweep removes what node has written in epochs up to epoch. gone is called
	// once for each session, however many nodes sweep.
	Sweep(ctx context.Context, node string, epoch uint64, gone func(*sm.Session)) (int, error)
	// Forget takes all sessions of this node out of the store and returns them.
	Forget() []*sm.Session
	// Gone is closed when the session is not known any more.
	Gone(user xmpp.JID, id sm.ID) <-chan struct{}
}

// A Cluster is this node among the others. Its methods may be called by anyone,
// at any time.
type Cluster struct {
	opt   Options
	redis *redis.Client
	log   *slog.Logger

	epoch   atomic.Uint64
	started time.Time
	nodes   nodes
	heart   heart
	hosts   atomic.Pointer[map[string]*host]
	held    held
	stamp   stamp
	mute    mute
	once    once
	moves   moves
	tally   tally

	// Counters is what has happened since the start.
	Counters Counters

	mu      sync.Mutex
	links   map[linkKey]*link
	fenced  bool
	cut     atomic.Bool // fenced, and streams of the old epoch may not be over yet
	leaving bool
	running bool

	gate    gate // open while there is a Redis and a valid epoch
	inbox   inbox
	orphans orphans
	sweeps  sweeps
	events  chan heard

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup
}

// A host is a virtual host that has its sessions in Redis.
type host struct {
	c      *Cluster
	domain string
	*sm.Sessions
	store   Store
	removed []func()
	repair  sync.Mutex // its sessions are written anew by one at a time
}

// Open makes this process a node of the cluster: it takes a new epoch and renews
// its lease from now on. If a node of that name lives elsewhere the error says
// so; to find that out may take a lease. Nothing is received before Start.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	if o.Name == "" || strings.ContainsAny(o.Name, "{} \t\r\n") {
		return nil, fmt.Errorf("%q cannot be the name of a node: choose one without spaces and braces", o.Name)
	}
	if !o.Redis.AtLeast(5, 0) {
		return nil, fmt.Errorf("%s is too old for a cluster: version 5.0 is needed, which has streams", o.Redis.Version())
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.Beat == 0 {
		o.Beat = defaultBeat
	}
	if o.Hold == 0 {
		o.Hold = defaultHold
	}
	c := &Cluster{opt: o, redis: o.Redis, log: o.Log, started: time.Now(), links: map[linkKey]*link{}, events: make(chan heard, 1024)}
	c.once.log = o.Log
	c.hosts.Store(&map[string]*host{})
	c.nodes.init(c)
	c.heart.poke = make(chan struct{}, 1)
	c.gate.init()
	c.stamp.init()
	c.inbox.init(c)
	c.held.init(c)
	c.moves.init()
	c.tally.c = c
	c.ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := c.take(ctx); err != nil {
		c.stop()
		return nil, err
	}
	if err := c.beat(ctx); err != nil {
		c.stop()
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	c.work.Go(c.live)
	return c, nil
}

// Start begins to receive, and waits until the other nodes know of this one, a few
// heartbeats at most. Virtual hosts that are there by now are served from the first
// stanza on.
func (c *Cluster) Start() {
	c.mu.Lock()
	c.running = true
	c.mu.Unlock()
	c.work.Go(c.inbox.read)
	c.work.Go(c.inbox.clean)
	c.work.Go(c.held.move)
	c.work.Go(c.hear)
	c.work.Go(c.tally.run)
	for _, h := range *c.hosts.Load() {
		c.sweepSelf(h)
	}
	c.greet()
	c.introduce()
}

// Serve has the cluster carry stanzas for a virtual host and sweep and rewrite
// its sessions, until stop is called.
func (c *Cluster) Serve(domain string, ss *sm.Sessions, store Store) (stop func()) {
	h := &host{c: c, domain: domain, Sessions: ss, store: store}
	ss.MoveBy(h)
	c.stampFor(h)
	c.held.watch(h)
	c.mute.watch(h)
	c.passAnswers(h)
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(*c.hosts.Load())
	all[domain] = h
	c.hosts.Store(&all)
	if c.running {
		c.sweepSelf(h)
	}
	return func() { c.unserve(h) }
}

func (c *Cluster) unserve(h *host) {
	h.MoveBy(nil)
	for _, f := range h.removed {
		f()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(*c.hosts.Load())
	if all[h.domain] == h {
		delete(all, h.domain)
	}
	c.hosts.Store(&all)
}

// host is the virtual host domain, nil if it is not served.
func (c *Cluster) host(domain string) *host { return (*c.hosts.Load())[domain] }

// Name is the name of this node.
func (c *Cluster) Name() string { return c.opt.Name }

// Epoch is the epoch of this node.
func (c *Cluster) Epoch() uint64 { return c.epoch.Load() }

// Current reports whether what the node named name has written in that epoch
// still holds. Of a node that was not heard of yet it is taken to hold until
// there was time to hear of it.
func (c *Cluster) Current(name string, epoch uint64) bool {
	if name == c.opt.Name {
		return epoch == c.epoch.Load()
	}
	return c.nodes.current(name, epoch)
}

// sleep waits for d, or until the cluster is closed; then it is false.
func (c *Cluster) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// errLeft is the error of what came too late.
var errLeft = errors.New("the cluster was left")

// A gate is open or not, and those who want to pass wait.
type gate struct {
	mu sync.Mutex
	ch chan struct{} // closed while the gate is open
	is atomic.Bool   // changed under the mutex
}

func (g *gate) isOpen() bool { return g.is.Load() }

func (g *gate) init() { g.ch = make(chan struct{}) }

// wait is closed when the gate is open.
func (g *gate) wait() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ch
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.is.Swap(true) {
		close(g.ch)
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.is.Swap(false) {
		g.ch = make(chan struct{})
	}
}

// once logs each thing once.
type once struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]bool
}

// maxSaid bounds what is remembered to have been said.
const maxSaid = 1000

// foreign says that something at that place was ignored.
func (o *once) foreign(place string, err error) {
	o.warn(place, "something in Redis that is not ours was ignored", err)
}

// warn says it if nothing was said about place before.
func (o *once) warn(place, what string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.said[place] || len(o.said) >= maxSaid {
		return
	}
	if o.said == nil {
		o.said = map[string]bool{}
	}
	o.said[place] = true
	o.log.Warn(what, "where", place, "error", err)
}
