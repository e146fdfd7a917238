package storage_test

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// The row of these benchmarks is a message in the archive, with its five
// indexes.
const archived = `INSERT INTO archive ({server_host,} username, timestamp, peer, bare_peer, xml, txt, kind, nick, origin_id)
	VALUES ({?host,} ?, ?, ?, ?, ?, ?, ?, ?, ?)`

func message(i int) []any {
	return []any{"juliet", int64(i), "romeo@example.net/orchard", "romeo@example.net", strings.Repeat("<x/>", 100), "It is the east", "chat", "", fmt.Sprint(i)}
}

// stores is the databases that the benchmarks run on.
func stores(b *testing.B, f func(b *testing.B, o storage.SQL, db *storage.DB)) {
	for _, v := range storagetest.Variants() {
		if v.Flavour == storage.MultiHost {
			b.Run(v.Name, func(b *testing.B) {
				o := v.SQL(b)
				db := storagetest.Serve(b, map[string]storage.SQL{"localhost": o}).Host("localhost")
				migrateAll(b, db)
				exec(b, db, set, "juliet", "1", "away")
				f(b, o, db)
			})
		}
	}
}

// BenchmarkGroupCommit is one row through the queue. It is to reach 70 % of
// BenchmarkRawBatch.
func BenchmarkGroupCommit(b *testing.B) {
	stores(b, func(b *testing.B, _ storage.SQL, db *storage.DB) {
		// As many tickets are open as a busy server has; without a limit the
		// benchmark would measure how fast a queue fills up.
		open := make([]*storage.Ticket, 512)
		for i := 0; b.Loop(); i++ {
			slot := &open[i%len(open)]
			if *slot != nil {
				if err := (*slot).Wait(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			t, err := db.Queue(archived, message(i)...)
			if err != nil {
				b.Fatal(err)
			}
			*slot = t
		}
		for _, t := range open {
			if t != nil && t.Wait(b.Context()) != nil {
				b.Fatal(t.Err())
			}
		}
	})
}

// BenchmarkRawBatch is one of 64 rows which the driver alone commits together.
func BenchmarkRawBatch(b *testing.B) {
	stores(b, func(b *testing.B, o storage.SQL, _ *storage.DB) {
		text := strings.NewReplacer("{server_host,}", "server_host,", "{?host,}", "'localhost',").Replace(archived)
		if o.Type == "sqlite" {
			db := open64(b, o)
			rawLite(b, db, text)
			return
		}
		conn, err := pgx.Connect(b.Context(), fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable",
			strings.TrimPrefix(o.Server, "unix:"), o.Port, o.Username, o.Password, o.Database))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(b.Context())
		for n := 1; strings.Contains(text, "?"); n++ {
			text = strings.Replace(text, "?", fmt.Sprintf("$%d", n), 1)
		}
		var batch pgx.Batch
		send := func() {
			if err := conn.SendBatch(b.Context(), &batch).Close(); err != nil {
				b.Fatal(err)
			}
			batch = pgx.Batch{}
		}
		for i := 0; b.Loop(); i++ {
			if batch.Queue(text, message(i)...); batch.Len() == 64 {
				send()
			}
		}
		send()
	})
}

// open64 opens a SQLite file as storage does, without storage.
func open64(b *testing.B, o storage.SQL) *sql.DB {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+o.Database+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

func rawLite(b *testing.B, db *sql.DB, text string) {
	var tx *sql.Tx
	var st *sql.Stmt
	commit := func() {
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	prepared, err := db.PrepareContext(b.Context(), text)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for i := 0; b.Loop(); i++ {
		if n == 0 {
			if tx, err = db.BeginTx(b.Context(), nil); err != nil {
				b.Fatal(err)
			}
			st = tx.Stmt(prepared)
		}
		if _, err := st.Exec(message(i)...); err != nil {
			b.Fatal(err)
		}
		if n++; n == 64 {
			commit()
			n = 0
		}
	}
	if n > 0 {
		commit()
	}
}

const getLast = `SELECT seconds, state FROM last WHERE {host} AND username = ?`

// BenchmarkGet is one row by its key, to be compared with BenchmarkRawGet.
func BenchmarkGet(b *testing.B) {
	stores(b, func(b *testing.B, _ storage.SQL, db *storage.DB) {
		var seconds, state string
		b.ReportAllocs()
		for b.Loop() {
			if err := db.Get(b.Context(), []any{&seconds, &state}, getLast, "juliet"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkExec is one row changed, to be compared with BenchmarkRawExec.
func BenchmarkExec(b *testing.B) {
	stores(b, func(b *testing.B, _ storage.SQL, db *storage.DB) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := db.Exec(b.Context(), set, "juliet", fmt.Sprint(i), ""); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// driver is a database without storage.
type driver struct {
	get  func(dest ...any) error
	exec func(args ...any) error
}

func drivers(b *testing.B, f func(b *testing.B, d driver)) {
	stores(b, func(b *testing.B, o storage.SQL, _ *storage.DB) {
		get := `SELECT seconds, state FROM last WHERE server_host = 'localhost' AND username = `
		put := strings.NewReplacer("{server_host,}", "server_host,", "{?host,}", "'localhost',").Replace(set)
		if o.Type == "sqlite" {
			db := open64(b, o)
			reads, err1 := db.PrepareContext(b.Context(), get+"?")
			writes, err2 := db.PrepareContext(b.Context(), put)
			if err := errors.Join(err1, err2); err != nil {
				b.Fatal(err)
			}
			f(b, driver{
				func(dest ...any) error { return reads.QueryRowContext(b.Context(), "juliet").Scan(dest...) },
				func(args ...any) error { _, err := writes.ExecContext(b.Context(), args...); return err },
			})
			return
		}
		conn, err := pgx.Connect(b.Context(), fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable",
			strings.TrimPrefix(o.Server, "unix:"), o.Port, o.Username, o.Password, o.Database))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(b.Context())
		put = strings.Replace(put, "?, ?, ?", "$1, $2, $3", 1)
		f(b, driver{
			func(dest ...any) error { return conn.QueryRow(b.Context(), get+"$1", "juliet").Scan(dest...) },
			func(args ...any) error { _, err := conn.Exec(b.Context(), put, args...); return err },
		})
	})
}

// BenchmarkRawGet is BenchmarkGet with the driver alone.
func BenchmarkRawGet(b *testing.B) {
	drivers(b, func(b *testing.B, d driver) {
		var seconds, state string
		b.ReportAllocs()
		for b.Loop() {
			if err := d.get(&seconds, &state); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRawExec is BenchmarkExec with the driver alone.
func BenchmarkRawExec(b *testing.B) {
	drivers(b, func(b *testing.B, d driver) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if err := d.exec("juliet", fmt.Sprint(i), ""); err != nil {
				b.Fatal(err)
			}
		}
	})
}
