package mam

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// The archive of BenchmarkLong: juliet has a tenth of the messages, with so many
// peers; all others have a thousand each.
const (
	longPeers = 50
	longShort = 100_000
	longBase  = 1_700_000_000_000_000
	longStep  = 1000 // microseconds between two messages
)

// BenchmarkLong is a page of 50 from an archive of GABBERD_BENCH_ARCHIVE messages,
// beside the same query with the driver alone, and beside a page from an archive of
// a hundred thousand. All are asked in turn. A page is what the module asks
// the database for one: that the messages which are named are there, and the rows.
// What is written out is in µs, but for the quotients of the medians.
func BenchmarkLong(b *testing.B) {
	for _, v := range storagetest.Variants() {
		if v.Flavour == storage.MultiHost {
			b.Run(v.Name, func(b *testing.B) {
				n := max(benchSize(b), 2*longShort)
				short, long := newLong(b, v, longShort), newLong(b, v, n)
				for _, c := range longCases() {
					b.Run(c.name, func(b *testing.B) { c.measure(b, short, long) })
				}
				// Whoever asks for nothing but the number has everything counted.
				b.Run("number alone", func(b *testing.B) {
					for b.Loop() {
						if r, err := long.find(b.Context(), filter{user: juliet}, page{max: 0, index: -1}); err != nil || r.count != n/10 {
							b.Fatal(r.count, err)
						}
					}
				})
			})
		}
	}
}

// A longCase is a kind of page: how it is asked for, and its query by hand.
type longCase struct {
	name string
	ask  func(a *longArchive) (filter, page)
	hand func(a *longArchive, f filter, p page) (cond, order string, args []any)
}

func longCases() []longCase {
	all := func(*longArchive, filter, page) (string, string, []any) { return ``, ``, nil }
	return []longCase{
		{"first", func(*longArchive) (filter, page) { return filter{user: juliet}, page{} }, all},
		{"last", func(*longArchive) (filter, page) { return filter{user: juliet}, page{last: true} },
			func(*longArchive, filter, page) (string, string, []any) { return ``, ` DESC`, nil }},
		{"last of somebody", func(a *longArchive) (filter, page) { return filter{user: a.somebody()}, page{last: true} },
			func(*longArchive, filter, page) (string, string, []any) { return ``, ` DESC`, nil }},
		{"after", func(a *longArchive) (filter, page) { return filter{user: juliet}, page{after: a.middle()} },
			func(_ *longArchive, _ filter, p page) (string, string, []any) {
				return ` AND timestamp > ?`, ``, []any{p.after}
			}},
		{"before", func(a *longArchive) (filter, page) { return filter{user: juliet}, page{before: a.middle()} },
			func(_ *longArchive, _ filter, p page) (string, string, []any) {
				return ` AND timestamp < ?`, ` DESC`, []any{p.before}
			}},
		{"with", func(a *longArchive) (filter, page) { return filter{user: juliet, with: a.peer()}, page{last: true} },
			func(_ *longArchive, f filter, _ page) (string, string, []any) {
				return ` AND bare_peer = ?`, ` DESC`, []any{f.with.String()}
			}},
		{"with a device", func(a *longArchive) (filter, page) {
			with, err := a.peer().WithResource("dev")
			if err != nil {
				panic(err)
			}
			return filter{user: juliet, with: with}, page{last: true}
		}, func(_ *longArchive, f filter, _ page) (string, string, []any) {
			return ` AND bare_peer = ? AND peer = ?`, ` DESC`, []any{f.with.Bare().String(), f.with.String()}
		}},
		{"with, start and end", func(a *longArchive) (filter, page) {
			start := a.middle()
			return filter{user: juliet, with: a.peer(), start: start, end: start + a.n/2*longStep}, page{}
		}, func(_ *longArchive, f filter, _ page) (string, string, []any) {
			return ` AND bare_peer = ? AND timestamp >= ? AND timestamp <= ?`, ``, []any{f.with.String(), f.start, f.end}
		}},
		{"search", func(a *longArchive) (f filter, _ page) {
			f.user = juliet
			f.match, f.matchArgs, _ = a.Matching(words, "juliet", "nightingale")
			return f, page{}
		}, func(_ *longArchive, f filter, _ page) (string, string, []any) {
			return ` AND ` + f.match, ``, f.matchArgs
		}},
	}
}

