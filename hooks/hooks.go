// Package hooks lets one part of the server tell the others what happens, and
// ask them what should happen, without knowing who they are.
//
// There are two kinds of hook. An Event tells: every handler hears it and none
// can stop it. A Fold asks: a value passes from handler to handler in order of
// priority, each may change it, and any may stop and have the last word.
//
// A hook is declared once, beside the code that runs it:
//
//	var UserSend = hooks.NewFold[*xmpp.Stanza, *Session]("user_send_packet", "…")
//
// and its handlers live in a Table, one for each virtual host.
//
// On a cluster an event is heard on the node where it runs and nowhere else,
// unless it is declared to be one of all nodes:
//
//	var Removed = hooks.NewEvent[xmpp.JID]("remove_user", "…").Everywhere(hooks.Text(xmpp.Parse))
//
// Then Add is for what must be done once, such as changing a database;
// AddElsewhere and AddEverywhere are for what each node has in its own memory:
// caches, and the sessions of its clients. Folds are never asked of other nodes.
package hooks

import (
	"context"
	"runtime/debug"
	"time"
)

// Priority orders the handlers of a hook: the lowest runs first. Equal
// priorities run in order of their owners' names, never in order of start.
type Priority int

// Most handlers are Normal. The others exist for those that must see a value
// before or after everyone else does.
const (
	First  Priority = 0
	Early  Priority = 25
	Normal Priority = 50
	Late   Priority = 75
	Last   Priority = 100
)

// Flow is what a Fold's handler wants to happen next.
type Flow bool

// A handler returns Next to hand the value on and Stop to have the last word.
const (
	Next Flow = false
	Stop Flow = true
)

// An Event tells its handlers that something happened.
type Event[E any] struct {
	*point
	wire *Wire[E] // empty unless it is heard on other nodes
}

// A Fold asks its handlers what A should become, given E.
type Fold[A, E any] struct{ *point }

// An Owner adds handlers: a module on a virtual host, or a part of the server.
type Owner interface {
	Name() string  // who to name in lists and logs
	Hooks() *Table // where its handlers go
	OnStop(func()) // how they are taken away again
}

// NewEvent declares an event. It is meant for package variables and panics if
// the name is taken.
func NewEvent[E any](name, doc string) Event[E] {
	return Event[E]{declare(name, doc, "event"), new(Wire[E])}
}

// NewFold declares a fold. It is meant for package variables and panics if the
// name is taken.
func NewFold[A, E any](name, doc string) Fold[A, E] { return Fold[A, E]{declare(name, doc, "fold")} }

// Add has f called whenever the event runs on this node, until o stops.
func (e Event[E]) Add(o Owner, p Priority, f func(context.Context, E)) { e.add(o, p, f, here) }

// Add has h asked whenever the fold runs, until o stops.
func (f Fold[A, E]) Add(o Owner, p Priority, h func(context.Context, A, E) (A, Flow)) {
	f.add(o, p, h, here)
}

// Heard reports whether anyone in t, or on another node, listens, for callers that
// would otherwise prepare an argument for nobody.
func (e Event[E]) Heard(t *Table) bool { return t.chain(e.id) != nil || e.hear != nil && t.Spreads() }

// Heard reports whether anyone in t listens, for callers that would otherwise
// prepare an argument for nobody.
func (f Fold[A, E]) Heard(t *Table) bool { return t.chain(f.id) != nil }

// Run tells every handler in t, on the caller's goroutine and in order, and then
// the other nodes if the event is one of all nodes. A handler that panics is
// logged and the next one runs.
func (e Event[E]) Run(ctx context.Context, t *Table, ev E) {
	e.tellAll(ctx, t, ev, here)
	if e.hear != nil {
		e.spread(ctx, t, ev)
	}
}

// tellAll tells those who hear runs of that scope.
func (e Event[E]) tellAll(ctx context.Context, t *Table, ev E, of scope) {
	c := t.chain(e.id)
	if c == nil {
		return
	}
	for i := range c.handlers {
		if c.handlers[i].scope&of != 0 {
			e.tell(ctx, t, c, &c.handlers[i], ev)
		}
	}
}

// Run passes v through the handlers in t, on the caller's goroutine, and
// returns what became of it. A handler that panics leaves the value as it was.
func (f Fold[A, E]) Run(ctx context.Context, t *Table, v A, ev E) A {
	c := t.chain(f.id)
	if c == nil {
		return v
	}
	for i := range c.handlers {
		var flow Flow
		if v, flow = f.ask(ctx, t, c, &c.handlers[i], v, ev); flow == Stop {
			break
		}
	}
	return v
}

func (e Event[E]) tell(ctx context.Context, t *Table, c *chain, h *handler, ev E) {
	defer t.survive(e.point, h)
	if c.tracers != nil {
		e.traced(ctx, c, h, ev)
		return
	}
	h.fn.(func(context.Context, E))(ctx, ev)
}

// traced is tell for who is watched. It is apart, as is that of a Fold, because many
// hooks lie on the stack of a client, which is to stay small.
func (e Event[E]) traced(ctx context.Context, c *chain, h *handler, ev E) {
	start := time.Now()
	defer func() { c.trace(Call{Hook: e.name, Handler: h.String(), Took: time.Since(start), Argument: show(ev)}) }()
	h.fn.(func(context.Context, E))(ctx, ev)
}

// ask returns v unchanged if the handler panics.
func (f Fold[A, E]) ask(ctx context.Context, t *Table, c *chain, h *handler, v A, ev E) (out A, flow Flow) {
	out = v
	defer t.survive(f.point, h)
	if c.tracers != nil {
		return f.traced(ctx, c, h, v, ev)
	}
	return h.fn.(func(context.Context, A, E) (A, Flow))(ctx, v, ev)
}

// traced is ask for who is watched.
func (f Fold[A, E]) traced(ctx context.Context, c *chain, h *handler, v A, ev E) (out A, flow Flow) {
	out = v
	start := time.Now()
	defer func() {
		c.trace(Call{Hook: f.name, Handler: h.String(), Took: time.Since(start), Argument: show(v), Result: show(out), Stopped: bool(flow)})
	}()
	return h.fn.(func(context.Context, A, E) (A, Flow))(ctx, v, ev)
}

// survive keeps one module's bug from taking the stanza, and the client, down.
func (t *Table) survive(p *point, h *handler) {
	if r := recover(); r != nil {
		t.log.Error("hook handler panicked", "hook", p.name, "handler", h.String(), "panic", r, "stack", string(debug.Stack()))
	}
}
