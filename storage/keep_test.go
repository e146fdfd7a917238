package storage_test

import (
	"slices"
	"testing"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// TestKeepLeavesOlderTables makes tables as the last version has them, and
// leaves those of an earlier one as they are, marked or not.
func TestKeepLeavesOlderTables(t *testing.T) {
	versions := []storage.Version{
		{storage.Table{Name: "users", Columns: "username text, server_host text, password text", Indexes: "unique(server_host, username)"}},
		{storage.AddColumn{Table: "users", Column: "type smallint"}, storage.PrimaryKey{Table: "users", Columns: "server_host, username, type"}},
	}
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			for _, c := range []struct {
				name      string
				there     int  // the version that is there
				forgotten bool // without a mark
				want      int
			}{
				{"nothing", 0, false, 2}, {"old", 1, false, 1}, {"old without a mark", 1, true, 1}, {"new", 2, false, 2}, {"new without a mark", 2, true, 2},
			} {
				db := v.Open(t)
				if c.there > 0 {
					if err := db.Migrate(t.Context(), "mod_x_sql", versions[:c.there]...); err != nil {
						t.Fatal(err)
					}
				}
				if c.forgotten {
					exec(t, db, `DELETE FROM schema_version`)
				}
				before := shape(t, db, v)
				got, err := db.Keep(t.Context(), "mod_x_sql", versions...)
				if err != nil || got != c.want {
					t.Errorf("%s: version %d, %v; want %d", c.name, got, err, c.want)
				}
				if after := shape(t, db, v); c.there > 0 && !slices.Equal(before, after) {
					t.Errorf("%s: the tables were changed from %q to %q", c.name, before, after)
				}
			}
		})
	}
}
