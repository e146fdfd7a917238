package hooks_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
)

var (
	told = hooks.NewEvent[string]("test_told", "Something was said.")
	sum  = hooks.NewFold[int, int]("test_sum", "What it adds up to.").
		ByHand("START ADD", func(_ context.Context, w []string) (int, int, error) {
			if len(w) != 2 {
				return 0, 0, errors.New("two numbers are needed")
			}
			a, err := strconv.Atoi(w[0])
			if err != nil {
				return 0, 0, err
			}
			b, err := strconv.Atoi(w[1])
			return a, b, err
		})
)

// owner is the smallest thing that may add handlers.
type owner struct {
	name string
	t    *hooks.Table
	stop []func()
}

func (o *owner) Name() string        { return o.name }
func (o *owner) Hooks() *hooks.Table { return o.t }
func (o *owner) OnStop(f func())     { o.stop = append(o.stop, f) }
func (o *owner) Stop() {
	for _, f := range o.stop {
		f()
	}
}

func table() (*hooks.Table, *bytes.Buffer) {
	var log bytes.Buffer
	return hooks.NewTable(slog.New(slog.NewTextHandler(&log, nil))), &log
}

func TestOrderIsPriorityThenOwnerNeverStart(t *testing.T) {
	tab, _ := table()
	var got []string
	for _, x := range []struct {
		name string
		prio hooks.Priority
	}{{"mod_z", 50}, {"mod_late", 75}, {"mod_a", 50}, {"mod_early", -1}, {"mod_a", 50}} {
		o := &owner{name: x.name, t: tab}
		told.Add(o, x.prio, func(_ context.Context, s string) { got = append(got, o.name) })
	}
	told.Run(context.Background(), tab, "x")
	if s := strings.Join(got, " "); s != "mod_early mod_a mod_a mod_z mod_late" {
		t.Errorf("handlers ran in order %q", s)
	}
}

func TestHandlersGoWithTheirOwner(t *testing.T) {
	tab, _ := table()
	a, b := &owner{name: "a", t: tab}, &owner{name: "b", t: tab}
	n := 0
	told.Add(a, hooks.Normal, func(context.Context, string) { n++ })
	told.Add(b, hooks.Normal, func(context.Context, string) { n += 10 })
	a.Stop()
	told.Run(context.Background(), tab, "")
	if n != 10 {
		t.Errorf("n = %d, want 10: only b is left", n)
	}
	b.Stop()
	if told.Heard(tab) {
		t.Error("the hook is heard, but everybody has left")
	}
}

func TestFoldStopsWithTheLastWord(t *testing.T) {
	tab, _ := table()
	o := &owner{name: "o", t: tab}
	sum.Add(o, 10, func(_ context.Context, v, e int) (int, hooks.Flow) { return v + e, hooks.Next })
	sum.Add(o, 20, func(_ context.Context, v, e int) (int, hooks.Flow) { return v * 10, hooks.Stop })
	sum.Add(o, 30, func(_ context.Context, v, e int) (int, hooks.Flow) { return -1, hooks.Next })
	if got := sum.Run(context.Background(), tab, 1, 2); got != 30 {
		t.Errorf("got %d, want 30", got)
	}
}

func TestTablesAreApart(t *testing.T) {
	a, _ := table()
	b, _ := table()
	sum.Add(&owner{name: "o", t: a}, 10, func(_ context.Context, v, e int) (int, hooks.Flow) { return 99, hooks.Next })
	if got := sum.Run(context.Background(), b, 1, 2); got != 1 {
		t.Errorf("a handler of another host answered: %d", got)
	}
}

