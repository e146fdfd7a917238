package storage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

const insert = `INSERT INTO last ({server_host,} username, seconds, state) VALUES ({?host,} ?, ?, ?)`

func queue(t testing.TB, db *storage.DB, query string, args ...any) *storage.Ticket {
	t.Helper()
	ticket, err := db.Queue(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestQueueCommits(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		var tickets []*storage.Ticket
		for i := range 1000 {
			tickets = append(tickets, queue(t, db, insert, fmt.Sprint(i), "0", ""))
		}
		// Order: the last word on this row is the last one queued.
		for i := range 200 {
			tickets = append(tickets, queue(t, db, set, "word", fmt.Sprint(i), ""))
		}
		for _, ticket := range tickets {
			if err := ticket.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := count(t, db, "last"); n != 1001 {
			t.Errorf("%d rows, want 1001", n)
		}
		var word string
		if err := db.Get(t.Context(), []any{&word}, `SELECT seconds FROM last WHERE {host} AND username = 'word'`); err != nil || word != "199" {
			t.Errorf("the last word is %q, %v", word, err)
		}
		if n := db.Queued(); n != 0 {
			t.Errorf("%d are still queued", n)
		}
	})
}

// What may wait goes with what may not, in order, and else after a while or at the end.
func TestLazyTickets(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		lazily := func(user, word string) *storage.Ticket {
			ticket, err := db.QueueLazily(set, user, word, "")
			if err != nil {
				t.Fatal(err)
			}
			return ticket
		}
		for i := range 300 {
			before := lazily("a", fmt.Sprint(i))
			with := queue(t, db, set, "a", "with", "")
			behind := lazily("b", fmt.Sprint(i))
			if err := with.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			select {
			case <-before.Done():
			default:
				t.Fatal("what was queued behind it is committed, and it is not")
			}
			var word string
			if err := db.Get(t.Context(), []any{&word}, `SELECT seconds FROM last WHERE {host} AND username = 'a'`); err != nil || word != "with" {
				t.Fatalf("the last word is %q, %v", word, err)
			}
			if i%100 == 0 { // nobody else comes: it goes by itself
				if err := behind.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		var many []*storage.Ticket
		for i := range 200 { // more than a transaction holds
			many = append(many, lazily("c", fmt.Sprint(i)))
		}
		for _, ticket := range many {
			if err := ticket.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var word string
		if err := db.Get(t.Context(), []any{&word}, `SELECT seconds FROM last WHERE {host} AND username = 'c'`); err != nil || word != "199" {
			t.Errorf("the last word is %q, %v", word, err)
		}
		for i := range 100 {
			lazily("d", fmt.Sprint(i))
			if err := db.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := db.Get(t.Context(), []any{&word}, `SELECT seconds FROM last WHERE {host} AND username = 'd'`); err != nil || word != fmt.Sprint(i) {
				t.Fatalf("the last word is %q, %v", word, err)
			}
		}
		lazily("e", "0")
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.Flush(over); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestFailingRowsHarmNobody queues rows of which some cannot be stored, for
// reasons that show at different times: at the row, at the commit, before
// anything is sent.
func TestFailingRowsHarmNobody(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		if err := db.Migrate(t.Context(), "gabberd_late", storage.Version{storage.Table{Name: "gabberd_late", Columns: "a text", Indexes: "unique(a)"}}); err != nil {
			t.Fatal(err)
		}
		late := `CREATE TABLE gabberd_child (a text REFERENCES gabberd_late(a) DEFERRABLE INITIALLY DEFERRED)`
		exec(t, db, late)
		exec(t, db, insert, "there", "0", "")
		var good []*storage.Ticket
		bad := map[*storage.Ticket]string{}
		for i := range 300 {
			switch {
			case i%50 == 7:
				bad[queue(t, db, insert, "there", "1", "")] = "exists"
			case i%50 == 17:
				bad[queue(t, db, `INSERT INTO gabberd_child (a) VALUES (?)`, "orphan")] = "late"
			case i%50 == 27:
				bad[queue(t, db, `INSERT INTO no_such_table (a) VALUES (?)`, "x")] = "table"
			default:
				good = append(good, queue(t, db, insert, fmt.Sprint(i), "0", ""))
			}
		}
		for _, ticket := range good {
			if err := ticket.Wait(t.Context()); err != nil {
				t.Errorf("a good row: %v", err)
			}
		}
		for ticket, why := range bad {
			err := ticket.Wait(t.Context())
			if err == nil || why == "exists" && !errors.Is(err, storage.ErrExists) || err != ticket.Err() {
				t.Errorf("a row that cannot be stored (%s): %v", why, err)
			}
		}
		if n := count(t, db, "last"); n != len(good)+1 {
			t.Errorf("%d rows, want %d", n, len(good)+1)
		}
		if n := count(t, db, "gabberd_child"); n != 0 {
			t.Errorf("%d orphans", n)
		}
	})
}

// TestRowThatCannotBeSent has an argument that the driver itself refuses, so
// that nothing says which row it was.
func TestRowThatCannotBeSent(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		var good []*storage.Ticket
		var bad *storage.Ticket
		for i := range 10 {
			if i == 5 {
				bad = queue(t, db, `INSERT INTO gabberd_things ({server_host,} name, at) VALUES ({?host,} ?, ?)`, "x", nil)
			}
			good = append(good, queue(t, db, insert, fmt.Sprint(i), "0", ""))
		}
		for _, ticket := range good {
			if err := ticket.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if bad.Wait(t.Context()) == nil {
			t.Error("NULL was stored where there is no NULL")
		}
	})
}

func TestStatementsOfOneTicketGoTogether(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		pair := func(a, b string) *storage.Ticket {
			ticket, err := db.QueueAll(storage.Statement{Query: insert, Args: []any{a, "0", ""}}, storage.Statement{Query: insert, Args: []any{b, "0", ""}})
			if err != nil {
				t.Fatal(err)
			}
			return ticket
		}
		first, second, third := pair("a", "b"), pair("c", "a"), pair("e", "f")
		if err := errors.Join(first.Wait(t.Context()), third.Wait(t.Context())); err != nil {
			t.Error(err)
		}
		if err := second.Wait(t.Context()); !errors.Is(err, storage.ErrExists) {
			t.Errorf("got %v", err)
		}
		if got := strings.Join(texts(t, db, `SELECT username FROM last ORDER BY username`), ""); got != "abef" {
			t.Errorf("stored are %s, want abef: half of a ticket", got)
		}
	})
}

