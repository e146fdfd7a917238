package invites

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

var juliet, tybalt = xmpp.MustParse("juliet@localhost"), xmpp.MustParse("tybalt@localhost")

func open(t *testing.T, db *storage.DB) store {
	t.Helper()
	if err := db.Migrate(t.Context(), "mod_invites_sql", schema...); err != nil {
		t.Fatal(err)
	}
	return store{db}
}

func put(t *testing.T, s store, i invite) invite {
	t.Helper()
	if i.token == "" {
		i.token = newToken()
	}
	if i.created.IsZero() {
		i.created = time.Now().UTC().Truncate(time.Second)
	}
	if i.expires.IsZero() {
		i.expires = i.created.Add(time.Hour)
	}
	if err := s.add(t.Context(), &i); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, s := t.Context(), open(t, db)
		i := put(t, s, invite{inviter: "romeo", kind: toBoth, account: "juliet"})
		got, err := s.find(ctx, i.token)
		if err != nil || got != i || !got.valid() {
			t.Errorf("got %#v, %v", got.created.Sub(i.created), err)
		}
		for _, token := range []string{"", strings.ToLower(i.token), i.token + " ", i.token[1:], "%"} {
			if _, err := s.find(ctx, token); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("another token: %v", err)
			}
		}
		if kept, err := s.reserved(ctx, "juliet", ""); !kept || err != nil {
			t.Errorf("the name is reserved: %v, %v", kept, err)
		}
		if kept, err := s.reserved(ctx, "juliet", i.token); kept || err != nil {
			t.Errorf("the name is reserved by another: %v, %v", kept, err)
		}
		if ok, err := s.take(ctx, &i, juliet, "juliet"); !ok || err != nil {
			t.Errorf("taken: %v, %v", ok, err)
		}
		if ok, err := s.take(ctx, &i, tybalt, "juliet"); ok || err != nil {
			t.Errorf("taken twice: %v, %v", ok, err)
		}
		if got, err := s.find(ctx, i.token); err != nil || got.invitee != "juliet@localhost" || got.valid() {
			t.Errorf("a used one is good, %v", err)
		}
		if name, at, err := s.inviterOf(ctx, juliet); name != "romeo" || !at.Equal(i.created) || err != nil {
			t.Errorf("invited by %s at %s, %v", name, at, err)
		}
		// Only who has taken it can give it back.
		if err := s.giveBack(ctx, &i, tybalt); err != nil {
			t.Fatal(err)
		}
		if ok, err := s.take(ctx, &i, tybalt, "juliet"); ok || err != nil {
			t.Errorf("given back by somebody else: %v, %v", ok, err)
		}
		if err := s.giveBack(ctx, &i, juliet); err != nil {
			t.Fatal(err)
		}
		if got, err := s.find(ctx, i.token); err != nil || got != i {
			t.Errorf("given back: %v", err)
		}
		put(t, s, invite{kind: toReset, account: "juliet"})
		put(t, s, invite{kind: toReset, account: "romeo"})
		if err := s.removeResets(ctx, "juliet"); err != nil {
			t.Fatal(err)
		}
		if list, err := s.all(ctx); len(list) != 2 || err != nil {
			t.Errorf("%d left, %v", len(list), err)
		}
		if err := s.removeUser(ctx, "romeo"); err != nil {
			t.Fatal(err)
		}
		i = put(t, s, i)
		if n, err := s.expire(ctx, i.token); n != 1 || err != nil {
			t.Errorf("revoked %d, %v", n, err)
		}
		if got, err := s.find(ctx, i.token); err != nil || got.valid() || stamp(got.expires) != "1970-01-01T00:00:01Z" {
			t.Errorf("revoked: %s, %v", stamp(got.expires), err)
		}
		if kept, err := s.reserved(ctx, "juliet", ""); kept || err != nil {
			t.Errorf("the name is reserved: %v, %v", kept, err)
		}
		if n, err := s.cleanup(ctx); n != 1 || err != nil {
			t.Errorf("cleaned up %d, %v", n, err)
		}
	})
}

