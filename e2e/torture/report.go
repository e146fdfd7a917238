package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// figures are durations by fault and meaning.
type figures struct {
	mu     *sync.Mutex
	values map[[2]string][]time.Duration
	order  *[][2]string
}

func newFigures() figures {
	return figures{new(sync.Mutex), map[[2]string][]time.Duration{}, new([][2]string)}
}

func (f figures) add(kind, what string, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := [2]string{kind, what}
	if f.values[key] == nil {
		*f.order = append(*f.order, key)
	}
	f.values[key] = append(f.values[key], d)
}

// line prints one about a round.
func (r *run) line(kind string, took time.Duration) {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	all := r.ledger.latencies[r.ledger.round]
	delete(r.ledger.latencies, r.ledger.round)
	slices.Sort(all)
	again := 0
	for _, n := range r.ledger.totals.repeated {
		again += n
	}
	fmt.Fprintf(r.out, "%3d %-12s %6.1fs  %5d messages, half within %v, 99%% within %v, all within %v; %d copies came again so far\n",
		r.ledger.round, kind, took.Seconds(), len(all), at(all, 0.5), at(all, 0.99), at(all, 1), again)
}

// at is a quantile of sorted durations.
func at(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))].Round(100 * time.Microsecond)
}

// report prints the figures of the whole run.
func (r *run) report() {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	t := r.ledger.totals
	fmt.Fprintf(r.out, "\n%d rounds; %d messages sent, %d times; %d acknowledged; %d arrived, in %d copies\n", r.ledger.round, t.sent, t.submitted, t.acked, t.arrived, t.copies)
	fmt.Fprintf(r.out, "%8d lost\n%8d out of order\n%8d doubled without need\n", t.lost, t.reordered, t.doubled)
	if t.untold > 0 {
		fmt.Fprintf(r.out, "%8d times a friend was not told that somebody is gone, whose node died while Redis was emptied\n", t.untold)
	}
	for _, why := range slices.Sorted(maps.Keys(t.repeated)) {
		fmt.Fprintf(r.out, "%8d copies came again: %s\n", t.repeated[why], why)
	}
	for _, condition := range slices.Sorted(maps.Keys(t.bounced)) {
		fmt.Fprintf(r.out, "%8d messages came back: %s\n", t.bounced[condition], condition)
	}
	for _, kind := range slices.Sorted(maps.Keys(r.ledger.waited)) {
		fmt.Fprintf(r.out, "%8d messages were stored until their recipients came again, although they were there: %s\n", r.ledger.waited[kind], kind)
	}
	r.figures.mu.Lock()
	defer r.figures.mu.Unlock()
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nfault\twhat became of resumptions\ttimes")
	for _, key := range slices.SortedFunc(maps.Keys(t.resumed), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		fmt.Fprintf(w, "%s\t%s\t%d\n", key[0], key[1], t.resumed[key])
	}
	fmt.Fprintln(w, "\nfault\twhat took so long\ttimes\thalf\tmost")
	for _, key := range *r.figures.order {
		v := slices.Sorted(slices.Values(r.figures.values[key]))
		fmt.Fprintf(w, "%s\t%s\t%d\t%v\t%v\n", key[0], key[1], len(v), at(v, 0.5).Round(time.Millisecond), at(v, 1).Round(time.Millisecond))
	}
	w.Flush()
}

// refused takes note of a login that failed. A node that does not listen is no news.
func (r *run) refused(d *device, n *node, err error) {
	if strings.Contains(err.Error(), "connection refused") {
		return
	}
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	r.ledger.note(d.full(), fmt.Sprintf("cannot log in on %s: %v", n.name, err))
}

// confession is what a server's log has of its own mistakes.
func (n *node) confession() string {
	text, err := os.ReadFile(n.log())
	if err != nil {
		return err.Error()
	}
	bad := regexp.MustCompile(`(?m)^(panic:|fatal error:|WARNING: DATA RACE|.*hook handler panicked).*$`)
	found := bad.FindAllIndex(text, 3)
	var b strings.Builder
	for _, at := range found {
		b.Write(text[at[0]:min(at[0]+3000, len(text))])
		b.WriteString("\n…\n")
	}
	return b.String()
}
