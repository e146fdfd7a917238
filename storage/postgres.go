package storage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgEngine is a PostgreSQL database.
type pgEngine struct {
	at      place
	timeout time.Duration // sql_connect_timeout
	pool    *pgPool
}

func openPostgres(ctx context.Context, at place, o SQL, log *slog.Logger) (engine, error) {
	config, err := pgConfig(at, o)
	if err != nil {
		return nil, err
	}
	pool, err := newPgPool(config, o)
	if err != nil {
		return nil, fmt.Errorf("options for %s: %w", at, err)
	}
	e := &pgEngine{at: at, timeout: o.ConnectTimeout, pool: pool}
	if err := e.arrive(ctx, o.StartInterval, log); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// arrive waits for a database that is away, but not for one that refuses us.
func (e *pgEngine) arrive(ctx context.Context, most time.Duration, log *slog.Logger) error {
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	pause := delay{next: 100 * time.Millisecond, most: 2 * time.Second}
	told := false
	for {
		err := e.ping(ctx)
		if err == nil {
			return nil
		}
		if err := e.refused(err); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !told {
			log.Warn("the database is away, waiting for it", "database", e.at.String(), "error", err, "at_most", most)
			told = true
		}
		if pause.wait(limited) != nil && ctx.Err() == nil {
			return fmt.Errorf("%s did not answer for %v (sql_start_interval): is it running, and are sql_server and sql_port right? %w", e.at, most, e.classify(err))
		}
	}
}

// refused is what an operator must change before a connection can succeed, or
// nil when waiting may help.
func (e *pgEngine) refused(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return nil
	}
	switch pg.Code {
	case "28P01", "28000":
		return fmt.Errorf("%s refuses user %q: check sql_username, sql_password and the server's pg_hba.conf: %w", e.at, e.at.user, err)
	case "3D000":
		return fmt.Errorf("%s does not exist: create it (createdb -O %s %s) or correct sql_database: %w", e.at, e.at.user, e.at.name, err)
	case "42501":
		return fmt.Errorf("%s does not let user %q in: grant it CONNECT: %w", e.at, e.at.user, err)
	}
	return nil
}

// pgConfig is the options as pgx wants them. Nothing is taken from the
// environment or from files in a home directory.
func pgConfig(at place, o SQL) (*pgxpool.Config, error) {
	pool, err := pgxpool.ParseConfig("host=localhost sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("options for PostgreSQL: %w (an environment variable PG… may be the cause)", err)
	}
	pool.MaxConns = 10
	if o.PoolSize > 0 {
		pool.MaxConns = int32(min(o.PoolSize, 1<<15))
	}
	config := pool.ConnConfig
	config.Host, config.Port, config.Database = at.server, uint16(at.port), at.name
	config.User, config.Password = o.Username, o.Password
	config.Fallbacks = nil
	config.ConnectTimeout = o.ConnectTimeout
	config.RuntimeParams = map[string]string{"application_name": "gabberd", "timezone": "UTC"}
	config.StatementCacheCapacity = maxPrepared
	if !o.PreparedStatements {
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	if file, ok := strings.CutPrefix(at.server, "unix:"); ok {
		config.Host = file
		if st, err := os.Stat(file); err == nil && st.IsDir() {
			return pool, nil // pgx knows how the socket is called there
		}
		config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", file)
		}
		return pool, nil
	}
	if o.SSL {
		config.TLSConfig, err = pgTLS(o)
	}
	return pool, err
}

