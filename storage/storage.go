// Package storage keeps what outlives the server: accounts, rosters, archives.
// It speaks SQL to SQLite and to PostgreSQL, in ejabberd's tables, so that a
// database which ejabberd made is simply opened.
//
// A query is written once. Arguments are question marks, and what the two
// databases do not share does not appear. ejabberd has two flavours of its
// tables: multi-host, where nearly every table has a column server_host, and
// single-host, where each virtual host has a database of its own. One text
// serves both, with a marker wherever the host stands:
//
//	{server_host,}  in a column list or conflict target   server_host,
//	{,server_host}  the same at the end of a list         , server_host
//	{?host,}        in VALUES                             ?,
//	{,?host}        the same at the end                   , ?
//	{host}          a condition                           server_host = ?
//	{r.host}        a condition on the table alias r      r.server_host = ?
//	{?host}         the host's name, in both flavours     ?
//	{for update}    locks the rows read in a transaction  FOR UPDATE
//	{by NAME}       behind a table: the index to use      INDEXED BY NAME, on SQLite, which knows nothing of what is in
//	                                                      a table and may take a longer way; there must be that index
//
// The right column is the multi-host text. In a single-host database the first
// four vanish and the conditions are true. The value is put in by storage:
//
//	INSERT INTO last ({server_host,} username, seconds, state) VALUES ({?host,} ?, ?, ?)
//	ON CONFLICT ({server_host,} username) DO UPDATE SET seconds = excluded.seconds, state = excluded.state
//
//	SELECT seconds, state FROM last WHERE {host} AND username = ?
//
// Nothing is replaced inside quotes and comments. Arguments have the type of
// their column (a string for text, an integer for bigint, a time.Time for a
// timestamp, which is stored in UTC): PostgreSQL insists, SQLite does not.
package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors a caller may ask for with errors.Is. Every verb can also return the
// error of its context.
var (
	// ErrNotFound says that Get had no row.
	ErrNotFound = errors.New("not found")
	// ErrExists says that a row with the same key is there already.
	ErrExists = errors.New("exists already")
	// ErrUnavailable says that the database cannot be used at the moment: it is
	// away, does not answer in time or has no space left. It wraps the cause.
	ErrUnavailable = errors.New("database unavailable")
	// ErrFull says that the queue of writes is full; nothing was queued.
	ErrFull = errors.New("queue of database writes is full")
	// ErrClosed says that the server has closed its databases.
	ErrClosed = errors.New("database closed")
)

// Row is one row of an answer; it is valid until the function it was given to
// returns.
type Row interface {
	// Scan copies the columns to where dest points, as database/sql does. A
	// column that may be NULL needs a pointer to a pointer or a sql.Null.
	Scan(dest ...any) error
}

// A Querier runs queries: a DB each on its own, a Tx together.
type Querier interface {
	Get(ctx context.Context, dest []any, query string, args ...any) error
	Each(ctx context.Context, query string, args []any, scan func(Row) error) error
	Exec(ctx context.Context, query string, args ...any) (int64, error)
}

// DB is a database as one virtual host sees it: the markers in its queries
// stand for that host. Hosts with the same database share its connections and
// its queue. It is safe for concurrent use.
type DB struct {
	base *base
	host string
}

// Host is the virtual host whose rows db sees.
func (db *DB) Host() string { return db.host }

// MultiHost reports whether the tables have a column server_host. Queries need
// not ask: their markers know.
func (db *DB) MultiHost() bool { return db.base.flavour == multiHost }

// String names the database for people, without any secret.
func (db *DB) String() string { return db.base.name }

// Get runs a query and copies the columns of its first row to where dest
// points; with no dest it only asks whether there is one. It returns ErrNotFound
// if there is none. It waits for the database.
func (db *DB) Get(ctx context.Context, dest []any, query string, args ...any) error {
	ctx, cancel := db.base.bound(ctx)
	defer cancel()
	return db.base.failure(ctx, db.get(ctx, db.base.engine, dest, query, args))
}

// Each runs a query and calls scan for every row, in order. The first error of
// scan ends it and is returned as it is. scan must not use the database: it
// holds one of a few connections.
func (db *DB) Each(ctx context.Context, query string, args []any, scan func(Row) error) error {
	ctx, cancel := db.base.bound(ctx)
	defer cancel()
	return db.each(ctx, db.base.engine, each{query, args, scan})
}

