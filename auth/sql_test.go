package auth_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// options are the defaults with changes.
func options(change func(*auth.Options)) auth.Options {
	o := auth.Options{
		Methods: []string{"sql"}, AnonymousProtocol: "sasl_anon", PasswordFormat: "plain", ScramHash: "sha",
		UseCache: true, CacheSize: 100, CacheLifeTime: 1 << 40,
	}
	if change != nil {
		change(&o)
	}
	return o
}

// accounts opens the accounts of db's host, with a table of hooks.
func accounts(t testing.TB, db *storage.DB, change func(*auth.Options)) (*auth.Host, *owner) {
	t.Helper()
	o := &owner{table: hooks.NewTable(slog.New(slog.DiscardHandler))}
	domain := "example.org"
	if db != nil {
		domain = db.Host()
	}
	h, err := auth.New(t.Context(), auth.Setup{
		Domain: domain, Options: options(change), DB: db, Hooks: o.table, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, o
}

// owner adds handlers to hooks in a test.
type owner struct{ table *hooks.Table }

func (o *owner) Name() string        { return "test" }
func (o *owner) Hooks() *hooks.Table { return o.table }
func (o *owner) OnStop(func())       {}

func jid(t testing.TB, h *auth.Host, name string) xmpp.JID {
	t.Helper()
	j, err := xmpp.NewJID(name, h.Domain(), "")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// register makes an account or fails the test.
func register(t testing.TB, h *auth.Host, name, password string) xmpp.JID {
	t.Helper()
	j := jid(t, h, name)
	if err := h.Register(t.Context(), j, password); err != nil {
		t.Fatalf("register %s: %v", name, err)
	}
	return j
}

// rows are what is stored of a user, as type and a sign for what is there.
func rows(t testing.TB, db *storage.DB, name string) (out []string) {
	t.Helper()
	err := db.Each(t.Context(), `SELECT type, password, serverkey, salt, iterationcount FROM users
		WHERE {host} AND username = ? ORDER BY type`, []any{name}, func(r storage.Row) error {
		var kind, n int
		var password, server, salt string
		err := r.Scan(&kind, &password, &server, &salt, &n)
		out = append(out, fmt.Sprintf("%d %d %d %d %d", kind, len(password), len(server), len(salt), n))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestStoredForms(t *testing.T) {
	tests := []struct {
		name   string
		change func(*auth.Options)
		want   []string
	}{
		{"plain", nil, []string{"1 6 0 0 0"}},
		{"sha", func(o *auth.Options) { o.PasswordFormat = "scram" }, []string{"2 28 28 24 4096"}},
		{"sha256", func(o *auth.Options) { o.PasswordFormat, o.ScramHash = "scram", "sha256" }, []string{"3 44 44 24 4096"}},
		{"sha512", func(o *auth.Options) { o.PasswordFormat, o.ScramHash = "scram", "sha512" }, []string{"4 88 88 24 4096"}},
		{"several", func(o *auth.Options) { o.StoredTypes = []string{"scram_sha1", "scram_sha512"} }, []string{"2 28 28 24 4096", "4 88 88 24 4096"}},
	}
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		for _, tt := range tests {
			h, _ := accounts(t, db, tt.change)
			user := register(t, h, tt.name, "secret")
			if got := rows(t, db, tt.name); !slices.Equal(got, tt.want) {
				t.Errorf("%s: stored %q, want %q", tt.name, got, tt.want)
			}
			if err := h.Check(t.Context(), user, "secret"); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if err := h.Check(t.Context(), user, "Secret"); !errors.Is(err, auth.ErrNotAuthorized) {
				t.Errorf("%s: a wrong password: %v", tt.name, err)
			}
		}
	})
}

func TestAccounts(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, o := accounts(t, db, nil)
		var heard []string
		auth.Registered.Add(o, hooks.Normal, func(_ ctx, u xmpp.JID) { heard = append(heard, "register "+u.Local()) })
		auth.PasswordSet.Add(o, hooks.Normal, func(_ ctx, u xmpp.JID) { heard = append(heard, "password "+u.Local()) })
		auth.Removed.Add(o, hooks.Normal, func(_ ctx, u xmpp.JID) { heard = append(heard, "remove "+u.Local()) })
		alice := register(t, h, "alice", "one")
		if err := h.Register(t.Context(), alice, "two"); !errors.Is(err, auth.ErrExists) {
			t.Errorf("register alice again: %v", err)
		}
		if err := h.Check(t.Context(), alice, "two"); err == nil {
			t.Error("registering an account again changed its password")
		}
		if err := h.SetPassword(t.Context(), alice, "two"); err != nil {
			t.Error(err)
		}
		if err := h.Check(t.Context(), alice, "one"); err == nil {
			t.Error("the old password still works")
		}
		if err := h.Check(t.Context(), alice, "two"); err != nil {
			t.Error(err)
		}
		bob := jid(t, h, "bob")
		if err := h.SetPassword(t.Context(), bob, "x"); !errors.Is(err, auth.ErrNoUser) {
			t.Errorf("a password for nobody: %v", err)
		}
		if there, err := h.Exists(t.Context(), bob); there || err != nil {
			t.Errorf("bob exists: %v %v", there, err)
		}
		if there, err := h.Exists(t.Context(), alice); !there || err != nil {
			t.Errorf("alice exists: %v %v", there, err)
		}
		if err := h.Remove(t.Context(), alice); err != nil {
			t.Error(err)
		}
		if err := h.Check(t.Context(), alice, "two"); err == nil {
			t.Error("a removed account still works")
		}
		want := "register alice, password alice, remove alice"
		if got := strings.Join(heard, ", "); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	})
}

func TestNamesAndPasswordsThatAreRefused(t *testing.T) {
	h, o := accounts(t, storagetest.Open(t), nil)
	auth.CheckRegister.Add(o, hooks.Normal, func(_ ctx, ok bool, u xmpp.JID) (bool, hooks.Flow) {
		return ok && u.Local() != "root", hooks.Next
	})
	for _, tt := range []struct {
		user, password string
		want           error
	}{
		{"alice@elsewhere.example", "x", auth.ErrName},
		{h.Domain(), "x", auth.ErrName},
		{"root@" + h.Domain(), "x", auth.ErrRefused},
		{"alice@" + h.Domain(), "", auth.ErrPassword},
		{"alice@" + h.Domain(), "a\x00b", auth.ErrPassword},
		{"alice@" + h.Domain(), "\xff", auth.ErrPassword},
		{"alice@" + h.Domain(), strings.Repeat("x", 1025), auth.ErrPassword},
	} {
		err := h.Register(t.Context(), xmpp.MustParse(tt.user), tt.password)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.user, err, tt.want)
		}
		if tt.password != "" && tt.password != "x" && strings.Contains(fmt.Sprint(err), tt.password) {
			t.Errorf("the password is in the error %q", err)
		}
	}
}

