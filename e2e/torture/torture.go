package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// options say what a run is like.
type options struct {
	faults  []string
	lasting time.Duration // rounds go on for so long
	seed    int64
	users   int
	friends int     // how many of the users see each other's presence
	rate    float64 // messages of each device a second
	share   int     // messages before and after each fault
	alone   bool
	race    bool
	level   string
	keep    string
	idle    time.Duration // how long a run goes on in which nothing changes although something must
	out     io.Writer

	programs string // directory of those to use; empty: build them
}

func defaults() options {
	return options{
		faults: []string{"calm", "bind", "kick", "vanish", "cut", "resume-race", "kill", "kill-restart", "redis-stop", "drop", "flush", "evict", "freeze", "foreign", "roll"},
		users:  12, friends: 6, rate: 12, share: 400, idle: patience, level: "info", out: io.Discard,
	}
}

// A run is servers, clients and what happens to them.
type run struct {
	options
	dir     string
	db      *database
	redis   *redisServer // nil with a server alone
	nodes   []*node
	devices []*device
	ledger  *ledger
	figures figures
	chance  *rand.Rand // used by the goroutine of torture alone

	load    atomic.Bool // devices send
	cutting atomic.Bool // connections break while clients resume
	serials atomic.Int64
	clients sync.WaitGroup

	mu   sync.Mutex
	lost []net.Conn // connections that clients have left as they were
}

// lose keeps a connection that nobody reads, until the run ends.
func (r *run) lose(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = append(r.lost, c)
}

// find closes those connections.
func (r *run) find() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.lost {
		c.Close()
	}
	r.lost = nil
}

