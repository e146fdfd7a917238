package caps

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := context.Background()
		if err := db.Migrate(ctx, "mod_caps_sql", schema); err != nil {
			t.Fatal(err)
		}
		s := store{db}
		a, b := Caps{"sha-1", "http://a", "v1"}, Caps{"sha-1", "http://a", "v2"}
		if _, err := s.get(ctx, a); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("nothing stored yet: %v", err)
		}
		for range 2 { // the second time nothing is doubled
			if err := s.put(ctx, a, []string{"urn:b", "urn:a"}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.get(ctx, a); err != nil || !slices.Equal(got, []string{"urn:a", "urn:b"}) {
			t.Errorf("got %v, %v", got, err)
		}
		if _, err := s.get(ctx, b); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("another version: %v", err)
		}
		// ejabberd notes its failures as a lone number.
		if err := s.put(ctx, b, []string{"1700000000"}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.get(ctx, b); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a failure of ejabberd: %v, %v", got, err)
		}
	})
}
