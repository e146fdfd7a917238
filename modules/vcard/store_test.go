package vcard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

func parse(t *testing.T, text string) *xmpp.Element {
	t.Helper()
	el, err := xmpp.ParseElement([]byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	return el
}

const full = `<vCard xmlns='vcard-temp'><FN>Romeo Móntague</FN><N><FAMILY>Montague</FAMILY><GIVEN>Romeo</GIVEN><MIDDLE>X</MIDDLE></N>` +
	`<NICKNAME>100% Lover_1\</NICKNAME><BDAY>1590-01-01</BDAY><ADR><HOME/><CTRY>Italy</CTRY><LOCALITY>VERONA</LOCALITY></ADR>` +
	`<EMAIL><INTERNET/><USERID>Romeo@Verona.it</USERID></EMAIL><ORG><ORGNAME>House</ORGNAME><ORGUNIT>Street</ORGUNIT></ORG></vCard>`

// open makes the tables.
func open(t *testing.T, db *storage.DB) store {
	t.Helper()
	if err := db.Migrate(t.Context(), "mod_vcard_sql", schema); err != nil {
		t.Fatal(err)
	}
	return store{DB: db}
}

func found(t *testing.T, s store, limit int, wanted ...string) []string {
	t.Helper()
	m := map[string]string{}
	for _, w := range wanted {
		k, v, _ := strings.Cut(w, "=")
		m[k] = v
	}
	hits, err := s.search(t.Context(), m, limit)
	if err != nil {
		t.Fatalf("%v: %v", wanted, err)
	}
	var out []string
	for _, h := range hits {
		out = append(out, h.jid)
	}
	return out
}

func TestStore(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx, s := t.Context(), open(t, db)
		romeo, juliet := xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
		if _, err := s.get(ctx, romeo); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("nothing stored: %v", err)
		}
		for _, card := range []string{`<vCard xmlns='vcard-temp'><FN>first</FN></vCard>`, full} {
			if err := s.set(ctx, romeo, parse(t, card)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.set(ctx, juliet, parse(t, `<vCard xmlns='vcard-temp'><FN>Juliet</FN><EMAIL>J@example.com</EMAIL></vCard>`)); err != nil {
			t.Fatal(err)
		}
		if got, err := s.get(ctx, romeo); err != nil || got.XML() != full {
			t.Errorf("got %v, %v", got, err)
		}
		row := make([]string, 25)
		var dest []any
		for i := range row[:24] {
			dest = append(dest, &row[i])
		}
		err := db.Get(ctx, dest, `SELECT username, lusername, fn, lfn, family, lfamily, given, lgiven, middle, lmiddle, nickname, lnickname,
			bday, lbday, ctry, lctry, locality, llocality, email, lemail, orgname, lorgname, orgunit, lorgunit
			FROM vcard_search WHERE {host} AND lusername = ?`, "romeo")
		want := []string{"romeo", "romeo", "Romeo Móntague", "romeo móntague", "Montague", "montague", "Romeo", "romeo", "X", "x", `100% Lover_1\`, `100% lover_1\`,
			"1590-01-01", "1590-01-01", "Italy", "italy", "VERONA", "verona", "Romeo@Verona.it", "romeo@verona.it", "House", "house", "Street", "street"}
		if err != nil || !slices.Equal(row[:24], want) {
			t.Errorf("the row is %q, %v", row, err)
		}
		if got := found(t, s, 9, "email=j@EXAMPLE.com"); !slices.Equal(got, []string{"juliet@localhost"}) {
			t.Errorf("an address without USERID: %v", got)
		}
		if err := s.remove(ctx, romeo); err != nil {
			t.Fatal(err)
		}
		if _, err := s.get(ctx, romeo); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("after the user has gone: %v", err)
		}
		if got := found(t, s, 9); !slices.Equal(got, []string{"juliet@localhost"}) {
			t.Errorf("left are %v", got)
		}
	})
}

func TestSearch(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := open(t, db)
		for user, card := range map[string]string{
			"romeo":   full,
			"romeus":  `<vCard xmlns='vcard-temp'><FN>Romeus</FN><NICKNAME>1000 Lovers</NICKNAME><ADR><CTRY>Italy</CTRY></ADR></vCard>`,
			"mercut":  `<vCard xmlns='vcard-temp'><FN>Straße</FN><NICKNAME>a*b</NICKNAME><ADR><CTRY>Italy</CTRY></ADR></vCard>`,
			"nothing": `<vCard xmlns='vcard-temp'/>`,
		} {
			if err := s.set(t.Context(), xmpp.MustParse(user+"@localhost"), parse(t, card)); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []struct {
			wanted string
			want   string
		}{
			{"user=romeo", "romeo"},
			{"user=ROMEO", "romeo"},
			{"user=rome*", "romeo romeus"},
			{"user=*", "mercut nothing romeo romeus"},
			{"", "mercut nothing romeo romeus"},
			{"ctry=Italy", "mercut romeo romeus"},
			{"ctry=Ital", ""},
			{"ctry=italy|user=rom*", "romeo romeus"},
			{"ctry=italy|user=rom*|last=montague", "romeo"},
			{"fn=STRASSE", "mercut"},
			{"nick=100%*", "romeo"},
			{"nick=100_*", ""},
			{"nick=%", ""},
			{"nick=_____ lovers", ""},
			{`nick=100% lover_1\`, "romeo"},
			{`nick=100% lover_1\*`, "romeo"},
			{"nick=a*b", "mercut"},
			{"nick=a**", "mercut"},
			{"nick=' OR '1'='1", ""},
			{"unknown=x|ctry=italy", "mercut romeo romeus"},
		} {
			var want []string
			for _, u := range strings.Fields(c.want) {
				want = append(want, u+"@localhost")
			}
			if got := found(t, s, 9, strings.Split(c.wanted, "|")...); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", c.wanted, got, want)
			}
		}
		if got := found(t, s, 2); len(got) != 2 {
			t.Errorf("with a limit of 2: %v", got)
		}
	})
}

func TestEndlessTextsAreCut(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		s := open(t, db)
		// One character that is folded into eighteen.
		for i, text := range []string{strings.Repeat("é", 100_000), strings.Repeat("\ufdfa", 50_000)} {
			user := xmpp.MustParse(fmt.Sprintf("u%d@localhost", i))
			if err := s.set(t.Context(), user, xmpp.El(NS, "vCard", xmpp.TextEl(NS, "FN", text), xmpp.TextEl(NS, "NICKNAME", text))); err != nil {
				t.Errorf("%s: %v", user, err)
			}
			if got := found(t, s, 9, "fn="+text); !slices.Equal(got, []string{user.String()}) {
				t.Errorf("found %v", got)
			}
		}
	})
}

func TestSearchOfAllHosts(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			sql := v.SQL(t)
			if v.Flavour == storage.SingleHost {
				return // each host has a database of its own
			}
			srv := storagetest.Serve(t, map[string]storage.SQL{"a.example": sql, "b.example": sql})
			a, b := open(t, srv.Host("a.example")), open(t, srv.Host("b.example"))
			for _, s := range []store{a, b} {
				if err := s.set(t.Context(), xmpp.MustParse("u@"+s.Host()), parse(t, full)); err != nil {
					t.Fatal(err)
				}
			}
			if got := found(t, a, 9, "fn=romeo*"); !slices.Equal(got, []string{"u@a.example"}) {
				t.Errorf("on its own host: %v", got)
			}
			a.everywhere = true
			got := found(t, a, 9, "fn=romeo*")
			slices.Sort(got)
			if !slices.Equal(got, []string{"u@a.example", "u@b.example"}) {
				t.Errorf("on all hosts: %v", got)
			}
		})
	}
}

func TestFewTextsOfQueries(t *testing.T) {
	s := store{DB: storagetest.Open(t)}
	texts := map[string]bool{}
	for i := range 1 << len(fields) {
		for _, end := range []string{"", "*"} {
			wanted := map[string]string{}
			for j, f := range fields {
				if i&(1<<j) != 0 {
					wanted[f.name] = fmt.Sprint("x", j) + end
				}
			}
			text, _ := s.query(wanted)
			texts[text] = true
		}
	}
	if n := len(texts); n > len(fields)+1 {
		t.Errorf("a stranger can have %d different queries made", n)
	}
}
