package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabberd/gabberd/bench/load"
)

// example is a report of three servers in two rounds.
func example() (*report, []step) {
	steps := []step{
		{name: "chat", rows: []row{
			{"chat", "cpu_us", "µs", less},
			{"chat, per CPU-second", "per_cpu_s", "/s", more},
			{"chat, p50", "p50_ms", "ms", none},
		}},
		{name: "login", rows: []row{{"login", "cpu_us", "µs", less}}},
		{name: "other", rows: []row{{"nobody has this", "cpu_us", "µs", less}}},
	}
	r := &report{Machine: "2 cores, <Name>", Servers: []column{
		{Name: "gabberd", Version: "gabberd 1"}, {Name: "ejabberd", Version: "ejabberd 2", Remark: "started by hand"}, {Name: "prosody"}, {Name: "limit"},
	}}
	add := func(server, step string, round int, cpu float64) {
		r.Entries = append(r.Entries, entry{Server: server, Step: step, Round: round, Result: &load.Result{
			Figures: map[string]float64{"cpu_us": cpu, "per_cpu_s": 1e6 / cpu, "p50_ms": 0.5, "others_cores": 0.3},
		}})
	}
	add("gabberd", "chat", 0, 8)
	add("gabberd", "chat", 1, 12)
	add("ejabberd", "chat", 0, 100)
	add("prosody", "chat", 0, 80)
	add("limit", "chat", 0, 5)
	add("gabberd", "login", 0, 3000)
	add("ejabberd", "login", 0, 2000)
	add("prosody", "login", 0, 1000)
	return r, steps
}

func TestTable(t *testing.T) {
	r, steps := example()
	r.Entries[len(r.Entries)-1].Broken = []string{"3 lost"}
	r.Entries = append(r.Entries, entry{Server: "limit", Step: "stop", Error: "it would not"})
	const want = `2 cores, <Name>; 0001-01-01 00:00 UTC. CPU is that of the server's processes, user and system.
**The machine was not quiet**: other programs took up to 0.3 cores while something was measured; compare ratios, not figures.

| workload | gabberd 1 | ejabberd 2 (started by hand) | prosody | limit | gabberd against the better of the others | gabberd against the limit |
| --- | --- | --- | --- | --- | --- | --- |
| chat | 10.0 µs | 100 µs | 80.0 µs | 5.00 µs | 8.00 × less | 2.00 × |
| chat, per CPU-second | 104,000/s | 10,000/s | 12,500/s | 200,000/s | 8.33 × more | 0.521 × |
| chat, p50 | 0.500 ms | 0.500 ms | 0.500 ms | 0.500 ms |  |  |
| login | 3.00 ms | 2.00 ms | – | – | **1.50 × more** |  |

**Broken**:

- prosody, login: 3 lost
- limit, stop: it would not
`
	if diff := cmp.Diff(want, r.table(steps)); diff != "" {
		t.Error(diff)
	}
}

func TestCostOfAStep(t *testing.T) {
	r, _ := example()
	if v, ok := r.cost("gabberd", "chat", 1); !ok || v != 12 {
		t.Errorf("%g, %v", v, ok)
	}
	r.Entries[1].Broken = []string{"1 lost"}
	for _, c := range []struct {
		step  string
		round int
	}{{"chat", 1}, {"chat", 2}, {"ping", 0}, {"", 0}} {
		if v, ok := r.cost("gabberd", c.step, c.round); ok {
			t.Errorf("%s, round %d: %g", c.step, c.round, v)
		}
	}
}

func TestTableOfOneServer(t *testing.T) {
	r, steps := example()
	r.Servers = r.Servers[:1]
	got := r.table(steps)
	if !strings.Contains(got, "| chat | 10.0 µs |\n") || !strings.Contains(got, "No stanza was lost") {
		t.Error(got)
	}
}

func TestChartIsXML(t *testing.T) {
	r, steps := example()
	r.Servers[0].Version = `<"&'>`
	d := xml.NewDecoder(strings.NewReader(r.chart(steps)))
	bars := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	// The ground, a key for each server, four bars for chat and three for login.
	if want := 1 + 4 + 4 + 3; bars != want {
		t.Errorf("%d rectangles, want %d", bars, want)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.00012: "0.000", 0.0123: "0.012", 0.5: "0.500", 8.666: "8.67", 12.34: "12.3", 99.96: "100.0", 126.4: "126", 6308: "6,310", 1234567: "1,230,000",
		-365.2: "-365",
	} {
		if got := significant(v); got != want {
			t.Errorf("%g is written %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0", 999: "999", 1000: "1,000", 15000: "15,000", -1234567: "-1,234,567"} {
		if got := thousands(v); got != want {
			t.Errorf("%g is written %s, want %s", v, got, want)
		}
	}
}
