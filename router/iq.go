package router

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// An IQHandler answers requests in one namespace. Nil and nil is an empty
// result; an *xmpp.Error is what the sender sees; any other error is logged. Of
// storage.ErrUnavailable and storage.ErrFull the sender sees resource-constraint,
// for these pass, and otherwise internal-server-error. It runs on the sender's
// goroutine.
type IQHandler func(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error)

// ErrLater is returned by a handler that sends the answer itself.
var ErrLater = errors.New("the answer comes later")

// An IQTable says who answers which namespace, for a server or for its users.
// The zero table answers nothing.
type IQTable struct{ list atomic.Pointer[[]*iqEntry] }

type iqEntry struct {
	ns string
	f  IQHandler
}

// Handle has f answer requests in ns. The returned func ends that. Who comes
// later wins until it leaves.
func (t *IQTable) Handle(ns string, f IQHandler) (remove func()) {
	e := &iqEntry{ns, f}
	t.change(func(l []*iqEntry) []*iqEntry { return slices.Insert(l, 0, e) })
	return func() {
		t.change(func(l []*iqEntry) []*iqEntry {
			return slices.DeleteFunc(l, func(x *iqEntry) bool { return x == e })
		})
	}
}

func (t *IQTable) change(f func([]*iqEntry) []*iqEntry) {
	for {
		old := t.list.Load()
		var l []*iqEntry
		if old != nil {
			l = slices.Clone(*old)
		}
		l = f(l)
		if t.list.CompareAndSwap(old, &l) {
			return
		}
	}
}

// Namespaces lists what is answered, in order.
func (t *IQTable) Namespaces() []string {
	var out []string
	if l := t.list.Load(); l != nil {
		for _, e := range *l {
			out = append(out, e.ns)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return slices.Compact(out)
}

func (t *IQTable) find(ns string) IQHandler {
	if l := t.list.Load(); l != nil {
		for _, e := range *l {
			if e.ns == ns {
				return e.f
			}
		}
	}
	return nil
}

// Answer answers the request iq by its payload's namespace (RFC 6120 §8.2.3),
// or does nothing if iq is an answer itself.
func (r *Router) Answer(ctx context.Context, t *IQTable, iq *xmpp.Stanza) {
	if !iq.IsRequest() {
		if iq.Type != "result" && iq.Type != "error" {
			r.Bounce(ctx, iq, xmpp.BadRequest.WithText("An IQ has type get, set, result or error"))
		}
		return
	}
	payload, err := r.answer(ctx, t, iq)
	var known *xmpp.Error
	switch {
	case errors.Is(err, ErrLater):
	case !errors.As(err, &known) && (errors.Is(err, storage.ErrUnavailable) || errors.Is(err, storage.ErrFull)):
		r.Bounce(ctx, iq, xmpp.ResourceConstraint.WithText("The server cannot read or store this at the moment, try again later"))
	case err != nil:
		r.Bounce(ctx, iq, xmpp.AsError(err))
	default:
		r.Route(ctx, iq.Reply(payload))
	}
}

func (r *Router) answer(ctx context.Context, t *IQTable, iq *xmpp.Stanza) (el *xmpp.Element, err error) {
	payload, n := (*xmpp.Element)(nil), 0
	for c := range iq.Children() {
		if n++; payload == nil {
			payload = c
		}
	}
	if n != 1 || iq.ID == "" {
		return nil, xmpp.BadRequest.WithText("A request has an id and exactly one child")
	}
	f := t.find(payload.NS)
	if f == nil {
		return nil, xmpp.ServiceUnavailable.WithText("No module is handling this query")
	}
	defer r.survive(iq, payload.NS, &err)
	el, err = f(ctx, iq)
	var known *xmpp.Error
	if err != nil && !errors.As(err, &known) && !errors.Is(err, ErrLater) {
		r.log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("namespace", payload.NS),
			slog.String("from", iq.From.String()), slog.Any("error", err))
	}
	return el, err
}

// survive turns a handler's panic into an error for its sender.
func (r *Router) survive(iq *xmpp.Stanza, ns string, err *error) {
	if p := recover(); p != nil {
		r.log.Error("request handler panicked", "namespace", ns, "from", iq.From.String(), "panic", p, "stack", string(debug.Stack()))
		*err = xmpp.InternalServerError
	}
}
