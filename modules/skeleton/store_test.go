package skeleton

import (
	"context"
	"testing"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// A store is tried on every database, in both flavours.
func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := context.Background()
		if err := db.Migrate(ctx, "mod_skeleton_sql", schema); err != nil {
			t.Fatal(err)
		}
		s, romeo, juliet := store{db}, xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
		for want := range 3 {
			if n, err := s.count(ctx, romeo); n != want || err != nil {
				t.Errorf("got %d, %v, want %d", n, err, want)
			}
			if err := s.add(ctx, romeo); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := s.count(ctx, juliet); n != 0 || err != nil {
			t.Errorf("juliet has %d, %v", n, err)
		}
		if err := s.remove(ctx, romeo); err != nil {
			t.Fatal(err)
		}
		if n, err := s.count(ctx, romeo); n != 0 || err != nil {
			t.Errorf("after remove: %d, %v", n, err)
		}
	})
}