// TestOneOfManyTakesIt is about two nodes as much as about two clients: they have
// nothing in common but the database.
func TestOneOfManyTakesIt(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := open(t, db)
		i := put(t, s, invite{kind: toAccount})
		var won atomic.Int32
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				ok, err := s.take(context.Background(), &i, xmpp.MustParse(fmt.Sprintf("user%d@localhost", n)), "")
				if err != nil {
					t.Error(err)
				}
				if ok {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if n := won.Load(); n != 1 {
			t.Errorf("%d have it", n)
		}
	})
}

func TestCounts(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, s := t.Context(), open(t, db)
		old := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
		used := func(i invite, by xmpp.JID, name string) {
			t.Helper()
			if ok, err := s.take(ctx, &i, by, name); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		put(t, s, invite{inviter: "romeo", kind: toContact})
		put(t, s, invite{inviter: "romeo", kind: toContact, created: old.Add(-time.Hour), expires: old})
		used(put(t, s, invite{inviter: "romeo", kind: toContact}), tybalt, "tybalt")
		used(put(t, s, invite{inviter: "romeo", kind: toContact}), xmpp.MustParse("mercutio@elsewhere.example"), "")
		put(t, s, invite{inviter: "romeo", kind: toAccount})
		put(t, s, invite{inviter: "romeo", kind: toAccount, expires: old})
		used(put(t, s, invite{inviter: "romeo", kind: toBoth, created: old}), juliet, "")
		put(t, s, invite{kind: toReset, account: "romeo"})
		all, accounts, err := s.made(ctx, "romeo")
		if all != 7 || accounts != 3 || err != nil {
			t.Errorf("%d invitations, %d accounts, %v", all, accounts, err)
		}
		// What those have made whom he has invited counts for him.
		put(t, s, invite{inviter: "tybalt", kind: toAccount})
		put(t, s, invite{inviter: "tybalt", kind: toContact})
		used(put(t, s, invite{inviter: "juliet", kind: toAccount}), xmpp.MustParse("paris@localhost"), "")
		put(t, s, invite{inviter: "paris", kind: toBoth, account: "rosaline"})
		put(t, s, invite{inviter: "stranger", kind: toAccount})
		if n, err := s.descendants(ctx, xmpp.MustParse("romeo@localhost")); n != 7 || err != nil {
			t.Errorf("%d descend from him, %v", n, err)
		}
		if name, _, err := s.inviterOf(ctx, tybalt); name != "romeo" || err != nil {
			t.Errorf("tybalt was invited by %q, %v", name, err)
		}
		if err := s.tidy(ctx, "romeo"); err != nil {
			t.Fatal(err)
		}
		if all, accounts, err := s.made(ctx, "romeo"); all != 6 || accounts != 3 || err != nil {
			t.Errorf("after tidying %d invitations, %d accounts, %v", all, accounts, err)
		}
		if n, err := s.expireOf(ctx, "romeo"); n != 1 || err != nil {
			t.Errorf("%d revoked, %v", n, err)
		}
		if err := s.removeUser(ctx, "romeo"); err != nil {
			t.Fatal(err)
		}
		left, err := s.all(ctx)
		if len(left) != 5 || err != nil {
			t.Errorf("%d left, %v", len(left), err)
		}
		for _, i := range left {
			if i.inviter == "romeo" || i.kind == toReset {
				t.Errorf("left of a removed user: %s of %q", i.kind.word(), i.inviter)
			}
		}
	})
}

