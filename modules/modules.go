// Package modules starts and stops the parts of the server that can be
// switched on in ejabberd.yml.
package modules

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/admin/metrics"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/storage"
)

// A Module is a feature that a virtual host can have.
type Module struct {
	Name, Doc string
	XEPs      []string // "0199", or "0133 partial" where a part of it is left out
	Needs     []string // modules that must have been started before
	Tables    Tables   // in the database
	Also      []Tables // of other keepers, made after those
	Options   []config.Info
	// Commands are what the module lets an operator do, for the manual. Their
	// functions are those of no running module and are never called.
	Commands []admin.Command
	Metrics  []metrics.Metric // figures that it offers

	prepare func(decode func(config.Declarer)) Prepared
}

// Prepared is a module with the options it will start with.
type Prepared struct {
	Module
	Config any // the options, to see whether a reload has changed them
	start  func(*Host) error
}

// Tables is the tables of a module: their keeper's name, as ejabberd has it, and
// what each version of them has changed.
type Tables struct {
	Keeper   string
	Versions []storage.Version
}

// Spec is what a module says about itself.
type Spec[O any] struct {
	Doc      string
	XEPs     []string
	Needs    []string
	Tables   Tables   // as in h.Database, for those who want to see them before
	Also     []Tables // what Start makes besides in the same database, in that order
	Commands []admin.Command
	Metrics  []metrics.Metric
	// Start adds what the module does to its host. What it adds through the
	// Host is taken away again when the module stops. It may block, bounded by
	// h.Context.
	Start func(*Host, O) error
}

// Define makes a module of what it says about itself.
func Define[O any, P config.Of[O]](name string, s Spec[O]) Module {
	return Module{
		Name: name, Doc: s.Doc, XEPs: s.XEPs, Needs: s.Needs, Tables: s.Tables, Also: s.Also, Commands: s.Commands, Metrics: s.Metrics,
		Options: config.Describe(P(new(O))),
		prepare: func(decode func(config.Declarer)) Prepared {
			var o O
			decode(P(&o))
			return Prepared{Config: o, start: func(h *Host) error { return s.Start(h, o) }}
		},
	}
}

// Prepare has decode read the module's options. What is wrong with them decode
// tells whom it wants.
func (m Module) Prepare(decode func(config.Declarer)) Prepared {
	p := m.prepare(decode)
	p.Module = m
	return p
}

// Start starts the module on h's virtual host. If it fails, what it has added
// already is taken away.
func (p Prepared) Start(h *Host) error {
	if err := p.start(h); err != nil {
		h.Stop()
		return err
	}
	return nil
}

// A Host is the virtual host a module runs on, as the module sees it. Whatever
// the module adds through it is taken away again when the module stops.
type Host struct {
	*local.Host
	Log *slog.Logger // names the module

	name   string
	ctx    context.Context
	onStop []func()
	loaded func(string) bool
}

// NewHost returns h as the module called name sees it. loaded says which
// modules the host has.
func NewHost(ctx context.Context, name string, h *local.Host, loaded func(string) bool) *Host {
	ctx, cancel := context.WithCancel(ctx)
	return &Host{Host: h, Log: h.Parts.Log.With("module", name, "host", h.Domain), name: name, ctx: ctx, onStop: []func(){cancel}, loaded: loaded}
}

// Name is the module's name.
func (h *Host) Name() string { return h.name }

// Hooks is where the module's handlers go: the table of the virtual host.
func (h *Host) Hooks() *hooks.Table { return h.Parts.Hooks }

// Context ends when the module stops.
func (h *Host) Context() context.Context { return h.ctx }

// OnStop has f called when the module stops, before what was added earlier is
// taken away.
func (h *Host) OnStop(f func()) { h.onStop = append(h.onStop, f) }

// Loaded reports whether the virtual host has the module called name, started
// already or not.
func (h *Host) Loaded(name string) bool { return h.loaded(name) }

// IQ has f answer requests to the server in namespace ns.
func (h *Host) IQ(ns string, f router.IQHandler) { h.OnStop(h.Handle(ns, f)) }

// UserIQ has f answer requests to bare addresses of users in namespace ns.
func (h *Host) UserIQ(ns string, f router.IQHandler) { h.OnStop(h.HandleUser(ns, f)) }

// Feature announces a feature of the server in service discovery.
func (h *Host) Feature(ns string) { h.OnStop(h.AddFeature(ns)) }

// UserFeature announces a feature of users' addresses in service discovery.
func (h *Host) UserFeature(ns string) { h.OnStop(h.AddUserFeature(ns)) }

// Command adds commands for operators, on this virtual host.
func (h *Host) Command(list ...admin.Command) {
	for _, c := range list {
		h.OnStop(h.Commands.AddFor(h.Domain, c.Module(h.name)))
	}
}

// Metrics offers figures of the module, which get a label host: what metrics.Read
// returns, or Metric.Counts and Metric.Observes. The error says which name is
// taken, or what is wrong with it.
func (h *Host) Metrics(list ...prometheus.Collector) error {
	for _, c := range list {
		remove, err := h.Parts.Metrics.AddFor(h.Domain, c)
		if err != nil {
			return err
		}
		h.OnStop(remove)
	}
	return nil
}

// Serve makes handler responsible for another domain of this host:
// "vjud.example.org".
func (h *Host) Serve(domain string, handler router.Handler) {
	h.OnStop(h.Router.Register(domain, h.Domain, handler))
}

// After has f called once after d, unless the module stops before. The returned
// func calls it off.
func (h *Host) After(d time.Duration, f func()) (stop func()) {
	t := time.AfterFunc(d, func() {
		if h.ctx.Err() == nil {
			f()
		}
	})
	return func() { t.Stop() }
}

// Stop undoes everything the module did through h, last things first.
func (h *Host) Stop() {
	for _, f := range slices.Backward(h.onStop) {
		f()
	}
	h.onStop = nil
}
