package offline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

var (
	romeo  = xmpp.MustParse("romeo@localhost")
	juliet = xmpp.MustParse("juliet@localhost")
	host   = xmpp.MustParse("localhost")
)

func eachStore(t *testing.T, f func(t *testing.T, s store)) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		if err := db.Migrate(t.Context(), "mod_offline_sql", schema...); err != nil {
			t.Fatal(err)
		}
		f(t, store{db})
	})
}

func text(body string) *xmpp.Stanza {
	return xmpp.NewMessage("chat", romeo, juliet, xmpp.TextEl(nsClient, "body", body))
}

func add(t *testing.T, s store, user xmpp.JID, st *xmpp.Stanza) {
	t.Helper()
	ticket, err := s.add(user, st)
	if err == nil {
		err = ticket.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// bodies reads all pages.
func bodies(t *testing.T, s store, user xmpp.JID) (out []string, seqs []int64) {
	t.Helper()
	last := int64(0)
	for more := true; more; {
		page, m, err := s.page(t.Context(), user, last)
		if err != nil {
			t.Fatal(err)
		}
		more = m
		for _, w := range page {
			last = w.seq
			out, seqs = append(out, w.stanza.Body()), append(seqs, w.seq)
		}
	}
	return out, seqs
}

func TestMessagesComeInOrderAndPages(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		var want []string
		for i := range pageRows + 3 {
			want = append(want, fmt.Sprint(i))
			add(t, s, juliet, text(want[i]))
		}
		add(t, s, romeo, text("for another"))
		got, seqs := bodies(t, s, juliet)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("got %q", got)
		}
		if n, err := s.delete(t.Context(), juliet, append(seqs[:3:3], 1<<40)); err != nil || n != 3 {
			t.Errorf("deleted %d, %v", n, err)
		}
		if n, err := s.delete(t.Context(), romeo, seqs[3:4]); err != nil || n != 0 {
			t.Errorf("another user's message: deleted %d, %v", n, err)
		}
		if n, err := s.count(t.Context(), juliet, 1000); err != nil || n != pageRows {
			t.Errorf("counted %d, %v", n, err)
		}
		if n, err := s.count(t.Context(), juliet, 10); err != nil || n != 10 {
			t.Errorf("counted %d up to 10, %v", n, err)
		}
		if _, err := s.one(t.Context(), romeo, seqs[5]); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("another user's message: %v", err)
		}
		if n, err := s.clear(t.Context(), juliet); err != nil || n != pageRows {
			t.Errorf("cleared %d, %v", n, err)
		}
		if got, _ := bodies(t, s, romeo); len(got) != 1 {
			t.Errorf("romeo is left with %q", got)
		}
	})
}

func TestPagesAreBoundedInBytes(t *testing.T) {
	s := openStore(t)
	big := strings.Repeat("x", pageBytes/2)
	for range 5 {
		add(t, s, juliet, text(big))
	}
	page, more, err := s.page(t.Context(), juliet, 0)
	if err != nil || !more || len(page) != 2 {
		t.Errorf("%d messages of %d bytes in a page, more: %v, %v", len(page), len(big), more, err)
	}
	if got, _ := bodies(t, s, juliet); len(got) != 5 {
		t.Errorf("%d messages in all pages", len(got))
	}
}

func openStore(t *testing.T) store {
	t.Helper()
	db := storagetest.Open(t)
	if err := db.Migrate(t.Context(), "mod_offline_sql", schema...); err != nil {
		t.Fatal(err)
	}
	return store{db}
}

func TestOldMessagesAreDeleted(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		for i := range 3 {
			add(t, s, juliet, text(fmt.Sprint(i)))
		}
		hour := time.Now().Add(-time.Hour)
		if n, err := s.deleteOld(t.Context(), hour, 10); err != nil || n != 0 {
			t.Errorf("deleted %d young ones, %v", n, err)
		}
		later := time.Now().Add(time.Hour)
		if n, err := s.countOld(t.Context(), later); err != nil || n != 3 {
			t.Errorf("counted %d, %v", n, err)
		}
		if n, err := s.deleteOld(t.Context(), later, 2); err != nil || n != 2 {
			t.Errorf("deleted %d of a batch of 2, %v", n, err)
		}
	})
}