// TestAnotherHostsTokens: hosts that share tables do not share invitations.
func TestAnotherHostsTokens(t *testing.T) {
	for _, v := range storagetest.Variants() {
		if v.Flavour != storage.MultiHost {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			sql := v.SQL(t)
			all := storagetest.Serve(t, map[string]storage.SQL{"localhost": sql, "other.example": sql})
			here, there := open(t, all.Host("localhost")), open(t, all.Host("other.example"))
			i := put(t, there, invite{kind: toAccount, account: "juliet"})
			ctx := t.Context()
			if _, err := here.find(ctx, i.token); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("found: %v", err)
			}
			if ok, err := here.take(ctx, &i, juliet, "juliet"); ok || err != nil {
				t.Errorf("taken: %v, %v", ok, err)
			}
			if kept, err := here.reserved(ctx, "juliet", ""); kept || err != nil {
				t.Errorf("reserved: %v, %v", kept, err)
			}
			for what, n := range map[string]func(context.Context, string) (int64, error){"deleted": here.delete, "revoked": here.expire} {
				if n, err := n(ctx, i.token); n != 0 || err != nil {
					t.Errorf("%s %d, %v", what, n, err)
				}
			}
			if ok, err := there.take(ctx, &i, juliet, "juliet"); !ok || err != nil {
				t.Errorf("its own host: %v, %v", ok, err)
			}
		})
	}
}

// TestEjabberdsTable is opened as it is, with what is in it.
func TestEjabberdsTable(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			file := map[string]string{"sqlite-multi": "lite.new.sql", "sqlite-single": "lite.sql", "pgsql-multi": "pg.new.sql", "pgsql-single": "pg.sql"}[v.Name]
			text, err := os.ReadFile("../../storage/testdata/" + file)
			if err != nil {
				t.Fatal(err)
			}
			db := v.Open(t)
			for _, statement := range strings.Split(string(text), ";") {
				if strings.Contains(statement, "invite_token") {
					if _, err := db.Exec(t.Context(), statement); err != nil {
						t.Fatalf("%s: %v", statement, err)
					}
				}
			}
			host, value := "", ""
			if v.Flavour == storage.MultiHost {
				host, value = "server_host, ", "'localhost', "
			}
			// Two of ejabberd's: one that was used, and one by which an account was made
			// that has not become a contact yet.
			for _, row := range []string{
				"'tokenONE', 'romeo', " + value + "'juliet@localhost', '2026-01-02 03:04:05', '2026-01-07 03:04:05', 'A', ''",
				"'tokenTWO', 'romeo', " + value + "'', '2026-01-02 03:04:05', '2126-01-07 03:04:05', 'R', 'tybalt'",
			} {
				if _, err := db.Exec(t.Context(), "INSERT INTO invite_token (token, username, "+host+"invitee, created_at, expires, type, account_name) VALUES ("+row+")"); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, db)
			one, err := s.find(t.Context(), "tokenONE")
			if err != nil || one.inviter != "romeo" || one.invitee != "juliet@localhost" || one.kind != toAccount || stamp(one.created) != "2026-01-02T03:04:05Z" || stamp(one.expires) != "2026-01-07T03:04:05Z" {
				t.Errorf("found %s %s %s, %v", one.invitee, one.kind, stamp(one.created), err)
			}
			two, err := s.find(t.Context(), "tokenTWO")
			if err != nil || !two.valid() || !two.meant(tybalt, "localhost") || two.meant(juliet, "localhost") || two.meant(xmpp.MustParse("tybalt@elsewhere.example"), "localhost") {
				t.Errorf("found %v, %v", two.kind, err)
			}
			if ok, err := s.take(t.Context(), &two, tybalt, two.account); !ok || err != nil {
				t.Errorf("taken: %v, %v", ok, err)
			}
			// What we store ejabberd reads: times without fractions.
			i := put(t, s, invite{kind: toAccount})
			var text2 string
			if err := db.Get(t.Context(), []any{&text2}, "SELECT CAST(expires AS TEXT) FROM invite_token WHERE token = ?", i.token); err != nil || text2 != i.expires.Format("2006-01-02 15:04:05") {
				t.Errorf("stored %q, %v", text2, err)
			}
		})
	}
}
