// Package skeleton is a module to begin with: copy this folder to start a module.
//
// It does one of everything that a module can do, and nothing twice: it counts
// how often users greet the server, and greets them back when they come. What it
// is and what can be set is in this file; hooks.go has what it tells others,
// store.go what it keeps, commands.go what an operator can ask. Take away what
// you do not need; what is added through the host goes by itself when the module
// stops.
//
// To have it started, add it to the list in modules/all.
package skeleton

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin/metrics"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:gabberd:skeleton"

// greeted is a figure for those who watch the server.
var greeted = metrics.Counter("gabberd_skeleton_greetings_total", "How often users have greeted the server.")

// Module is mod_skeleton.
var Module = modules.Define("mod_skeleton", modules.Spec[options]{
	Doc:      "Counts how often users greet the server, and greets them back.",
	Commands: (*module)(nil).commands(), // for the manual; they are not called
	Metrics:  []metrics.Metric{greeted},
	Start:    start,
})

// options are what can be set in ejabberd.yml. They are checked before start
// sees them.
type options struct {
	modules.Backend // db_type and the cache

	Access  acl.Access
	Welcome string
	Delay   time.Duration
}

// Fields declares the options: one line each, from which check, default, help
// and manual come.
func (o *options) Fields(f *config.Fields) {
	o.Backend.Fields(f)
	acl.AccessField(f, &o.Access, "access", "all", "Who may greet the server.")
	f.String(&o.Welcome, "welcome", "", "What a client that has come is told; nothing if it is empty.")
	f.Duration(&o.Delay, "welcome_delay", 0, "How long after it has come.").Must(config.AtMost(time.Hour))
}

// module is one running instance: there is one for each virtual host.
type module struct {
	options
	host     *modules.Host
	greeted  prometheus.Counter
	store    store
	welcomed *sm.Slot[bool] // something of ours in every session
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_skeleton_sql", schema)
	if err != nil {
		return err
	}
	counts := greeted.Counts()
	m := &module{o, h, counts.WithLabelValues(), store{db}, sm.NewSlot[bool]("skeleton")}

	// Requests to the server, and what service discovery says of them.
	h.IQ(ns, m.answer)
	h.Feature(ns)
	disco.LocalIdentity.Add(h, hooks.Normal, m.identity)

	// What others tell: hooks.Normal unless there is a reason. On a cluster Add is
	// for what is done once, as in a database; what a module keeps in memory hears
	// the same event from all nodes with AddEverywhere.
	sm.Present.Add(h, hooks.Normal, m.arrived)
	auth.Removed.Add(h, hooks.Normal, m.removed)

	// What people can have done, from a shell, over HTTP and from a client.
	h.Command(m.commands()...)
	adhoc.Offer(h, adhoc.Server(), hooks.Normal, m.menu())
	return h.Metrics(counts)
}

// answer deals with a request. What it returns goes into the result; an
// *xmpp.Error is told to the asker, any other error is logged.
func (m *module) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	user := iq.From.Bare()
	if !m.Access.Allows(m.host.Rules, local.Subject(iq.From)) || user.Domain() != m.host.Domain {
		return nil, xmpp.Forbidden
	}
	switch hello := iq.Payload(); {
	case hello.Name != "hello":
		return nil, xmpp.BadRequest
	case iq.Type == "set":
		if err := m.store.add(ctx, user); err != nil {
			return nil, err
		}
		m.greeted.Inc()
		Greeted.Run(ctx, m.host.Hooks(), user)
		return nil, nil
	}
	n, err := m.store.count(ctx, user)
	if err != nil {
		return nil, err
	}
	return xmpp.Build(ns, "hello").Attr("count", strconv.Itoa(n)).Done(), nil
}

// identity is a fold: it hands on what it was given, with something added.
func (m *module) identity(_ context.Context, l []disco.Identity, q disco.Query) ([]disco.Identity, hooks.Flow) {
	if q.Node == "" {
		l = append(l, disco.Identity{Category: "component", Type: "generic", Name: "Greetings"})
	}
	return l, hooks.Next
}

// arrived is an event: it hears something and cannot change it.
func (m *module) arrived(_ context.Context, s *sm.Session) {
	if _, done := m.welcomed.Get(s); done || m.Welcome == "" {
		return
	}
	m.welcomed.Set(s, true)
	m.host.After(m.Delay, func() {
		st := xmpp.NewMessage("headline", m.host.JID, s.JID, xmpp.TextEl(xmpp.NSClient, "body", m.Welcome))
		m.host.Send(m.host.Context(), st)
	})
}

// removed forgets a user. An event has nobody to return an error to, so it is
// logged here.
func (m *module) removed(ctx context.Context, user xmpp.JID) {
	if err := m.store.remove(ctx, user); err != nil {
		m.host.Log.Error("greetings of a removed user are left", "user", user.String(), "error", err)
	}
}
