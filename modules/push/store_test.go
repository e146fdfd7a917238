package push

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := context.Background()
		if err := db.Migrate(ctx, "mod_push_sql", schema...); err != nil {
			t.Fatal(err)
		}
		s, romeo, juliet := store{db}, xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
		service, other := xmpp.MustParse("push.example"), xmpp.MustParse("push2.example")
		opened := time.UnixMicro(1700000000000000)
		put := func(user xmpp.JID, at time.Time, x target) {
			t.Helper()
			if err := s.put(ctx, user, at, x); err != nil {
				t.Fatal(err)
			}
		}
		see := func(user xmpp.JID, want ...target) {
			t.Helper()
			list, err := s.list(ctx, user)
			if fmt.Sprint(list) != fmt.Sprint(want) || err != nil {
				t.Errorf("%s has %v, %v; want %v", user, list, err, want)
			}
		}
		see(romeo)
		a := target{Since: opened.UnixMicro(), Service: service, Node: "a"}
		b := target{Since: opened.UnixMicro() + 1, Service: service, Node: "b", form: "<x/>"}
		put(romeo, opened, a)
		put(romeo, opened, b) // the same session
		put(juliet, opened, a)
		see(romeo, a, b)
		later := opened.Add(time.Hour)
		c := target{Since: later.UnixMicro(), Service: service, Node: "a", form: "<x>2</x>"}
		put(romeo, later, c) // the same node: the last one counts
		see(romeo, b, c)
		put(romeo, later, target{Service: other, Node: "a"})
		if n, err := s.remove(ctx, romeo, service, "a"); n != 1 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
		if n, err := s.remove(ctx, romeo, service, ""); n != 1 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
		if n, err := s.remove(ctx, romeo, service, ""); n != 0 || err != nil {
			t.Errorf("removed %d, %v", n, err)
		}
		see(romeo, target{Since: later.UnixMicro() + 1, Service: other, Node: "a"})
		if err := s.removeOld(ctx, later); err != nil {
			t.Fatal(err)
		}
		see(juliet)
		if err := s.removeUser(ctx, romeo); err != nil {
			t.Fatal(err)
		}
		see(romeo)
		bounded(t, s, romeo, service, opened)
	})
}

// bounded enables more than a user may have.
func bounded(t *testing.T, s store, romeo, service xmpp.JID, opened time.Time) {
	for i := range perSession {
		if err := s.put(t.Context(), romeo, opened, target{Service: service, Node: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.put(t.Context(), romeo, opened, target{Service: service, Node: "more"}); !errors.Is(err, xmpp.ResourceConstraint) {
		t.Errorf("one session has enabled more than %d: %v", perSession, err)
	}
	for i := range maxTargets {
		at := opened.Add(time.Duration(i+1) * time.Second)
		if err := s.put(t.Context(), romeo, at, target{Service: service, Node: fmt.Sprint("late", i)}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.list(t.Context(), romeo)
	if err != nil || len(list) != maxTargets || list[0].Node != "late0" {
		t.Errorf("%d are left, %v", len(list), err)
	}
}

// TestRowsThatNobodyCanUse: somebody has written into the table.
func TestRowsThatNobodyCanUse(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		if err := db.Migrate(t.Context(), "mod_push_sql", schema...); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(t.Context(), `INSERT INTO push_session (username, {server_host,} timestamp, service, node, xml) VALUES (?, {?host,} ?, ?, ?, ?)`,
			"romeo", 1, "@", "a", ""); err != nil {
			t.Fatal(err)
		}
		if list, err := (store{db}).list(t.Context(), xmpp.MustParse("romeo@localhost")); len(list) != 0 || err != nil {
			t.Errorf("got %v, %v", list, err)
		}
	})
}

// TestAllRowsAreGoneThrough: in pages, whatever is in between.
func TestAllRowsAreGoneThrough(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		if err := db.Migrate(t.Context(), "mod_push_sql", schema...); err != nil {
			t.Fatal(err)
		}
		s, want := store{db}, map[string]int{}
		for _, user := range []string{"romeo", "o-hara", "ohara", "é", "b_1", "b1"} {
			for i := range 3 {
				service := xmpp.MustParse("push.example")
				if err := s.put(t.Context(), xmpp.MustParse(user+"@localhost"), time.UnixMicro(int64(i)*100), target{Service: service, Node: fmt.Sprint(user, i)}); err != nil {
					t.Fatal(err)
				}
				want[fmt.Sprint(user, i)]++
			}
		}
		if _, err := db.Exec(t.Context(), `INSERT INTO push_session (username, {server_host,} timestamp, service, node, xml) VALUES (?, {?host,} ?, ?, ?, ?)`,
			"ohara", 150, "@", "a", ""); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for p, pages := (place{}), 0; ; pages++ {
			list, next, err := s.after(t.Context(), p, 2)
			if err != nil || len(list) > 2 {
				t.Fatal(list, err)
			}
			if next == p {
				if pages != 10 {
					t.Errorf("19 rows in %d pages", pages)
				}
				break
			}
			for _, o := range list {
				got[o.Node]++
			}
			p = next
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// TestWhoIsWokenTakesNobodysBook: neither now nor when somebody else needs one.
func TestWhoIsWokenTakesNobodysBook(t *testing.T) {
	b, user := newBooks(), func(i int) xmpp.JID { return xmpp.MustParse(fmt.Sprintf("u%d@localhost", i)) }
	for i := range maxBooks - 1 {
		b.page(user(i), nil)
	}
	if b.aside(user(-1)) == nil {
		t.Error("there was room")
	}
	if b.aside(user(-2)) != nil {
		t.Error("there was no room")
	}
	if b.aside(user(7)) == nil {
		t.Error("who has a book got no page")
	}
	b.page(user(-3), nil)
	if len(b.lines(user(-1))) != 0 || len(b.lines(user(0))) != 1 || len(b.lines(user(7))) != 2 {
		t.Error("it is not the book of who was woken that was closed")
	}
}
