package storage

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
)

// together is how many rows that are inserted by the same text become one statement
// of PostgreSQL, which takes much less of it than as many statements do: an array
// for each column instead of a value.
type together struct {
	table   string
	columns string
	values  []string // for each column a placeholder or a literal
	end     string   // behind the values
	made    atomic.Pointer[mergedText]
}

// mergedText is the statement, for arguments of these kinds.
type mergedText struct {
	kinds string
	text  string
}

// simpleInsert is an insert of one row of placeholders and literals. A row that is
// there already may be passed over; with anything else it would matter which rows
// are inserted at once.
var simpleInsert = regexp.MustCompile(`(?i)^\s*INSERT\s+INTO\s+(\w+)\s*\(([\w\s,]+)\)\s*VALUES\s*\(((?:\s*(?:\$\d+|'[^',]*'|\d+)\s*,?)+)\)\s*(ON\s+CONFLICT\s+DO\s+NOTHING)?\s*$`)

// findTogether returns nil for texts that are no such insert.
func findTogether(text string) *together {
	m := simpleInsert.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	t := &together{table: strings.ToLower(m[1]), columns: m[2], end: m[4]}
	for v := range strings.SplitSeq(m[3], ",") {
		t.values = append(t.values, strings.TrimSpace(v))
	}
	return t
}

// kinds names the types of arguments, a letter each; ok is false if there is one
// that no array is made of.
func kinds(args []any) (string, bool) {
	var few [32]byte
	out := few[:0]
	for _, a := range args {
		switch a.(type) {
		case string:
			out = append(out, 's')
		case int64:
			out = append(out, 'i')
		case []byte:
			out = append(out, 'b')
		default:
			return "", false
		}
	}
	return string(out), len(out) > 0
}

// statement is the text for arguments of these kinds.
func (t *together) statement(kinds string) string {
	if m := t.made.Load(); m != nil && m.kinds == kinds {
		return m.text
	}
	chosen := make([]string, len(t.values))
	for i, v := range t.values {
		chosen[i] = strings.Replace(v, "$", "a", 1)
		if v[0] == '\'' {
			chosen[i] = "CAST(" + v + " AS text)"
		}
	}
	arrays, names := make([]string, len(kinds)), make([]string, len(kinds))
	for i, k := range kinds {
		arrays[i] = fmt.Sprintf("$%d::%s[]", i+1, map[rune]string{'s': "text", 'i': "bigint", 'b': "bytea"}[k])
		names[i] = fmt.Sprintf("a%d", i+1)
	}
	m := &mergedText{kinds, fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM unnest(%s) AS t(%s) %s",
		t.table, t.columns, strings.Join(chosen, ", "), strings.Join(arrays, ", "), strings.Join(names, ", "), t.end)}
	t.made.Store(m)
	return m.text
}

// A group is statements of a batch that are sent as one.
type group struct {
	first bound
	kinds string // empty: it is alone
	rows  [][]any
	at    int // the ticket, if all are of one; otherwise -1
}

// groups puts the statements of a batch together. Their order changes only where it
// cannot matter: rows of different tables change places. A reference from one of
// them to the other would be broken; then each ticket is tried alone.
func groups(tickets []*Ticket) (out []group) {
	open := 0 // from here on groups take more rows
	for i, t := range tickets {
		for _, s := range t.statements {
			k, ok := "", s.query.together != nil
			if ok {
				k, ok = kinds(s.args)
			}
			if !ok {
				out = append(out, group{first: s, at: i})
				open = len(out)
				continue
			}
			to := -1
			for n := open; n < len(out); n++ {
				switch g := &out[n]; {
				case g.first.query == s.query && g.kinds == k:
					to = n
				case g.first.query.together.table == s.query.together.table:
					open = len(out) // the rows of a table stay in their order
				}
			}
			if to < open {
				out = append(out, group{first: s, kinds: k, rows: [][]any{s.args}, at: i})
				continue
			}
			g := &out[to]
			g.rows = append(g.rows, s.args)
			if g.at != i {
				g.at = -1
			}
		}
	}
	return out
}

// send is the statement of a group and its arguments.
func (g *group) send() (text string, args []any) {
	if len(g.rows) < 2 {
		return g.first.query.text, g.first.args
	}
	args = make([]any, len(g.kinds))
	for c, k := range g.kinds {
		switch k {
		case 's':
			args[c] = columnOf[string](g.rows, c)
		case 'i':
			args[c] = columnOf[int64](g.rows, c)
		case 'b':
			args[c] = columnOf[[]byte](g.rows, c)
		}
	}
	return g.first.query.together.statement(g.kinds), args
}

// columnOf is one column of all rows.
func columnOf[T any](rows [][]any, c int) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = r[c].(T)
	}
	return out
}
