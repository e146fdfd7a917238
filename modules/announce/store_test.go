package announce

import (
	"context"
	"errors"
	"testing"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := context.Background()
		if err := db.Migrate(ctx, "mod_announce_sql", schema); err != nil {
			t.Fatal(err)
		}
		s := store{db}
		if _, err := s.message(ctx); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("no message yet: %v", err)
		}
		romeo, juliet := xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
		for _, body := range []string{"first", "it's the second"} {
			if err := s.set(ctx, compose(SetMOTD, "s", body)); err != nil {
				t.Fatal(err)
			}
			if st, err := s.message(ctx); err != nil || st.Body() != body || st.Type != "headline" {
				t.Errorf("got %v, %v", st, err)
			}
			// A new message nobody has seen.
			for i, want := range []bool{true, false, false} {
				if got, err := s.see(ctx, romeo); got != want || err != nil {
					t.Errorf("%s, time %d: got %v, %v", body, i, got, err)
				}
			}
		}
		if err := s.set(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.message(ctx); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("after it was removed: %v", err)
		}
		if got, err := s.see(ctx, juliet); !got || err != nil {
			t.Errorf("juliet: %v, %v", got, err)
		}
	})
}

// ejabberd writes a message without a namespace, and empty texts for those who
// have seen it.
func TestMessageOfEjabberdIsRead(t *testing.T) {
	ctx := context.Background()
	db := storagetest.Open(t)
	if err := db.Migrate(ctx, "mod_announce_sql", schema); err != nil {
		t.Fatal(err)
	}
	for user, xml := range map[string]string{
		"":      `<message type='headline'><subject>News</subject><body>Hear ye</body></message>`,
		"romeo": "",
	} {
		if _, err := db.Exec(ctx, `INSERT INTO motd ({server_host,} username, xml) VALUES ({?host,} ?, ?)`, user, xml); err != nil {
			t.Fatal(err)
		}
	}
	m, err := openMOTD(ctx, store{db}, local.Cache{})
	if err != nil {
		t.Fatal(err)
	}
	if st := m.message(); st == nil || st.Body() != "Hear ye" {
		t.Errorf("got %v", st)
	}
	if st, err := m.show(ctx, xmpp.MustParse("romeo@localhost")); st != nil || err != nil {
		t.Errorf("romeo has seen it and gets %v, %v", st, err)
	}
	for i, want := range []bool{true, false} {
		if st, err := m.show(ctx, xmpp.MustParse("juliet@localhost")); (st != nil) != want || err != nil {
			t.Errorf("juliet, time %d: %v, %v", i, st, err)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	ctx := context.Background()
	db := storagetest.Open(t)
	if err := db.Migrate(ctx, "mod_announce_sql", schema); err != nil {
		t.Fatal(err)
	}
	m, err := openMOTD(ctx, store{db}, local.Cache{Use: true, Size: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.set(ctx, compose(SetMOTD, "", "x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, u := range []string{"a", "b", "c", "d", "e"} {
			if _, err := m.show(ctx, xmpp.MustParse(u+"@localhost")); err != nil {
				t.Fatal(err)
			}
			if len(m.seen) > 2 {
				t.Fatalf("the cache holds %d", len(m.seen))
			}
		}
	}
}