// torture is a whole run. The error says which laws were broken, or why it could
// not be done.
func torture(ctx context.Context, o options) (err error) {
	r := &run{options: o, ledger: newLedger(), figures: newFigures(), chance: rand.New(rand.NewPCG(uint64(o.seed), 1))}
	r.ledger.alone = o.alone
	if err := r.place(); err != nil {
		return err
	}
	defer func() { err = r.remove(err) }()
	defer func() { err = errors.Join(err, r.stop()) }()
	fmt.Fprintf(o.out, "torture: seed %d, files in %s\n", o.seed, r.dir)
	if err := r.start(ctx); err != nil {
		return r.explain(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		r.clients.Wait()
		r.find()
	}()
	r.connect(ctx)
	if err := r.rounds(ctx); err != nil {
		return r.explain(err)
	}
	return r.part(ctx)
}

// place makes the directory for everything.
func (r *run) place() error {
	if r.keep == "" {
		var err error
		r.dir, err = os.MkdirTemp("", "gabberd-torture-")
		return err
	}
	var err error
	if r.dir, err = filepath.Abs(r.keep); err != nil {
		return err
	}
	return os.MkdirAll(r.dir, 0o755)
}

// remove takes the files away, unless somebody will want to read them.
func (r *run) remove(err error) error {
	switch {
	case r.keep != "":
		return err
	case err != nil && !errors.Is(err, context.Canceled):
		return fmt.Errorf("%w\nthe servers' logs are in %s", err, r.dir)
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

// start builds and starts the servers and makes accounts and friendships.
func (r *run) start(ctx context.Context) error {
	var err error
	if r.programs == "" {
		r.programs = r.dir
		if err := build(ctx, r.dir, r.race); err != nil {
			return err
		}
	}
	if r.db, err = newDatabase(ctx); err != nil {
		return err
	}
	names := []string{"one@torture"}
	if !r.alone {
		names = []string{"one@torture", "two@torture", "three@torture"}
		if r.redis, err = newRedis(r.dir); err != nil {
			return err
		}
		if err := r.redis.start(); err != nil {
			return err
		}
		if err := r.until(ctx, "Redis to start", r.redis.answers); err != nil {
			return err
		}
	}
	for _, name := range names {
		n, err := newNode(r.dir, r.programs, name, r.configuration())
		if err != nil {
			return err
		}
		r.nodes = append(r.nodes, n)
		// One after the other: the first makes the tables.
		if err := r.startNode(ctx, n); err != nil {
			return err
		}
	}
	return r.people(ctx)
}

// configuration is that of every server.
func (r *run) configuration() map[string]any {
	none := map[string]any{}
	// The default would tell the sender that a message did not arrive.
	resend := map[string]any{"resend_on_timeout": "true"}
	o := map[string]any{
		"hosts": []any{domain}, "loglevel": r.level,
		"auth_password_format": "plain",
		"modules": map[string]any{
			"mod_offline": none, "mod_roster": none, "mod_ping": none, "mod_admin_extra": none, "mod_stream_mgmt": resend,
		},
	}
	r.db.configure(o)
	if r.redis != nil {
		o["sm_db_type"], o["redis_server"], o["redis_port"] = "redis", "127.0.0.1", r.redis.port
	}
	return o
}

// startNode starts a server and waits until it serves.
func (r *run) startNode(ctx context.Context, n *node) error {
	if err := n.start(); err != nil {
		return err
	}
	return r.until(ctx, "a server to start", n.serves)
}

// people makes accounts, devices and friendships.
func (r *run) people(ctx context.Context) error {
	for i := range r.users {
		user := fmt.Sprintf("u%d", i)
		r.devices = append(r.devices, r.device(user, "a", i))
		if i%3 == 0 {
			r.devices = append(r.devices, r.device(user, "b", i+1))
		}
		if _, err := r.nodes[0].ctl(ctx, "register", user, domain, password); err != nil {
			return err
		}
	}
	for _, d := range r.devices {
		if err := d.introduce(ctx); err != nil {
			return err
		}
	}
	for _, probe := range []string{"probe1", "probe2", "twin"} {
		if _, err := r.nodes[0].ctl(ctx, "register", probe, domain, password); err != nil {
			return err
		}
	}
	for a := range min(r.friends, r.users) {
		for b := range min(r.friends, r.users) {
			if a == b {
				continue
			}
			ua, ub := fmt.Sprintf("u%d", a), fmt.Sprintf("u%d", b)
			if _, err := r.nodes[0].ctl(ctx, "add_rosteritem", ua, domain, ub, domain, ub, "", "both"); err != nil {
				return err
			}
			for _, d := range r.devicesOf(ua) {
				d.friends = append(d.friends, r.devicesOf(ub)...)
			}
		}
	}
	return nil
}

// device makes one. Some acknowledge late, some wait long for a silent server, half
// resume their streams.
func (r *run) device(user, resource string, i int) *device {
	d := &device{
		run: r, user: user, resource: resource, home: i % len(r.nodes), next: i % len(r.nodes),
		lazy: i%4 == 1, patience: 5 * time.Second, changed: make(chan struct{}),
		chance: rand.New(rand.NewPCG(uint64(r.seed), uint64(len(r.devices)+2))),
	}
	if i/len(r.nodes)%2 == 1 {
		d.patience = time.Minute
	}
	if resource == "b" {
		d.priority = i % 2 // with the same as the other, or a better one
	}
	d.resumes = d.chance.IntN(2) == 0
	if d.chance.IntN(2) == 0 {
		d.agent = fmt.Sprintf("%08x-7041-4a11-8000-%012x", d.chance.Uint32(), d.chance.Uint64()>>16)
	}
	return d
}

func (r *run) devicesOf(user string) []*device {
	return slices.DeleteFunc(slices.Clone(r.devices), func(d *device) bool { return d.user != user })
}

// connect has all devices begin their lives.
func (r *run) connect(ctx context.Context) {
	for _, d := range r.devices {
		r.clients.Go(func() { d.live(ctx) })
	}
}

// part has everybody leave, looks whether they are gone, and ends the servers in
// good order.
func (r *run) part(ctx context.Context) error {
	for _, d := range r.devices {
		d.logOut()
	}
	if err := r.settled(ctx); err != nil {
		return r.explain(err)
	}
	for _, n := range r.nodes {
		if _, err := r.endNode(ctx, n, "SIGTERM"); err != nil {
			return r.explain(err)
		}
	}
	r.report()
	return r.verdict(nil)
}

// explain adds to an error what helps to understand it.
func (r *run) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	r.report()
	return r.verdict(err)
}

// stop ends every process.
func (r *run) stop() error {
	ctx := context.Background()
	var all []error
	for _, n := range r.nodes {
		if n.running() {
			all = append(all, n.kill())
		}
	}
	if r.redis != nil {
		all = append(all, r.redis.close())
	}
	if r.db != nil {
		all = append(all, r.db.close(ctx))
	}
	return errors.Join(all...)
}