// TestDeletedAreThoseThatWereNamed, however many, and of that user only.
func TestDeletedAreThoseThatWereNamed(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		numbers := func(user xmpp.JID) (seqs []int64) {
			err := s.all(t.Context(), user, func(m message) error {
				seqs = append(seqs, m.seq)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return seqs
		}
		for i := range 3 * together {
			add(t, s, juliet, text(fmt.Sprint(i)))
			add(t, s, romeo, text("another's"))
		}
		others := numbers(romeo)
		for _, size := range []int{0, 1, 2, together - 1, together, together + 1} {
			mine := numbers(juliet)
			if n, err := s.delete(t.Context(), juliet, append(slices.Clone(others), mine[1:1+size]...)); n != int64(size) || err != nil {
				t.Errorf("%d of %d deleted, %v", n, size, err)
			}
			if left, want := numbers(juliet), slices.Delete(mine, 1, 1+size); !slices.Equal(left, want) {
				t.Errorf("after %d were deleted %v are left, want %v", size, left, want)
			}
			for range size {
				add(t, s, juliet, text("more"))
			}
		}
		if got := numbers(romeo); !slices.Equal(got, others) {
			t.Errorf("of another user %v are left of %v", got, others)
		}
		mine := numbers(juliet)
		if n, err := s.delete(t.Context(), juliet, []int64{mine[0], mine[0], mine[1], 1 << 40}); n != 2 || err != nil {
			t.Errorf("one that is named twice: %d deleted, %v", n, err)
		}
	})
}

func TestExpiredMessagesAreFound(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		expire := xmpp.Build(nsExpire, "x").Attr("seconds", "60").Done()
		add(t, s, juliet, stamped(text("no end"), host, time.Now().Add(-time.Hour)))
		add(t, s, juliet, stamped(text("dead").With(expire), host, time.Now().Add(-time.Hour)))
		add(t, s, juliet, stamped(text("alive").With(expire), host, time.Now()))
		seqs, last, err := s.expired(t.Context(), 0, func(st *xmpp.Stanza) bool { return expired(st, host, time.Now()) })
		if err != nil || len(seqs) != 1 || last == 0 {
			t.Fatalf("found %v up to %d, %v", seqs, last, err)
		}
		if err := s.deleteSeqs(t.Context(), seqs); err != nil {
			t.Fatal(err)
		}
		if got, _ := bodies(t, s, juliet); strings.Join(got, ",") != "no end,alive" {
			t.Errorf("left: %q", got)
		}
	})
}