func TestUsersInOrderWithPrefix(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, _ := accounts(t, db, func(o *auth.Options) { o.StoredTypes = []string{"plain", "scram_sha1"} })
		var want []string
		err := db.Tx(t.Context(), func(tx *storage.Tx) error {
			for i := range 1203 {
				for _, kind := range []int{1, 2} {
					_, err := tx.Exec(t.Context(), `INSERT INTO users ({server_host,} username, type, password, serverkey, salt, iterationcount)
						VALUES ({?host,} ?, ?, ?, ?, ?, ?)`, fmt.Sprintf("u%04d", i), kind, "x", "", "", 0)
					if err != nil {
						return err
					}
				}
				want = append(want, fmt.Sprintf("u%04d", i))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		register(t, h, "a_b", "x")
		register(t, h, "axb", "x")
		list := func(prefix string) (got []string) {
			for u, err := range h.Users(t.Context(), prefix) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, u.Local())
			}
			n, err := h.Count(t.Context(), prefix)
			if err != nil || n != len(got) {
				t.Errorf("prefix %q: %d users, counted %d, %v", prefix, len(got), n, err)
			}
			return got
		}
		if got := list("u"); !slices.Equal(got, want) {
			t.Errorf("%d users, want %d in order", len(got), len(want))
		}
		if got := list("a_"); !slices.Equal(got, []string{"a_b"}) {
			t.Errorf("prefix a_: %q", got)
		}
		if got := list(""); len(got) != 1205 {
			t.Errorf("%d users in all, want 1205", len(got))
		}
		for range h.Users(t.Context(), "") {
			break // must not hang or leak a connection
		}
		if got := list("nobody"); got != nil {
			t.Errorf("prefix nobody: %q", got)
		}
	})
}

