package sm_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// A world is the nodes that share a Redis, each with the virtual host localhost.
type world struct {
	t      testing.TB
	at     interface{ URL() string }
	prefix string
	opt    sm.RedisOptions

	mu     sync.Mutex
	epochs map[string]uint64
	nodes  map[string]*node
	far    sync.WaitGroup // what is on the way between nodes
}

// worlds keeps those on one Redis apart.
var worlds atomic.Int64

func newWorld(t testing.TB, at interface{ URL() string }) *world {
	w := &world{t: t, at: at, prefix: fmt.Sprintf("test%d", worlds.Add(1)), epochs: map[string]uint64{}, nodes: map[string]*node{},
		opt: sm.RedisOptions{Cache: true, CacheSize: 1000, CacheMissed: true, CacheLife: time.Hour}}
	t.Cleanup(w.far.Wait)
	return w
}

// A node is one of them: a house whose sessions are in Redis.
type node struct {
	*house
	w      *world
	name   string
	epoch  atomic.Uint64
	client *redis.Client
	store  *sm.Redis
	fenced chan uint64
}

// join adds a node, in its first epoch.
func (w *world) join(name string) *node {
	w.t.Helper()
	n := &node{w: w, name: name, fenced: make(chan uint64, 10)}
	h := &house{t: w.t, log: new(syncBuffer), accounts: &accounts{names: "romeo juliet"}, settings: &settings{wait: time.Minute}}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	opt := redis.Defaults()
	opt.Server, opt.Prefix = w.at.URL(), w.prefix
	client, err := redis.Open(context.Background(), opt, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		n.store.Close()
		if err := client.Close(); err != nil {
			w.t.Error(err)
		}
	})
	so := w.opt
	so.Fenced = func(epoch uint64) { n.fenced <- epoch }
	n.house, n.client = h, client
	n.begin(1)
	n.store = sm.NewRedis("localhost", client, n, so, log)
	h.table = hooks.NewTable(log)
	h.router = router.New(hooks.NewTable(log), log)
	h.Sessions = sm.New("localhost", sm.Parts{Node: name, Hooks: h.table, Router: h.router, Store: n.store,
		Accounts: h.accounts, Settings: h.settings, Log: log})
	w.mu.Lock()
	w.nodes[name] = n
	w.mu.Unlock()
	return n
}

// begin is the node beginning an epoch, and everybody knowing.
func (n *node) begin(epoch uint64) {
	n.epoch.Store(epoch)
	n.client.Set(context.Background(), n.client.Key("{nodes}", "epoch", n.name), epoch, 0)
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.epochs[n.name] = epoch
}

// Name, Epoch, Current and Dial are sm.Nodes. ID.Node and the name are the same.
func (n *node) Name() string  { return n.name }
func (n *node) Epoch() uint64 { return n.epoch.Load() }

func (n *node) Current(name string, epoch uint64) bool {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	return n.w.epochs[name] == epoch
}

// Settled is always so: whoever has been emptied writes again at once.
func (n *node) Settled() bool { return true }

// Emptied does what the next heartbeat would.
func (n *node) Emptied() { n.beat() }

// beat says to Redis which epoch the node has, unless it has a greater one.
func (n *node) beat() {
	n.client.SetNX(context.Background(), n.client.Key("{nodes}", "epoch", n.name), n.Epoch(), 0)
}

func (n *node) Dial(a sm.Address) sm.Conn { return &far{n, a} }

// far is the way to a session on another node.
type far struct {
	n *node
	a sm.Address
}

func (f *far) Send(ctx context.Context, st *xmpp.Stanza) {
	f.n.w.mu.Lock()
	to := f.n.w.nodes[f.a.ID.Node]
	f.n.w.mu.Unlock()
	to.Arrive(ctx, "", f.a.JID, st)
}

func (f *far) Close(reason *stream.Error) {
	f.n.w.mu.Lock()
	to := f.n.w.nodes[f.a.ID.Node]
	f.n.w.mu.Unlock()
	if to != nil {
		f.n.w.far.Go(func() { to.End(f.a.JID, f.a.ID, reason) })
	}
}

func (f *far) Done() <-chan struct{} { return f.n.store.Gone(f.a.JID, f.a.ID) }

// await waits until something is so.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

var romeo = xmpp.MustParse("romeo@localhost")

// ids is which sessions these are, for comparing.
func ids(all []*sm.Session) string {
	var out []string
	for _, s := range all {
		out = append(out, s.ID.String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// sees waits until what the node knows of romeo are these sessions.
func (n *node) sees(want ...*sm.Session) {
	n.t.Helper()
	await(n.t, fmt.Sprintf("%s sees %q of romeo", n.name, ids(want)), func() bool {
		all, err := n.store.User(romeo)
		return err == nil && ids(all) == ids(want)
	})
}
