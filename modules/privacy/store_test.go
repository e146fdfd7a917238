package privacy

import (
	"context"
	"reflect"
	"testing"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

var (
	romeo  = xmpp.MustParse("romeo@localhost")
	juliet = xmpp.MustParse("juliet@localhost")
	tybalt = xmpp.MustParse("tybalt@capulet.example")
)

func set(name string, items ...item) func(*rules) (draft, error) {
	return func(*rules) (draft, error) { return draft{name: name, items: items}, nil }
}

func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := context.Background()
		if err := db.Migrate(ctx, "mod_privacy_sql", schema...); err != nil {
			t.Fatal(err)
		}
		s := store{db}
		if r, err := s.rules(ctx, romeo); r != nil || err != nil {
			t.Fatalf("nobody has lists: %v, %v", r, err)
		}
		items := []item{
			{match: byJID, jid: tybalt, order: 1},
			{match: byGroup, value: "Enemies", order: 2, kinds: messages | presenceOut},
			{match: bySubscription, value: "none", order: 3, kinds: fourKinds},
			{match: byJID, jid: tybalt, order: 4, kinds: iqs},
			{match: byJID, jid: tybalt, order: 4, kinds: iqs}, // twice
			{match: anybody, allow: true, order: 4294967295},
		}
		change := func(user xmpp.JID, f func(*rules) (draft, error)) *rules {
			t.Helper()
			_, after, err := s.change(ctx, user, f)
			if err != nil {
				t.Fatal(err)
			}
			r, err := s.rules(ctx, user)
			if err != nil || !reflect.DeepEqual(r, after) {
				t.Fatalf("the change says %v, the database %v, %v", after, r, err)
			}
			return r
		}
		change(juliet, set("hers", item{match: anybody}))
		if got := change(romeo, set("a", items...)).find("a").items; !reflect.DeepEqual(got, items) {
			t.Errorf("got %v, want %v", got, items)
		}
		// One more, one less, another order.
		items = append(items[1:4:4], items[5], item{match: byJID, jid: juliet, order: 9, allow: true})
		want := []item{items[0], items[1], items[2], items[4], items[3]}
		if got := change(romeo, set("a", items...)).find("a").items; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		r := change(romeo, func(*rules) (draft, error) { return draft{common: "a", setCommon: true}, nil })
		if r.standard() == nil || r.standard().name != "a" {
			t.Errorf("the default is %v", r.standard())
		}
		r = change(romeo, func(*rules) (draft, error) { return draft{setCommon: true}, nil })
		if r.standard() != nil {
			t.Errorf("the default is %v", r.standard())
		}
		change(romeo, set("b", item{match: anybody}))
		if r = change(romeo, set("a")); r.find("a") != nil || len(r.lists) != 1 {
			t.Errorf("what was removed is there: %v", r)
		}
		if err := s.remove(ctx, romeo); err != nil {
			t.Fatal(err)
		}
		if r, err := s.rules(ctx, romeo); r != nil || err != nil {
			t.Errorf("after remove: %v, %v", r, err)
		}
		if r, err := s.rules(ctx, juliet); err != nil || len(r.find("hers").items) != 1 {
			t.Errorf("juliet has %v, %v", r, err)
		}
	})
}

func TestWhatEjabberdHasStored(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := context.Background()
		if err := db.Migrate(ctx, "mod_privacy_sql", schema...); err != nil {
			t.Fatal(err)
		}
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := db.Exec(ctx, query, args...); err != nil {
				t.Fatal(err)
			}
		}
		exec(`INSERT INTO privacy_list ({server_host,} username, name) VALUES ({?host,} 'romeo', 'Blocked contacts')`)
		exec(`INSERT INTO privacy_default_list ({server_host,} username, name) VALUES ({?host,} 'romeo', 'Blocked contacts')`)
		for _, row := range [][2]string{{"j", "tybalt@capulet.example"}, {"j", "@@"}, {"s", "friends"}, {"g", "Enemies"}, {"x", "y"}} {
			exec(`INSERT INTO privacy_list_data (id, t, value, action, ord, match_all, match_iq, match_message, match_presence_in, match_presence_out)
				SELECT id, '`+row[0]+`', ?, 'd', 0, true, false, false, false, false FROM privacy_list WHERE {host} AND username = 'romeo'`, row[1])
		}
		r, err := store{db}.rules(ctx, romeo)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.standard().blocklist(); !reflect.DeepEqual(got, []xmpp.JID{tybalt}) || len(r.standard().items) != 2 {
			t.Errorf("blocked are %v, items %v", got, r.standard().items)
		}
	})
}
