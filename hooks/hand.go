package hooks

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A Call is one handler's answer, as seen by a tracer or by someone who runs a
// hook by hand.
type Call struct {
	Hook     string        `json:"hook"`
	Handler  string        `json:"handler"`
	Took     time.Duration `json:"took"` // nanoseconds
	Argument string        `json:"argument,omitempty"`
	Result   string        `json:"result,omitempty"` // of a fold's handler
	Stopped  bool          `json:"stopped,omitempty"`
}

type tracer struct{ see func(Call) }

// Trace has see called after every handler of the named hook in t, on the
// goroutine that runs the hook: see must not block. The returned func ends it.
func (t *Table) Trace(name string, see func(Call)) (stop func(), err error) {
	p, err := find(name)
	if err != nil {
		return nil, err
	}
	tr := &tracer{see}
	t.change(p.id, func(c *chain) { c.tracers = append(c.tracers, tr) })
	return func() {
		t.change(p.id, func(c *chain) {
			c.tracers = slices.DeleteFunc(c.tracers, func(x *tracer) bool { return x == tr })
			if len(c.tracers) == 0 {
				c.tracers = nil
			}
		})
	}, nil
}

func (c *chain) trace(call Call) {
	for _, tr := range c.tracers {
		tr.see(call)
	}
}

// show is a value as a person would want to see it in a trace.
func show(v any) string {
	if s, ok := v.(fmt.Stringer); ok && v != nil {
		return s.String()
	}
	return fmt.Sprintf("%v", v)
}

type handRun struct {
	ctx   context.Context
	t     *Table
	words []string
	see   func(Call)
}

// RunByHand runs the named hook in t with an argument read from words, and
// shows each handler's answer to see. It fails when there is no such hook, when
// its argument cannot be said in words, and when the words are wrong.
func (t *Table) RunByHand(ctx context.Context, name string, words []string, see func(Call)) error {
	p, err := find(name)
	if err != nil {
		return err
	}
	if p.byHand == nil {
		return fmt.Errorf("%s cannot be run by hand: it needs what cannot be said in words", name)
	}
	if err := p.byHand(handRun{ctx, t, words, see}); err != nil {
		return fmt.Errorf("%w; usage: %s %s", err, name, p.usage)
	}
	return nil
}

// ByHand lets an operator run the event: read makes its argument from words,
// usage names them. It is part of the declaration.
func (e Event[E]) ByHand(usage string, read func(context.Context, []string) (E, error)) Event[E] {
	e.usage = usage
	e.byHand = func(r handRun) error {
		ev, err := read(r.ctx, r.words)
		if err != nil {
			return err
		}
		if c := r.t.chain(e.id); c != nil {
			c = &chain{c.handlers, append(slices.Clone(c.tracers), &tracer{r.see})}
			for i := range c.handlers {
				if c.handlers[i].scope&here != 0 {
					e.tell(r.ctx, r.t, c, &c.handlers[i], ev)
				}
			}
		}
		if e.hear != nil {
			e.spread(r.ctx, r.t, ev)
		}
		return nil
	}
	return e
}

// ByHand lets an operator run the fold: read makes the first value and the
// argument from words, usage names them. It is part of the declaration.
func (f Fold[A, E]) ByHand(usage string, read func(context.Context, []string) (A, E, error)) Fold[A, E] {
	f.usage = usage
	f.byHand = func(r handRun) error {
		v, ev, err := read(r.ctx, r.words)
		if err != nil {
			return err
		}
		c := r.t.chain(f.id)
		if c == nil {
			return nil
		}
		c = &chain{c.handlers, append(slices.Clone(c.tracers), &tracer{r.see})}
		for i := range c.handlers {
			var flow Flow
			if v, flow = f.ask(r.ctx, r.t, c, &c.handlers[i], v, ev); flow == Stop {
				break
			}
		}
		return nil
	}
	return f
}
