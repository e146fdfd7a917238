package storage

import (
	"strings"
	"testing"
)

func groupsOf(t *testing.T, statements ...Statement) string {
	t.Helper()
	ticket := &Ticket{}
	for _, s := range statements {
		q, err := rewrite(s.Query, postgres, multiHost)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range ticket.statements { // one text is one query
			if other.query.text == q.text {
				q = other.query
			}
		}
		ticket.statements = append(ticket.statements, bound{q, s.Args})
	}
	var out []string
	for _, g := range groups([]*Ticket{ticket}) {
		text, args := g.send()
		word := strings.Fields(text)[2]
		if len(g.rows) > 1 {
			word += "×" + string(rune('0'+len(args[0].([]string))))
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// Rows of one text become one statement; what stands in their way does not change
// places with them.
func TestRowsGoTogether(t *testing.T) {
	row := func(table string, args ...any) Statement {
		return Statement{"INSERT INTO " + table + " (a, b, c) VALUES (?, 'x', " + map[bool]string{true: "?", false: "7"}[len(args) > 1] + ")", args}
	}
	other := Statement{"UPDATE one SET a = ?", []any{"u"}}
	for _, x := range []struct {
		want string
		list []Statement
	}{
		{"one×2", []Statement{row("one", "1"), row("one", "2")}},
		{"one×2 two×2", []Statement{row("one", "1"), row("two", "2"), row("one", "3"), row("two", "4")}},
		{"one one one", []Statement{row("one", "1"), row("one", "2", "other text"), row("one", "3")}},
		{"one one one", []Statement{row("one", "1", int64(1)), row("one", "2", "other kind"), row("one", "3", nil)}},
		{"one×2 SET one×2", []Statement{row("one", "1"), row("one", "2"), other, row("one", "3"), row("one", "4")}},
		{"one two one×2", []Statement{row("one", "1"), row("two", "2"), row("one", "3", "y"), row("one", "4", "y")}},
	} {
		if got := groupsOf(t, x.list...); got != x.want {
			t.Errorf("%v: %s, want %s", x.list, got, x.want)
		}
	}
}

func TestOnlyPlainInsertsGoTogether(t *testing.T) {
	for text, want := range map[string]string{
		`INSERT INTO t ({server_host,} a, b) VALUES ({?host,} ?, '')`:               `INSERT INTO t (server_host, a, b) SELECT a1, a2, CAST('' AS text) FROM unnest($1::text[], $2::bigint[]) AS t(a1, a2) `,
		`INSERT INTO t (a) VALUES (?) ON CONFLICT DO NOTHING`:                       `INSERT INTO t (a) SELECT a1 FROM unnest($1::text[]) AS t(a1) ON CONFLICT DO NOTHING`,
		`INSERT INTO t (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET a = excluded.a`: ``,
		`INSERT INTO t (a) VALUES (now())`:                                          ``,
		`INSERT INTO t (a) VALUES (?) RETURNING a`:                                  ``,
		`INSERT INTO t (a) SELECT ?`:                                                ``,
		`DELETE FROM t WHERE a = ?`:                                                 ``,
	} {
		q, err := rewrite(text, postgres, multiHost)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if q.together != nil {
			got = q.together.statement(map[int]string{1: "s", 2: "si"}[len(q.args)])
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