// put stores rows as ejabberd would.
func put(t testing.TB, db *storage.DB, name string, kind int, keys ...string) {
	t.Helper()
	n := 0
	if keys[1] != "" {
		n = 4096
	}
	_, err := db.Exec(t.Context(), `INSERT INTO users ({server_host,} username, type, password, serverkey, salt, iterationcount)
		VALUES ({?host,} ?, ?, ?, ?, ?, ?)`, name, kind, keys[0], keys[1], keys[2], n)
	if err != nil {
		t.Fatal(err)
	}
}

// The keys of the password "pencil" with the salt "W22ZaJ0SNY7soEsUEjb6gQ==" and
// 4096 iterations for SHA-256 (RFC 7677 §3), "QSXCR+Q6sek8bf92" for SHA-1 (RFC
// 5802 §5), computed with python3's hashlib.
var (
	pencil1   = []string{"6dlGYMOdZcOPutkcNY8U2g7vK9Y=", "D+CSWLOshSulAsxiupA+qs2/fTE=", "QSXCR+Q6sek8bf92"}
	pencil256 = []string{"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "W22ZaJ0SNY7soEsUEjb6gQ=="}
)

func TestRowsThatEjabberdWrote(t *testing.T) {
	tests := []struct {
		name string
		kind int
		keys []string
		want string // the type after a login
	}{
		{"plain", 1, []string{"pencil", "", ""}, "1"},
		{"sha1", 2, pencil1, "2"},
		{"sha256", 3, pencil256, "3"},
		{"legacyplain", 0, []string{"pencil", "", ""}, "1"},
		{"legacysha1", 0, pencil1, "2"},
		{"legacysha256", 0, []string{"sha256:" + pencil256[0], pencil256[1], pencil256[2]}, "3"},
	}
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, _ := accounts(t, db, nil)
		for _, tt := range tests {
			put(t, db, tt.name, tt.kind, tt.keys...)
			user := jid(t, h, tt.name)
			if err := h.Check(t.Context(), user, "pencils"); err == nil {
				t.Errorf("%s: a wrong password works", tt.name)
			}
			if got := rows(t, db, tt.name); !strings.HasPrefix(got[0], fmt.Sprint(tt.kind, " ")) {
				t.Errorf("%s: a failed login rewrote the row to %q", tt.name, got)
			}
			if err := h.Check(t.Context(), user, "pencil"); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if got := rows(t, db, tt.name); len(got) != 1 || !strings.HasPrefix(got[0], tt.want+" ") {
				t.Errorf("%s: the rows are %q after a login, want one of type %s", tt.name, got, tt.want)
			}
			if err := h.Check(t.Context(), user, "pencil"); err != nil {
				t.Errorf("%s, rewritten: %v", tt.name, err)
			}
		}
	})
}

