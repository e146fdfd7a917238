// Package local is a virtual host: it answers for itself, and hands what is for
// its users to the session manager.
package local

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/admin/metrics"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// Parts is what a virtual host is made of. Whoever makes the host has made
// them for it.
type Parts struct {
	Router   *router.Router
	Hooks    *hooks.Table
	Global   *hooks.Table // for what concerns no host
	Sessions *sm.Sessions
	Auth     *auth.Host
	Rules    *acl.Ruleset
	Groups   *acl.Groups              // where a module answers for shared_group
	Serves   func(domain string) bool // whether domain is a virtual host of this server
	Commands *admin.Registry
	Metrics  *metrics.Registry
	Storage  *storage.Server
	Log      *slog.Logger
	// DefaultDB is where modules keep things that do not say otherwise:
	// "mnesia" for the embedded database, "sql" for that of the sql options.
	DefaultDB string
	// DefaultCache is how modules cache that do not say otherwise.
	DefaultCache Cache
	// Lang is the language of the server's own texts.
	Lang string
}

// Cache is how a module may keep in memory what it has read.
type Cache struct {
	Use      bool
	Size     int // entries
	Missed   bool
	LifeTime time.Duration
}

// A Host is a virtual host. Its exported fields are set once; its methods may
// be called by anyone, at any time.
type Host struct {
	Domain string
	JID    xmpp.JID
	Parts

	iq       router.IQTable
	mu       sync.RWMutex
	features map[string]int // disco features of the server, counted
	account  map[string]int // those of its users' bare addresses
}

// New returns the virtual host domain, which nobody is routed to yet.
func New(domain xmpp.JID, p Parts) *Host {
	h := &Host{Domain: domain.Domain(), JID: domain.Host(), Parts: p, features: map[string]int{}, account: map[string]int{}}
	if p.Hooks != nil && p.Sessions != nil {
		endRemoved(p.Hooks, p.Sessions)
		h.joinNodes()
	}
	return h
}

// Route takes a stanza for the domain: for a user, for the server itself, or
// for a resource of it (RFC 6120 §10.5).
func (h *Host) Route(ctx context.Context, st *xmpp.Stanza) {
	switch {
	case st.To.Local() != "":
		h.Sessions.Route(ctx, st)
	case st.IsAnswer():
		router.Unasked.Run(ctx, h.Hooks, st)
	case st.Kind == xmpp.IQ && st.To.IsBare():
		h.Router.Answer(ctx, &h.iq, st)
	case st.Type == "error" || st.Type == "result":
		// An answer that nobody waits for any more.
	default:
		if st = ToResource.Run(ctx, h.Hooks, st, h); st != nil {
			h.bounce(ctx, st)
		}
	}
}

// bounce refuses what is for the server but no request: messages to it, and
// anything to a resource that nothing has taken.
func (h *Host) bounce(ctx context.Context, st *xmpp.Stanza) {
	switch {
	case st.Kind == xmpp.Presence, st.Type == "headline":
	case st.Kind == xmpp.Message && st.To.IsBare():
		h.Router.Bounce(ctx, st, xmpp.ServiceUnavailable)
	default:
		h.Router.Bounce(ctx, st, xmpp.ItemNotFound)
	}
}

// Handle has f answer requests to the server in namespace ns. The returned func
// ends that.
func (h *Host) Handle(ns string, f router.IQHandler) (remove func()) { return h.iq.Handle(ns, f) }

// HandleUser has f answer requests to bare addresses of users in namespace ns.
// The returned func ends that.
func (h *Host) HandleUser(ns string, f router.IQHandler) (remove func()) {
	return h.Sessions.UserIQ.Handle(ns, f)
}

// Ask sends a request from the server and waits for the answer, until ctx ends.
// An error of the other side is an *xmpp.Error. It must not be called on the
// goroutine that reads the asked client's stream.
func (h *Host) Ask(ctx context.Context, to xmpp.JID, payload *xmpp.Element, typ string) (*xmpp.Stanza, error) {
	return h.Router.Ask(ctx, xmpp.NewIQ(typ, h.JID, to, "", payload))
}

// Send routes a stanza that the server itself has made.
func (h *Host) Send(ctx context.Context, st *xmpp.Stanza) { h.Router.Route(ctx, st) }

// AddFeature announces a feature of the server in service discovery (XEP-0030).
// The returned func ends that.
func (h *Host) AddFeature(ns string) (remove func()) { return h.count(h.features, ns) }

// AddUserFeature announces a feature of users' bare addresses.
func (h *Host) AddUserFeature(ns string) (remove func()) { return h.count(h.account, ns) }

func (h *Host) count(m map[string]int, ns string) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	m[ns]++
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if m[ns]--; m[ns] == 0 {
			delete(m, ns)
		}
	})
}

// Features lists what was announced of the server, in order.
func (h *Host) Features() []string { return h.list(h.features) }

// UserFeatures lists what was announced of users' addresses, in order.
func (h *Host) UserFeatures() []string { return h.list(h.account) }

func (h *Host) list(m map[string]int) []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make([]string, 0, len(m))
	for ns := range m {
		out = append(out, ns)
	}
	slices.Sort(out)
	return out
}

// DB is the database for a db_type as modules have it: "sql", "mnesia" for the
// embedded one, or empty for the host's default_db. The error is a sentence for
// the operator.
func (h *Host) DB(ctx context.Context, dbType string) (*storage.DB, error) {
	if dbType == "" {
		dbType = h.DefaultDB
	}
	switch dbType {
	case "sql":
		return h.Storage.Host(h.Domain), nil
	case "mnesia":
		return h.Storage.Embedded(ctx, h.Domain)
	}
	return nil, fmt.Errorf("db_type %q is not built; mnesia and sql are", dbType)
}

// User is the bare address of a user of this host. The error wraps xmpp.ErrJID.
func (h *Host) User(name string) (xmpp.JID, error) { return xmpp.NewJID(name, h.Domain, "") }

// Subject is a user as access rules see him.
func Subject(j xmpp.JID) acl.Subject { return acl.Subject{JID: j} }