func TestStampIsSetOnce(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	once := stamped(text("x"), host, at)
	want := `<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-02T03:04:05.000000Z'>Offline Storage</delay>`
	if got := once.Child(nsDelay, "delay").XML(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if again := stamped(once, host, at.Add(time.Hour)); again.String() != once.String() {
		t.Errorf("stamped twice: %s", again)
	}
}

func newTestCounts(life time.Duration) *counts {
	return newCounts(local.Cache{Use: true, Size: 10, LifeTime: life})
}

func TestLimitHoldsUnderConcurrency(t *testing.T) {
	c := newTestCounts(time.Hour)
	const limit, senders = 10, 100
	read := func(context.Context, xmpp.JID, int) (int, error) { return 3, nil }
	var all sync.WaitGroup
	got := make(chan bool, senders)
	for range senders {
		all.Go(func() {
			ok, err := c.reserve(t.Context(), juliet, limit, read)
			if err != nil {
				t.Error(err)
			}
			got <- ok
		})
	}
	all.Wait()
	close(got)
	n := 0
	for ok := range got {
		if ok {
			n++
		}
	}
	if n != limit-3 {
		t.Errorf("%d places were given, want %d", n, limit-3)
	}
}

func TestCountsFollowWhatHappens(t *testing.T) {
	c := newTestCounts(time.Hour)
	inDatabase, reads := 0, 0
	read := func(context.Context, xmpp.JID, int) (int, error) {
		reads++
		return inDatabase, nil
	}
	take := func() bool {
		t.Helper()
		ok, err := c.reserve(t.Context(), juliet, 2, read)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if first, second, third := take(), take(), take(); !first || !second || third {
		t.Fatal("not two places in an empty queue of two")
	}
	if reads != 1 {
		t.Errorf("%d counts for three messages", reads)
	}
	c.settled(juliet, storage.ErrFull)
	if !take() {
		t.Error("a failed write has kept its place")
	}
	c.settled(juliet, nil)
	c.settled(juliet, nil)
	inDatabase = 2
	if take() {
		t.Error("a third place")
	}
	inDatabase = 0
	c.changed(juliet)
	if !take() {
		t.Error("no place after the messages were taken away")
	}
	if reads != 2 {
		t.Errorf("%d counts, want 2", reads)
	}
}

func TestFailedCountIsNotKept(t *testing.T) {
	c := newTestCounts(time.Hour)
	fail := func(context.Context, xmpp.JID, int) (int, error) { return 0, storage.ErrUnavailable }
	if _, err := c.reserve(t.Context(), juliet, 2, fail); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	full := func(context.Context, xmpp.JID, int) (int, error) { return 2, nil }
	if ok, err := c.reserve(t.Context(), juliet, 2, full); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestCountsAreBounded(t *testing.T) {
	c := newTestCounts(time.Hour)
	none := func(context.Context, xmpp.JID, int) (int, error) { return 0, nil }
	for i := range 100 {
		user := xmpp.MustParse(fmt.Sprintf("user%d@localhost", i))
		if _, err := c.reserve(t.Context(), user, 2, none); err != nil {
			t.Fatal(err)
		}
		c.settled(user, nil)
	}
	if len(c.of) > 10 {
		t.Errorf("%d users are remembered", len(c.of))
	}
}

func TestPurgeDeletesAllBatches(t *testing.T) {
	s := openStore(t)
	m := &offline{store: s, counts: newTestCounts(time.Hour), ctx: t.Context()}
	for i := range 5 {
		add(t, s, juliet, text(fmt.Sprint(i)))
	}
	if _, err := s.Exec(t.Context(), `UPDATE spool SET created_at = ?`, time.Now().AddDate(0, 0, -100)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.startPurge(t.Context(), purgeArgs{Days: daysArgs{99}, Batches: modules.Batches{BatchSize: 2, Rate: 1_000_000}}); err != nil {
		t.Fatal(err)
	}
	m.later.Close()
	if got := m.purge.Status(); got != "Operation finished, deleted 5 messages" {
		t.Errorf("%s", got)
	}
}

// Where there is too much to tell senders already, a message is refused at once.
func TestMessageThatNobodyCouldBeToldOfIsRefused(t *testing.T) {
	m := &offline{store: openStore(t)}
	for m.later.Reserve() {
	}
	if e := m.keep(t.Context(), text("a"), false); e == nil || !e.Is(xmpp.ResourceConstraint) {
		t.Errorf("got %v", e)
	}
	if n, err := m.store.count(t.Context(), juliet, 10); n != 0 || err != nil {
		t.Errorf("%d are stored, %v", n, err)
	}
}

func TestMessagesAreShown(t *testing.T) {
	s := openStore(t)
	h := local.New(host, local.Parts{Log: slog.New(slog.DiscardHandler)})
	m := &offline{store: s, host: modules.NewHost(t.Context(), "mod_offline", h, nil)}
	add(t, s, juliet, stamped(text("a"), host, time.Unix(0, 0)))
	out, err := m.getMessages(t.Context(), userArgs{"juliet", "localhost"})
	if err != nil || len(out) != 1 {
		t.Fatalf("got %v, %v", out, err)
	}
	if w := out[0]; w.Time != "1970-01-01T00:00:00.000000Z" || w.From != "romeo@localhost" || w.To != "juliet@localhost" || !strings.Contains(w.Packet, "<body>a</body>") {
		t.Errorf("got %+v", w)
	}
}

// Marks become references once, whoever does it, and others' messages stay.
func TestMarksAreReplaced(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		place1 := text("1").With(xmpp.Build(nsStanzaID, "stanza-id").Attr("by", "juliet@localhost").Attr("id", "1").Done())
		place9 := text("9").With(xmpp.Build(nsStanzaID, "stanza-id").Attr("by", "juliet@localhost").Attr("id", "9").Done())
		add(t, s, juliet, place1)
		add(t, s, juliet, text("2"))
		add(t, s, juliet, reference(text("4"), juliet, host, 4))
		add(t, s, juliet, place9)
		add(t, s, romeo, place1)
		var refs []*xmpp.Stanza
		for _, at := range []int64{1, 3, 4} {
			refs = append(refs, reference(text(""), juliet, host, at))
		}
		mark := func(w message) bool { return !refers(w.stanza) && place(w.stanza, juliet) != 0 }
		for range 2 {
			if err := s.replace(t.Context(), juliet, refs, mark); err != nil {
				t.Fatal(err)
			}
			var got []string
			err := s.all(t.Context(), juliet, func(w message) error {
				got = append(got, fmt.Sprint(w.stanza.Body(), "@", place(w.stanza, juliet)))
				return nil
			})
			if want := "@1 2@0 @4 9@0 @3"; err != nil || strings.Join(got, " ") != want {
				t.Errorf("got %q, %v, want %s", got, err, want)
			}
		}
		if got, _ := bodies(t, s, romeo); len(got) != 1 || got[0] != "1" {
			t.Errorf("romeo is left with %q", got)
		}
		_, seqs := bodies(t, s, juliet)
		for limit, want := range map[int]int64{1: seqs[3], 4: seqs[0], 5: 0, 9: 0} {
			if got, err := s.beyond(t.Context(), juliet, limit); got != want || err != nil {
				t.Errorf("beyond %d: %d, %v, want %d", limit, got, err, want)
			}
		}
	})
}