// Exec runs a statement and returns how many rows it changed. It returns
// ErrExists if it would break a unique key.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := db.base.bound(ctx)
	defer cancel()
	n, err := db.exec(ctx, db.base.engine, query, args)
	return n, db.base.failure(ctx, err)
}

// Tx runs f in a transaction: what f does happens altogether if f returns nil,
// else not at all. f must use its Tx and not the DB, which on SQLite would wait
// for the one writing connection; and it may be called again when PostgreSQL
// resolves a deadlock at its cost. The whole takes at most sql_query_timeout.
func (db *DB) Tx(ctx context.Context, f func(*Tx) error) error {
	ctx, cancel := db.base.bound(ctx)
	defer cancel()
	const tries = 10
	// At once it would often meet the same transaction again, and lose again.
	pause := delay{next: time.Millisecond, most: 100 * time.Millisecond}
	for try := 1; ; try++ {
		err := db.once(ctx, f)
		if try == tries || !db.base.engine.again(err) || pause.wait(ctx) != nil {
			return err
		}
	}
}

// once runs f in one transaction.
func (db *DB) once(ctx context.Context, f func(*Tx) error) error {
	t, err := db.base.engine.begin(ctx)
	if err != nil {
		return db.base.failure(ctx, fmt.Errorf("begin transaction: %w", err))
	}
	open := true
	defer func() {
		if open {
			t.rollback()
		}
	}()
	end, _ := ctx.Deadline()
	if err := f(&Tx{db, t, end}); err != nil {
		return err
	}
	open = false
	if err := t.commit(ctx); err != nil {
		return db.base.failure(ctx, fmt.Errorf("commit: %w", err))
	}
	return nil
}

// Tx is a transaction; it is valid until the function it was given to returns
// and belongs to the goroutine which runs that.
type Tx struct {
	db  *DB
	t   transaction
	end time.Time // of sql_query_timeout, for all statements together
}

func (tx *Tx) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadlineCause(ctx, tx.end, errQueryTimeout)
}

// Get is DB.Get within the transaction.
func (tx *Tx) Get(ctx context.Context, dest []any, query string, args ...any) error {
	ctx, cancel := tx.bound(ctx)
	defer cancel()
	return tx.db.base.failure(ctx, tx.db.get(ctx, tx.t, dest, query, args))
}

// Each is DB.Each within the transaction.
func (tx *Tx) Each(ctx context.Context, query string, args []any, scan func(Row) error) error {
	ctx, cancel := tx.bound(ctx)
	defer cancel()
	return tx.db.each(ctx, tx.t, each{query, args, scan})
}

// Exec is DB.Exec within the transaction. After an error PostgreSQL takes no
// further statement in this transaction: return it.
func (tx *Tx) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel := tx.bound(ctx)
	defer cancel()
	n, err := tx.db.exec(ctx, tx.t, query, args)
	return n, tx.db.base.failure(ctx, err)
}

func (db *DB) get(ctx context.Context, s session, dest []any, query string, args []any) error {
	q, bound, err := db.bind(query, args)
	if err != nil {
		return err
	}
	rows, err := s.query(ctx, q, bound)
	if err != nil {
		return err
	}
	if !rows.Next() {
		rows.close()
		if err := rows.Err(); err != nil {
			return err
		}
		return ErrNotFound
	}
	if len(dest) > 0 {
		if err := rows.Scan(dest...); err != nil {
			rows.close()
			return fmt.Errorf("read a row: %w", err)
		}
	}
	for q.writes && rows.Next() {
		// SQLite commits when a statement has come to its end.
	}
	rows.close()
	return rows.Err()
}

// each is what Each was asked for.
type each struct {
	query string
	args  []any
	scan  func(Row) error
}

func (db *DB) each(ctx context.Context, s session, e each) error {
	q, bound, err := db.bind(e.query, e.args)
	if err != nil {
		return err
	}
	rows, err := s.query(ctx, q, bound)
	if err != nil {
		return db.base.failure(ctx, err)
	}
	defer rows.close()
	for rows.Next() {
		if err := e.scan(rows); err != nil {
			return err
		}
	}
	return db.base.failure(ctx, rows.Err())
}

func (db *DB) exec(ctx context.Context, s session, query string, args []any) (int64, error) {
	q, bound, err := db.bind(query, args)
	if err != nil {
		return 0, err
	}
	return s.exec(ctx, q, bound)
}
