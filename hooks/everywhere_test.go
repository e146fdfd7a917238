package hooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
)

// said is an argument that only an own wire can write.
type said struct{ text string }

// String is the text.
func (s said) String() string { return s.text }

func parseSaid(text string) (said, error) {
	if text == "" {
		return said{}, errors.New("nothing was said")
	}
	return said{text}, nil
}

type counted struct {
	N     int    `json:"n"`
	Place string `json:"-"` // found by whoever hears it
}

type placeKey struct{}

var (
	toAll = hooks.NewEvent[said]("test_to_all", "Something was said to all nodes.").
		ByHand("TEXT", func(_ context.Context, w []string) (said, error) { return parseSaid(strings.Join(w, " ")) }).
		Everywhere(hooks.Text(parseSaid))
	numbers = hooks.NewEvent[counted]("test_numbers", "Something was counted on all nodes.").Everywhere(hooks.JSON[counted]())
	placed  = hooks.NewEvent[counted]("test_placed", "Something has a place.").Everywhere(hooks.Wire[counted]{
		Write: func(counted) ([]byte, error) { return []byte("{}"), nil },
		Read: func(ctx context.Context, _ []byte) (counted, error) {
			p, _ := ctx.Value(placeKey{}).(string)
			return counted{Place: p}, nil
		},
	})
	unwritable = hooks.NewEvent[said]("test_unwritable", "Cannot be told.").Everywhere(hooks.Wire[said]{
		Write: func(said) ([]byte, error) { return nil, errors.New("no words") },
		Read:  func(context.Context, []byte) (said, error) { return said{}, nil },
	})
)

// sent is what a table has handed to the other nodes.
type sent struct{ domain, event, payload string }

// node is a table whose events reach its peers at once.
type node struct {
	table *hooks.Table
	out   []sent
	peers []*node
	heard []string
}

func newNode(t *testing.T, domain string) *node {
	tab, _ := table()
	n := &node{table: tab}
	tab.Spread(domain, func(domain, event string, payload []byte) {
		n.out = append(n.out, sent{domain, event, string(payload)})
		for _, p := range n.peers {
			if err := hooks.Hear(context.Background(), p.table, event, payload); err != nil {
				t.Errorf("hear: %v", err)
			}
		}
	})
	return n
}

func (n *node) listen(e hooks.Event[said]) {
	o := &owner{name: "o", t: n.table}
	e.Add(o, 10, func(_ context.Context, s said) { n.heard = append(n.heard, "here "+s.text) })
	e.AddElsewhere(o, 20, func(_ context.Context, s said) { n.heard = append(n.heard, "elsewhere "+s.text) })
	e.AddEverywhere(o, 30, func(_ context.Context, s said) { n.heard = append(n.heard, "everywhere "+s.text) })
}

func cluster(t *testing.T, n int) []*node {
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = newNode(t, "localhost")
	}
	for i, x := range nodes {
		x.peers = slices.Concat(nodes[:i], nodes[i+1:])
	}
	return nodes
}

func TestEventIsHeardOnThreeNodes(t *testing.T) {
	nodes := cluster(t, 3)
	for _, n := range nodes {
		n.listen(toAll)
	}
	toAll.Run(context.Background(), nodes[0].table, said{"hi"})
	for i, want := range []string{"here hi, everywhere hi", "elsewhere hi, everywhere hi", "elsewhere hi, everywhere hi"} {
		if got := strings.Join(nodes[i].heard, ", "); got != want {
			t.Errorf("node %d heard %q, want %q", i, got, want)
		}
	}
	if want := (sent{"localhost", "test_to_all", `"hi"`}); !slices.Equal(nodes[0].out, []sent{want}) {
		t.Errorf("node 0 has sent %v, want %v", nodes[0].out, want)
	}
	if len(nodes[1].out)+len(nodes[2].out) > 0 {
		t.Errorf("what was heard went on: %v, %v", nodes[1].out, nodes[2].out)
	}
}

