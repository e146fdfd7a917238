package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteEngine is a file. SQLite has one writer at a time, so one connection
// writes and whoever wants it queues here, where waiting is fair, and not in
// SQLite's lock, where it is not.
type sqliteEngine struct {
	file    string
	writer  statements
	readers statements
}

// busyTimeout is how long another program (sqlite3, a backup) may hold the lock.
const busyTimeout = 10 * time.Second

// walPages is how long the log becomes before it is written to the file: 16 MB. A page
// that was changed often meanwhile is written there once.
const walPages = "wal_autocheckpoint(4000)"

func openSQLite(ctx context.Context, at place, o SQL) (engine, error) {
	file, err := filepath.Abs(at.name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", at, err)
	}
	// Made here because SQLite would let everybody read it.
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w: check sql_database", at, err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open %s: %w", at, err)
	}
	e := &sqliteEngine{file: file}
	if e.writer.db, err = sql.Open("sqlite", dsn(file, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", walPages)); err != nil {
		return nil, fmt.Errorf("open %s: %w", at, err)
	}
	e.writer.db.SetMaxOpenConns(1)
	if e.readers.db, err = sql.Open("sqlite", dsn(file, "query_only(1)")); err != nil {
		e.writer.close()
		return nil, fmt.Errorf("open %s: %w", at, err)
	}
	readers := o.PoolSize
	if readers == 0 {
		readers = 4
	}
	e.readers.db.SetMaxOpenConns(readers)
	e.readers.db.SetMaxIdleConns(readers)
	if err := e.begins(ctx); err != nil {
		e.close()
		return nil, fmt.Errorf("open %s: %w", at, e.classify(err))
	}
	return e, nil
}

// begins finds out whether the file can be read and written.
func (e *sqliteEngine) begins(ctx context.Context) error {
	t, err := e.begin(ctx)
	if err != nil {
		return err
	}
	t.rollback()
	return e.ping(ctx)
}

// dsn is how modernc.org/sqlite wants to be told about a file.
func dsn(file string, pragmas ...string) string {
	q := url.Values{"_txlock": {"immediate"}}
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	u := url.URL{Scheme: "file", Path: file, RawQuery: q.Encode()}
	return u.String()
}

func (e *sqliteEngine) dialect() dialect { return lite }

func (e *sqliteEngine) close() {
	e.readers.close()
	e.writer.close()
}

func (e *sqliteEngine) ping(ctx context.Context) error {
	var one int
	return e.readers.db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&one)
}

// pool is where a query runs.
func (e *sqliteEngine) pool(q *query) *statements {
	if q.writes {
		return &e.writer
	}
	return &e.readers
}

func (e *sqliteEngine) query(ctx context.Context, q *query, args []any) (rows, error) {
	p := e.pool(q)
	st, err := p.prepare(ctx, q.text)
	if err != nil {
		return nil, err
	}
	r := &liteQuery{ctx: ctx, query: q, began: time.Now()}
	// Watching a context costs as much as finding a row by its key: a goroutine,
	// and a function that SQLite calls. Queries that have always been answered at
	// once, some times, do without; between rows the context is looked at all the
	// same.
	if q.quick.Load() >= oftenQuick {
		ctx = context.WithoutCancel(ctx)
	}
	if st == nil {
		r.Rows, err = p.db.QueryContext(ctx, q.text, args...)
	} else {
		r.Rows, err = st.QueryContext(ctx, args...)
	}
	if err != nil {
		r.measure()
		return nil, err
	}
	return r, nil
}

const (
	atOnce     = 5 * time.Millisecond // how long a query takes that need not be ended early
	oftenQuick = 8                    // how often it has to have been so
)

// liteQuery is the rows of a query outside of a transaction.
type liteQuery struct {
	liteRows
	ctx   context.Context
	query *query
	began time.Time
}

func (r *liteQuery) Next() bool { return r.ctx.Err() == nil && r.liteRows.Next() }

// Err is also why Next has ended early.
func (r *liteQuery) Err() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	return r.liteRows.Err()
}

func (r *liteQuery) close() {
	r.liteRows.close()
	r.measure()
}

// measure remembers whether the query took long.
func (r *liteQuery) measure() {
	switch n := r.query.quick.Load(); {
	case n < 0:
	case time.Since(r.began) > atOnce:
		r.query.quick.Store(-1)
	case n < oftenQuick:
		r.query.quick.CompareAndSwap(n, n+1)
	}
}

func (e *sqliteEngine) exec(ctx context.Context, q *query, args []any) (int64, error) {
	p := e.pool(q)
	st, err := p.prepare(ctx, q.text)
	if err != nil {
		return 0, err
	}
	if st == nil {
		return changed(p.db.ExecContext(ctx, q.text, args...))
	}
	return changed(st.ExecContext(ctx, args...))
}

func (e *sqliteEngine) begin(ctx context.Context) (transaction, error) {
	tx, err := e.writer.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &liteTx{tx: tx, statements: &e.writer, own: map[string]*sql.Stmt{}}, nil
}

func (e *sqliteEngine) batch(ctx context.Context, tickets []*Ticket, _ *bound) (int, error) {
	for i, ticket := range tickets {
		for _, s := range ticket.statements {
			if _, err := e.writer.prepare(ctx, s.query.text); err != nil {
				return i, err
			}
		}
	}
	t, err := e.begin(ctx)
	if err != nil {
		return -1, err
	}
	// The transaction ends with ctx. The statements do without it: watching a
	// context costs a goroutine each, and an insert is short.
	plain := context.WithoutCancel(ctx)
	for i, ticket := range tickets {
		for _, s := range ticket.statements {
			if _, err := t.exec(plain, s.query, s.args); err != nil {
				t.rollback()
				return i, err
			}
		}
	}
	return -1, t.commit(ctx)
}

