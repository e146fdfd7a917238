package storage

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// dialect is what of a query's text depends on the database.
type dialect uint8

const (
	lite dialect = iota
	postgres
)

// query is a text written for one database.
type query struct {
	text     string
	args     []int // for each placeholder: which argument, or -1 for the host
	want     int   // how many arguments the caller gives
	writes   bool
	together *together    // if rows of it can be inserted at once
	quick    atomic.Int32 // how often it was answered at once; negative: it has taken long
}

// queryCache remembers what was rewritten. Texts come from code, not from
// strangers; the limit is for a store that puts values into its texts.
type queryCache struct {
	texts sync.Map // string to *query
	count atomic.Int64
}

const maxCached = 4096

func (c *queryCache) find(text string, d dialect, f flavour) (*query, error) {
	if q, ok := c.texts.Load(text); ok {
		return q.(*query), nil
	}
	q, err := rewrite(text, d, f)
	if err != nil {
		return nil, err
	}
	if c.count.Load() < maxCached {
		if _, there := c.texts.LoadOrStore(text, q); !there {
			c.count.Add(1)
		}
	}
	return q, nil
}

// rewriter walks once over a query's text.
type rewriter struct {
	in      string
	out     strings.Builder
	dialect dialect
	flavour flavour
	query   *query
}

// rewrite replaces placeholders and markers, except inside quotes and comments.
func rewrite(text string, d dialect, f flavour) (*query, error) {
	r := rewriter{in: text, dialect: d, flavour: f, query: &query{}}
	first, words := "", false // the first keyword; whether one that writes was seen
	for r.in != "" {
		n := opaque(r.in)
		switch c := r.in[0]; {
		case n > 0:
			r.copy(n)
		case c == '?':
			r.place(r.query.want)
			r.query.want++
			r.in = r.in[1:]
		case c == '{':
			if err := r.marker(); err != nil {
				return nil, fmt.Errorf("%w: %s", err, text)
			}
		case letter(c):
			n := 1
			for n < len(r.in) && (letter(r.in[n]) || '0' <= r.in[n] && r.in[n] <= '9') {
				n++
			}
			word := strings.ToUpper(r.in[:n])
			if first == "" {
				first = word
			}
			words = words || word == "INSERT" || word == "UPDATE" || word == "DELETE"
			r.copy(n)
		default:
			r.copy(1)
		}
	}
	r.query.text = r.out.String()
	if d == postgres {
		r.query.together = findTogether(r.query.text)
	}
	switch first {
	case "SELECT", "VALUES", "EXPLAIN":
	case "WITH":
		r.query.writes = words
	default:
		r.query.writes = true
	}
	return r.query, nil
}

func (r *rewriter) copy(n int) {
	r.out.WriteString(r.in[:n])
	r.in = r.in[n:]
}

// place writes a placeholder for argument n; -1 is the host.
func (r *rewriter) place(n int) {
	r.query.args = append(r.query.args, n)
	if r.dialect == lite {
		r.out.WriteByte('?')
		return
	}
	r.out.WriteByte('$')
	r.out.WriteString(strconv.Itoa(len(r.query.args)))
}

// marker writes what the marker at the start of the text stands for.
func (r *rewriter) marker() error {
	end := strings.IndexByte(r.in, '}')
	if end < 0 {
		return fmt.Errorf("a marker without its end in the query")
	}
	marker := r.in[1:end]
	r.in = r.in[end+1:]
	multi := r.flavour == multiHost
	by, isBy := strings.CutPrefix(marker, "by ")
	switch alias, condition := strings.CutSuffix(marker, ".host"); {
	case marker == "server_host,":
		r.when(multi, "server_host,")
	case marker == ",server_host":
		r.when(multi, ", server_host")
	case marker == "?host":
		r.place(-1)
	case marker == "?host," && multi:
		r.place(-1)
		r.out.WriteByte(',')
	case marker == ",?host" && multi:
		r.out.WriteString(", ")
		r.place(-1)
	case marker == "?host,", marker == ",?host":
	case marker == "for update":
		r.when(r.dialect == postgres, "FOR UPDATE")
	case isBy && identifier(by):
		r.when(r.dialect == lite, "INDEXED BY "+by)
	case marker == "host" && multi:
		r.out.WriteString("server_host = ")
		r.place(-1)
	case condition && identifier(alias) && multi:
		r.out.WriteString(alias + ".server_host = ")
		r.place(-1)
	case marker == "host", condition && identifier(alias):
		r.out.WriteString("1 = 1")
	default:
		return fmt.Errorf("unknown marker {%s} in the query", marker)
	}
	return nil
}

func (r *rewriter) when(yes bool, text string) {
	if yes {
		r.out.WriteString(text)
	}
}

// opaque is the length of the quoted text or comment that s begins with, or 0.
// A quote inside is doubled, so that it looks like two quoted texts in a row.
func opaque(s string) int {
	var end string
	from := 1
	switch {
	case s[0] == '\'', s[0] == '"':
		end = s[:1]
	case strings.HasPrefix(s, "--"):
		end, from = "\n", 2
	case strings.HasPrefix(s, "/*"):
		end, from = "*/", 2
	default:
		return 0
	}
	if n := strings.Index(s[from:], end); n >= 0 {
		return from + n + len(end)
	}
	return len(s)
}

func letter(c byte) bool { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }

func identifier(s string) bool {
	for i := range len(s) {
		if !letter(s[i]) && (i == 0 || s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return s != ""
}

// LikeEscape writes s so that it stands for itself in the pattern of a LIKE
// which ends with ESCAPE '\'.
func LikeEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}
