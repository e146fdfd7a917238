package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options is what a server needs to know to open its databases.
type Options struct {
	Dir   string         // the data directory; made if it is not there
	Hosts map[string]SQL // by domain: the options of every virtual host
}

// Server is all databases of a server. Safe for concurrent use.
type Server struct {
	dir string
	log *slog.Logger

	mu     sync.Mutex
	closed bool
	bases  map[place]*base
	hosts  map[string]*tenancy
}

// tenancy is where a virtual host keeps things.
type tenancy struct {
	place    place
	sql      *DB
	embedded *DB // opened when it is asked for
}

// Open opens the database of every virtual host. A PostgreSQL that is away is
// waited for, at most sql_start_interval. The error is a sentence for the
// operator: it says which option to look at.
func Open(ctx context.Context, o Options, log *slog.Logger) (*Server, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	s := &Server{dir: o.Dir, log: log, bases: map[place]*base{}, hosts: map[string]*tenancy{}}
	for _, domain := range slices.Sorted(maps.Keys(o.Hosts)) {
		if _, err := s.Attach(ctx, domain, o.Hosts[domain]); err != nil {
			return nil, errors.Join(err, s.Close(ctx))
		}
	}
	return s, nil
}

// Attach opens the database of one more virtual host, or finds it open already.
// A host that is attached keeps its database, whatever the options say now.
func (s *Server) Attach(ctx context.Context, domain string, o SQL) (*DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if t, ok := s.hosts[domain]; ok {
		return t.sql, nil
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("database of %s: %w", domain, err)
	}
	at, err := o.place(s.dir, domain)
	if err != nil {
		return nil, fmt.Errorf("database of %s: %w", domain, err)
	}
	b, err := s.open(ctx, at, o)
	if err != nil {
		return nil, fmt.Errorf("database of %s: %w", domain, err)
	}
	if err := s.fits(b, at, domain); err != nil {
		return nil, err
	}
	t := &tenancy{place: at, sql: &DB{b, domain}}
	s.hosts[domain] = t
	return t.sql, nil
}

// fits refuses a second host in a database that cannot tell them apart.
func (s *Server) fits(b *base, at place, domain string) error {
	if b.flavour == multiHost {
		return nil
	}
	for other, t := range s.hosts {
		if t.place == at || t.embedded != nil && t.embedded.base == b {
			hosts := []string{other, domain}
			slices.Sort(hosts)
			return fmt.Errorf("%s has ejabberd's single-host tables, which cannot tell %s apart: give each host a database of its own (host_config, sql_database), or convert the tables to multi-host",
				b.name, strings.Join(hosts, " and "))
		}
	}
	return nil
}

// open finds or opens the database at a place. The lock is held.
func (s *Server) open(ctx context.Context, at place, o SQL) (*base, error) {
	if b, ok := s.bases[at]; ok {
		return b, nil
	}
	b, err := openBase(ctx, at, o, s.log)
	if err != nil {
		return nil, err
	}
	s.bases[at] = b
	return b, nil
}

// Host is the database that the options sql_* of a virtual host name (db_type
// sql); nil if the host was not attached.
func (s *Server) Host(domain string) *DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.hosts[domain]; ok {
		return t.sql
	}
	return nil
}

// Embedded is the embedded database as a virtual host sees it (db_type mnesia):
// the file gabberd.db in the data directory, opened when it is first asked for.
// The host must be attached.
func (s *Server) Embedded(ctx context.Context, domain string) (*DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.hosts[domain]
	switch {
	case s.closed:
		return nil, ErrClosed
	case !ok:
		return nil, fmt.Errorf("storage of %s: no such virtual host", domain)
	case t.embedded != nil:
		return t.embedded, nil
	}
	o := Defaults()
	at, err := o.place(s.dir, domain)
	if err != nil {
		return nil, err
	}
	b, err := s.open(ctx, at, o)
	if err != nil {
		return nil, fmt.Errorf("embedded database: %w", err)
	}
	if t.place != at {
		if err := s.fits(b, at, domain); err != nil {
			return nil, err
		}
	}
	t.embedded = &DB{b, domain}
	return t.embedded, nil
}

// Queued is how many tickets wait for their commit, by the name of the database.
func (s *Server) Queued() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for _, b := range s.bases {
		out[b.name] += (&DB{base: b}).Queued()
	}
	return out
}

// Ping asks every open database whether it is there and returns what those that
// are not have to say.
func (s *Server) Ping(ctx context.Context) error {
	s.mu.Lock()
	bases := slices.Collect(maps.Values(s.bases))
	s.mu.Unlock()
	var all error
	for _, b := range bases {
		all = errors.Join(all, b.ping(ctx))
	}
	return all
}

// Close commits what is queued and closes all databases. When ctx ends first,
// what is left is given up and its tickets fail with ErrClosed. Nothing may use
// the databases afterwards.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var all error
	for _, b := range s.bases {
		if lost := b.queue.close(ctx); lost > 0 {
			all = errors.Join(all, fmt.Errorf("%s: %d queued writes were given up: %w", b.name, lost, context.Cause(ctx)))
		}
		b.engine.close()
	}
	return all
}

// openBase opens a database and finds its flavour.
func openBase(ctx context.Context, at place, o SQL, log *slog.Logger) (*base, error) {
	b := &base{name: at.String(), options: o, log: log}
	var err error
	if at.kind == "sqlite" {
		b.engine, err = openSQLite(ctx, at, o)
	} else {
		b.engine, err = openPostgres(ctx, at, o, log)
	}
	if err != nil {
		return nil, err
	}
	if b.flavour, err = b.detect(ctx); err != nil {
		b.engine.close()
		return nil, err
	}
	b.queue = newQueue(b)
	return b, nil
}

func (b *base) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.options.ConnectTimeout, errQueryTimeout)
	defer cancel()
	return b.failure(ctx, b.engine.ping(ctx))
}

// A delay grows from try to try.
type delay struct{ next, most time.Duration }

// wait waits, or returns the error of ctx if that ends first.
func (d *delay) wait(ctx context.Context) error {
	t := time.NewTimer(d.next)
	defer t.Stop()
	d.next = min(2*d.next, d.most)
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
