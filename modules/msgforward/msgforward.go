// Package msgforward posts every message that is stored to web servers and message
// queues, and loses none on the way.
//
// When a message is written to the archive or to the messages that wait for
// somebody, this module adds a job for each destination that wants it, in the same
// transaction (sm.Storing, storage.Job). A worker for each destination takes jobs
// out of the database, delivers them, tries again what fails, and gives up in the
// end. docs/decisions/forward-queue.md says why the queue is as it is.
//
// event.go is what a job holds, format.go what is sent, http.go and package target
// how; worker.go, deliver.go, lanes.go and house.go are a worker, store.go its
// tables; commands.go is what an operator can do.
package msgforward

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin/metrics"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_msg_forward.
var Module = modules.Define("mod_msg_forward", modules.Spec[options]{
	Doc:      "Forwards every message that is stored to web servers or message queues.",
	Tables:   modules.Tables{Keeper: storage.JobsKeeper, Versions: storage.Jobs},
	Metrics:  ownMetrics(),
	Commands: (*module)(nil).commands(),
	Start:    start,
})

// module is forwarding on one virtual host.
type module struct {
	host  *modules.Host
	lines []*line // in order of name
	crew  crew
}

// A line is one destination: who works on it, and how it does.
type line struct {
	*destination
	name   string
	target target.Target
	count  *counters
	log    *slog.Logger
}

func start(h *modules.Host, o options) error {
	all := o.all()
	m := &module{host: h}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		l, err := m.open(name, all[name])
		if err != nil {
			m.close()
			return fmt.Errorf("destination %s: %w", name, err)
		}
		m.lines = append(m.lines, l)
	}
	m.crew.begin(h.Context())
	h.OnStop(func() {
		m.crew.end()
		m.close()
	})
	for _, db := range sm.Stores.Run(h.Context(), h.Hooks(), nil, h.JID) {
		if err := m.serve(h.Context(), db); err != nil {
			return err
		}
	}
	sm.StoreOpened.Add(h, hooks.Normal, m.storeOpened)
	sm.Storing.Add(h, hooks.Normal, m.storing)
	Report.Add(h, hooks.Normal, m.report)
	Revived.AddEverywhere(h, hooks.Normal, m.revived)
	h.Command(m.commands()...)
	return h.Metrics(metrics.Read(m.measure, ownMetrics()...))
}

// open makes the target of a destination.
func (m *module) open(name string, d *destination) (*line, error) {
	l := &line{destination: d, name: name, count: new(counters), log: m.host.Log.With("destination", name)}
	l.count.f.Host, l.count.f.Destination = m.host.Domain, name
	conf, err := d.tls()
	if err != nil {
		return nil, err
	}
	if d.http() {
		l.target, err = newWebhook(d, conf, nil)
	} else {
		l.target, err = target.Open(m.host.Context(), d.URL, target.Options{TLS: conf, Log: l.log})
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (m *module) close() {
	for _, l := range m.lines {
		if err := l.target.Close(); err != nil {
			m.host.Log.Warn("a destination of forwarding does not close", "destination", l.name, "error", err)
		}
	}
}

// storing adds a job for each destination that wants the message.
func (m *module) storing(_ context.Context, jobs []storage.Job, w sm.Storage) ([]storage.Job, hooks.Flow) {
	var data []byte
	var key, group string
	for _, l := range m.lines {
		if !l.wants(m.host.Rules, w) {
			continue
		}
		if data == nil {
			data, key, group = encode(w), strconv.FormatInt(w.Stanza.Stamp, 10), conversation(w)
		}
		j := storage.Job{Queue: queueOf(l.name), Key: key, Data: data}
		if l.Order == "conversation" {
			j.Group = group
		}
		jobs = append(jobs, j)
	}
	return jobs, hooks.Next
}

// wants reports whether a message is for the destination.
func (d *destination) wants(rules *acl.Ruleset, w sm.Storage) bool {
	switch {
	case w.Stanza.Kind != xmpp.Message,
		d.What == "archive" && w.Table != "archive",
		d.What == "offline" && w.Table != "spool",
		!slices.Contains(d.Types, kind(w.Stanza)):
		return false
	}
	return d.From.Allows(rules, acl.Subject{JID: w.Stanza.From}) && d.To.Allows(rules, acl.Subject{JID: w.Stanza.To})
}

// Revived is heard where workers must look for dead letters that wait again.
var Revived = hooks.NewEvent[xmpp.JID]("msg_forward_retry", "Dead letters of forwarding on a host wait again.").ByHand("HOST", handHost).Everywhere(hooks.Text(xmpp.Parse))

func handHost(_ context.Context, words []string) (j xmpp.JID, err error) {
	return xmpp.Parse(strings.Join(words, " "))
}

func (m *module) revived(context.Context, xmpp.JID) {
	for _, l := range m.lines {
		for _, w := range m.crew.of(l) {
			w.revived()
		}
	}
}

// report adds the figures of this host's destinations.
func (m *module) report(_ context.Context, l []Figures, _ xmpp.JID) ([]Figures, hooks.Flow) {
	return append(l, m.figures()...), hooks.Next
}

func (m *module) figures() []Figures {
	out := make([]Figures, len(m.lines))
	for i, l := range m.lines {
		out[i] = l.count.Figures()
	}
	return out
}