// TestRowsOfOneBatchAreStoredAsTheyAre: rows of two tables in turn, with a number, a
// literal, bytes, and jobs that are there already.
func TestRowsOfOneBatchAreStoredAsTheyAre(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrate(t, db)
		if err := db.Migrate(t.Context(), "gabberd_mixed", storage.Version{storage.Table{Name: "gabberd_mixed", Columns: "id bigserial, a text, b bigint, c text", Indexes: "unique(id)"}}); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(t.Context(), storage.JobsKeeper, storage.Jobs...); err != nil {
			t.Fatal(err)
		}
		var last *storage.Ticket
		for i := range 300 {
			ticket, err := db.QueueWith([]storage.Job{{Queue: "q", Key: fmt.Sprint(i / 2), Data: []byte{0, byte(i), 0xff}}},
				storage.Statement{Query: `INSERT INTO gabberd_mixed (a, b, c) VALUES (?, ?, 'it')`, Args: []any{`"{ä,\` + fmt.Sprint(i), int64(-i)}},
				storage.Statement{Query: insert, Args: []any{fmt.Sprint(i), "0", ""}})
			if err != nil {
				t.Fatal(err)
			}
			last = ticket
		}
		if err := last.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		i := 0
		err := db.Each(t.Context(), `SELECT a, b, c FROM gabberd_mixed ORDER BY id`, nil, func(r storage.Row) error {
			var a, c string
			var b int64
			if err := r.Scan(&a, &b, &c); err != nil || a != `"{ä,\`+fmt.Sprint(i) || b != int64(-i) || c != "it" {
				t.Fatalf("row %d is %q, %d, %q: %v", i, a, b, c, err)
			}
			i++
			return nil
		})
		if err != nil || i != 300 {
			t.Errorf("%d rows, %v", i, err)
		}
		i = 0
		err = db.Each(t.Context(), `SELECT data FROM gabberd_jobs ORDER BY id`, nil, func(r storage.Row) error {
			var data []byte
			if err := r.Scan(&data); err != nil || string(data) != string([]byte{0, byte(2 * i), 0xff}) {
				t.Fatalf("job %d is %x: %v", i, data, err)
			}
			i++
			return nil
		})
		if err != nil || i != 150 {
			t.Errorf("%d jobs, %v", i, err)
		}
	})
}