func pgTLS(o SQL) (*tls.Config, error) {
	// Without sql_ssl_verify the connection is only hidden from those who
	// listen, as in ejabberd.
	c := &tls.Config{ServerName: o.Server, InsecureSkipVerify: !o.SSLVerify, MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("sql_ssl_cafile: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("sql_ssl_cafile: %s holds no certificate", o.CAFile)
		}
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.CertFile)
		if err != nil {
			return nil, fmt.Errorf("sql_ssl_certfile: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (e *pgEngine) dialect() dialect { return postgres }

func (e *pgEngine) close() { e.pool.close() }

func (e *pgEngine) ping(ctx context.Context) error {
	conn, err := e.pool.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return conn.Ping(ctx)
}

func (e *pgEngine) query(ctx context.Context, q *query, args []any) (rows, error) {
	for again := true; ; again = false {
		conn, err := e.pool.acquire(ctx)
		if err != nil {
			return nil, err
		}
		r, err := conn.Query(ctx, q.text, args...)
		if err == nil {
			return &pgRows{r, conn}, nil
		}
		again = e.lost(ctx, conn, err, !q.writes) && again
		conn.Release()
		if !again {
			return nil, err
		}
	}
}

func (e *pgEngine) exec(ctx context.Context, q *query, args []any) (int64, error) {
	for again := true; ; again = false {
		conn, err := e.pool.acquire(ctx)
		if err != nil {
			return 0, err
		}
		tag, err := conn.Exec(ctx, q.text, args...)
		again = e.lost(ctx, conn, err, !q.writes) && again
		conn.Release()
		if !again {
			return tag.RowsAffected(), err
		}
	}
}

func (e *pgEngine) begin(ctx context.Context) (transaction, error) {
	for again := true; ; again = false {
		conn, err := e.pool.acquire(ctx)
		if err != nil {
			return nil, err
		}
		tx, err := conn.Begin(ctx)
		if err == nil {
			return &pgTx{tx, conn, e.timeout}, nil
		}
		again = e.lost(ctx, conn, err, true) && again
		conn.Release()
		if !again {
			return nil, err
		}
	}
}

// lost finds out whether a connection had ended, most likely with its server
// and all the others, before the statement was sent. Then the others are given
// up, and the statement may be tried again, at least if that is harmless.
func (e *pgEngine) lost(ctx context.Context, conn *pgxpool.Conn, err error, harmless bool) bool {
	if err == nil || ctx.Err() != nil || !conn.Conn().IsClosed() {
		return false
	}
	e.pool.Reset()
	return harmless || pgconn.SafeToRetry(err)
}

// batch sends all statements at once, which PostgreSQL makes one transaction.
func (e *pgEngine) batch(ctx context.Context, tickets []*Ticket, last *bound) (at int, err error) {
	conn, err := e.pool.acquire(ctx)
	if err != nil {
		return -1, err
	}
	defer conn.Release()
	var b pgx.Batch
	all := groups(tickets)
	for i := range all {
		text, args := all[i].send()
		b.Queue(text, args...)
	}
	if last != nil {
		b.Queue(last.query.text, last.args...)
	}
	answers := conn.SendBatch(ctx, &b)
	defer func() {
		if closing := answers.Close(); err == nil {
			err = closing // the commit failed
		}
	}()
	for i := range all {
		if _, err := answers.Exec(); err != nil {
			return all[i].at, err
		}
	}
	if last != nil {
		_, err = answers.Exec()
	}
	return -1, err
}

// schemaLock is the number of the lock under which tables are made.
const schemaLock = 0x6761626265726464 // "gabberdd"

func (e *pgEngine) reshape(ctx context.Context, f func(session) error) error {
	t, err := e.begin(ctx)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, &query{text: `SELECT pg_advisory_xact_lock($1)`}, []any{int64(schemaLock)}); err != nil {
		t.rollback()
		return err
	}
	if err := f(t); err != nil {
		t.rollback()
		return err
	}
	return t.commit(ctx)
}

func (e *pgEngine) again(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

func (e *pgEngine) classify(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var refused *pgconn.ConnectError
		var network net.Error
		if errors.As(err, &refused) || errors.As(err, &network) || pgconn.SafeToRetry(err) || broken(err) {
			return fmt.Errorf("%w: %s: %w", ErrUnavailable, e.at, err)
		}
		return err
	}
	switch {
	case pg.Code == "23505":
		return fmt.Errorf("%w: %w", ErrExists, err)
	case pg.Code == "53100":
		return fmt.Errorf("%w: no space left for %s: %w", ErrUnavailable, e.at, err)
	case unavailable(pg.Code):
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, e.at, err)
	}
	return err
}

// pgTx is a transaction, which holds a connection.
type pgTx struct {
	tx      pgx.Tx
	conn    *pgxpool.Conn
	timeout time.Duration // for a rollback
}

func (t *pgTx) query(ctx context.Context, q *query, args []any) (rows, error) {
	r, err := t.tx.Query(ctx, q.text, args...)
	if err != nil {
		return nil, err
	}
	return &pgRows{r, nil}, nil
}

func (t *pgTx) exec(ctx context.Context, q *query, args []any) (int64, error) {
	tag, err := t.tx.Exec(ctx, q.text, args...)
	return tag.RowsAffected(), err
}

func (t *pgTx) commit(ctx context.Context) error {
	defer t.conn.Release()
	return t.tx.Commit(ctx)
}

func (t *pgTx) rollback() {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	_ = t.tx.Rollback(ctx) // Release closes a connection that is still inside
	t.conn.Release()
}

// pgRows are rows out of PostgreSQL. Outside of a transaction they hold a
// connection.
type pgRows struct {
	pgx.Rows
	conn *pgxpool.Conn
}

func (r *pgRows) close() {
	r.Close()
	if r.conn != nil {
		r.conn.Release()
		r.conn = nil
	}
}

// unavailable reports whether an SQLSTATE says that the server cannot work now
// (PostgreSQL manual, appendix A).
func unavailable(code string) bool {
	switch code {
	case "57P01", "57P02", "57P03", "57P05", "25006", "58030", "72000":
		return true // going down, starting, a standby, an I/O error
	}
	return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53")
}

// broken reports whether err is that of a connection that ended.
func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || strings.Contains(err.Error(), "conn closed")
}
