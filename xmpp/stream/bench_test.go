package stream_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// chunk is how much one read brings in the benchmarks.
const chunk = 4096

// drink reads all stanzas of the mix, fed in chunks as a socket does it.
func drink(b *testing.B, f *stream.Framer, mix []byte) {
	elements := 0
	start, end := 0, 0
	for {
		fr, n, err := next(f, mix[start:end])
		if err != nil {
			b.Fatal(err)
		}
		start += n
		if fr.Kind == stream.Element {
			elements++
		}
		if fr.Kind == stream.Need {
			if end == len(mix) {
				break
			}
			end = min(end+chunk, len(mix))
		}
	}
	if elements != len(stanzas) {
		b.Fatalf("%d elements", elements)
	}
}

func opened(tb testing.TB) *stream.Framer {
	f := stream.New(stream.Limits{Size: 1 << 18, Depth: 64, Attrs: 64, Elements: 4096})
	for h := []byte(header); len(h) > 0; {
		_, n, err := next(f, h)
		if err != nil {
			tb.Fatal(err)
		}
		h = h[n:]
	}
	return f
}

func BenchmarkMix(b *testing.B) {
	mix := []byte(strings.Join(stanzas, ""))
	b.Run("framer", func(b *testing.B) {
		f := opened(b)
		b.SetBytes(int64(len(mix)))
		b.ReportAllocs()
		for b.Loop() {
			drink(b, f, mix)
		}
	})
	b.Run("RawToken", func(b *testing.B) { tokens(b, mix, (*xml.Decoder).RawToken) })
	b.Run("Token", func(b *testing.B) { tokens(b, mix, (*xml.Decoder).Token) })
}

func tokens(b *testing.B, mix []byte, next func(*xml.Decoder) (xml.Token, error)) {
	b.SetBytes(int64(len(mix)))
	b.ReportAllocs()
	for b.Loop() {
		d := xml.NewDecoder(bytes.NewReader(mix))
		for {
			_, err := next(d)
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkStanza(b *testing.B) {
	names := map[string]int{"r": 0, "ping": 2, "chat": 3, "cyrillic": 5, "omemo": 7, "roster": 15}
	for name, i := range names {
		b.Run(name, func(b *testing.B) {
			f := opened(b)
			st := []byte(stanzas[i])
			b.SetBytes(int64(len(st)))
			b.ReportAllocs()
			for b.Loop() {
				if fr, _, err := next(f, st); err != nil || fr.Kind != stream.Element {
					b.Fatal(fr.Kind, err)
				}
			}
		})
	}
}

// BenchmarkOneByOne is a client of which every read brings one stanza.
func BenchmarkOneByOne(b *testing.B) {
	f := opened(b)
	st := []byte(stanzas[3])
	b.SetBytes(int64(len(st)))
	b.ReportAllocs()
	for b.Loop() {
		if fr, _, err := next(f, st); err != nil || fr.Kind != stream.Element {
			b.Fatal(fr.Kind, err)
		}
		if fr, _, err := next(f, nil); err != nil || fr.Kind != stream.Need {
			b.Fatal(fr.Kind, err)
		}
	}
}

func BenchmarkDrip(b *testing.B) {
	f := opened(b)
	st := []byte(stanzas[3])
	b.SetBytes(int64(len(st)))
	b.ReportAllocs()
	for b.Loop() {
		for i := range len(st) + 1 {
			if _, _, err := next(f, st[:i]); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkDocument(b *testing.B) {
	f := stream.New(stream.Limits{})
	st := []byte(stanzas[3])
	b.SetBytes(int64(len(st)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Document(st); err != nil {
			b.Fatal(err)
		}
	}
}
