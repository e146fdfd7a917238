package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// last is ejabberd's table, things is one of our own with every type.
var (
	last = storage.Version{storage.Table{
		Name:    "last",
		Columns: "username text, server_host text, seconds text, state text",
		Indexes: "unique(server_host, username)",
	}}
	things = storage.Version{storage.Table{
		Name: "gabberd_things",
		Columns: `id bigserial, server_host text, name text, big bigint default, small smallint default, ordinary integer default,
			number numeric default, yes boolean default, bytes blob default, at timestamp default, letter char(1) null, note text null`,
		Indexes: "unique(id); unique(server_host, name); index(at)",
	}}
)

const set = `INSERT INTO last ({server_host,} username, seconds, state) VALUES ({?host,} ?, ?, ?)
	ON CONFLICT ({server_host,} username) DO UPDATE SET seconds = excluded.seconds, state = excluded.state`

func migrate(t testing.TB, db *storage.DB) {
	t.Helper()
	if err := db.Migrate(t.Context(), "mod_last_sql", last); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), "gabberd_things", things); err != nil {
		t.Fatal(err)
	}
}

func exec(t testing.TB, db storage.Querier, query string, args ...any) int64 {
	t.Helper()
	n, err := db.Exec(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func count(t testing.TB, db storage.Querier, table string) int {
	t.Helper()
	var n int
	if err := db.Get(t.Context(), []any{&n}, `SELECT count(*) FROM `+table); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestVerbs(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		ctx := t.Context()
		var seconds, state string
		get := `SELECT seconds, state FROM last WHERE {host} AND username = ?`
		if err := db.Get(ctx, []any{&seconds, &state}, get, "juliet"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("an empty table gave %v", err)
		}
		exec(t, db, set, "juliet", "1", "away")
		exec(t, db, set, "juliet", "2", "'; DROP TABLE last; --")
		exec(t, db, set, "romeo", "3", "")
		if err := db.Get(ctx, []any{&seconds, &state}, get, "juliet"); err != nil || seconds != "2" || state != "'; DROP TABLE last; --" {
			t.Errorf("got %q %q %v", seconds, state, err)
		}
		var names []string
		err := db.Each(ctx, `SELECT username FROM last WHERE {host} ORDER BY username`, nil, func(r storage.Row) error {
			var name string
			err := r.Scan(&name)
			names = append(names, name)
			return err
		})
		if err != nil || strings.Join(names, " ") != "juliet romeo" {
			t.Errorf("got %v %v", names, err)
		}
		if n := exec(t, db, `DELETE FROM last WHERE {host} AND username = ?`, "romeo"); n != 1 {
			t.Errorf("deleted %d rows", n)
		}
		_, err = db.Exec(ctx, `INSERT INTO last ({server_host,} username, seconds, state) VALUES ({?host,} ?, '', '')`, "juliet")
		if !errors.Is(err, storage.ErrExists) {
			t.Errorf("a second row with the same key gave %v", err)
		}
		if _, err := db.Exec(ctx, set, "one argument"); err == nil || !strings.Contains(err.Error(), "wants 3 arguments") {
			t.Errorf("too few arguments gave %v", err)
		}
	})
}

func TestEachStopsAtTheFirstError(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		for i := range 10 {
			exec(t, db, set, fmt.Sprint(i), "0", "")
		}
		enough, n := errors.New("enough"), 0
		// More often than there are connections: an answer that was not read to
		// its end must give its connection back.
		for range 20 {
			err := db.Each(t.Context(), `SELECT username FROM last`, nil, func(storage.Row) error { n++; return enough })
			if err != enough {
				t.Fatalf("got %v", err)
			}
		}
		if n != 20 {
			t.Errorf("scan was called %d times, want 20", n)
		}
		if got := count(t, db, "last"); got != 10 {
			t.Errorf("there are %d rows", got)
		}
	})
}

type name string

func (n name) String() string { return "named " + string(n) }

