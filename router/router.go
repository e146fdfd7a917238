// Package router finds out who is responsible for a domain and hands him the
// stanza: a virtual host of this server, a service on it, or nobody.
package router

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
)

// A Handler takes stanzas for a domain. Route runs on the goroutine of who sent
// the stanza and must not wait for somebody else's network or disk.
type Handler interface {
	Route(ctx context.Context, st *xmpp.Stanza)
}

// A Router knows which handler a domain has. Its methods may be called by
// anyone, at any time.
type Router struct {
	hooks   *hooks.Table
	log     *slog.Logger
	mu      sync.Mutex // serialises changes
	routes  atomic.Pointer[table]
	pending pending
}

// A table is the routes of every domain that has any, the latest first. It is
// replaced whole, never changed.
type table map[string][]*Route

// A Route is a domain and who has it.
type Route struct {
	Domain string
	Host   string // the virtual host it belongs to
	Handler
}

// New returns a router without routes that runs its hooks in t, the table of
// the server.
func New(t *hooks.Table, log *slog.Logger) *Router {
	r := &Router{hooks: t, log: log}
	r.routes.Store(&table{})
	r.pending.waiting = map[string]*question{}
	return r
}

// Register makes h responsible for domain, on behalf of the virtual host host.
// The returned func ends that. Who comes later wins until it leaves.
func (r *Router) Register(domain, host string, h Handler) (remove func()) {
	route := &Route{domain, host, h}
	r.change(domain, func(l []*Route) []*Route { return slices.Insert(l, 0, route) })
	return func() {
		r.change(domain, func(l []*Route) []*Route {
			return slices.DeleteFunc(l, func(x *Route) bool { return x == route })
		})
	}
}

// change publishes a table in which f has changed the routes of a domain.
func (r *Router) change(domain string, f func([]*Route) []*Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := maps.Clone(*r.routes.Load())
	if l := f(slices.Clone(t[domain])); len(l) > 0 {
		t[domain] = l
	} else {
		delete(t, domain)
	}
	r.routes.Store(&t)
}

// Routes lists all routes in order of domain.
func (r *Router) Routes() []Route {
	var out []Route
	for _, l := range *r.routes.Load() {
		out = append(out, *l[0])
	}
	slices.SortFunc(out, func(a, b Route) int { return strings.Compare(a.Domain, b.Domain) })
	return out
}

// Serves reports whether domain has a handler here.
func (r *Router) Serves(domain string) bool {
	_, ok := (*r.routes.Load())[domain]
	return ok
}

// Route hands st to whoever has the domain of its to, which must not be empty.
// Nobody: the sender gets remote-server-not-found. It runs on the caller's
// goroutine and does not wait for the recipient.
func (r *Router) Route(ctx context.Context, st *xmpp.Stanza) {
	if st = Filter.Run(ctx, r.hooks, st, struct{}{}); st == nil {
		return
	}
	if r.pending.answered(st) {
		return
	}
	routes := (*r.routes.Load())[st.To.Domain()]
	if len(routes) == 0 {
		r.Bounce(ctx, st, xmpp.RemoteServerNotFound.WithText("No route to this server"))
		return
	}
	routes[0].Handler.Route(ctx, st)
}

// Bounce sends st back to its sender as the error e, unless it is of a kind
// that is never answered (RFC 6120 §8.3.1) or has no sender.
func (r *Router) Bounce(ctx context.Context, st *xmpp.Stanza, e *xmpp.Error) {
	if !st.Bounces() || st.From.IsZero() || st.Kind == xmpp.Presence && st.Type != "" && st.Type != "probe" && !isSubscription(st.Type) {
		return
	}
	r.Route(ctx, st.Bounce(e))
}

func isSubscription(typ string) bool {
	switch typ {
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		return true
	}
	return false
}