func TestQueueRefusesAtOnce(t *testing.T) {
	db := storagetest.Open(t)
	migrate(t, db)
	if _, err := db.Queue(insert, "too few"); err == nil {
		t.Error("too few arguments were queued")
	}
	if _, err := db.Queue(`DELETE FROM {nothing}`); err == nil {
		t.Error("an unknown marker was queued")
	}
}

func TestTicket(t *testing.T) {
	no := errors.New("no")
	settled := storage.Settled(no)
	if err := settled.Wait(t.Context()); err != no {
		t.Errorf("got %v", err)
	}
	var got error
	settled.Then(func(err error) { got = err })
	if got != no {
		t.Errorf("then got %v", got)
	}
	db := storagetest.Open(t)
	migrate(t, db)
	told := make(chan error, 2)
	ticket := queue(t, db, insert, "a", "0", "")
	ticket.Then(func(err error) { told <- err })
	<-ticket.Done()
	ticket.Then(func(err error) { told <- err })
	for range 2 {
		if err := <-told; err != nil {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := new(storage.Ticket).Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCloseDrainsTheQueue(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			o := v.SQL(t)
			s := storagetest.Serve(t, map[string]storage.SQL{"localhost": o})
			db := s.Host("localhost")
			migrate(t, db)
			var tickets []*storage.Ticket
			for i := range 500 {
				tickets = append(tickets, queue(t, db, insert, fmt.Sprint(i), "0", ""))
			}
			lazy, err := db.QueueLazily(insert, "lazy", "0", "")
			if err != nil {
				t.Fatal(err)
			}
			tickets = append(tickets, lazy)
			if err := s.Close(t.Context()); err != nil {
				t.Error(err)
			}
			for _, ticket := range tickets {
				select {
				case <-ticket.Done():
					if ticket.Err() != nil {
						t.Error(ticket.Err())
					}
				default:
					t.Fatal("a ticket is open although the database is closed")
				}
			}
			if _, err := db.Queue(insert, "late", "0", ""); !errors.Is(err, storage.ErrClosed) {
				t.Errorf("queued on a closed database: %v", err)
			}
			if n := count(t, storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost"), "last"); n != 501 {
				t.Errorf("%d rows, want 501", n)
			}
		})
	}
}