func TestTypes(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		ctx := t.Context()
		at := time.Date(2026, 3, 4, 5, 6, 7, 891011000, time.FixedZone("", 3600))
		var id int64
		err := db.Get(ctx, []any{&id}, `INSERT INTO gabberd_things ({server_host,} name, big, small, ordinary, number, yes, bytes, at, letter, note)
			VALUES ({?host,} ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
			name("x"), uint64(1<<62), int16(-7), 8, 9, true, []byte{0, 255}, at, "x", nil)
		if err != nil || id != 1 {
			t.Fatalf("got id %d, %v", id, err)
		}
		var (
			text, letter      string
			big, small        int64
			ordinary, number  int
			yes               bool
			bytesOut          []byte
			when              time.Time
			note              *string
			newest, untouched time.Time
		)
		err = db.Get(ctx, []any{&text, &big, &small, &ordinary, &number, &yes, &bytesOut, &when, &letter, &note},
			`SELECT name, big, small, ordinary, number, yes, bytes, at, letter, note FROM gabberd_things WHERE {host} AND at = ? AND yes AND bytes = ?`, at, []byte{0, 255})
		if err != nil {
			t.Fatal(err)
		}
		if text != "named x" || big != 1<<62 || small != -7 || ordinary != 8 || number != 9 || !yes || !bytes.Equal(bytesOut, []byte{0, 255}) ||
			letter != "x" || note != nil {
			t.Errorf("got %q %d %d %d %d %v %v %q %v", text, big, small, ordinary, number, yes, bytesOut, letter, note)
		}
		if !when.Equal(at) || when.Location() != time.UTC {
			t.Errorf("stored %v, got %v", at, when)
		}
		if err := db.Get(ctx, []any{&newest}, `SELECT max(at) FROM gabberd_things`); err != nil || !newest.Equal(at) {
			t.Errorf("the newest is %v, %v", newest, err)
		}
		note = nil
		err = db.Get(ctx, []any{&text, &yes, &bytesOut, &untouched}, `INSERT INTO gabberd_things ({server_host,} name, note) VALUES ({?host,} ?, ?)
			RETURNING name, yes, bytes, at`, "y", "said")
		if err != nil || text != "y" || yes || len(bytesOut) != 0 {
			t.Errorf("defaults: %q %v %v %v", text, yes, bytesOut, err)
		}
		if age := time.Since(untouched); age < -time.Minute || age > time.Hour {
			t.Errorf("the default time is %v", untouched)
		}
	})
}

func TestValuesThatCannotBeStored(t *testing.T) {
	db := storagetest.Open(t)
	migrate(t, db)
	for _, v := range []any{time.Second, struct{}{}, uint64(1 << 63), []string{"x"}} {
		if _, err := db.Exec(t.Context(), `UPDATE last SET state = ?`, v); err == nil || !strings.Contains(err.Error(), "argument 1") {
			t.Errorf("%v of type %T gave %v", v, v, err)
		}
	}
}

func TestTx(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		ctx := t.Context()
		err := db.Tx(ctx, func(tx *storage.Tx) error {
			exec(t, tx, set, "juliet", "1", "")
			var seconds string
			if err := tx.Get(ctx, []any{&seconds}, `SELECT seconds FROM last WHERE {host} AND username = ? {for update}`, "juliet"); err != nil || seconds != "1" {
				t.Errorf("inside: %q %v", seconds, err)
			}
			n := 0
			err := tx.Each(ctx, `SELECT username FROM last WHERE {host}`, nil, func(storage.Row) error { n++; return nil })
			if n != 1 {
				t.Errorf("inside are %d rows", n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		no := errors.New("no")
		if err := db.Tx(ctx, func(tx *storage.Tx) error { exec(t, tx, set, "romeo", "1", ""); return no }); err != no {
			t.Errorf("got %v", err)
		}
		err = db.Tx(ctx, func(tx *storage.Tx) error {
			exec(t, tx, set, "romeo", "1", "")
			_, err := tx.Exec(ctx, `INSERT INTO last ({server_host,} username, seconds, state) VALUES ({?host,} ?, '', '')`, "juliet")
			return err
		})
		if !errors.Is(err, storage.ErrExists) {
			t.Errorf("got %v", err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is gone")
				}
			}()
			_ = db.Tx(ctx, func(tx *storage.Tx) error { exec(t, tx, set, "romeo", "1", ""); panic("oh") })
		}()
		if n := count(t, db, "last"); n != 1 {
			t.Errorf("%d rows are left, want 1", n)
		}
	})
}

// TestTxKeepsOthersOut has transactions that read and then write the same row:
// none may work on what another is changing.
func TestTxKeepsOthersOut(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		exec(t, db, `INSERT INTO gabberd_things ({server_host,} name) VALUES ({?host,} 'counter')`)
		const workers, turns = 4, 10
		done := make(chan error)
		for range workers {
			go func() {
				for range turns {
					err := db.Tx(t.Context(), func(tx *storage.Tx) error {
						var n int
						if err := tx.Get(t.Context(), []any{&n}, `SELECT big FROM gabberd_things WHERE {host} AND name = 'counter' {for update}`); err != nil {
							return err
						}
						_, err := tx.Exec(t.Context(), `UPDATE gabberd_things SET big = ? WHERE {host} AND name = 'counter'`, n+1)
						return err
					})
					if err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
		}
		for range workers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		var n int
		if err := db.Get(t.Context(), []any{&n}, `SELECT big FROM gabberd_things WHERE {host} AND name = 'counter'`); err != nil || n != workers*turns {
			t.Errorf("the counter is %d, %v, want %d", n, err, workers*turns)
		}
	})
}

func TestContextEndsAQuery(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		endless := `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n`
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		err := db.Each(ctx, endless+` LIMIT 100000000`, nil, func(r storage.Row) error {
			if n++; n == 100 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after %d rows: %v", n, err)
		}
		if _, err := db.Exec(ctx, set, "a", "b", "c"); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		exec(t, db, set, "a", "b", "c") // and the database is as good as before
	})
}

func TestQueryTimeout(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			o := v.SQL(t)
			o.QueryTimeout = 50 * time.Millisecond
			db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
			var n int
			err := db.Get(t.Context(), []any{&n}, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n`)
			if !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "sql_query_timeout") {
				t.Errorf("got %v", err)
			}
			// The statements of a transaction share the time.
			began := time.Now()
			err = db.Tx(t.Context(), func(tx *storage.Tx) error {
				for n := 1; ; n++ {
					if err := tx.Get(t.Context(), nil, `SELECT 1`); err != nil {
						return err
					}
					if time.Since(began) > time.Minute {
						return errors.New("the transaction goes on and on")
					}
				}
			})
			if !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "sql_query_timeout") {
				t.Errorf("in a transaction: got %v", err)
			}
		})
	}
}

