package private

import (
	"errors"
	"testing"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := t.Context()
		if err := db.Migrate(ctx, "mod_private_sql", schema); err != nil {
			t.Fatal(err)
		}
		s := store{db}
		romeo, juliet := xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
		el := func(text string) *xmpp.Element { return xmpp.TextEl("urn:a", "a", text) }
		if err := s.set(ctx, romeo, []piece{{"urn:a", el("1")}, {"urn:b", xmpp.El("urn:b", "b")}, {"urn:a", el("2")}}); err != nil {
			t.Fatal(err)
		}
		if err := s.set(ctx, juliet, []piece{{"urn:a", el("3")}}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.get(ctx, romeo, "urn:a"); err != nil || got.Text() != "2" {
			t.Errorf("got %v, %v: the last one should stay", got, err)
		}
		// As ejabberd stores it.
		var data string
		if err := db.Get(ctx, []any{&data}, `SELECT data FROM private_storage WHERE {host} AND username = ? AND namespace = ?`, "juliet", "urn:a"); err != nil || data != "<a xmlns='urn:a'>3</a>" {
			t.Errorf("stored is %q, %v", data, err)
		}
		if _, err := s.get(ctx, romeo, "urn:c"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("nothing stored: %v", err)
		}
		if _, err := db.Exec(ctx, `UPDATE private_storage SET data = ? WHERE {host} AND username = ? AND namespace = ?`, "<broken", "romeo", "urn:b"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.get(ctx, romeo, "urn:b"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("what is no XML: %v", err)
		}
		if err := s.remove(ctx, romeo); err != nil {
			t.Fatal(err)
		}
		if _, err := s.get(ctx, romeo, "urn:a"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("after the user has gone: %v", err)
		}
		if got, err := s.get(ctx, juliet, "urn:a"); err != nil || got.Text() != "3" {
			t.Errorf("somebody else's: %v, %v", got, err)
		}
	})
}

func TestTooMuchIsNotStored(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := t.Context()
		if err := db.Migrate(ctx, "mod_private_sql", schema); err != nil {
			t.Fatal(err)
		}
		s, romeo := store{db}, xmpp.MustParse("romeo@localhost")
		if err := s.set(ctx, romeo, []piece{{"urn:a", xmpp.TextEl("urn:a", "a", "small")}}); err != nil {
			t.Fatal(err)
		}
		big := xmpp.TextEl("urn:a", "a", string(make([]byte, maxBytes/3)))
		if err := s.set(ctx, romeo, []piece{{"urn:a", big}}); !errors.Is(err, errFull) {
			t.Errorf("got %v, want errFull", err) // each NUL becomes three bytes
		}
		if got, err := s.get(ctx, romeo, "urn:a"); err != nil || got.Text() != "small" {
			t.Errorf("what was there is gone: %v", err)
		}
	})
}