func TestPanicIsNamedAndTheValueKept(t *testing.T) {
	tab, log := table()
	o := &owner{name: "mod_broken", t: tab}
	sum.Add(o, 10, func(_ context.Context, v, e int) (int, hooks.Flow) { return v + e, hooks.Next })
	sum.Add(o, 20, func(context.Context, int, int) (int, hooks.Flow) { panic("oops") })
	sum.Add(o, 30, func(_ context.Context, v, e int) (int, hooks.Flow) { return v + 100, hooks.Next })
	if got := sum.Run(context.Background(), tab, 1, 2); got != 103 {
		t.Errorf("got %d, want 103", got)
	}
	for _, want := range []string{"test_sum", "mod_broken", "oops", "hooks_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
}

func TestAddWhileRunning(t *testing.T) {
	tab, _ := table()
	o := &owner{name: "o", t: tab}
	n := 0
	told.Add(o, 10, func(context.Context, string) {
		told.Add(o, 5, func(context.Context, string) { n++ })
	})
	told.Run(context.Background(), tab, "")
	told.Run(context.Background(), tab, "")
	if n != 1 {
		t.Errorf("the handler added while running was called %d times, want once, in the next run", n)
	}
}

func TestRunByHandShowsEachAnswer(t *testing.T) {
	tab, _ := table()
	o := &owner{name: "mod_x", t: tab}
	sum.Add(o, 10, func(_ context.Context, v, e int) (int, hooks.Flow) { return v + e, hooks.Next })
	sum.Add(o, 20, func(_ context.Context, v, e int) (int, hooks.Flow) { return v * 2, hooks.Stop })
	var calls []hooks.Call
	see := func(c hooks.Call) { calls = append(calls, c) }
	if err := tab.RunByHand(context.Background(), "test_sum", []string{"1", "2"}, see); err != nil {
		t.Fatal(err)
	}
	if len(calls) != 2 || calls[0].Result != "3" || calls[1].Result != "6" || !calls[1].Stopped {
		t.Errorf("calls = %+v", calls)
	}
	for _, bad := range []struct{ name, want string }{
		{"no_such_hook", "no hook"}, {"test_told", "cannot be run by hand"}, {"test_sum", "usage: test_sum START ADD"},
	} {
		if err := tab.RunByHand(context.Background(), bad.name, nil, see); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: error %v, want one with %q", bad.name, err, bad.want)
		}
	}
}

func TestTraceSeesCallsUntilItEnds(t *testing.T) {
	tab, _ := table()
	o := &owner{name: "mod_x", t: tab}
	sum.Add(o, 10, func(_ context.Context, v, e int) (int, hooks.Flow) { return v + e, hooks.Next })
	var calls []hooks.Call
	stop, err := tab.Trace("test_sum", func(c hooks.Call) { calls = append(calls, c) })
	if err != nil {
		t.Fatal(err)
	}
	sum.Run(context.Background(), tab, 1, 2)
	stop()
	sum.Run(context.Background(), tab, 1, 2)
	if len(calls) != 1 || calls[0].Argument != "1" || calls[0].Result != "3" {
		t.Errorf("calls = %+v, want the first run's only", calls)
	}
}

func TestListNamesHandlers(t *testing.T) {
	tab, _ := table()
	sum.Add(&owner{name: "mod_x", t: tab}, 10, func(_ context.Context, v, e int) (int, hooks.Flow) { return v, hooks.Next })
	for _, l := range tab.List() {
		if l.Name == "test_sum" {
			if len(l.Handlers) != 1 || !strings.HasPrefix(l.Handlers[0], " 10 mod_x (github.com/gabberd/gabberd/hooks_test.") {
				t.Errorf("handlers = %q", l.Handlers)
			}
			return
		}
	}
	t.Error("test_sum is not listed")
}

func TestRunAllocatesNothing(t *testing.T) {
	tab, _ := table()
	o := &owner{name: "o", t: tab}
	for range 8 {
		sum.Add(o, 10, func(_ context.Context, v, e int) (int, hooks.Flow) { return v + e, hooks.Next })
	}
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() { sum.Run(ctx, tab, 1, 2) }); n != 0 {
		t.Errorf("a fold through 8 handlers allocates %v times", n)
	}
}

func BenchmarkFoldOfEight(b *testing.B) {
	tab, _ := table()
	o := &owner{name: "o", t: tab}
	for range 8 {
		sum.Add(o, 10, func(_ context.Context, v, e int) (int, hooks.Flow) { return v + e, hooks.Next })
	}
	ctx := context.Background()
	for b.Loop() {
		sum.Run(ctx, tab, 1, 2)
	}
}
