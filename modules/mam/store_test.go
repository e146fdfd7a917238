package mam

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

var (
	romeo  = xmpp.MustParse("romeo@localhost")
	juliet = xmpp.MustParse("juliet@localhost")
)

func open(t testing.TB, db *storage.DB) store {
	t.Helper()
	for keeper, versions := range map[string][]storage.Version{keeper: schema, "gabberd_jobs": storage.Jobs} {
		if err := db.Migrate(t.Context(), keeper, versions...); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Migrate(t.Context(), "gabberd_mam", own...); err != nil {
		t.Fatal(err)
	}
	return store{db}
}

// bury puts a tombstone in the place of a message.
func bury(t *testing.T, s store, in Storing, x row, by string) error {
	t.Helper()
	list, err := s.empty(in, x, by)
	if err != nil {
		return err
	}
	ticket, err := s.QueueAll(list...)
	if err != nil {
		return err
	}
	return ticket.Wait(t.Context())
}

func each(t *testing.T, f func(t *testing.T, s store)) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) { f(t, open(t, db)) })
}

// put stores a message that is so old, in microseconds since 1970.
func put(t testing.TB, s store, user, peer xmpp.JID, stamp int64, jobs ...storage.Job) {
	t.Helper()
	st := xmpp.New(xmpp.Message, "chat", peer, user, fmt.Sprint("m", stamp), xmpp.TextEl(nsClient, "body", fmt.Sprint(stamp)))
	ticket, err := s.add(Storing{User: user, Peer: peer, Direction: sm.In}, st, stamp, jobs)
	if err == nil {
		err = ticket.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func stamps(t *testing.T, s store, f filter) (out []int64) {
	t.Helper()
	r, err := s.find(t.Context(), f, page{max: pageMost, index: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range r.rows {
		out = append(out, x.stamp)
	}
	return out
}

func TestRowsAreEjabberds(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		st := xmpp.New(xmpp.Message, "chat", xmpp.MustParse("romeo@localhost/Orchard"), juliet, "m1",
			xmpp.TextEl(nsClient, "body", "hello"), xmpp.Build(nsStanzaID, "origin-id").Attr("id", "o1").Done())
		job := storage.Job{Queue: "q", Key: "k", Data: []byte("x")}
		ticket, err := s.add(Storing{User: juliet, Peer: st.From}, st, 1700000000000001, []storage.Job{job})
		if err == nil {
			err = ticket.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		var peer, bare, xml, txt, kind, nick, origin string
		var stamp int64
		err = s.Get(t.Context(), []any{&stamp, &peer, &bare, &xml, &txt, &kind, &nick, &origin},
			`SELECT timestamp, peer, bare_peer, xml, txt, kind, nick, origin_id FROM archive WHERE {host} AND username = ?`, "juliet")
		if err != nil {
			t.Fatal(err)
		}
		got := []string{fmt.Sprint(stamp), peer, bare, txt, kind, nick, origin}
		want := []string{"1700000000000001", "romeo@localhost/Orchard", "romeo@localhost", "hello", "chat", "", "o1"}
		if !slices.Equal(got, want) || xml != st.XML() {
			t.Errorf("got %q and %s", got, xml)
		}
		var jobs int64
		if err := s.Get(t.Context(), []any{&jobs}, `SELECT COUNT(*) FROM gabberd_jobs WHERE {host}`); err != nil || jobs != 1 {
			t.Errorf("%d jobs, %v", jobs, err)
		}
	})
}

// TestEjabberdsRowsAreFound, as they look in a database that ejabberd has filled.
func TestEjabberdsRowsAreFound(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		const fill = `INSERT INTO archive ({server_host,} username, timestamp, peer, bare_peer, xml, txt, kind, nick, origin_id)
			VALUES ({?host,} 'juliet', ?, ?, ?, ?, ?, ?, ?, ?)`
		for i, xml := range []string{
			`<message xml:lang='en' to='juliet@localhost' from='romeo@localhost/orchard' type='chat' id='m1' xmlns='jabber:client'><body>It is the east</body></message>`,
			"\x01\x02\x03compressed",
			`<message to='juliet@localhost/balcony' from='romeo@localhost/orchard' type='chat'><body>and Juliet is the sun</body></message>`,
		} {
			if _, err := s.Exec(t.Context(), fill, int64(1600000000000000+i), "romeo@localhost/orchard", "romeo@localhost", xml, "", "chat", "", ""); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Exec(t.Context(), `INSERT INTO archive_prefs ({server_host,} username, def, always, never) VALUES ({?host,} 'juliet', 'roster', ?, ?)`,
			`[{<<"romeo">>,<<"localhost">>,<<>>},{<<>>,<<"example.org">>,<<"x">>}]`, `[]`); err != nil {
			t.Fatal(err)
		}
		r, err := s.find(t.Context(), filter{user: juliet, with: romeo}, page{max: 50, index: -1})
		if err != nil || len(r.rows) != 3 || !r.complete {
			t.Fatalf("got %+v, %v", r, err)
		}
		for i, x := range r.rows {
			if el, err := x.message(); (i == 1) != (err != nil) || i != 1 && el.Child(nsClient, "body") == nil {
				t.Errorf("%s: %v", x.xml, err)
			}
		}
		p, err := s.prefs(t.Context(), juliet)
		if err != nil || p.Default != fromRoster || len(p.Always) != 2 || p.Always[0] != romeo || p.Always[1].String() != "example.org/x" || len(p.Never) != 0 {
			t.Errorf("got %+v, %v", p, err)
		}
	})
}

// TestWordsOfEjabberdsRowsAreFound, of each host and user for itself, and no more
// when the rows are gone.
func TestWordsOfEjabberdsRowsAreFound(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		const fill = `INSERT INTO archive ({server_host,} username, timestamp, peer, bare_peer, xml, txt, kind) VALUES ({?host,} ?, ?, '', '', '', ?, 'chat')`
		for i := range int64(1200) {
			if _, err := s.Queue(fill, []string{"juliet", "romeo"}[i%2], 1+i, fmt.Sprintf("word number%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		put(t, s, juliet, romeo, 5000)
		for after := int64(0); ; {
			last, err := s.FindWords(t.Context(), words, after)
			if err != nil {
				t.Fatal(err)
			}
			if after = last; last == 0 {
				break
			}
		}
		count := func(user xmpp.JID, text string) int {
			f := filter{user: user}
			var ok bool
			if f.match, f.matchArgs, ok = s.Matching(words, user.Local(), text); !ok {
				t.Fatal(text)
			}
			r, err := s.find(t.Context(), f, page{})
			if err != nil {
				t.Fatal(err)
			}
			return int(r.count)
		}
		for text, want := range map[string]int{"word": 600, "number1100": 1, "WORD number1100": 1, "number1101": 0, "5000": 1} {
			if got := count(juliet, text); got != want {
				t.Errorf("%s: %d found, want %d", text, got, want)
			}
		}
		if _, err := s.remove(t.Context(), juliet, nil, 100); err != nil {
			t.Fatal(err)
		}
		if got := count(juliet, "word"); got != 500 {
			t.Errorf("%d left", got)
		}
		if last, err := s.FindWords(t.Context(), words, 0); last != 0 || err != nil {
			t.Errorf("taken up twice: %d, %v", last, err)
		}
		// What comes later is found by looking at that alone.
		if _, err := s.Exec(t.Context(), fill, "juliet", int64(9000), "word late"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.FindWords(t.Context(), words, 0); err != nil || count(juliet, "late") != 1 {
			t.Errorf("a later row is not found: %v", err)
		}
	})
}

func TestPreferencesComeBack(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		want := prefs{Default: never, Always: []xmpp.JID{romeo, xmpp.MustParse("münchen@example.org/straße")}, Never: []xmpp.JID{juliet}}
		for _, p := range []prefs{{Default: always}, want} {
			if err := s.setPrefs(t.Context(), romeo, p, true); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.setPrefs(t.Context(), romeo, prefs{Default: always}, false); err != nil {
			t.Fatal(err)
		}
		got, err := s.prefs(t.Context(), romeo)
		if err != nil || got.Default != want.Default || !slices.Equal(got.Always, want.Always) || !slices.Equal(got.Never, want.Never) {
			t.Errorf("got %+v, %v", got, err)
		}
		if err := s.removePrefs(t.Context(), romeo); err != nil {
			t.Fatal(err)
		}
		if _, err := s.prefs(t.Context(), romeo); err == nil {
			t.Error("they are still there")
		}
	})
}

func TestRowsAreRemoved(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		for i := range int64(6) {
			put(t, s, juliet, []xmpp.JID{romeo, xmpp.MustParse("nurse@localhost")}[i%2], 10+i)
			put(t, s, romeo, juliet, 10+i)
		}
		if n, err := s.deleteOld(t.Context(), time.UnixMicro(14), "groupchat", 100); n != 0 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		if n, err := s.countOld(t.Context(), time.UnixMicro(14), "chat"); n != 8 || err != nil {
			t.Errorf("%d counted, %v", n, err)
		}
		if n, err := s.deleteOld(t.Context(), time.UnixMicro(14), "chat", 2); n != 2 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		if n, err := s.deleteOld(t.Context(), time.UnixMicro(12), "", 100); n != 2 || err != nil {
			t.Errorf("%d deleted, %v", n, err)
		}
		if n, err := s.remove(t.Context(), juliet, &romeo, 1); n != 1 || err != nil {
			t.Errorf("%d removed, %v", n, err)
		}
		if got := stamps(t, s, filter{user: juliet}); !slices.Equal(got, []int64{13, 14, 15}) {
			t.Errorf("juliet has %v", got)
		}
		if n, err := s.remove(t.Context(), juliet, nil, 100); n != 3 || err != nil {
			t.Errorf("%d removed, %v", n, err)
		}
		if got := stamps(t, s, filter{user: romeo}); len(got) != 4 {
			t.Errorf("romeo has %v", got)
		}
	})
}

func TestRetractionOfOthersIsNotFound(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		put(t, s, juliet, romeo, 1)
		in := Storing{User: juliet, Peer: romeo}
		for sender, want := range map[xmpp.JID]int64{romeo: 1, juliet: 0} {
			for _, id := range []string{"m1", "1"} {
				if x, err := s.named(t.Context(), in, id, sender); x.stamp != want || err != nil {
					t.Errorf("%s by %s: %+v, %v", id, sender, x, err)
				}
			}
		}
		if x, err := s.named(t.Context(), Storing{User: juliet, Peer: juliet}, "m1", romeo); x.stamp != 0 || err != nil {
			t.Errorf("found %+v, %v", x, err)
		}
		x, err := s.named(t.Context(), in, "m1", romeo)
		if err == nil {
			err = bury(t, s, in, x, "r1")
		}
		if err != nil {
			t.Fatal(err)
		}
		var xml, txt string
		if err := s.Get(t.Context(), []any{&xml, &txt}, `SELECT xml, txt FROM archive WHERE {host}`); err != nil || txt != "" || strings.Contains(xml, "body") {
			t.Errorf("left: %q %s %v", txt, xml, err)
		}
	})
}

