// Package metrics is where parts of the server offer figures of what they do, for
// Prometheus and whatever reads its format.
//
// A figure is declared once, as a Metric; the manual comes from that. Who has it
// offers it in a Registry, read when somebody asks (Read) or counted as things
// happen (Counts, Observes). Modules do so with modules.Host.Metrics.
package metrics

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

// Kind is what a figure does over time.
type Kind string

// A gauge goes up and down, a counter goes up, a histogram counts by size.
const (
	GaugeKind     Kind = "gauge"
	CounterKind   Kind = "counter"
	HistogramKind Kind = "histogram"
)

// A Metric is a declared figure. Its name begins with gabberd_ and ends with its
// unit, in seconds or bytes, or with _total where it counts.
type Metric struct {
	Name, Doc string
	Kind      Kind
	Labels    []string // what tells its values apart; each has few values
	buckets   []float64
}

// Gauge declares a figure that goes up and down.
func Gauge(name, doc string, labels ...string) Metric {
	return Metric{Name: name, Doc: doc, Kind: GaugeKind, Labels: labels}
}

// Counter declares a figure that goes up only, while the server runs.
func Counter(name, doc string, labels ...string) Metric {
	return Metric{Name: name, Doc: doc, Kind: CounterKind, Labels: labels}
}

// Histogram declares how many of something were up to each of these sizes.
func Histogram(name, doc string, buckets []float64, labels ...string) Metric {
	return Metric{Name: name, Doc: doc, Kind: HistogramKind, Labels: labels, buckets: buckets}
}

// Counts is a counter that starts at nothing, to be counted up. It is for
// CounterKind.
func (m Metric) Counts() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Doc}, m.Labels)
}

// Observes is a histogram of nothing yet. It is for HistogramKind.
func (m Metric) Observes() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Doc, Buckets: m.buckets}, m.Labels)
}

// Set says what a figure is now, for one value of each of its labels.
type Set func(m Metric, value float64, labels ...string)

// Read has f say what figures are now whenever somebody asks; what it does not
// mention is not there. It runs on a goroutine of its own, may be running several
// times at once, and may take some seconds at most. The list is what it may
// mention, gauges and counters.
func Read(f func(Set), list ...Metric) prometheus.Collector {
	r := &reader{f: f}
	for _, m := range list {
		r.list = append(r.list, described{m, prometheus.NewDesc(m.Name, m.Doc, m.Labels, nil)})
	}
	return r
}

type described struct {
	Metric
	desc *prometheus.Desc
}

type reader struct {
	f    func(Set)
	list []described
}

// Describe implements prometheus.Collector.
func (r *reader) Describe(out chan<- *prometheus.Desc) {
	for _, d := range r.list {
		out <- d.desc
	}
}

// Collect implements prometheus.Collector. A panic costs the figures and nothing
// else.
func (r *reader) Collect(out chan<- prometheus.Metric) {
	defer func() {
		if p := recover(); p != nil {
			out <- prometheus.NewInvalidMetric(r.list[0].desc, fmt.Errorf("reading it panicked: %v", p))
		}
	}()
	r.f(func(m Metric, value float64, labels ...string) {
		i := slices.IndexFunc(r.list, func(d described) bool { return d.Name == m.Name })
		if i < 0 {
			panic(m.Name + " is not in the list of its reader")
		}
		kind := prometheus.GaugeValue
		if m.Kind == CounterKind {
			kind = prometheus.CounterValue
		}
		one, err := prometheus.NewConstMetric(r.list[i].desc, kind, value, labels...)
		if err != nil {
			one = prometheus.NewInvalidMetric(r.list[i].desc, err)
		}
		out <- one
	})
}

// A Registry holds what is offered. All its methods may be called at any time
// from any goroutine.
type Registry struct{ all *prometheus.Registry }

// NewRegistry returns a registry in which nothing is offered.
func NewRegistry() *Registry { return &Registry{prometheus.NewRegistry()} }

// AddRuntime offers what Go and the operating system say of this process.
func (r *Registry) AddRuntime() error {
	return errors.Join(r.all.Register(collectors.NewGoCollector()), r.all.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})))
}

// Add offers figures of the server as a whole and returns how to end that. The
// error says which name is taken, or what is wrong with it.
func (r *Registry) Add(c prometheus.Collector) (remove func(), err error) { return add(r.all, c) }

// AddFor offers figures of a virtual host, which get a label host: each host may
// have the same.
func (r *Registry) AddFor(host string, c prometheus.Collector) (remove func(), err error) {
	return add(prometheus.WrapRegistererWith(prometheus.Labels{"host": host}, r.all), c)
}

func add(to prometheus.Registerer, c prometheus.Collector) (remove func(), err error) {
	if r, ok := c.(*reader); ok && len(r.list) == 0 {
		return nil, errors.New("figures without a name")
	}
	if err := to.Register(c); err != nil {
		return nil, fmt.Errorf("offer metrics: %w", err)
	}
	return func() { to.Unregister(c) }, nil
}

// Bounds of what asking may cost.
const (
	gatherTimeout = 10 * time.Second
	maxAskers     = 4 // at the same time
)

// Handler answers every request with all figures, in the format that the asker
// wants. A figure that cannot be had is left out and logged.
func (r *Registry) Handler(log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(r.all, promhttp.HandlerOpts{
		ErrorLog: complaints{log}, ErrorHandling: promhttp.ContinueOnError, Timeout: gatherTimeout, MaxRequestsInFlight: maxAskers,
	})
}

type complaints struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (c complaints) Println(words ...any) { c.log.Warn("metrics", "error", fmt.Sprint(words...)) }

// WriteText writes all figures in the text format of Prometheus.
func (r *Registry) WriteText(w io.Writer) error {
	families, err := r.all.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return err
		}
	}
	return nil
}
