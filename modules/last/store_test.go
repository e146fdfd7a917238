package last

import (
	"errors"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		if err := db.Migrate(t.Context(), "mod_last_sql", schema...); err != nil {
			t.Fatal(err)
		}
		s := store{db}
		romeo, juliet := xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
		if _, err := s.get(t.Context(), romeo); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("nobody was there, but %v", err)
		}
		wait := func(ticket *storage.Ticket, err error) {
			t.Helper()
			if err == nil {
				err = ticket.Wait(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		first, second := Activity{time.Unix(1_700_000_000, 0), "bye"}, Activity{time.Unix(1_800_000_000, 0), ""}
		wait(s.set(romeo, first))
		wait(s.set(romeo, second))
		wait(s.set(juliet, first))
		if a, err := s.get(t.Context(), romeo); err != nil || a != second {
			t.Errorf("got %+v, %v", a, err)
		}
		var seconds string
		if err := db.Get(t.Context(), []any{&seconds}, `SELECT seconds FROM last WHERE {host} AND username = 'juliet'`); err != nil || seconds != "1700000000" {
			t.Errorf("column seconds is %q, %v", seconds, err)
		}
		wait(s.remove(romeo))
		if _, err := s.get(t.Context(), romeo); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("removed, but %v", err)
		}
		if a, err := s.get(t.Context(), juliet); err != nil || a != first {
			t.Errorf("juliet: %+v, %v", a, err)
		}
	})
}
