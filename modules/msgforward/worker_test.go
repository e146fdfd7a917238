package msgforward

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
)

func messages(n, conversations int) []sm.Storage {
	var out []sm.Storage
	for i := range n {
		out = append(out, chat(int64(i+1), i%conversations))
	}
	return out
}

func TestDelivers(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		s := newSink(t)
		d := newDestination(s.URL)
		keep(t, db, d, messages(300, 7)...)
		startWorker(t, db, d, nil)
		more := messages(400, 7)[300:]
		keep(t, db, d, more...)
		await(t, "all are delivered", func() bool { return len(s.taken()) >= 400 })
		inOrder(t, s.taken(), 400)
		list := s.taken()
		b := list[slices.IndexFunc(list, func(b body) bool { return b.ID == "1" })]
		if b.ID != "1" || b.From != "romeo@localhost/orchard" || b.To != "friend0@localhost" || b.Body != "message 1" || b.Stored != "archive" || b.Type != "chat" {
			t.Errorf("got %+v", b)
		}
	})
}

func TestBatches(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		s := newSink(t)
		d := newDestination(s.URL)
		d.Batch = 50
		keep(t, db, d, messages(1000, 30)...)
		startWorker(t, db, d, nil)
		await(t, "all are delivered", func() bool { return len(s.taken()) >= 1000 })
		inOrder(t, s.taken(), 1000)
		if n := s.requests(); n > 100 {
			t.Errorf("%d requests for 1000 messages", n)
		}
	})
}

// TestFailingMessageHoldsBackItsConversationOnly has one message fail for a while.
func TestFailingMessageHoldsBackItsConversationOnly(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		for _, size := range []int{1, 20} {
			s := newSink(t)
			var ill atomic.Bool
			ill.Store(true)
			s.answer(func(l []body) int {
				for _, b := range l {
					if b.Body == "message 4" && ill.Load() {
						return http.StatusInternalServerError
					}
				}
				return 0
			})
			d := newDestination(s.URL)
			d.Batch = size
			if _, err := db.Exec(t.Context(), `DELETE FROM gabberd_jobs`); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(t.Context(), `DELETE FROM gabberd_test_rows`); err != nil {
				t.Fatal(err)
			}
			keep(t, db, d, messages(600, 3)...)
			_, stop := startWorker(t, db, d, nil)
			// The fourth is in the conversation of the first: all others pass.
			await(t, "the other conversations are delivered", func() bool { return len(s.taken()) >= 401 })
			for _, b := range s.taken() {
				if b.To == "friend0@localhost" && b.ID != "1" {
					t.Errorf("%s passed the fourth", b.ID)
				}
			}
			ill.Store(false)
			await(t, "all are delivered", func() bool { return len(s.taken()) >= 600 })
			inOrder(t, s.taken(), 600)
			stop()
		}
	})
}

func TestFinalAnswers(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		for _, size := range []int{1, 10} {
			s := newSink(t)
			s.answer(func(l []body) int {
				for _, b := range l {
					if strings.HasSuffix(b.Body, "7") {
						return http.StatusUnprocessableEntity
					}
				}
				return 0
			})
			d := newDestination(s.URL)
			d.Batch = size
			for _, table := range []string{"gabberd_jobs", "gabberd_test_rows"} {
				if _, err := db.Exec(t.Context(), `DELETE FROM `+table); err != nil {
					t.Fatal(err)
				}
			}
			keep(t, db, d, messages(100, 10)...)
			w, stop := startWorker(t, db, d, nil)
			await(t, "ninety are delivered", func() bool { return len(s.taken()) >= 90 })
			await(t, "ten are dead", func() bool { n, err := w.store.count(t.Context()); return err == nil && n.dead == 10 && n.waiting == 0 })
			inOrder(t, s.taken(), 90)
			if f := w.count.Figures(); f.Delivered != 90 || f.Died != 10 || f.Dead != 10 {
				t.Errorf("figures: %+v", f)
			}
			l, err := w.deadLetters(t.Context(), 100)
			if err != nil || len(l) != 10 || !strings.Contains(l[0].why, "422") {
				t.Errorf("dead letters: %d, %v", len(l), err)
			}
			s.answer(nil)
			if n, err := w.revive(t.Context(), "", time.Now()); n != 10 || err != nil {
				t.Errorf("revived %d, %v", n, err)
			}
			w.revived()
			await(t, "the dead are delivered", func() bool { return len(s.taken()) >= 100 })
			stop()
		}
	})
}
