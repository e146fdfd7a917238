package storage

import (
	"slices"
	"strings"
	"testing"
)

func TestRewrite(t *testing.T) {
	for _, c := range []struct{ name, in, liteMulti, liteSingle, pgMulti, pgSingle string }{
		{
			"insert",
			`INSERT INTO last ({server_host,} username, state{,server_host}) VALUES ({?host,} ?, ?{,?host}) ON CONFLICT ({server_host,} username) DO UPDATE SET state = excluded.state`,
			`INSERT INTO last (server_host, username, state, server_host) VALUES (?, ?, ?, ?) ON CONFLICT (server_host, username) DO UPDATE SET state = excluded.state`,
			`INSERT INTO last ( username, state) VALUES ( ?, ?) ON CONFLICT ( username) DO UPDATE SET state = excluded.state`,
			`INSERT INTO last (server_host, username, state, server_host) VALUES ($1, $2, $3, $4) ON CONFLICT (server_host, username) DO UPDATE SET state = excluded.state`,
			`INSERT INTO last ( username, state) VALUES ( $1, $2) ON CONFLICT ( username) DO UPDATE SET state = excluded.state`,
		},
		{
			"condition and lock",
			`SELECT a FROM t r WHERE {r.host} AND {host} AND x = ? AND h = {?host} {for update}`,
			`SELECT a FROM t r WHERE r.server_host = ? AND server_host = ? AND x = ? AND h = ? `,
			`SELECT a FROM t r WHERE 1 = 1 AND 1 = 1 AND x = ? AND h = ? `,
			`SELECT a FROM t r WHERE r.server_host = $1 AND server_host = $2 AND x = $3 AND h = $4 FOR UPDATE`,
			`SELECT a FROM t r WHERE 1 = 1 AND 1 = 1 AND x = $1 AND h = $2 FOR UPDATE`,
		},
		{
			"quotes and comments",
			`SELECT '?{host}''?', "a?{host}" -- ? {host}` + "\n" + `, ? /* ? { */ , '{' FROM t`,
			`SELECT '?{host}''?', "a?{host}" -- ? {host}` + "\n" + `, ? /* ? { */ , '{' FROM t`,
			`SELECT '?{host}''?', "a?{host}" -- ? {host}` + "\n" + `, ? /* ? { */ , '{' FROM t`,
			`SELECT '?{host}''?', "a?{host}" -- ? {host}` + "\n" + `, $1 /* ? { */ , '{' FROM t`,
			`SELECT '?{host}''?', "a?{host}" -- ? {host}` + "\n" + `, $1 /* ? { */ , '{' FROM t`,
		},
		{"unfinished quote", `SELECT ? 'a ?`, `SELECT ? 'a ?`, `SELECT ? 'a ?`, `SELECT $1 'a ?`, `SELECT $1 'a ?`},
	} {
		for i, want := range []string{c.liteMulti, c.liteSingle, c.pgMulti, c.pgSingle} {
			d, f := dialect(i/2), flavour(i%2)
			q, err := rewrite(c.in, d, f)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if q.text != want {
				t.Errorf("%s in dialect %d, flavour %d:\n got %s\nwant %s", c.name, d, f, q.text, want)
			}
		}
	}
}

func TestRewriteCountsArguments(t *testing.T) {
	q, err := rewrite(`SELECT 1 WHERE {host} AND a = ? AND {?host} = ? AND '?' = ''`, postgres, multiHost)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{-1, 0, -1, 1}; !slices.Equal(q.args, want) || q.want != 2 {
		t.Errorf("got %v of %d arguments, want %v of 2", q.args, q.want, want)
	}
}

func TestRewriteRefusesUnknownMarkers(t *testing.T) {
	for _, text := range []string{`SELECT {hst}`, `SELECT {`, `SELECT {1.host}`, `SELECT {a b.host}`, `SELECT {.host}`, `SELECT {}`} {
		if q, err := rewrite(text, lite, singleHost); err == nil {
			t.Errorf("%s became %s", text, q.text)
		} else if !strings.Contains(err.Error(), "marker") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRewriteKnowsWhatWrites(t *testing.T) {
	for text, want := range map[string]bool{
		`SELECT 1`:                                                    false,
		` -- insert` + "\n" + `select 'UPDATE'`:                       false,
		`/* SELECT */ INSERT INTO t VALUES (1)`:                       true,
		`WITH a AS (SELECT 1) SELECT * FROM a`:                        false,
		`WITH a AS (SELECT 'DELETE') SELECT deleted, "INSERT" FROM a`: false,
		`WITH a AS (DELETE FROM t RETURNING x) SELECT * FROM a`:       true,
		`UPDATE t SET a = 1 RETURNING a`:                              true,
		`CREATE TABLE t (a text)`:                                     true,
		``:                                                            true,
	} {
		q, err := rewrite(text, lite, multiHost)
		if err != nil || q.writes != want {
			t.Errorf("%q: writes is %v, %v", text, q.writes, err)
		}
	}
}

func TestQueryCacheIsBounded(t *testing.T) {
	var c queryCache
	for i := range 2 * maxCached {
		if _, err := c.find("SELECT "+strings.Repeat("1", i%97)+" FROM t"+strings.Repeat("x", i/97), lite, multiHost); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	c.texts.Range(func(_, _ any) bool { n++; return true })
	if n > maxCached {
		t.Errorf("%d texts are kept, want at most %d", n, maxCached)
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add(`INSERT INTO t ({server_host,} a) VALUES ({?host,} ?)`)
	f.Add(`SELECT '{host}' FROM t WHERE {t.host} -- ?`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range []dialect{lite, postgres} {
			q, err := rewrite(text, d, singleHost)
			if err != nil {
				continue
			}
			for _, a := range q.args {
				if a >= q.want {
					t.Fatalf("%q asks for argument %d of %d", text, a, q.want)
				}
			}
			if !strings.ContainsAny(text, "{?") && q.text != text {
				t.Fatalf("%q became %q", text, q.text)
			}
		}
	})
}
