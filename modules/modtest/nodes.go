package modtest

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/storage/redis/redistest"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Nodes is several servers that are one virtual host: they share a PostgreSQL, and
// a Redis in which each finds the sessions of the others. Only the way between
// them is shorter than in earnest: stanzas and events arrive without leaving the
// process.
type Nodes struct {
	List  []*Server
	Redis *redistest.Server

	t     testing.TB
	nodes []*node
	far   sync.WaitGroup // streams being ended

	mu      sync.Mutex
	quiet   sync.Cond
	pending int // events on their way
	held    bool
	waiting []func()
}

// A node is one of them as the others see it. It implements sm.Nodes.
type node struct {
	all    *Nodes
	name   string
	server *Server
	store  *sm.Redis
	client *redis.Client
}

// StartNodes starts n nodes with these modules, as Start does. They stop when the
// test ends.
func StartNodes(t testing.TB, n int, yaml string, list ...modules.Module) *Nodes {
	t.Helper()
	c := &Nodes{t: t, Redis: redistest.Start(t)}
	c.quiet.L = &c.mu
	sql := storagetest.Variants()[2].SQL(t)
	for i := range n {
		x := &node{all: c, name: "node" + strconv.Itoa(i+1)}
		c.nodes = append(c.nodes, x)
		x.server = start(t, ground{x.name, sql, "sql", x.open}, yaml, list)
		c.List = append(c.List, x.server)
	}
	for _, x := range c.nodes {
		x.server.Parts.Hooks.Spread(Domain, x.spread)
		x.server.Global.Spread("", x.spread)
	}
	t.Cleanup(func() {
		c.Settle()
		c.far.Wait()
	})
	return c
}

// open makes the session store of the node.
func (x *node) open(log *slog.Logger) sm.Store {
	t := x.all.t
	opt := redis.Defaults()
	opt.Server = x.all.Redis.URL()
	client, err := redis.Open(context.Background(), opt, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	x.client = client
	x.Emptied()
	x.store = sm.NewRedis(Domain, client, x, sm.RedisOptions{Cache: true, CacheSize: 1000, CacheMissed: true, CacheLife: time.Hour}, log)
	t.Cleanup(func() {
		x.store.Close()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return x.store
}

// spread puts an event on its way to the other nodes.
func (x *node) spread(domain, event string, payload []byte) {
	for _, o := range x.all.nodes {
		if o == x {
			continue
		}
		x.all.deliver(func() {
			table := o.server.Parts.Hooks
			if domain == "" {
				table = o.server.Global
			}
			if err := hooks.Hear(context.Background(), table, event, payload); err != nil {
				x.all.t.Errorf("%s does not understand %s: %v", o.name, event, err)
			}
		})
	}
}

// deliver has f done, in order and soon.
func (c *Nodes) deliver(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, f)
	c.pending++
	if c.pending == 1 && !c.held {
		go c.work()
	}
}

func (c *Nodes) work() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) > 0 && !c.held {
		f := c.waiting[0]
		c.waiting = c.waiting[1:]
		c.mu.Unlock()
		f()
		c.mu.Lock()
		c.pending--
	}
	c.quiet.Broadcast()
}

// Hold keeps events on their way until Settle is called.
func (c *Nodes) Hold() {
	c.Settle()
	c.mu.Lock()
	c.held = true
	c.mu.Unlock()
}

// Settle waits until all events have been heard. It must not be called by several
// at once.
func (c *Nodes) Settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		c.held = false
		if c.pending > 0 {
			go c.work()
		}
	}
	for c.pending > 0 {
		c.quiet.Wait()
	}
}

// Await waits until something is so.
func (c *Nodes) Await(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("still not so: %s", what)
		}
	}
}

// Name is the name of the node.
func (x *node) Name() string { return x.name }

// Epoch is the only one there is.
func (x *node) Epoch() uint64 { return 1 }

// Current reports that all nodes live.
func (x *node) Current(string, uint64) bool { return true }

// Settled is always so.
func (x *node) Settled() bool { return true }

// Emptied writes the epoch, as a heartbeat does.
func (x *node) Emptied() {
	x.client.Set(context.Background(), x.client.Key("{nodes}", "epoch", x.name), x.Epoch(), 0)
}

// Dial is the way to a session on another node.
func (x *node) Dial(a sm.Address) sm.Conn { return &far{x, a} }

// far is the way to a session on another node.
type far struct {
	from *node
	to   sm.Address
}

func (f *far) node() *node {
	for _, x := range f.from.all.nodes {
		if x.name == f.to.ID.Node {
			return x
		}
	}
	return nil
}

// Send hands the stanza to the other node, where it goes on.
func (f *far) Send(ctx context.Context, st *xmpp.Stanza) {
	f.node().server.Sessions.Arrive(ctx, f.from.name, f.to.JID, st)
}

// Close has the other node end the stream.
func (f *far) Close(reason *stream.Error) {
	f.from.all.far.Go(func() { f.node().server.Sessions.End(f.to.JID, f.to.ID, reason) })
}

// Done is closed when the session is not known any more.
func (f *far) Done() <-chan struct{} { return f.from.store.Gone(f.to.JID, f.to.ID) }
