package msgforward

import (
	"context"
	"slices"
	"sync"

	"github.com/gabberd/gabberd/storage"
)

// A crew is the workers of a module: one for each destination in each database in
// which modules of the host keep messages. Which those are is known when the modules
// have started, so that they come one by one. Once there, they stay until the module
// stops: what was stored before a module went to another database is delivered.
type crew struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	ended   bool
	dbs     []*storage.DB
	workers map[*line][]*worker
	quiet   []func() // nobody pokes them any more
}

func (c *crew) begin(ctx context.Context) {
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.workers = map[*line][]*worker{}
}

// end stops all and waits for them.
func (c *crew) end() {
	c.mu.Lock()
	c.ended = true
	quiet := c.quiet
	c.mu.Unlock()
	for _, f := range quiet {
		f()
	}
	c.cancel()
	c.running.Wait()
}

// of is the workers of a destination.
func (c *crew) of(l *line) []*worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.workers[l])
}

// join starts workers in a database, unless there are some.
func (c *crew) join(db *storage.DB, lines []*line, newWorker func(*line, *storage.DB) *worker, others *undertaker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || slices.ContainsFunc(c.dbs, db.Same) {
		return
	}
	c.dbs = append(c.dbs, db)
	for _, l := range lines {
		w := newWorker(l, db)
		c.workers[l] = append(c.workers[l], w)
		c.quiet = append(c.quiet, db.OnJobs(w.poke))
		c.running.Go(func() { w.run(c.ctx) })
	}
	c.running.Go(func() { others.run(c.ctx) })
}

// places is the databases.
func (c *crew) places() []*storage.DB {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.dbs)
}

// serve has the jobs in a database worked on.
func (m *module) serve(ctx context.Context, db *storage.DB) error {
	if err := db.Migrate(ctx, storage.JobsKeeper, storage.Jobs...); err != nil {
		return err
	}
	for _, l := range m.lines {
		// By their leases queues are known when their destinations are not.
		if _, err := (store{db, queueOf(l.name)}).lease(ctx); err != nil {
			return err
		}
	}
	m.crew.join(db, m.lines, m.newWorker, newUndertaker(m.host, db, m.lines))
	return nil
}

// storeOpened is told of modules that start later.
func (m *module) storeOpened(ctx context.Context, db *storage.DB) {
	if err := m.serve(ctx, db); err != nil {
		m.host.Log.Error("messages of a database are not forwarded", "database", db.String(), "error", err)
	}
}

func (m *module) newWorker(l *line, db *storage.DB) *worker {
	return &worker{
		store: store{db, queueOf(l.name)}, d: l.destination, name: l.name, host: m.host.Domain, node: m.host.Parts.Sessions.Node(), target: l.target,
		count: l.count, log: l.log, hurry: make(chan struct{}, 1), again: make(chan struct{}, 1),
	}
}
