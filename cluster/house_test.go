package cluster_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/cluster"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/storage/redis/redistest"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The lease of nodes in tests, long enough for a busy machine.
const (
	lease = 3 * time.Second
	beat  = 200 * time.Millisecond
)

// A world is nodes that share a Redis and what they have stored.
type world struct {
	t     testing.TB
	redis *redistest.Server // nil on a Redis Cluster

	hold time.Duration // of the nodes that are opened; 0: what it is outside of tests
	at   interface{ URL() string }
	log  *syncBuffer

	mu     sync.Mutex
	stored []*xmpp.Stanza // offline
	closed []string       // sessions that have closed, by whoever ran the hook
}

func newWorld(t testing.TB) *world {
	t.Helper()
	parallel(t)
	r := redistest.Start(t)
	w := newWorldAt(t, r)
	w.redis = r
	return w
}

// parallel lets others run meanwhile: most of the time is waiting.
func parallel(t testing.TB) {
	if p, ok := t.(*testing.T); ok {
		p.Parallel()
	}
}

func newWorldAt(t testing.TB, at interface{ URL() string }) *world {
	t.Helper()
	w := &world{t: t, at: at, log: new(syncBuffer)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.log.String())
		}
	})
	return w
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// everybody has an account.
type everybody struct{}

func (everybody) Exists(context.Context, xmpp.JID) (bool, error) { return true, nil }

type settings struct{}

func (settings) MaxSessions(xmpp.JID) int       { return 0 }
func (settings) Conflict() sm.Conflict          { return sm.AcceptNew }
func (settings) ReplacedTimeout() time.Duration { return 0 }

// A node is a server with the virtual host localhost.
type node struct {
	*cluster.Cluster
	w      *world
	ss     *sm.Sessions
	store  *sm.Redis
	client *redis.Client
	router *router.Router
	table  *hooks.Table
	dead   atomic.Bool
	fenced atomic.Int32
	missed atomic.Int32

	mu      sync.Mutex
	heard   []string
	strange []*xmpp.Stanza // for other domains
	clients []*client
}

// Name, Hooks and OnStop let a node add handlers.
func (n *node) Name() string        { return n.Cluster.Name() }
func (n *node) Hooks() *hooks.Table { return n.table }
func (n *node) OnStop(func())       {}

// open makes a node that does not receive yet.
func (w *world) open(name string) (*node, error) {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(w.log, nil)).With("on", name)
	opt := redis.Defaults()
	opt.Server = w.at.URL()
	client, err := redis.Open(context.Background(), opt, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	n := &node{w: w, client: client, table: hooks.NewTable(log)}
	n.router = router.New(hooks.NewTable(log), log)
	n.router.Named(name)
	n.Cluster, err = cluster.Open(context.Background(), cluster.Options{
		Redis: client, Router: n.router, Log: log, Name: name, Instance: w.instance(name), Lease: lease, Beat: beat, Hold: w.hold,
		Fenced: func() { n.fenced.Add(1) }, Missed: func() { n.missed.Add(1) },
		Heard: func(domain, event string, payload []byte) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.heard = append(n.heard, domain+" "+event+" "+string(payload))
		},
	})
	if err != nil {
		if err := client.Close(); err != nil {
			w.t.Error(err)
		}
		return nil, err
	}
	n.store = sm.NewRedis("localhost", client, n.Cluster, sm.RedisOptions{Cache: true, CacheSize: 10_000, CacheMissed: true,
		Fenced: func(uint64) { n.Check() }}, log)
	n.ss = sm.New("localhost", sm.Parts{Node: name, Hooks: n.table, Router: n.router, Store: n.store,
		Accounts: everybody{}, Settings: settings{}, Log: log})
	n.router.Register("localhost", "localhost", n.ss)
	n.router.Register("away.example", "", n)
	sm.Offline.Add(n, hooks.Normal, n.keep)
	sm.Closed.Add(n, hooks.Normal, n.over)
	n.Serve("localhost", n.ss, n.store)
	w.t.Cleanup(n.kill)
	return n, nil
}

// instance is the same for all nodes of a name, unless the name says otherwise.
func (w *world) instance(name string) string { return "directory of " + name }

// join adds a node and starts it.
func (w *world) join(name string) *node {
	w.t.Helper()
	n, err := w.open(name)
	if err != nil {
		w.t.Fatal(err)
	}
	n.Start()
	return n
}

// three adds the nodes a, b and c, and waits until all know each other.
func (w *world) three() (a, b, c *node) {
	w.t.Helper()
	a, b, c = w.join("a"), w.join("b"), w.join("c")
	for _, n := range []*node{a, b, c} {
		await(w.t, "all nodes know each other", func() bool { return n.states() == "a up, b up, c up" })
	}
	return a, b, c
}

// states is all nodes and how they are.
func (n *node) states() string {
	var out []string
	for _, s := range n.Nodes(context.Background()) {
		out = append(out, s.Name+" "+string(s.State))
	}
	return strings.Join(out, ", ")
}

// kill is the node dying.
func (n *node) kill() {
	if n.dead.Swap(true) {
		return
	}
	n.Abandon()
	n.store.Close()
	if err := n.client.Close(); err != nil {
		n.w.t.Error(err)
	}
}

// keep is the offline store.
func (n *node) keep(_ context.Context, _ sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.stored = append(n.w.stored, st)
	return sm.Stored, hooks.Stop
}

func (n *node) over(_ context.Context, s *sm.Session) {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	n.w.closed = append(n.w.closed, s.JID.String())
}

// Route takes what is for other domains.
func (n *node) Route(_ context.Context, st *xmpp.Stanza) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.strange = append(n.strange, st)
}