// measure asks for pages of both archives, by the module and by hand.
func (c longCase) measure(b *testing.B, short, long *longArchive) {
	var ours, hand, ofShort []float64
	once := func(to *[]float64, f func()) {
		began := time.Now()
		f()
		*to = append(*to, float64(time.Since(began).Nanoseconds())/1000)
	}
	for turn := 0; b.Loop(); turn++ {
		for _, a := range []*longArchive{short, long} {
			f, p := c.ask(a)
			p.max, p.index = 50, -1
			cond, order, args := c.hand(a, f, p)
			if a == short {
				once(&ofShort, func() { a.page(b, f, p) })
				continue
			}
			byHand := func() { a.byHand(b, cond, order, append([]any{f.user.Local()}, args...)) }
			if turn%2 == 0 { // who asks second finds everything in memory
				once(&hand, byHand)
			}
			once(&ours, func() { a.page(b, f, p) })
			if turn%2 != 0 {
				once(&hand, byHand)
			}
		}
	}
	part := func(list []float64, of float64) float64 {
		slices.Sort(list)
		return list[int(of*float64(len(list)-1))]
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(part(ours, .5), "p50-µs")
	b.ReportMetric(part(ours, .99), "p99-µs")
	b.ReportMetric(part(hand, .5), "hand-p50-µs")
	b.ReportMetric(part(hand, .99), "hand-p99-µs")
	b.ReportMetric(part(ours, .5)/part(hand, .5), "×hand")
	b.ReportMetric(part(ours, .5)/part(ofShort, .5), "×short")
}

// A longArchive is a database with many messages and a connection to it that is not
// the module's.
type longArchive struct {
	store
	n    int64
	lite *sql.DB
	pg   *pgx.Conn
	made map[string]*sql.Stmt
}

func newLong(b *testing.B, v storagetest.Variant, n int64) *longArchive {
	a := connect(b, v)
	a.n = n
	a.fill(b)
	return a
}

// connect makes an empty archive.
func connect(b *testing.B, v storagetest.Variant) *longArchive {
	o := v.SQL(b)
	a := &longArchive{made: map[string]*sql.Stmt{}}
	a.store = open(b, storagetest.Serve(b, map[string]storage.SQL{storagetest.Host: o}).Host(storagetest.Host))
	var err error
	if v.PostgreSQL {
		a.pg, err = pgx.Connect(b.Context(), fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable",
			strings.TrimPrefix(o.Server, "unix:"), o.Port, o.Username, o.Password, o.Database))
	} else {
		a.lite, err = sql.Open("sqlite", "file:"+o.Database+"?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)&_txlock=immediate")
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if a.lite != nil {
			err = a.lite.Close()
		} else {
			err = a.pg.Close(context.Background())
		}
		if err != nil {
			b.Error(err)
		}
	})
	if a.lite != nil {
		a.lite.SetMaxOpenConns(1)
	}
	return a
}

// page is a page as the module gets it.
func (a *longArchive) page(b *testing.B, f filter, p page) {
	if id := max(p.after, p.before); id != 0 {
		if ok, err := a.has(b.Context(), f.user, id); err != nil || !ok {
			b.Fatal("the message of the page is not there", err)
		}
	}
	r, err := a.find(b.Context(), f, p)
	if err != nil || len(r.rows) != 50 {
		b.Fatal(len(r.rows), err)
	}
}

// numbered writes placeholders as PostgreSQL wants them.
func (a *longArchive) numbered(text string) string {
	for n := 1; a.pg != nil && strings.Contains(text, "?"); n++ {
		text = strings.Replace(text, "?", fmt.Sprintf("$%d", n), 1)
	}
	return text
}

// byHand is a page as somebody gets it who has the driver alone.
func (a *longArchive) byHand(b *testing.B, cond, order string, args []any) {
	text := a.numbered(`SELECT timestamp, xml FROM archive WHERE server_host = 'localhost' AND username = ?` + cond + ` ORDER BY timestamp` + order + ` LIMIT 50`)
	var stamp int64
	var xml string
	got := 0
	var err error
	if a.pg != nil {
		var rows pgx.Rows
		if rows, err = a.pg.Query(b.Context(), text, args...); err == nil {
			_, err = pgx.ForEachRow(rows, []any{&stamp, &xml}, func() error { got++; return nil })
		}
	} else {
		got, err = a.liteByHand(b.Context(), text, args)
	}
	if err != nil || got != 50 {
		b.Fatal(got, err)
	}
}

func (a *longArchive) liteByHand(ctx context.Context, text string, args []any) (got int, err error) {
	st := a.made[text]
	if st == nil {
		if st, err = a.lite.PrepareContext(ctx, text); err != nil {
			return 0, err
		}
		a.made[text] = st
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		var stamp int64
		var xml string
		if err := rows.Scan(&stamp, &xml); err != nil {
			return got, errors.Join(err, rows.Close())
		}
		got++
	}
	return got, errors.Join(rows.Err(), rows.Close())
}

// somebody is one of the many.
func (a *longArchive) somebody() xmpp.JID {
	return xmpp.MustParse(fmt.Sprintf("user%d@localhost", rand.Int64N(longUsers(a.n))))
}

func longUsers(n int64) int64 { return max(n*9/10/1000, 1) }

func (a *longArchive) peer() xmpp.JID {
	return xmpp.MustParse(fmt.Sprintf("peer%d@localhost", rand.Int64N(longPeers)))
}

// middle is the ID of one of juliet's messages that is neither among the first nor
// among the last.
func (a *longArchive) middle() int64 {
	return longBase + (a.n/40+rand.Int64N(a.n/40))*10*longStep
}