// TestOutage stops PostgreSQL under a server that goes on working.
func TestOutage(t *testing.T) {
	p, err := storagetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	db := storagetest.Serve(t, map[string]storage.SQL{"localhost": p.SQL()}).Host("localhost")
	migrate(t, db)
	queue(t, db, insert, "before", "0", "")
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	var tickets []*storage.Ticket
	for i := range 200 {
		tickets = append(tickets, queue(t, db, insert, fmt.Sprint(i), "0", ""))
	}
	for range 20 { // more often than there are connections
		if _, err := db.Exec(t.Context(), set, "x", "0", ""); !errors.Is(err, storage.ErrUnavailable) {
			t.Fatalf("a database that is away says %v", err)
		}
		err := db.Tx(t.Context(), func(*storage.Tx) error { return nil })
		if !errors.Is(err, storage.ErrUnavailable) {
			t.Fatalf("a database that is away says %v", err)
		}
	}
	for _, ticket := range tickets {
		select {
		case <-ticket.Done():
			t.Fatalf("a ticket did not wait for the database: %v", ticket.Err())
		default:
		}
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	for _, ticket := range tickets {
		if err := ticket.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, db, "last"); n != 201 {
		t.Errorf("%d rows, want 201", n)
	}
}

// TestFullQueue fills the queue of a database that is away: it must not grow
// without end, and Close must give up when its context says so.
func TestFullQueue(t *testing.T) {
	p, err := storagetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	s, err := storage.Open(t.Context(), storage.Options{Dir: t.TempDir(), Hosts: map[string]storage.SQL{"localhost": p.SQL()}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	db := s.Host("localhost")
	migrate(t, db)
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 1<<20)
	var tickets []*storage.Ticket
	for {
		ticket, err := db.Queue(insert, "x", "0", large)
		if errors.Is(err, storage.ErrFull) {
			break
		}
		if err != nil || len(tickets) > 1000 {
			t.Fatalf("after %d: %v", len(tickets), err)
		}
		tickets = append(tickets, ticket)
	}
	if n := db.Queued(); n != len(tickets) {
		t.Errorf("%d are queued, want %d", n, len(tickets))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); err == nil || !strings.Contains(err.Error(), "queued writes were given up") {
		t.Errorf("close says %v", err)
	}
	for _, ticket := range tickets {
		if err := ticket.Wait(t.Context()); !errors.Is(err, storage.ErrClosed) {
			t.Fatalf("a ticket that was given up says %v", err)
		}
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk limits the size of a SQLite file, which SQLite reports as a full
// disk. Rows wait, and are stored when there is space.
func TestFullDisk(t *testing.T) {
	db := storagetest.Open(t)
	migrate(t, db)
	var pages int
	if err := db.Get(t.Context(), []any{&pages}, `PRAGMA page_count`); err != nil {
		t.Fatal(err)
	}
	// A pragma is no SELECT, so it goes to the connection that writes.
	if err := db.Get(t.Context(), []any{&pages}, fmt.Sprintf(`PRAGMA max_page_count = %d`, pages+10)); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 100_000)
	_, err := db.Exec(t.Context(), set, "x", "0", large)
	if !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
	ticket := queue(t, db, set, "x", "0", large)
	if err := db.Get(t.Context(), []any{&pages}, `PRAGMA max_page_count = 100000`); err != nil {
		t.Fatal(err)
	}
	if err := ticket.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if n := count(t, db, "last"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// TestDeadlock has transactions take two rows in opposite order. PostgreSQL
// ends one of them, which must then be run again.
func TestDeadlock(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			o := v.SQL(t)
			if v.PostgreSQL {
				raw(t, o, `ALTER DATABASE `+o.Database+` SET deadlock_timeout = '10ms'`)
			}
			db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
			migrate(t, db)
			exec(t, db, set, "a", "0", "")
			exec(t, db, set, "b", "0", "")
			done := make(chan error)
			for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
				go func() {
					for range 20 {
						err := db.Tx(t.Context(), func(tx *storage.Tx) error {
							for _, user := range order {
								if _, err := tx.Exec(t.Context(), set, user, "1", ""); err != nil {
									return err
								}
							}
							return nil
						})
						if err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range 2 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestWithoutPreparedStatements is for poolers that cannot do them.
func TestWithoutPreparedStatements(t *testing.T) {
	v := storagetest.Variants()[2]
	o := v.SQL(t)
	o.PreparedStatements = false
	o.KeepaliveInterval = time.Millisecond
	db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
	migrateAll(t, db)
	usable(t, db)
	if err := queue(t, db, insert, "a", "0", "").Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