// TestPagesAreReadAlongAnIndex: nothing is sorted.
func TestPagesAreReadAlongAnIndex(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		for i := range int64(3) {
			put(t, s, juliet, romeo, 1+i)
		}
		for name, f := range map[string]filter{
			"all": {user: juliet}, "with": {user: juliet, with: romeo}, "with after": {user: juliet, with: romeo, after: 1, end: 1 << 60},
			"with a device": {user: juliet, with: xmpp.MustParse("romeo@localhost/orchard"), after: 1},
		} {
			cond, args := f.where()
			text := `SELECT timestamp, xml FROM archive ` + f.by() + `WHERE ` + cond + ` ORDER BY timestamp DESC LIMIT ? OFFSET ?`
			var plan []string
			err := s.Tx(t.Context(), func(tx *storage.Tx) error {
				pg := strings.Contains(s.String(), "pgsql") || strings.Contains(strings.ToLower(s.String()), "postgres")
				explain := `EXPLAIN QUERY PLAN `
				if pg { // so few rows are read at once and sorted by choice
					explain = `EXPLAIN `
					for _, set := range []string{`SET LOCAL enable_seqscan = off`, `SET LOCAL enable_sort = off`, `SET LOCAL enable_bitmapscan = off`} {
						if _, err := tx.Exec(t.Context(), set); err != nil {
							return err
						}
					}
				}
				return tx.Each(t.Context(), explain+text, append(args, int64(51), int64(0)), func(r storage.Row) error {
					var line string
					if pg {
						err := r.Scan(&line)
						plan = append(plan, line)
						return err
					}
					var a, b, c int64
					err := r.Scan(&a, &b, &c, &line)
					plan = append(plan, line)
					return err
				})
			})
			all := strings.Join(plan, "\n")
			if err != nil || strings.Contains(all, "TEMP B-TREE") || strings.Contains(all, "Sort") {
				t.Errorf("%s in %s: %v\n%s", name, s, err, all)
			}
			if !f.with.IsZero() && !strings.Contains(all, byPeer.Name) {
				t.Errorf("%s in %s goes through what was said with others:\n%s", name, s, all)
			}
		}
	})
}

// TestOlderIndexesAreReplaced: an archive that an earlier gabberd has made is
// searched as well.
func TestOlderIndexesAreReplaced(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		for _, m := range []struct {
			keeper   string
			versions []storage.Version
		}{{keeper, schema}, {"gabberd_mam", own[:1]}} {
			if err := db.Migrate(t.Context(), m.keeper, m.versions...); err != nil {
				t.Fatal(err)
			}
		}
		s := open(t, db)
		put(t, s, juliet, romeo, 1)
		f := filter{user: juliet}
		f.match, f.matchArgs, _ = s.Matching(words, "juliet", "1")
		if got := stamps(t, s, f); len(got) != 1 {
			t.Errorf("found %v", got)
		}
	})
}