// reshape turns foreign keys off, without which rebuilding a table would delete
// what refers to it. SQLite does that only outside of a transaction.
func (e *sqliteEngine) reshape(ctx context.Context, f func(session) error) (err error) {
	conn, err := e.writer.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, `PRAGMA foreign_keys = OFF`); err != nil {
		return err
	}
	defer func() {
		_, on := conn.ExecContext(context.WithoutCancel(ctx), `PRAGMA foreign_keys = ON`)
		err = errors.Join(err, on)
	}()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(plainTx{tx}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (e *sqliteEngine) again(error) bool { return false }

func (e *sqliteEngine) classify(err error) error {
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return err
	}
	switch lite.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return fmt.Errorf("%w: %w", ErrExists, err)
	}
	switch lite.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: no space left for %s: %w", ErrUnavailable, e.file, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: another program holds %s: %w", ErrUnavailable, e.file, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM:
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, e.file, err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s is not a SQLite database: %w", e.file, err)
	}
	return err
}

// statements is a pool of connections with its prepared statements.
type statements struct {
	db *sql.DB

	mu   sync.RWMutex
	made map[string]*sql.Stmt
}

const maxPrepared = 512

// prepare finds or makes the statement for a text; nil when there are too many.
func (s *statements) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.RLock()
	st, n := s.made[text], len(s.made)
	s.mu.RUnlock()
	if st != nil || n >= maxPrepared {
		return st, nil
	}
	st, err := s.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.made[text]; other != nil {
		return other, st.Close()
	}
	if s.made == nil {
		s.made = map[string]*sql.Stmt{}
	}
	s.made[text] = st
	return st, nil
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.made {
		_ = st.Close() // the connections go as well
	}
	s.made = nil
	_ = s.db.Close() // what was to be kept is committed
}

// liteTx is a transaction on the writing connection.
type liteTx struct {
	tx         *sql.Tx
	statements *statements
	own        map[string]*sql.Stmt
}

// prepare looks for the statement among those of the connection. It must not
// prepare on the pool, whose only connection this transaction holds.
func (t *liteTx) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if st := t.own[text]; st != nil {
		return st, nil
	}
	t.statements.mu.RLock()
	shared := t.statements.made[text]
	t.statements.mu.RUnlock()
	var st *sql.Stmt
	if shared != nil {
		st = t.tx.StmtContext(ctx, shared)
	} else {
		var err error
		if st, err = t.tx.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
	}
	t.own[text] = st
	return st, nil
}

func (t *liteTx) query(ctx context.Context, q *query, args []any) (rows, error) {
	st, err := t.prepare(ctx, q.text)
	if err != nil {
		return nil, err
	}
	return liteAnswer(st.QueryContext(ctx, args...))
}

func (t *liteTx) exec(ctx context.Context, q *query, args []any) (int64, error) {
	st, err := t.prepare(ctx, q.text)
	if err != nil {
		return 0, err
	}
	return changed(st.ExecContext(ctx, args...))
}

// commit also prepares what was new for the next transaction, because the
// statements of this one end with it.
func (t *liteTx) commit(ctx context.Context) error {
	if err := t.tx.Commit(); err != nil {
		return err
	}
	for text := range t.own {
		if _, err := t.statements.prepare(ctx, text); err != nil {
			return nil // committed all the same
		}
	}
	return nil
}

func (t *liteTx) rollback() {
	_ = t.tx.Rollback() // it is undone either way
}

// plainTx runs every statement once, as changes to tables do.
type plainTx struct{ tx *sql.Tx }

func (t plainTx) query(ctx context.Context, q *query, args []any) (rows, error) {
	return liteAnswer(t.tx.QueryContext(ctx, q.text, args...))
}

func (t plainTx) exec(ctx context.Context, q *query, args []any) (int64, error) {
	return changed(t.tx.ExecContext(ctx, q.text, args...))
}

func changed(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// liteRows are rows out of SQLite.
type liteRows struct{ *sql.Rows }

func liteAnswer(r *sql.Rows, err error) (rows, error) {
	if err != nil {
		return nil, err
	}
	return liteRows{r}, nil
}

func (r liteRows) close() {
	_ = r.Close() // Err has what there is to say
}

// Scan reads times itself: SQLite has none, only text that may be one, and an
// expression over a column has lost its type.
func (r liteRows) Scan(dest ...any) error {
	for i, d := range dest {
		if _, ok := d.(*time.Time); !ok {
			continue
		}
		own := make([]any, len(dest))
		copy(own, dest)
		for j := i; j < len(own); j++ {
			if at, ok := own[j].(*time.Time); ok {
				own[j] = liteInstant{at}
			}
		}
		dest = own
		break
	}
	return r.Rows.Scan(dest...)
}

// liteInstant scans a time.
type liteInstant struct{ at *time.Time }

func (l liteInstant) Scan(v any) error {
	switch v := v.(type) {
	case time.Time:
		*l.at = v.UTC()
		return nil
	case string:
		for _, layout := range []string{liteTime, time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", time.DateOnly} {
			if t, err := time.Parse(layout, v); err == nil {
				*l.at = t.UTC()
				return nil
			}
		}
		return fmt.Errorf("%q is not a time", v)
	default:
		return fmt.Errorf("%v is not a time", v)
	}
}