// TestEchoIsNotSpread has a handler on another node run the same event again, as
// a reload does; and another event, which must get through.
func TestEchoIsNotSpread(t *testing.T) {
	nodes := cluster(t, 2)
	o := &owner{name: "o", t: nodes[1].table}
	toAll.AddElsewhere(o, 10, func(ctx context.Context, s said) {
		toAll.Run(context.WithValue(ctx, placeKey{}, "deeper"), nodes[1].table, s)
		numbers.Run(ctx, nodes[1].table, counted{N: 7})
	})
	var got []int
	numbers.AddElsewhere(&owner{name: "o", t: nodes[0].table}, 10, func(_ context.Context, c counted) { got = append(got, c.N) })
	toAll.Run(context.Background(), nodes[0].table, said{"hi"})
	if want := []sent{{"localhost", "test_numbers", `{"n":7}`}}; !slices.Equal(nodes[1].out, want) {
		t.Errorf("node 1 has sent %v, want %v", nodes[1].out, want)
	}
	if !slices.Equal(got, []int{7}) {
		t.Errorf("node 0 heard %v", got)
	}
}

func TestSpreadIsAfterOwnHandlers(t *testing.T) {
	nodes := cluster(t, 2)
	var order []string
	toAll.Add(&owner{name: "o", t: nodes[0].table}, hooks.Last, func(context.Context, said) { order = append(order, "committed") })
	toAll.AddElsewhere(&owner{name: "o", t: nodes[1].table}, hooks.First, func(context.Context, said) { order = append(order, "heard") })
	toAll.Run(context.Background(), nodes[0].table, said{"x"})
	if got := strings.Join(order, " "); got != "committed heard" {
		t.Errorf("order was %q", got)
	}
}

func TestWithoutClusterNothingIsSpread(t *testing.T) {
	n := newNode(t, "localhost")
	n.listen(toAll)
	n.table.Spread("", nil)
	toAll.Run(context.Background(), n.table, said{"hi"})
	if got := strings.Join(n.heard, ", "); got != "here hi, everywhere hi" || len(n.out) != 0 {
		t.Errorf("heard %q, sent %v", got, n.out)
	}
	ctx, s := context.Background(), said{"hi"}
	tab, _ := table()
	toAll.Add(&owner{name: "o", t: tab}, 10, func(context.Context, said) {})
	if a := testing.AllocsPerRun(100, func() { toAll.Run(ctx, tab, s) }); a != 0 {
		t.Errorf("an event of all nodes allocates %v times on a server that is alone", a)
	}
}

func TestHeard(t *testing.T) {
	tab, _ := table()
	if toAll.Heard(tab) {
		t.Error("heard by nobody on a server that is alone")
	}
	tab.Spread("x", func(string, string, []byte) {})
	if !toAll.Heard(tab) || !tab.Spreads() {
		t.Error("other nodes may listen")
	}
	if told.Heard(tab) {
		t.Error("an event of this node only is heard by nobody")
	}
}

func TestHearRefusesWhatItCannotRead(t *testing.T) {
	n := newNode(t, "localhost")
	n.listen(toAll)
	numbers.AddElsewhere(&owner{name: "o", t: n.table}, 1, func(context.Context, counted) { n.heard = append(n.heard, "number") })
	for _, c := range []struct{ event, payload, want string }{
		{"no_such_event", `{}`, "no hook"},
		{"test_told", `"x"`, "not heard from other nodes"},
		{"test_sum", `1`, "not heard from other nodes"},
		{"test_to_all", `{`, "test_to_all from another node"},
		{"test_to_all", ``, "test_to_all from another node"},
		{"test_to_all", `7`, "test_to_all from another node"},
		{"test_to_all", `""`, "nothing was said"},
		{"test_numbers", `[1]`, "test_numbers from another node"},
		{"test_numbers", "\xff\x00", "test_numbers from another node"},
	} {
		err := hooks.Hear(context.Background(), n.table, c.event, []byte(c.payload))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: error %v, want one with %q", c.event, c.payload, err, c.want)
		}
	}
	if len(n.heard) != 0 {
		t.Errorf("heard all the same: %v", n.heard)
	}
	// A field that a newer node has added is no reason not to listen.
	if err := hooks.Hear(context.Background(), n.table, "test_numbers", []byte(`{"n":1,"later":true}`)); err != nil || len(n.heard) != 1 {
		t.Errorf("error %v, heard %v", err, n.heard)
	}
}

