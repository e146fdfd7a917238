package msgforward

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage"
)

// newTestUndertaker is one that knows no destination.
func newTestUndertaker(t *testing.T, db *storage.DB, grace time.Duration) (u *undertaker, log *strings.Builder) {
	log = new(strings.Builder)
	return &undertaker{DB: db, node: "b", ours: map[string]bool{}, grace: grace, seen: map[string]sighting{},
		log: slog.New(slog.NewTextHandler(log, nil))}, log
}

func expect(t *testing.T, s store, want numbers) {
	t.Helper()
	n, err := s.count(t.Context())
	n.oldest = 0
	if err != nil || n != want {
		t.Errorf("there are %+v, %v, want %+v", n, err, want)
	}
}

func (u *undertaker) must(t *testing.T, now time.Time) {
	t.Helper()
	if err := u.round(t.Context(), now); err != nil {
		t.Fatal(err)
	}
}

// TestDestinationIsGone: its messages are dead letters as soon as nobody can have it
// configured, and are forgotten when their time has come, with the queue.
func TestDestinationIsGone(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		d := newDestination("http://localhost")
		s := store{db, queueOf(defaultName)}
		l, err := s.lease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		keep(t, db, d, messages(30, 3)...)
		ours, _ := newTestUndertaker(t, db, 0)
		ours.ours[s.queue] = true
		ours.must(t, time.Now())
		expect(t, s, numbers{waiting: 30})

		u, log := newTestUndertaker(t, db, 0)
		u.must(t, time.Now())
		expect(t, s, numbers{dead: 30})
		letters, err := s.deadLetters(t.Context(), 100)
		if err != nil || len(letters) != 30 || letters[0].why != gone || letters[0].tries != 0 {
			t.Errorf("dead letters: %+v, %v", letters, err)
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "destination=default messages=30") {
			t.Errorf("the log says %s", log)
		}
		u.must(t, time.Now().Add(6*24*time.Hour))
		expect(t, s, numbers{dead: 30})
		if found, err := strangers(t.Context(), db, nil); len(found) != 1 || found[s.queue].owner != "" || err != nil {
			t.Errorf("before: %v, %v", found, err)
		}
		u.must(t, time.Now().Add(8*24*time.Hour))
		expect(t, s, numbers{})
		if found, err := strangers(t.Context(), db, nil); len(found) != 0 || err != nil {
			t.Errorf("the queue is still there: %v, %v", found, err)
		}
		if l2, err := s.lease(t.Context()); l2 != l || err != nil {
			t.Errorf("a queue that comes again has the lease %+v, %v", l2, err)
		}
	})
}

// TestOtherNodesHaveIt: as long as a node works on a queue others leave it alone, and
// for some time after. A node that comes back with the destination has it again.
func TestOtherNodesHaveIt(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		d := newDestination("http://localhost")
		s := store{db, queueOf(defaultName)}
		l, err := s.lease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		keep(t, db, d, messages(5, 3)...)
		if ok, err := s.take(t.Context(), "a/1", l); !ok || err != nil {
			t.Fatal(ok, err)
		}
		u, log := newTestUndertaker(t, db, graceTime)
		now := time.Now()
		for range 40 { // the other works, with the longest lease there is
			u.must(t, now)
			now = now.Add(7 * time.Minute)
			if ok, err := s.renew(t.Context(), "a/1"); !ok || err != nil {
				t.Fatal("the lease was taken away", err)
			}
		}
		if err := s.release(t.Context(), "a/1"); err != nil {
			t.Fatal(err)
		}
		u.must(t, now)
		u.must(t, now.Add(graceTime-time.Minute))
		expect(t, s, numbers{waiting: 5})
		now = now.Add(graceTime)
		u.must(t, now)
		expect(t, s, numbers{dead: 5})
		if !strings.Contains(log.String(), "messages=5") {
			t.Errorf("the log says %s", log)
		}
		if n, err := s.revive(t.Context(), "", now); n != 5 || err != nil {
			t.Errorf("revived %d, %v", n, err)
		}
		sink := newSink(t)
		d.URL = sink.URL
		startWorker(t, db, d, nil)
		await(t, "all are delivered", func() bool { return len(sink.taken()) == 5 })
		inOrder(t, sink.taken(), 5)
	})
}

// TestPurgedSoonAfterStart: what was done long ago is not kept because the server
// starts often.
func TestPurgedSoonAfterStart(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		s := newSink(t)
		d := newDestination(s.URL)
		keep(t, db, d, messages(50, 3)...)
		_, stop := startWorker(t, db, d, nil)
		await(t, "all are delivered, and the database knows it", func() bool {
			var n int64
			if err := db.Get(t.Context(), []any{&n}, `SELECT COUNT(*) FROM gabberd_jobs WHERE state = ?`, int64(done)); err != nil {
				t.Fatal(err)
			}
			return n == 50
		})
		stop()
		if _, err := db.Exec(t.Context(), `UPDATE gabberd_jobs SET at = at - ?`, int64(time.Hour/time.Microsecond)); err != nil {
			t.Fatal(err)
		}
		keep(t, db, d, chat(1000, 1))
		w, stop := startWorker(t, db, d, nil)
		left := func() (n int64) {
			if err := db.Get(t.Context(), []any{&n}, `SELECT COUNT(*) FROM gabberd_jobs`); err != nil {
				t.Fatal(err)
			}
			return n
		}
		await(t, "what was done long ago is purged", func() bool { return w.count.Figures().Delivered == 1 && left() == 1 })
		stop()
	})
}

// TestCountingGoesOn has more rows than are counted at once.
func TestCountingGoesOn(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		d := newDestination("http://localhost")
		w := newWorker(t, db, d, new(counting))
		w.reset()
		l, err := w.lease(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.owner = "a/1"
		if ok, err := w.take(t.Context(), w.owner, l); !ok || err != nil {
			t.Fatal(ok, err)
		}
		keep(t, db, d, messages(20, 3)...)
		// Numbers grow by leaps, as they do where others take some.
		if _, err := db.Exec(t.Context(), `UPDATE gabberd_jobs SET id = id + 1000000 * id`); err != nil {
			t.Fatal(err)
		}
		rounds := 1
		n, finished := w.takeCensus(t.Context(), time.Now())
		w.gone = 3 // were delivered in the meantime
		for ; !finished && rounds < 1000; rounds++ {
			n, finished = w.takeCensus(t.Context(), time.Now())
		}
		if rounds < 10 || n.waiting != 17 || n.oldest == 0 {
			t.Errorf("after %d rounds: %+v", rounds, n)
		}
		expect(t, w.store, numbers{waiting: 17})
	})
}
