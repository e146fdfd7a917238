package server

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabberd/gabberd/admin/metrics"
	"github.com/gabberd/gabberd/cluster"
	"github.com/gabberd/gabberd/modules"
)

// The figures of the server as a whole.
var (
	buildInfo     = metrics.Gauge("gabberd_build_info", "1, with the version of the server and of the ejabberd whose place it takes.", "version", "ejabberd")
	startTime     = metrics.Gauge("gabberd_start_time_seconds", "When the server was started, in seconds since 1970.")
	uptime        = metrics.Gauge("gabberd_uptime_seconds", "How long the server has been running.")
	connections   = metrics.Gauge("gabberd_connections", "Clients that are connected to a listener, logged in or not. After a reload, those that came before count for it too.", "module", "address")
	sessions      = metrics.Gauge("gabberd_sessions", "Sessions of a virtual host on this node.", "host")
	commandsTotal = metrics.Counter("gabberd_commands_total", "Commands that operators have called, through any door. The outcome is done, failed, or ejabberd's word for the error.", "command", "outcome")
	storageQueue  = metrics.Gauge("gabberd_storage_queue_length", "Writes that wait for their commit in a database.", "database")

	nodeUp       = metrics.Gauge("gabberd_cluster_node_up", "1 if a node of the cluster is up, 0 if it is suspect, dead or leaving.", "node")
	nodeLease    = metrics.Gauge("gabberd_cluster_node_lease_seconds", "How much of its lease a node has left; without a new one it counts as dead.", "node")
	nodeSessions = metrics.Gauge("gabberd_cluster_node_sessions", "Sessions of a node, as counted some seconds ago.", "node")
	nodeInbox    = metrics.Gauge("gabberd_cluster_node_inbox_length", "Batches of stanzas that are on their way to a node or not acknowledged yet. Not there while Redis cannot be asked.", "node")
)

// ownMetrics are those of figures, clusterMetrics those of clusterFigures.
func ownMetrics() []metrics.Metric {
	return []metrics.Metric{buildInfo, startTime, uptime, connections, sessions, storageQueue}
}

func clusterMetrics() []metrics.Metric {
	return []metrics.Metric{nodeUp, nodeLease, nodeSessions, nodeInbox}
}

// offerMetrics makes the registry of metrics, with those of the server in it.
func (s *Server) offerMetrics(called prometheus.Collector) error {
	s.metrics = metrics.NewRegistry()
	if err := s.metrics.AddRuntime(); err != nil {
		return err
	}
	for _, c := range []prometheus.Collector{called, metrics.Read(s.figures, ownMetrics()...), metrics.Read(s.clusterFigures, clusterMetrics()...)} {
		if _, err := s.metrics.Add(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) figures(set metrics.Set) {
	set(buildInfo, 1, ownVersion, Version)
	set(startTime, float64(s.started.UnixNano())/1e9)
	set(uptime, time.Since(s.started).Seconds())
	for _, h := range s.running() {
		set(sessions, float64(len(h.Sessions.Here())), h.Domain)
	}
	for name, n := range s.storage.Queued() {
		set(storageQueue, float64(n), name)
	}
	type door struct{ module, address string }
	connected := map[door]int{}
	s.mu.RLock()
	for _, l := range s.listeners {
		if l.module != metricsModule {
			connected[door{l.module, l.ln.Addr().String()}] += l.service.Count()
		}
	}
	s.mu.RUnlock()
	for d, n := range connected {
		set(connections, float64(n), d.module, d.address)
	}
}

// clusterFigures asks Redis, for a bounded time. A server that is alone has none.
func (s *Server) clusterFigures(set metrics.Set) {
	if s.member == nil {
		return
	}
	for _, n := range s.member.cluster.Nodes(s.ctx) {
		up := 0.0
		if n.State == cluster.Up {
			up = 1
		}
		set(nodeUp, up, n.Name)
		set(nodeLease, n.Lease.Seconds(), n.Name)
		set(nodeSessions, float64(n.Sessions), n.Name)
		if n.Inbox >= 0 {
			set(nodeInbox, float64(n.Inbox), n.Name)
		}
	}
}

// metricsPage is docs/metrics.md.
func metricsPage(list []modules.Module) []byte {
	p := newPage("Metrics")
	p.line("What a listener `%s` says to Prometheus ([options](options.md)):", metricsModule)
	p.line("    listen:\n      - {port: 9100, ip: 127.0.0.1, module: %s}", metricsModule)
	p.line("Beside these there are the usual ones about the process (`process_*`) and about Go (`go_*`).")
	p.line("## The server")
	p.metrics(slices.Concat(ownMetrics(), []metrics.Metric{commandsTotal}))
	p.line("## The cluster")
	p.line("Every node tells of all nodes. A server that is alone has none of these.")
	p.metrics(clusterMetrics())
	for _, m := range list {
		if len(m.Metrics) == 0 {
			continue
		}
		p.line("## %s", m.Name)
		var own []metrics.Metric
		for _, one := range m.Metrics {
			one.Labels = append([]string{"host"}, one.Labels...)
			own = append(own, one)
		}
		p.metrics(own)
	}
	return p.bytes()
}

// metrics writes a table of figures.
func (p *page) metrics(list []metrics.Metric) {
	p.line("| metric | type | labels | meaning |\n| --- | --- | --- | --- |")
	for _, m := range list {
		fmt.Fprintf(p, "| %s | %s | %s | %s |\n", code(m.Name), m.Kind, strings.Join(m.Labels, ", "), cell(m.Doc))
	}
}