func TestPanicOfOneHandlerElsewhere(t *testing.T) {
	tab, log := table()
	o := &owner{name: "mod_broken", t: tab}
	heard := false
	toAll.AddElsewhere(o, 10, func(context.Context, said) { panic("oops") })
	toAll.AddElsewhere(o, 20, func(context.Context, said) { heard = true })
	if err := hooks.Hear(context.Background(), tab, "test_to_all", []byte(`"x"`)); err != nil || !heard {
		t.Errorf("error %v, the next one heard it: %v", err, heard)
	}
	if !strings.Contains(log.String(), "oops") {
		t.Errorf("log: %s", log)
	}
}

func TestHeardIn(t *testing.T) {
	tab, _ := table()
	tab.HeardIn(func(ctx context.Context) context.Context { return context.WithValue(ctx, placeKey{}, "verona") })
	got := ""
	placed.AddElsewhere(&owner{name: "o", t: tab}, 10, func(_ context.Context, c counted) { got = c.Place })
	if err := hooks.Hear(context.Background(), tab, "test_placed", nil); err != nil || got != "verona" {
		t.Errorf("error %v, place %q", err, got)
	}
}

func TestWhatCannotBeWrittenIsLogged(t *testing.T) {
	tab, log := table()
	tab.Spread("x", func(string, string, []byte) { t.Error("it was sent") })
	unwritable.Run(context.Background(), tab, said{"x"})
	if !strings.Contains(log.String(), "no words") {
		t.Errorf("log: %s", log)
	}
}

func TestOnlyEventsOfAllNodesAreHeardElsewhere(t *testing.T) {
	tab, _ := table()
	for name, add := range map[string]func(){
		"AddElsewhere":  func() { told.AddElsewhere(&owner{name: "o", t: tab}, 1, func(context.Context, string) {}) },
		"AddEverywhere": func() { told.AddEverywhere(&owner{name: "o", t: tab}, 1, func(context.Context, string) {}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of an event that runs on its node only does not panic", name)
				}
			}()
			add()
		}()
	}
}

func TestListAndHandShowNodes(t *testing.T) {
	n := newNode(t, "localhost")
	n.listen(toAll)
	for _, l := range n.table.List() {
		if l.Name != "test_to_all" {
			continue
		}
		if l.Kind != "event on all nodes" || l.Usage != "TEXT" || len(l.Handlers) != 3 ||
			!strings.HasSuffix(l.Handlers[0], ")") || !strings.HasSuffix(l.Handlers[1], ") of other nodes") || !strings.HasSuffix(l.Handlers[2], ") of all nodes") {
			t.Errorf("listed as %+v", l)
		}
	}
	var calls []hooks.Call
	if err := n.table.RunByHand(context.Background(), "test_to_all", []string{"by", "hand"}, func(c hooks.Call) { calls = append(calls, c) }); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(n.heard, ", "); got != "here by hand, everywhere by hand" || len(calls) != 2 {
		t.Errorf("heard %q in %d calls", got, len(calls))
	}
	if want := []sent{{"localhost", "test_to_all", `"by hand"`}}; !slices.Equal(n.out, want) {
		t.Errorf("sent %v, want %v", n.out, want)
	}
}

// FuzzHear gives strangers' bytes to every event: none may panic, and nothing
// that is no JSON may get through.
func FuzzHear(f *testing.F) {
	for _, s := range []string{`"x"`, `{"n":1}`, ``, `null`, "\x00"} {
		f.Add("test_to_all", []byte(s))
		f.Add("test_numbers", []byte(s))
	}
	f.Fuzz(func(t *testing.T, event string, payload []byte) {
		tab, log := table()
		heard := false
		numbers.AddElsewhere(&owner{name: "o", t: tab}, 1, func(context.Context, counted) { heard = true })
		err := hooks.Hear(context.Background(), tab, event, payload)
		if heard && (err != nil || !json.Valid(payload)) || log.Len() > 0 {
			t.Errorf("%q %q: heard %v, error %v, log %s", event, payload, heard, err, log)
		}
	})
}
