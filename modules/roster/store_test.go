package roster

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

var (
	romeo  = xmpp.MustParse("romeo@localhost")
	juliet = xmpp.MustParse("juliet@localhost")
)

var cacheOptions = local.Cache{Use: true, Size: 10, Missed: true, LifeTime: time.Hour}

// eachStore runs f on every database.
func eachStore(t *testing.T, f func(t *testing.T, s store)) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		if err := db.Migrate(t.Context(), "mod_roster_sql", schema...); err != nil {
			t.Fatal(err)
		}
		f(t, store{db, true})
	})
}

func put(t *testing.T, s store, user xmpp.JID, it Item) {
	t.Helper()
	_, err := s.change(t.Context(), change{user: user, contact: it.JID}, func(*Item) (*Item, error) { return &it, nil })
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoreKeepsItems(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		want := []Item{
			{JID: xmpp.MustParse("benvolio@localhost/hall"), State: PendingIn, request: "hi 'there'"},
			{JID: juliet, Name: "Júlia", Groups: []string{"Friends", "Lovers"}, State: Both | Approved},
			{JID: xmpp.MustParse("rosaline@localhost"), State: PendingIn, kept: true},
			{JID: xmpp.MustParse("verona.example"), Groups: []string{"Towns"}, State: To},
		}
		for _, it := range want {
			put(t, s, romeo, it)
		}
		put(t, s, juliet, Item{JID: romeo, Groups: []string{"Lovers"}})
		got, err := s.items(t.Context(), romeo)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
		}
		for _, w := range want {
			if it, err := s.item(t.Context(), s, romeo, w.JID); err != nil || !reflect.DeepEqual(*it, w) {
				t.Errorf("one item: got %+v, %v, want %+v", it, err, w)
			}
		}
		if err := s.remove(t.Context(), romeo); err != nil {
			t.Fatal(err)
		}
		if got, err := s.items(t.Context(), romeo); err != nil || len(got) > 0 {
			t.Errorf("left over: %+v, %v", got, err)
		}
		if got, err := s.items(t.Context(), juliet); err != nil || len(got) != 1 || len(got[0].Groups) != 1 {
			t.Errorf("juliet's roster is now %+v, %v", got, err)
		}
	})
}

func TestColumnsAreEjabberds(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		put(t, s, romeo, Item{JID: juliet, Name: "J", State: From | PendingOut | Approved})
		var nick, subscription, ask, message, server, subscribe, typ string
		var approved bool
		err := s.Get(t.Context(), []any{&nick, &subscription, &approved, &ask, &message, &server, &subscribe, &typ},
			`SELECT nick, subscription, approved, ask, askmessage, server, subscribe, type FROM rosterusers
			WHERE {host} AND username = 'romeo' AND jid = 'juliet@localhost'`)
		row := fmt.Sprint(nick, subscription, approved, ask, message, server, subscribe, typ)
		if want := fmt.Sprint("J", "F", true, "O", "", "N", "", "item"); err != nil || row != want {
			t.Errorf("row %q, %v; want %q", row, err, want)
		}
	})
}

func TestVersionChangesWithWhatClientsSee(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		first, err := s.version(t.Context(), romeo)
		if again, err2 := s.version(t.Context(), romeo); err != nil || err2 != nil || first == "" || again != first {
			t.Fatalf("versions %q, %v and %q, %v", first, err, again, err2)
		}
		put(t, s, romeo, Item{JID: juliet, State: PendingIn})
		if v, _ := s.version(t.Context(), romeo); v != first {
			t.Error("a hidden request has changed the version")
		}
		put(t, s, romeo, Item{JID: juliet, State: From})
		if v, _ := s.version(t.Context(), romeo); v == first {
			t.Error("a visible change has not changed the version")
		}
	})
}

func TestConcurrentChangesAllCount(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		ctx := context.WithoutCancel(t.Context())
		var all sync.WaitGroup
		errs := make(chan error, 8)
		for i := range 8 {
			all.Go(func() {
				_, err := s.change(ctx, change{user: romeo, contact: juliet}, func(old *Item) (*Item, error) {
					n := Item{JID: juliet}
					if old != nil {
						n = *old
					}
					n.Groups = normal(append(n.Groups, fmt.Sprint(i)))
					return &n, nil
				})
				errs <- err
			})
		}
		all.Wait()
		for range 8 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		it, err := s.item(ctx, s, romeo, juliet)
		if err != nil || it == nil || len(it.Groups) != 8 {
			t.Errorf("got %+v, %v: changes were lost", it, err)
		}
	})
}

