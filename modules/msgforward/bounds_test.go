package msgforward

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// fill puts n jobs of some conversations into the queue, as quickly as can be.
func fill(t testing.TB, db *storage.DB, d *destination, n, conversations int) {
	t.Helper()
	data := encode(chat(1, 0))
	for from := 0; from < n; {
		var jobs []storage.Job
		for ; from < n && len(jobs) < 500; from++ {
			jobs = append(jobs, storage.Job{Queue: queueOf(defaultName), Key: strconv.Itoa(from + 1), Group: "g" + strconv.Itoa(from%conversations), Data: data})
		}
		ticket, err := db.QueueWith(jobs)
		for errors.Is(err, storage.ErrFull) {
			time.Sleep(time.Millisecond)
			ticket, err = db.QueueWith(jobs)
		}
		if err != nil {
			t.Fatal(err)
		}
		if from == n {
			if err := ticket.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// counting takes everything.
type counting struct{ n atomic.Int64 }

func (c *counting) Deliver(_ context.Context, batch []target.Message) error {
	c.n.Add(int64(len(batch)))
	return nil
}

func (c *counting) Close() error { return nil }

// TestManyQueuedMessages drains a long queue: what is in memory must not grow with
// it.
func TestManyQueuedMessages(t *testing.T) {
	for _, v := range []storagetest.Variant{storagetest.Variants()[0], storagetest.Variants()[2]} {
		t.Run(v.Name, func(t *testing.T) {
			db := v.Open(t)
			makeTables(t, db)
			d := newDestination("http://localhost")
			d.Batch = 50
			const all = 100_000
			fill(t, db, d, all, 1000)
			memory := func() uint64 { // what is held: not what has become garbage since
				runtime.GC()
				live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
				metrics.Read(live)
				return live[0].Value.Uint64()
			}
			before, c := memory(), new(counting)
			startWorker(t, db, d, c)
			var most uint64
			for next := int64(20_000); next <= 80_000; next += 20_000 {
				await(t, "more is delivered", func() bool { return c.n.Load() >= next })
				most = max(most, memory())
			}
			await(t, "all are delivered", func() bool { return c.n.Load() >= all })
			if most > before+24<<20 {
				t.Errorf("%d MB in use, %d before", most>>20, before>>20)
			}
			if n := c.n.Load(); n != all {
				t.Errorf("%d were delivered", n)
			}
		})
	}
}

// TestQueueIsBounded has a destination that is dead, and more messages than may
// wait: the oldest go.
func TestQueueIsBounded(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		s := newSink(t)
		s.answer(func([]body) int { return http.StatusBadGateway })
		d := newDestination(s.URL)
		d.MaxQueue = 300
		keep(t, db, d, messages(1000, 10)...)
		w, stop := startWorker(t, db, d, nil)
		await(t, "what is too much is dead", func() bool {
			n, err := w.store.count(t.Context())
			return err == nil && n.dead == 700 && n.waiting == 300
		})
		s.answer(nil)
		await(t, "the rest is delivered", func() bool { return len(s.taken()) == 300 })
		stop()
		old := 0 // those that were being sent when the others died
		for _, b := range s.taken() {
			n, err := strconv.Atoi(b.ID)
			if err != nil {
				t.Error(err)
			}
			if n <= 700 {
				old++
			}
		}
		if old > d.Concurrency*d.Batch {
			t.Errorf("%d were delivered, and newer ones are dead", old)
		}
	})
}

func TestGivesUp(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		s := newSink(t)
		s.answer(func([]body) int { return http.StatusBadGateway })
		d := newDestination(s.URL)
		d.Retry.GiveUp = 300 * time.Millisecond
		keep(t, db, d, messages(5, 1)...)
		w, _ := startWorker(t, db, d, nil)
		await(t, "all are given up", func() bool { n, err := w.store.count(t.Context()); return err == nil && n.dead == 5 })
	})
}

