package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
)

// A Wire is how the argument of an event travels to other nodes: as JSON, small,
// and readable by nodes of another version.
type Wire[E any] struct {
	Write func(E) ([]byte, error)
	// Read makes the argument on the node that hears it. Its context is the one
	// that HeardIn has made for the table.
	Read func(context.Context, []byte) (E, error)
}

// JSON is the wire of what encoding/json can both write and read.
func JSON[E any]() Wire[E] {
	return Wire[E]{
		Write: func(ev E) ([]byte, error) { return json.Marshal(ev) },
		Read: func(_ context.Context, b []byte) (ev E, err error) {
			err = json.Unmarshal(b, &ev)
			return ev, err
		},
	}
}

// Text is the wire of what can be said in a text that parse understands, such as
// an address.
func Text[E fmt.Stringer](parse func(string) (E, error)) Wire[E] {
	return Wire[E]{
		Write: func(ev E) ([]byte, error) { return json.Marshal(ev.String()) },
		Read: func(_ context.Context, b []byte) (ev E, err error) {
			var text string
			if err = json.Unmarshal(b, &text); err != nil {
				return ev, err
			}
			return parse(text)
		},
	}
}

// Everywhere lets the event be heard on every node of a cluster. It is part of
// the declaration.
func (e Event[E]) Everywhere(w Wire[E]) Event[E] {
	e.kind = "event on all nodes"
	*e.wire = w
	e.hear = func(ctx context.Context, t *Table, payload []byte) error {
		ev, err := w.Read(ctx, payload)
		if err != nil {
			return err
		}
		e.tellAll(ctx, t, ev, elsewhere)
		return nil
	}
	return e
}

// AddElsewhere has f called whenever the event has run on another node, until o
// stops. It panics if the event is not heard everywhere.
//
// f runs when everybody who was told by Add on that other node has returned: what
// they have committed to a database can be read. Events of one node come in
// order, and on ways of their own: a stanza may overtake them. A node that was
// taken for dead has missed some; it must then forget what it remembers
// (local.ClearCache).
//
// f keeps the next event waiting: it must not wait for long.
func (e Event[E]) AddElsewhere(o Owner, p Priority, f func(context.Context, E)) {
	e.mustBeEverywhere()
	e.add(o, p, f, elsewhere)
}

// AddEverywhere has f called whenever the event runs, on this node or on another
// one, until o stops. It is Add and AddElsewhere together.
func (e Event[E]) AddEverywhere(o Owner, p Priority, f func(context.Context, E)) {
	e.mustBeEverywhere()
	e.add(o, p, f, here|elsewhere)
}

func (e Event[E]) mustBeEverywhere() {
	if e.hear == nil {
		panic("hooks: " + e.name + " is not declared as an event of all nodes")
	}
}

// A Spreader takes what has happened on this node to all others: to the table of
// that domain there, the server's if it is empty. It must not wait.
type Spreader func(domain, event string, payload []byte)

type outlet struct {
	domain string
	send   Spreader
}

// Spread makes t the table of domain in a cluster: events that are heard
// everywhere are handed to send after they have run here. Nil ends that. Without
// it such an event is like any other.
func (t *Table) Spread(domain string, send Spreader) {
	if send == nil {
		t.outlet.Store(nil)
		return
	}
	t.outlet.Store(&outlet{domain, send})
}

// Spreads reports whether there are other nodes that could hear the events of t.
func (t *Table) Spreads() bool { return t.outlet.Load() != nil }

// HeardIn has what other nodes tell be heard in a context that enter has made of
// the caller's, so that an event can be about the virtual host of the table. It
// is called while the table is being built.
func (t *Table) HeardIn(enter func(context.Context) context.Context) { t.enter = enter }

// Hear runs an event that has run on another node: it tells those who were added
// with AddElsewhere or AddEverywhere, on the caller's goroutine and in order. The
// error says that there is no such event here or
// that it cannot be read, which is so for a while when nodes are of different
// versions; nothing has happened then.
func Hear(ctx context.Context, t *Table, event string, payload []byte) error {
	p, err := find(event)
	switch {
	case err != nil:
		return err
	case p.hear == nil:
		return fmt.Errorf("%s is not heard from other nodes", event)
	}
	if t.enter != nil {
		ctx = t.enter(ctx)
	}
	if err := p.hear(context.WithValue(ctx, heardKey{}, p), t, payload); err != nil {
		return fmt.Errorf("%s from another node: %w", event, err)
	}
	return nil
}

// heardKey finds, in a context, the event from another node that is being heard.
type heardKey struct{}

// spread hands the event on to the other nodes. One that comes from there goes
// nowhere, however long the way here was: it would come back.
func (e Event[E]) spread(ctx context.Context, t *Table, ev E) {
	out := t.outlet.Load()
	if out == nil || ctx.Value(heardKey{}) == e.point {
		return
	}
	payload, err := e.wire.Write(ev)
	if err != nil {
		t.log.LogAttrs(ctx, slog.LevelError, "an event does not reach the other nodes", slog.String("hook", e.name), slog.Any("error", err))
		return
	}
	out.send(out.domain, e.name, payload)
}

// A scope is whose runs of an event a handler hears.
type scope uint8

const (
	here scope = 1 << iota
	elsewhere
)

// String is what a list says behind a handler.
func (s scope) String() string {
	switch s {
	case elsewhere:
		return " of other nodes"
	case here | elsewhere:
		return " of all nodes"
	}
	return ""
}