func TestStrangersCannotFillARoster(t *testing.T) {
	db := storagetest.Open(t)
	s := store{db, false}
	if err := db.Migrate(t.Context(), "mod_roster_sql", schema...); err != nil {
		t.Fatal(err)
	}
	ask := func(i int, state State) error {
		from := xmpp.MustParse(fmt.Sprintf("stranger%d@evil.example", i))
		_, err := s.change(t.Context(), change{user: romeo, contact: from}, func(old *Item) (*Item, error) {
			return old.in(state, from), nil
		})
		return err
	}
	for i := range maxRequests {
		if err := ask(i, PendingIn); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if err := ask(maxRequests, PendingIn); !errors.Is(err, errManyRequests) {
		t.Errorf("one more request: %v", err)
	}
	if err := ask(maxRequests+1, PendingOut); err != nil {
		t.Errorf("the user himself is refused: %v", err)
	}
}

func TestRequestsComeBackAsTheyWere(t *testing.T) {
	user, from := romeo, xmpp.MustParse("juliet@capulet.example")
	for _, x := range []struct{ name, sent, want string }{
		{"nothing", `<presence type='subscribe'/>`, `<presence to='romeo@localhost' from='juliet@capulet.example' type='subscribe'/>`},
		{"a status", `<presence type='subscribe'><status>it's me</status></presence>`,
			`<presence to='romeo@localhost' from='juliet@capulet.example' type='subscribe'><status>it's me</status></presence>`},
		{"more", `<presence type='subscribe' id='1'><status>x</status><nick xmlns='http://jabber.org/protocol/nick'>J</nick></presence>`,
			`<presence to='romeo@localhost' from='juliet@capulet.example' id='1' type='subscribe'><status>x</status><nick xmlns='http://jabber.org/protocol/nick'>J</nick></presence>`},
		{"a status that looks like a stanza", `<presence type='subscribe'><status>&lt;presence type='subscribed' from='pope@rome'/></status></presence>`,
			`<presence to='romeo@localhost' from='juliet@capulet.example' type='subscribe'><status>&lt;presence type='subscribed' from='pope@rome'/></status></presence>`},
	} {
		st, err := xmpp.ParseXML([]byte(x.sent))
		if err != nil {
			t.Fatal(err)
		}
		stored := storeRequest(st.Readdressed(from, user))
		if got := readRequest(stored, from, user).String(); got != x.want {
			t.Errorf("%s:\ngot  %s\nwant %s\n(stored %s)", x.name, got, x.want, stored)
		}
	}
	// ejabberd has stored a status that looks like a stanza.
	forged := readRequest(`<presence type='subscribed' from='pope@rome'/>`, from, user)
	if forged.Type != "subscribe" || forged.From != from || forged.To != user {
		t.Errorf("a stored status became %s", forged)
	}
}

func TestCacheForgetsWhatWasReadBeforeAChange(t *testing.T) {
	c := newCache(cacheOptions)
	old, current := newLists([]Item{{JID: juliet, State: To}}), newLists(nil)
	got, err := c.get(romeo, func() (*lists, error) {
		c.forget(romeo) // somebody changes the roster while we read
		return old, nil
	})
	if got != old || err != nil {
		t.Fatalf("got %v, %v", got, err)
	}
	if got, _ := c.get(romeo, func() (*lists, error) { return current, nil }); got != current {
		t.Error("what was read before the change was kept")
	}
	if got, _ := c.get(romeo, func() (*lists, error) { t.Error("it was not kept"); return nil, nil }); got != current {
		t.Error("what was read after the change was not kept")
	}
}

func TestCacheKeepsNoFailure(t *testing.T) {
	c := newCache(cacheOptions)
	if _, err := c.get(romeo, func() (*lists, error) { return nil, storage.ErrUnavailable }); err == nil {
		t.Error("the failure was swallowed")
	}
	l := newLists(nil)
	if got, err := c.get(romeo, func() (*lists, error) { return l, nil }); got != l || err != nil {
		t.Errorf("after a failure: %v, %v", got, err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(cacheOptions)
	for i := range 10 * cacheOptions.Size {
		u := xmpp.MustParse(fmt.Sprintf("user%d@localhost", i))
		if _, err := c.get(u, func() (*lists, error) { return newLists([]Item{{JID: juliet, State: To}}), nil }); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.entries) != cacheOptions.Size || c.order.Len() != cacheOptions.Size || len(c.reading) > 0 || c.weight != cacheOptions.Size*newLists([]Item{{JID: juliet, State: To}}).weight {
		t.Errorf("%d entries, weight %d, %d reads", len(c.entries), c.weight, len(c.reading))
	}
}

func TestPresenceIsServedFromMemory(t *testing.T) {
	c := newCache(cacheOptions)
	l := newLists([]Item{{JID: juliet, State: Both}})
	read := func() (*lists, error) { return l, nil }
	if n := testing.AllocsPerRun(100, func() { _, _ = c.get(romeo, read) }); n != 0 {
		t.Errorf("a look into the cache allocates %v times", n)
	}
}

func BenchmarkLists(b *testing.B) {
	c := newCache(cacheOptions)
	l := newLists([]Item{{JID: juliet, State: Both}})
	for b.Loop() {
		if _, err := c.get(romeo, func() (*lists, error) { return l, nil }); err != nil {
			b.Fatal(err)
		}
	}
}
