package auth_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// oldUsers makes the table users as ejabberd had it before it had a row for each
// form of a password.
func oldUsers(t *testing.T, db *storage.DB) {
	t.Helper()
	err := db.Migrate(t.Context(), "ejabberd_auth_sql", storage.Version{storage.Table{
		Name: "users",
		Columns: "username text, server_host text, password text, serverkey text default, salt text default, " +
			"iterationcount integer default, created_at timestamp default",
		Indexes: "unique(server_host, username)",
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOldTableStays keeps what an older ejabberd can read: one row an account,
// its hash in front of the key.
func TestOldTableStays(t *testing.T) {
	forms := map[string]struct {
		change func(*auth.Options)
		prefix string
		length int
	}{
		"plain":  {nil, "secret", 6},
		"sha":    {func(o *auth.Options) { o.PasswordFormat = "scram" }, "", 28},
		"sha256": {func(o *auth.Options) { o.PasswordFormat, o.ScramHash = "scram", "sha256" }, "sha256:", 7 + 44},
		"sha512": {func(o *auth.Options) { o.PasswordFormat, o.ScramHash = "scram", "sha512" }, "sha512:", 7 + 88},
	}
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		oldUsers(t, db)
		for name, form := range forms {
			h, _ := accounts(t, db, form.change)
			user := register(t, h, name, "first")
			if err := h.SetPassword(t.Context(), user, "secret"); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a login must not change the row into what older servers cannot read
				if err := h.Check(t.Context(), user, "secret"); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if got := oldRow(t, db, name); !strings.HasPrefix(got, form.prefix) || len(got) != form.length {
					t.Errorf("%s: stored %q", name, got)
				}
			}
			if err := h.Check(t.Context(), user, "first"); err == nil {
				t.Errorf("%s: the old password still works", name)
			}
		}
	})
}

// oldRow is the one row of an account. It fails if the table has got the column
// type.
func oldRow(t *testing.T, db *storage.DB, name string) (password string) {
	t.Helper()
	n := 0
	err := db.Each(t.Context(), `SELECT * FROM users WHERE {host} AND username = ?`, []any{name}, func(r storage.Row) error {
		n++
		var user, key, salt, created any
		var iterations int
		dest := []any{&user, &password, &key, &salt, &iterations, &created}
		if db.MultiHost() {
			dest = append([]any{new(any)}, dest...)
		}
		return r.Scan(dest...)
	})
	if err != nil || n != 1 {
		t.Fatalf("%d rows of %s, %v", n, name, err)
	}
	return password
}

// TestOldPasswordGetsTheWantedHash keeps one row when a login shows a password
// whose hash is another than the wanted one.
func TestOldPasswordGetsTheWantedHash(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		oldUsers(t, db)
		before, _ := accounts(t, db, func(o *auth.Options) { o.PasswordFormat = "scram" })
		user := register(t, before, "alice", "secret")
		after, _ := accounts(t, db, func(o *auth.Options) { o.PasswordFormat, o.ScramHash = "scram", "sha256" })
		for range 2 {
			if err := after.Check(t.Context(), user, "secret"); err != nil {
				t.Error(err)
			}
		}
		if got := oldRow(t, db, "alice"); !strings.HasPrefix(got, "sha256:") {
			t.Errorf("stored %q", got)
		}
	})
}

// TestSeveralFormsNeedTheNewTable brings the table up to date once an account
// shall have several rows, and keeps every password.
func TestSeveralFormsNeedTheNewTable(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		oldUsers(t, db)
		before, _ := accounts(t, db, func(o *auth.Options) { o.PasswordFormat, o.ScramHash = "scram", "sha256" })
		alice := register(t, before, "alice", "secret")
		after, _ := accounts(t, db, func(o *auth.Options) { o.StoredTypes = []string{"scram_sha1", "scram_sha256"} })
		if err := after.Check(t.Context(), alice, "secret"); err != nil {
			t.Error(err)
		}
		register(t, after, "bob", "secret")
		if got := rows(t, db, "bob"); len(got) != 2 {
			t.Errorf("stored %q", got)
		}
	})
}
