package msgforward

import "github.com/gabberd/gabberd/admin/metrics"

// The figures of each destination, as Prometheus sees them.
var (
	delivered = metrics.Counter("gabberd_forward_delivered_total", "Messages that the destination has taken.", "destination")
	retried   = metrics.Counter("gabberd_forward_retried_total", "Tries of messages that had failed before.", "destination")
	failed    = metrics.Counter("gabberd_forward_failed_total", "Messages in requests that failed.", "destination")
	givenUp   = metrics.Counter("gabberd_forward_given_up_total", "Messages that became dead letters.", "destination")
	queued    = metrics.Gauge("gabberd_forward_queue_length", "Messages that wait. 0 on nodes that do not work on the queue.", "destination")
	deadKept  = metrics.Gauge("gabberd_forward_dead_letters", "Dead letters that are kept. 0 on nodes that do not work on the queue.", "destination")
	oldest    = metrics.Gauge("gabberd_forward_oldest_seconds", "Age of the oldest message that waits.", "destination")
	ratio     = metrics.Gauge("gabberd_forward_failure_ratio", "Messages that failed of those that were tried, in the last 1, 15 and 60 minutes.", "destination", "minutes")
	took      = metrics.Gauge("gabberd_forward_delivery_seconds", "How long the last requests that succeeded took.", "destination", "quantile")
	ill       = metrics.Gauge("gabberd_forward_circuit_open", "1 while the destination fails for everybody and is only probed.", "destination")
)

func ownMetrics() []metrics.Metric {
	return []metrics.Metric{delivered, retried, failed, givenUp, queued, deadKept, oldest, ratio, took, ill}
}

// measure says how all destinations do.
func (m *module) measure(set metrics.Set) {
	for _, f := range m.figures() {
		d := f.Destination
		set(delivered, float64(f.Delivered), d)
		set(retried, float64(f.Retried), d)
		set(failed, float64(f.Failed), d)
		set(givenUp, float64(f.Died), d)
		set(queued, float64(f.Queue), d)
		set(deadKept, float64(f.Dead), d)
		set(oldest, f.Oldest.Seconds(), d)
		set(ratio, f.Ratio1, d, "1")
		set(ratio, f.Ratio15, d, "15")
		set(ratio, f.Ratio60, d, "60")
		set(took, f.P50.Seconds(), d, "0.5")
		set(took, f.P99.Seconds(), d, "0.99")
		open := 0.0
		if f.Ill {
			open = 1
		}
		set(ill, open, d)
	}
}
