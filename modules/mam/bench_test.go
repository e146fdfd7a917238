package mam

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// benchSize is how many messages the archive has that pages are read from:
// GABBERD_BENCH_ARCHIVE, or as many as are made in a few seconds.
func benchSize(b *testing.B) int64 {
	text := os.Getenv("GABBERD_BENCH_ARCHIVE")
	if text == "" {
		return 20_000
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func stores(b *testing.B, f func(b *testing.B, s store)) {
	for _, v := range storagetest.Variants() {
		if v.Flavour == storage.MultiHost {
			b.Run(v.Name, func(b *testing.B) { f(b, open(b, v.Open(b))) })
		}
	}
}

func benchMessage(i int64) *xmpp.Stanza {
	return xmpp.New(xmpp.Message, "chat", xmpp.MustParse("romeo@localhost/orchard"), juliet, fmt.Sprint("m", i),
		xmpp.TextEl(nsClient, "body", "It is the east, and Juliet is the sun "+fmt.Sprint(i)), xmpp.TextEl("urn:x", "x", strings.Repeat("x", 300)))
}

// fill queues n messages and waits for them, with as many open tickets as a busy
// server has.
func fill(b *testing.B, n int64, queue func(i int64) (*storage.Ticket, error)) {
	open := make([]*storage.Ticket, 512)
	for i := range n {
		slot := &open[i%int64(len(open))]
		if *slot != nil {
			if err := (*slot).Wait(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		t, err := queue(1 + i)
		if err != nil {
			b.Fatal(err)
		}
		*slot = t
	}
	for _, t := range open {
		if t != nil && t.Wait(b.Context()) != nil {
			b.Fatal(t.Err())
		}
	}
}

// benchRound is how many messages go into the archive before it is the other's turn.
const benchRound = 64 * 64

// BenchmarkArchive is messages into the archive as they go there, in turn with the
// same rows in transactions of 64 that the driver alone writes (with their words,
// where the database does not find those itself). "×raw" is how much of what those
// reach the archive reaches: it is to be 0.7 at least.
func BenchmarkArchive(b *testing.B) {
	for _, v := range storagetest.Variants() {
		if v.Flavour == storage.MultiHost {
			b.Run(v.Name, func(b *testing.B) {
				a := connect(b, v)
				in := Storing{User: juliet, Peer: romeo, Direction: sm.In}
				var ours, raw time.Duration
				stamp := int64(0)
				for b.Loop() {
					began := time.Now()
					fill(b, benchRound, func(i int64) (*storage.Ticket, error) { return a.add(in, benchMessage(stamp+i), stamp+i, nil) })
					ours += time.Since(began)
					stamp += benchRound
					began = time.Now()
					for range benchRound / 64 {
						if err := a.raw(b.Context(), stamp, 64); err != nil {
							b.Fatal(err)
						}
						stamp += 64
					}
					raw += time.Since(began)
				}
				rows := float64(b.N) * benchRound
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(rows/ours.Seconds(), "rows/s")
				b.ReportMetric(rows/raw.Seconds(), "raw-rows/s")
				b.ReportMetric(raw.Seconds()/ours.Seconds(), "×raw")
			})
		}
	}
}

// BenchmarkPage is 50 messages out of the middle of a long archive, and of those
// with somebody. By hand it is the same query without anything around it.
func BenchmarkPage(b *testing.B) {
	stores(b, func(b *testing.B, s store) {
		n := benchSize(b)
		fill(b, n, func(i int64) (*storage.Ticket, error) {
			in := Storing{User: juliet, Peer: romeo}
			if i%2 == 0 {
				in.Peer = xmpp.MustParse("nurse@localhost")
			}
			return s.add(in, benchMessage(i), i, nil)
		})
		read := func(f filter) func(*testing.B) {
			return func(b *testing.B) {
				for b.Loop() {
					r, err := s.find(b.Context(), f, page{max: 50, after: n / 2, index: -1})
					if err != nil || len(r.rows) != 50 {
						b.Fatal(len(r.rows), err)
					}
				}
			}
		}
		b.Run("all", read(filter{user: juliet}))
		b.Run("with", read(filter{user: juliet, with: romeo}))
		b.Run("by hand", func(b *testing.B) {
			for b.Loop() {
				got := 0
				err := s.Each(b.Context(), `SELECT timestamp, xml FROM archive WHERE {host} AND username = 'juliet' AND timestamp > ? ORDER BY timestamp LIMIT 50`,
					[]any{n / 2}, func(r storage.Row) error {
						got++
						var stamp int64
						var xml string
						return r.Scan(&stamp, &xml)
					})
				if err != nil || got != 50 {
					b.Fatal(got, err)
				}
			}
		})
	})
}
