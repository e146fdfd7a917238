package mam

import (
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// TestOldIndexOfWords of an earlier release gives way to the one of today.
func TestOldIndexOfWords(t *testing.T) {
	for _, v := range storagetest.Variants() {
		if !v.PostgreSQL {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			db := storagetest.Serve(t, map[string]storage.SQL{"localhost": v.SQL(t)}).Host("localhost")
			err := db.Migrate(t.Context(), keeper, schema...)
			if err == nil {
				err = db.Migrate(t.Context(), "gabberd_mam", own[:2]...)
			}
			if err == nil {
				_, err = db.Exec(t.Context(), `CREATE INDEX gabberd_archive_text ON archive (txt)`)
			}
			if err != nil {
				t.Fatal(err)
			}
			open(t, db)
			var names []string
			err = db.Each(t.Context(), `SELECT indexname FROM pg_indexes WHERE tablename = 'archive' AND indexname IN ('gabberd_archive_text', 'gabberd_archive_said')`, nil, func(r storage.Row) error {
				var name string
				err := r.Scan(&name)
				names = append(names, name)
				return err
			})
			if err != nil || !slices.Equal(names, []string{"gabberd_archive_said"}) {
				t.Errorf("%v, %v", names, err)
			}
		})
	}
}

// TestWordsBetweenPunctuation are found in whatever they stand.
func TestWordsBetweenPunctuation(t *testing.T) {
	texts := map[string]string{
		"see https://example.net/a/path?q=1#part, please": "example net path 1 part please",
		"to someone@mail.example.net.":                    "someone mail example",
		"a half-time <b>bold</b> &amp; x_y ~/home/file":   "half time bold amp x y home file",
		"-5 +49 1.5 v2.0.1 12:30":                         "5 49 1 v2 0 12 30",
		"plain, and (simple): \"quoted\" [here]; done!":   "plain simple quoted here done",
		`C:\Users\me is a\b`:                              "C Users me a b",
		"end-":                                            "end",
		strings.Repeat("so long… ", 20_000):               "so long",
	}
	each(t, func(t *testing.T, s store) {
		n := int64(0)
		for text, all := range texts {
			n++
			st := xmpp.New(xmpp.Message, "chat", romeo, juliet, "m", xmpp.TextEl(nsClient, "body", text))
			ticket, err := s.add(Storing{User: juliet, Peer: romeo, Direction: sm.In}, st, n, nil)
			if err == nil {
				err = ticket.Wait(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			for word := range strings.FieldsSeq(all) {
				f := filter{user: juliet}
				f.match, f.matchArgs, _ = s.Matching(words, "juliet", word)
				if !slices.Contains(stamps(t, s, f), n) {
					t.Errorf("%s is not found in %q", word, text)
				}
			}
		}
	})
}

// TestOddSearches: what databases take for more than words is no error, finds nothing
// that has not these words, and nothing of others. Where there are no words, that is
// said.
func TestOddSearches(t *testing.T) {
	each(t, func(t *testing.T, s store) {
		put(t, s, juliet, romeo, 1)
		put(t, s, romeo, juliet, 2)
		for text, want := range map[string][]int64{
			"1": {1}, "1*": {1}, `"1`: {1}, "1)": {1}, "(1": {1}, "^1": {1}, "-1": {1}, "!1": {1}, "1:*": {1}, "1 & 1": {1}, "1 \\": {1}, "words:1": nil,
			"2": nil, "1 OR 2": nil, "1 | 2": nil, "1 <-> 2": nil, "NOT 1": nil, "NEAR(1 1)": nil, "owner : 1": nil, "1 AND 2": nil, `") OR words : ("2`: nil,
			`') OR 1=1 --`: nil, "{owner words} : 2": nil, "1' || '2": nil, "u4": nil, strings.Repeat("1 ", 32): {1},
			"1 \u0301": {1}, "1\u200b": {1}, "1\ufffd": {1}, "1\u2028": {1}, "ⅷ": nil, "½ 1": {1}, "\u0661": nil, strings.Repeat("x", 2046): nil,
		} {
			f, ok := filter{user: juliet}, false
			if f.match, f.matchArgs, ok = s.Matching(words, "juliet", text); !ok {
				t.Errorf("%.50q is said to have no words", text)
				continue
			}
			if got := stamps(t, s, f); !slices.Equal(got, want) {
				t.Errorf("%.50q finds %v, want %v", text, got, want)
			}
		}
		for _, text := range []string{"", " ", "*", `"`, `""`, "()", "--", ":*", "&|!", "\u200b", "\ufeff", "½", "\u0301", "\u0301 \u20dd", "☃", strings.Repeat("1 ", 33), strings.Repeat("x", 2047)} {
			if _, _, ok := s.Matching(words, "juliet", text); ok {
				t.Errorf("%.50q is taken for words", text)
			}
		}
	})
}