func TestDamagedRowsLetNobodyIn(t *testing.T) {
	db := storagetest.Open(t)
	h, _ := accounts(t, db, nil)
	for i, keys := range [][]string{
		{"!", pencil1[1], pencil1[2]}, {"", pencil1[1], pencil1[2]}, {pencil1[0], pencil1[1], ""}, {pencil256[0], pencil1[1], pencil1[2]},
	} {
		name := fmt.Sprintf("u%d", i)
		put(t, db, name, 2, keys...)
		for _, password := range []string{"pencil", keys[0], " "} {
			if err := h.Check(t.Context(), jid(t, h, name), password); !errors.Is(err, auth.ErrNotAuthorized) {
				t.Errorf("%q: %v, want not-authorized", keys, err)
			}
		}
	}
}

func TestFormsAreImprovedAtLogin(t *testing.T) {
	scram := func(o *auth.Options) { o.StoredTypes = []string{"scram_sha1", "scram_sha256"} }
	tests := []struct {
		name         string
		before       func(*auth.Options)
		after        func(*auth.Options)
		want, unlike string
	}{
		{"plain to scram", nil, scram, "2 3", ""},
		{"one scram more", func(o *auth.Options) { o.PasswordFormat = "scram" }, scram, "2 3", ""},
		{"scram never becomes plain", scram, nil, "2 3", ""},
		{"plain and scram", nil, func(o *auth.Options) { o.StoredTypes = []string{"plain", "scram_sha512"} }, "1 4", ""},
	}
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		for i, tt := range tests {
			name := fmt.Sprintf("u%d", i)
			h, _ := accounts(t, db, tt.before)
			user := register(t, h, name, "secret")
			h, _ = accounts(t, db, tt.after)
			before := rows(t, db, name)
			if err := h.Check(t.Context(), user, "wrong"); err == nil || !slices.Equal(before, rows(t, db, name)) {
				t.Errorf("%s: a failed login: %v, changed rows", tt.name, err)
			}
			if err := h.Check(t.Context(), user, "secret"); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			var kinds []string
			for _, r := range rows(t, db, name) {
				kinds = append(kinds, r[:1])
			}
			if got := strings.Join(kinds, " "); got != tt.want {
				t.Errorf("%s: types %q, want %q", tt.name, got, tt.want)
			}
			if err := h.Check(t.Context(), user, "secret"); err != nil {
				t.Errorf("%s, afterwards: %v", tt.name, err)
			}
		}
	})
}

func TestNamesOfOlderServers(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, o := accounts(t, db, nil)
		put(t, db, "strasse", 1, "pencil", "", "") // as ejabberd wrote straße
		put(t, db, "♥heart", 1, "pencil", "", "")  // PRECIS refuses symbols
		var banned string
		auth.Disabled.Add(o, hooks.Normal, func(_ ctx, f *auth.Failure, u xmpp.JID) (*auth.Failure, hooks.Flow) {
			if u.Local() == banned {
				return &auth.Failure{Condition: "account-disabled"}, hooks.Stop
			}
			return f, hooks.Next
		})
		for written, stored := range map[string]string{"straße": "strasse", "♥heart": "♥heart"} {
			id, err := login(t, h, "PLAIN", auth.Stream{}, plain(written, "pencil"))
			if err != nil || id.User.Local() != stored {
				t.Errorf("%s logs in as %q, want %q: %v", written, id.User, stored, err)
			}
			if there, err := h.Exists(t.Context(), jid(t, h, written)); !there || err != nil {
				t.Errorf("%s does not exist: %v", written, err)
			}
			if err := h.Register(t.Context(), jid(t, h, written), "mine"); err == nil {
				t.Errorf("%s can be registered although it is stored as %s", written, stored)
			}
		}
		banned = "strasse"
		if _, err := login(t, h, "PLAIN", auth.Stream{}, plain("straße", "pencil")); !errors.Is(err, auth.ErrAccountDisabled) {
			t.Errorf("a ban is evaded by another spelling: %v", err)
		}
		if err := h.Register(t.Context(), jid(t, h, "☠skull"), "x"); !errors.Is(err, auth.ErrName) {
			t.Errorf("a new account with a symbol: %v", err)
		}
	})
}