// TestDoneIsRememberedAndForgotten: a message that is stored again after it was
// delivered is not forwarded again, unless that is long ago.
func TestDoneIsRememberedAndForgotten(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		s := newSink(t)
		d := newDestination(s.URL)
		keep(t, db, d, chat(1, 1))
		w, stop := startWorker(t, db, d, nil)
		await(t, "it is delivered", func() bool { return w.count.Figures().Delivered == 1 })
		stop()
		again := func(id int64) {
			w, stop := startWorker(t, db, d, nil)
			spool := chat(1, 1)
			spool.Table = "spool"
			ticket, err := db.QueueWith([]storage.Job{jobOf(d, spool), jobOf(d, chat(id, 1))})
			if err != nil || ticket.Wait(t.Context()) != nil {
				t.Fatal(err, ticket.Err())
			}
			await(t, "what came behind is delivered", func() bool {
				return w.count.Figures().Delivered >= 1 && len(s.taken()) > 0 && s.taken()[len(s.taken())-1].ID == strconv.FormatInt(id, 10)
			})
			stop()
		}
		again(2)
		if got := s.taken(); len(got) != 2 {
			t.Errorf("delivered %d messages, want 2", len(got))
		}
		if n, err := w.forget(t.Context(), done, time.Now().Add(-time.Hour), 0, 1<<60); n != 0 || err != nil {
			t.Errorf("forgotten too early: %d, %v", n, err)
		}
		if n, err := w.forget(t.Context(), done, time.Now().Add(time.Hour), 0, 1<<60); n != 2 || err != nil {
			t.Errorf("forgotten: %d, %v", n, err)
		}
		again(3)
		if got := s.taken(); len(got) != 4 {
			t.Errorf("delivered %d messages, want 4", len(got))
		}
	})
}

// dying is a destination that hangs while it is dead.
type dying struct {
	counting
	dead atomic.Bool
	hung atomic.Int64
}

func (d *dying) Deliver(ctx context.Context, batch []target.Message) error {
	if d.dead.Load() {
		d.hung.Add(1)
		<-ctx.Done()
		return ctx.Err()
	}
	return d.counting.Deliver(ctx, batch)
}

// TestADeadHour has the destination hang for an hour while messages are stored:
// who stores them never waits, and afterwards all are delivered. Time here is that
// of the bubble: if anybody waited it would pass.
func TestADeadHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storagetest.Open(t)
		makeTables(t, db)
		d := newDestination("http://localhost")
		d.Retry.First, d.Retry.Ceiling, d.Timeout = time.Second, 10*time.Minute, 10*time.Second
		to := new(dying)
		to.dead.Store(true)
		w, stop := startWorker(t, db, d, to)
		for i := range 3600 {
			begin := time.Now()
			if _, err := db.QueueWith([]storage.Job{jobOf(d, chat(int64(i+1), i%50))}); err != nil {
				t.Fatal(err)
			}
			if waited := time.Since(begin); waited != 0 {
				t.Fatalf("whoever stored a message waited %v", waited)
			}
			time.Sleep(time.Second)
		}
		if f := w.count.Figures(); !f.Ill || f.Queue < 3500 || f.Ratio60 != 1 || f.Oldest < 59*time.Minute {
			t.Errorf("after an hour: %+v", f)
		}
		if n := to.hung.Load(); n > 250 {
			t.Errorf("a dead destination was asked %d times", n)
		}
		to.dead.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if f := w.count.Figures(); f.Ill || f.Delivered != 3600 || f.Queue != 0 {
			t.Errorf("a minute after it came back: %+v", f)
		}
		stop()
	})
}

// TestLongTimeout: a request that may take long needs a long lease, and there must
// be enough left of it at any time.
func TestLongTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storagetest.Open(t)
		makeTables(t, db)
		d := newDestination("http://localhost")
		d.Timeout = 10 * time.Minute
		to := new(counting)
		_, stop := startWorker(t, db, d, to)
		for i := range 60 {
			if _, err := db.QueueWith([]storage.Job{jobOf(d, chat(int64(i+1), i))}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if n := to.n.Load(); n != int64(i+1) {
				t.Fatalf("after %d minutes %d messages were delivered", i+1, n)
			}
		}
		stop()
	})
}
