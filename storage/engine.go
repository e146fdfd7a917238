package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"
)

// An engine is a kind of database: SQLite or PostgreSQL.
type engine interface {
	session
	// begin starts a transaction that may write.
	begin(ctx context.Context) (transaction, error)
	// batch runs the statements of all tickets in one transaction. With an
	// error nothing is stored; at is the ticket that failed, or -1.
	batch(ctx context.Context, tickets []*Ticket, last *bound) (at int, err error)
	// reshape runs f in a transaction in which tables may be rebuilt, and in
	// which no other node of ours does the same.
	reshape(ctx context.Context, f func(session) error) error
	// ping asks whether the database is there.
	ping(ctx context.Context) error
	// classify wraps err with the error of this package that it stands for.
	classify(err error) error
	// again reports whether a transaction that failed with err may well
	// succeed if it is run once more.
	again(err error) bool
	dialect() dialect
	close()
}

// A session runs statements: an engine each on its own, a transaction together.
type session interface {
	query(ctx context.Context, q *query, args []any) (rows, error)
	exec(ctx context.Context, q *query, args []any) (int64, error)
}

type transaction interface {
	session
	commit(ctx context.Context) error
	rollback()
}

// rows is what database/sql and pgx have in common, but for close.
type rows interface {
	Row
	Next() bool
	Err() error
	close()
}

// flavour is which of ejabberd's two sets of tables a database has.
type flavour uint8

const (
	multiHost flavour = iota
	singleHost
)

// base is a database, shared by the virtual hosts that use it.
type base struct {
	engine  engine
	flavour flavour
	name    string // for people
	options SQL
	log     *slog.Logger
	queries queryCache
	queue   *queue

	migrated migrations
	jobs     jobs
}

// bound limits ctx to sql_query_timeout.
func (b *base) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, b.options.QueryTimeout, errQueryTimeout)
}

var errQueryTimeout = errors.New("no answer within sql_query_timeout")

// failure says what err means to a caller: nil, one of this package's errors,
// the error of the caller's context, or the database's complaint.
func (b *base) failure(ctx context.Context, err error) error {
	if end, ok := ctx.Deadline(); err != nil && ok && !time.Now().Before(end) {
		<-ctx.Done() // the transaction's own timer may have been the first
	}
	switch {
	case err == nil, errors.Is(err, ErrNotFound), errors.Is(err, ErrUnavailable), errors.Is(err, ErrExists), errors.Is(err, ErrClosed):
		return err
	case ctx.Err() == nil:
		return b.engine.classify(err)
	case context.Cause(ctx) == errQueryTimeout:
		return fmt.Errorf("%w: %s: %w (%v)", ErrUnavailable, b.name, errQueryTimeout, b.options.QueryTimeout)
	default:
		return ctx.Err()
	}
}

// bound is a statement ready to run.
type bound struct {
	query *query
	args  []any
}

// bind finds the text for this database and puts the arguments in their order.
func (db *DB) bind(text string, args []any) (*query, []any, error) {
	q, err := db.base.queries.find(text, db.base.engine.dialect(), db.base.flavour)
	if err != nil {
		return nil, nil, err
	}
	if len(args) != q.want {
		return nil, nil, fmt.Errorf("query wants %d arguments and got %d: %s", q.want, len(args), text)
	}
	out := make([]any, len(q.args))
	for i, n := range q.args {
		if n < 0 {
			out[i] = db.host
			continue
		}
		if out[i], err = value(args[n], db.base.engine.dialect()); err != nil {
			return nil, nil, fmt.Errorf("argument %d: %w", n+1, err)
		}
	}
	return q, out, nil
}

// liteTime is how SQLite's CURRENT_TIMESTAMP and ejabberd write a time; it
// sorts as text, with and without the fraction.
const liteTime = "2006-01-02 15:04:05.999999"

// value is an argument as both drivers understand it, so that what a query
// means does not depend on which it is.
func value(a any, d dialect) (any, error) {
	switch v := a.(type) {
	case nil, string, []byte, bool, int, int64, int32, int16, float64:
		return a, nil
	case time.Time:
		if d == lite {
			return v.UTC().Format(liteTime), nil
		}
		return v.UTC(), nil
	case driver.Valuer:
		inner, err := v.Value()
		if err != nil {
			return nil, err
		}
		if _, loop := inner.(driver.Valuer); loop {
			return nil, fmt.Errorf("%T cannot be stored", a)
		}
		return value(inner, d)
	case fmt.Stringer:
		if _, duration := a.(time.Duration); duration {
			return nil, errors.New("a time.Duration has no unit in a database: pass a number")
		}
		return v.String(), nil
	}
	return basic(reflect.ValueOf(a), d)
}

// basic is the value of a named type, or of what a pointer points to.
func basic(v reflect.Value, d dialect) (any, error) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, nil
		}
		return value(v.Elem().Interface(), d)
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.Uint() > 1<<63-1 {
			return nil, fmt.Errorf("%d is too large for a bigint", v.Uint())
		}
		return int64(v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("%s cannot be stored", v.Type())
}