// TestConnectionsThatEnd ends all connections behind the pool's back, as a
// restart does.
func TestConnectionsThatEnd(t *testing.T) {
	v := storagetest.Variants()[2]
	o := v.SQL(t)
	db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
	migrate(t, db)
	kill := func() {
		done := make(chan error)
		for range o.PoolSize { // all of them are to be there
			go func() {
				done <- db.Tx(t.Context(), func(tx *storage.Tx) error { return tx.Get(t.Context(), nil, `SELECT pg_sleep(0.05)`) })
			}()
		}
		for range o.PoolSize {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		raw(t, o, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	kill()
	if n := count(t, db, "last"); n != 0 {
		t.Errorf("%d rows", n)
	}
	kill()
	if err := db.Tx(t.Context(), func(tx *storage.Tx) error { _, err := tx.Exec(t.Context(), set, "a", "0", ""); return err }); err != nil {
		t.Error(err)
	}
	kill()
	if err := queue(t, db, set, "b", "0", "").Wait(t.Context()); err != nil {
		t.Error(err)
	}
	kill()
	// Nobody knows whether this one was carried out, but the next one goes.
	if _, err := db.Exec(t.Context(), set, "c", "0", ""); err != nil && !errors.Is(err, storage.ErrUnavailable) {
		t.Error(err)
	}
	exec(t, db, set, "d", "0", "")
}
