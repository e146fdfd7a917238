package hooks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// A Table holds the handlers of one virtual host, or of the server as a whole.
// Running a hook takes no lock: a chain is replaced whole, never changed.
type Table struct {
	log    *slog.Logger
	mu     sync.Mutex // serialises changes
	chains []atomic.Pointer[chain]
	outlet atomic.Pointer[outlet]                // to other nodes; nil: there are none
	enter  func(context.Context) context.Context // for what other nodes tell; may be nil
}

// chain is who listens to one hook in one table. It is nil when nobody does.
type chain struct {
	handlers []handler
	tracers  []*tracer
}

// NewTable returns an empty table that reports panicking handlers to log.
func NewTable(log *slog.Logger) *Table {
	return &Table{log: log, chains: make([]atomic.Pointer[chain], len(points))}
}

// point is what an Event and a Fold have in common: a name and a place in
// every table.
type point struct {
	id              int
	name, doc, kind string
	usage           string
	byHand          func(handRun) error                         // nil: needs what no words can say
	hear            func(context.Context, *Table, []byte) error // nil: not everywhere
}

// points is filled while packages initialise and only read after that.
var points []*point

func declare(name, doc, kind string) *point {
	if slices.ContainsFunc(points, func(p *point) bool { return p.name == name }) {
		panic("hooks: " + name + " is declared twice")
	}
	p := &point{id: len(points), name: name, doc: doc, kind: kind}
	points = append(points, p)
	return p
}

// Name is the hook's name, ejabberd's where ejabberd has it.
func (p *point) Name() string { return p.name }

type handler struct {
	owner string
	prio  Priority
	scope scope
	fn    any // a func of the type its point was declared with
	key   *int
}

// String reads " 50 mod_ping (github.com/gabberd/gabberd/modules/ping.(*ping).heard)",
// with "of all nodes" or "of other nodes" behind it where that is so.
func (h *handler) String() string {
	fn := runtime.FuncForPC(reflect.ValueOf(h.fn).Pointer())
	return fmt.Sprintf("%3d %s (%s)%s", h.prio, h.owner, strings.TrimSuffix(fn.Name(), "-fm"), h.scope)
}

// before orders by priority, then by owner, so that a chain does not depend on
// the order in which modules happened to start.
func before(a, b handler) int {
	return cmp.Or(cmp.Compare(a.prio, b.prio), cmp.Compare(a.owner, b.owner))
}

func (p *point) add(o Owner, prio Priority, fn any, s scope) {
	h := handler{o.Name(), prio, s, fn, new(int)}
	t := o.Hooks()
	t.change(p.id, func(c *chain) {
		// Behind its equals, hence the -1.
		i, _ := slices.BinarySearchFunc(c.handlers, h, func(x, h handler) int { return cmp.Or(before(x, h), -1) })
		c.handlers = slices.Insert(c.handlers, i, h)
	})
	o.OnStop(func() {
		t.change(p.id, func(c *chain) {
			c.handlers = slices.DeleteFunc(c.handlers, func(x handler) bool { return x.key == h.key })
		})
	})
}

// change publishes a changed copy of a chain.
func (t *Table) change(id int, f func(*chain)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var c chain
	if old := t.chain(id); old != nil {
		c = chain{slices.Clone(old.handlers), slices.Clone(old.tracers)}
	}
	f(&c)
	if len(c.handlers)+len(c.tracers) == 0 {
		t.chains[id].Store(nil)
		return
	}
	t.chains[id].Store(&c)
}

func (t *Table) chain(id int) *chain { return t.chains[id].Load() }

// A Listing is a hook and who listens to it, for people to read.
type Listing struct {
	Name     string   `json:"name"`
	Doc      string   `json:"doc"`
	Kind     string   `json:"kind"`            // event, event on all nodes, or fold
	Usage    string   `json:"usage,omitempty"` // the words that run it by hand
	Handlers []string `json:"handlers"`
}

// List returns every declared hook in order of name, with its handlers in t.
func (t *Table) List() []Listing {
	out := Declared()
	for i := range out {
		p, _ := find(out[i].Name)
		if c := t.chain(p.id); c != nil {
			for j := range c.handlers {
				out[i].Handlers = append(out[i].Handlers, c.handlers[j].String())
			}
		}
	}
	return out
}

// Declared returns every hook there is, in order of name, without handlers.
func Declared() []Listing {
	out := make([]Listing, 0, len(points))
	for _, p := range points {
		out = append(out, Listing{Name: p.name, Doc: p.doc, Kind: p.kind, Usage: p.usage})
	}
	slices.SortFunc(out, func(a, b Listing) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func find(name string) (*point, error) {
	for _, p := range points {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("there is no hook %q; \"gabberdctl hooks\" lists them", name)
}