// offline is the ids of what is stored.
func (w *world) offline() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return idsOf(w.stored)
}

func (w *world) closedSessions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.closed)
}

func idsOf(all []*xmpp.Stanza) []string {
	var out []string
	for _, st := range all {
		out = append(out, st.ID)
	}
	return out
}

// A client is a session whose connection keeps what it is sent.
type client struct {
	*sm.Session
	n    *node
	done chan struct{}
	late bool // acknowledges only when told to

	handled atomic.Uint32 // what its stream says

	count *counter // keeps nothing

	mu       sync.Mutex
	got      []*xmpp.Stanza
	presence []string
	open     []unacked
	reason   *stream.Error
	leaving  bool
}

type unacked struct {
	st *xmpp.Stanza
	r  *sm.Receipt
}

// login opens a session that is available.
func (n *node) login(full string) *client { return n.client1(full, false) }

// loginLate opens a session of a client that acknowledges only when told to.
func (n *node) loginLate(full string) *client { return n.client1(full, true) }

func (n *node) client1(full string, late bool) *client {
	n.w.t.Helper()
	c := &client{n: n, done: make(chan struct{}), late: late}
	c.Session = sm.NewSession(xmpp.MustParse(full), c)
	if err := n.ss.Open(context.Background(), c.Session); err != nil {
		n.w.t.Fatal(err)
	}
	n.ss.OwnPresence(context.Background(), c.Session, xmpp.NewPresence("", c.JID, xmpp.JID{}))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clients = append(n.clients, c)
	return c
}

// Send is how the server gives the client a stanza.
func (c *client) Send(ctx context.Context, st *xmpp.Stanza) {
	if c.count != nil {
		c.count.add()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.Kind == xmpp.Presence {
		c.presence = append(c.presence, strings.TrimSpace(st.From.String()+" "+st.Type))
		return
	}
	if c.late {
		r := sm.ReceiptOf(ctx)
		r.Hold()
		c.open = append(c.open, unacked{st, r})
	}
	c.got = append(c.got, st)
}

// A counter waits for a number of stanzas.
type counter struct {
	left atomic.Int64
	got  chan int
}

func (c *counter) want(n int) { c.left.Store(int64(n)) }

func (c *counter) add() {
	if c.left.Add(-1) == 0 {
		c.got <- 0
	}
}

// ack is the client acknowledging everything.
func (c *client) ack() {
	c.mu.Lock()
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for _, u := range open {
		u.r.Secure()
	}
}

// Close is how the server ends the stream. What the client has not acknowledged is
// routed again, as c2s does.
func (c *client) Close(reason *stream.Error) {
	c.mu.Lock()
	was := c.leaving
	c.leaving = true
	c.reason = reason
	c.mu.Unlock()
	if was || c.n.dead.Load() {
		return
	}
	go func() {
		c.n.ss.CloseSession(context.Background(), c.Session, "")
		c.mu.Lock()
		open := c.open
		c.open = nil
		c.mu.Unlock()
		for _, u := range open {
			c.n.ss.Reroute(sm.WithReceipt(context.Background(), u.r), u.st)
			u.r.Release()
		}
		close(c.done)
	}()
}

// Done is closed when the session is over.
func (c *client) Done() <-chan struct{} { return c.done }

// logout ends the session.
func (c *client) logout() {
	c.Close(nil)
	<-c.done
}

func (c *client) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		return ""
	}
	return c.reason.Condition
}

// ids is the ids of the messages that have come.
func (c *client) ids() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return idsOf(c.got)
}

func (c *client) stanzas() []*xmpp.Stanza {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// A sender is a client that counts what was handled.
type sender struct {
	n       *node
	from    xmpp.JID
	sent    int
	handled atomic.Int64
}

func (n *node) sender(full string) *sender { return &sender{n: n, from: xmpp.MustParse(full)} }

// send sends a message whose id is text and number.
func (s *sender) send(to, id string) {
	s.sent++
	r := sm.NewReceipt(func() {
		if !s.n.dead.Load() {
			s.handled.Add(1)
		}
	})
	st := xmpp.NewMessage("chat", s.from, xmpp.MustParse(to), xmpp.TextEl(xmpp.NSClient, "body", "…")).WithID(id)
	s.n.router.Route(sm.WithReceipt(context.Background(), r), st)
	r.Release()
}

// sendMany sends n messages with ids text0, text1, …
func (s *sender) sendMany(to, text string, n int) {
	for i := range n {
		s.send(to, text+strconv.Itoa(i))
	}
}

func series(text string, n int) (out []string) {
	for i := range n {
		out = append(out, text+strconv.Itoa(i))
	}
	return out
}

func (s *sender) allHandled() bool { return s.handled.Load() == int64(s.sent) }

// await waits until something is so.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// awaitIDs waits until a list has as many entries as are wanted, and compares.
func awaitIDs(t testing.TB, what string, want []string, got func() []string) {
	t.Helper()
	await(t, fmt.Sprintf("%s has %d", what, len(want)), func() bool { return len(got()) >= len(want) })
	if g := got(); !slices.Equal(g, want) {
		t.Fatalf("%s: got %s, want %s", what, short(g), short(want))
	}
}

func short(l []string) string {
	if len(l) > 40 {
		return fmt.Sprintf("%d: %v … %v", len(l), l[:20], l[len(l)-20:])
	}
	return fmt.Sprint(l)
}

// sees waits until n knows that the user is connected to a node of that name.
func (n *node) sees(full, on string) {
	n.w.t.Helper()
	j := xmpp.MustParse(full)
	await(n.w.t, n.Name()+" sees "+full+" on "+on, func() bool {
		s := n.ss.Find(j)
		return s != nil && s.ID.Node == on
	})
}
