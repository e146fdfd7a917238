package load

import (
	"fmt"
	"time"
)

// Tally is what the workers have counted, all together.
type Tally struct {
	Logins       uint64    `json:"logins"`
	LoginTime    Histogram `json:"login_time"` // from connecting to the roster
	LoginSeconds float64   `json:"login_seconds"`

	Sent         uint64 `json:"sent"`     // stanzas, warm-up included
	Expected     uint64 `json:"expected"` // deliveries that follow from them
	Got          uint64 `json:"got"`      // deliveries, each counted once
	Doubled      uint64 `json:"doubled"`
	Disordered   uint64 `json:"disordered"`
	Errors       uint64 `json:"errors"`       // stanzas that came back as errors or with a wrong content
	Disconnected uint64 `json:"disconnected"` // sessions that the server ended
	Reason       string `json:"reason,omitempty"`

	Measured struct {
		Sent    uint64    `json:"sent"`
		Got     uint64    `json:"got"`
		Latency Histogram `json:"latency"` // from when it was due until it came
		Seconds float64   `json:"seconds"` // from the first one sent to the last one got
		Behind  float64   `json:"behind"`  // with a rate: seconds that the generator was late at worst
	} `json:"measured"`
}

// merge adds what another worker has counted.
func (t *Tally) merge(o *Tally) {
	t.Logins += o.Logins
	t.LoginTime.Merge(&o.LoginTime)
	t.LoginSeconds = max(t.LoginSeconds, o.LoginSeconds)
	t.Sent += o.Sent
	t.Expected += o.Expected
	t.Got += o.Got
	t.Doubled += o.Doubled
	t.Disordered += o.Disordered
	t.Errors += o.Errors
	t.Disconnected += o.Disconnected
	if t.Reason == "" {
		t.Reason = o.Reason
	}
	m, n := &t.Measured, &o.Measured
	m.Sent += n.Sent
	m.Got += n.Got
	m.Latency.Merge(&n.Latency)
	m.Seconds = max(m.Seconds, n.Seconds)
	m.Behind = max(m.Behind, n.Behind)
}

// Broken says what makes the tally's figures worthless; nil when nothing does.
func (t *Tally) Broken() []string {
	var what []string
	for _, c := range []struct {
		n    uint64
		name string
	}{
		{t.Expected - min(t.Got, t.Expected), "lost"}, {t.Doubled, "doubled"}, {t.Disordered, "out of order"},
		{t.Errors, "errors"}, {t.Disconnected, "sessions ended by the server"},
	} {
		if c.n > 0 {
			what = append(what, fmt.Sprintf("%d %s", c.n, c.name))
		}
	}
	if what != nil && t.Reason != "" {
		what = append(what, t.Reason)
	}
	return what
}

// Sample is what was used up to one phase of a workload.
type Sample struct {
	Phase     string           `json:"phase"`
	At        time.Time        `json:"at"`
	Server    Usage            `json:"server"`
	Beside    map[string]Usage `json:"beside,omitempty"`
	Generator time.Duration    `json:"generator_cpu_ns"`
	Machine   time.Duration    `json:"machine_cpu_ns"` // of everything that runs here
}

// Result is what came of a Job.
type Result struct {
	Job     Job                `json:"job"`
	Tally   Tally              `json:"tally"`
	Samples []Sample           `json:"samples"`
	Figures map[string]float64 `json:"figures"` // by name and unit, such as cpu_us and p99_ms
}

// sample is the one of a phase.
func (r *Result) sample(phase string) Sample {
	for _, s := range r.Samples {
		if s.Phase == phase {
			return s
		}
	}
	return Sample{}
}

// cost puts into the figures what was used between two phases for each of n:
// NAME_us of the server, DATABASE_NAME_us of what is beside it, total_NAME_us of both,
// and the same of the generator, and what others have taken of the machine.
func (r *Result) cost(name, from, to string, n float64) {
	a, b := r.sample(from), r.sample(to)
	if n <= 0 || b.At.IsZero() {
		return
	}
	micro := func(d time.Duration) float64 { return float64(d) / 1e3 / n }
	server := b.Server.CPU - a.Server.CPU
	r.Figures[name+"_us"] = micro(server)
	for k, u := range b.Beside {
		r.Figures[k+"_"+name+"_us"] = micro(u.CPU - a.Beside[k].CPU)
		server += u.CPU - a.Beside[k].CPU
	}
	r.Figures["total_"+name+"_us"] = micro(server)
	generator := b.Generator - a.Generator
	r.Figures["generator_"+name+"_us"] = micro(generator)
	others := max(b.Machine-a.Machine-generator-server, 0)
	r.Figures["others_cores"] = others.Seconds() / b.At.Sub(a.At).Seconds()
	if r.Figures[name+"_us"] > 0 {
		r.Figures["per_"+name+"_s"] = 1e6 / r.Figures[name+"_us"]
	}
}

// latency puts quantiles into the figures, in milliseconds.
func (r *Result) latency(prefix string, h *Histogram) {
	if h.Count() == 0 {
		return
	}
	for name, part := range map[string]float64{"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999} {
		r.Figures[prefix+name] = float64(h.Quantile(part)) / 1e6
	}
	r.Figures[prefix+"max_ms"] = float64(h.Max()) / 1e6
}

func summarizeLogins(r *Result) {
	n := float64(r.Tally.Logins)
	r.cost("cpu", "start", "done", n)
	r.latency("", &r.Tally.LoginTime)
	r.Figures["per_s"] = n / r.Tally.LoginSeconds
}

// summarizeTraffic counts the cost for each delivery.
func summarizeTraffic(r *Result) {
	m := &r.Tally.Measured
	r.cost("cpu", "measure", "measured", float64(m.Got))
	r.latency("", &m.Latency)
	if m.Seconds > 0 {
		r.Figures["per_s"] = float64(m.Got) / m.Seconds
	}
	if r.Job.Rate > 0 {
		r.Figures["behind_ms"] = m.Behind * 1e3
	}
}

// summarizeCarbons counts the cost for each message that was sent.
func summarizeCarbons(r *Result) {
	summarizeTraffic(r)
	r.cost("cpu", "measure", "measured", float64(r.Tally.Measured.Sent))
}

// summarizeDay counts the cost of a second.
func summarizeDay(r *Result) {
	summarizeTraffic(r)
	if s := r.sample("measured").At.Sub(r.sample("measure").At).Seconds(); s > 0 {
		cpu := r.sample("measured").Server.CPU - r.sample("measure").Server.CPU
		r.Figures["cpu_ms_per_s"] = cpu.Seconds() * 1e3 / s
	}
	r.latency("login_", &r.Tally.LoginTime)
}

func summarizeOffline(r *Result) {
	n := float64(r.Tally.Expected)
	r.cost("store_cpu", "measure", "stored", n)
	r.cost("fetch_cpu", "ready", "measured", n)
	if s := r.sample("stored").At.Sub(r.sample("measure").At).Seconds(); s > 0 {
		r.Figures["store_per_s"] = n / s
	}
	if r.Tally.Measured.Seconds > 0 {
		r.Figures["fetch_per_s"] = n / r.Tally.Measured.Seconds
	}
}

func summarizeIdle(r *Result) {
	n := float64(r.Job.Sessions)
	before, login, after := r.sample("start").Server, r.sample("resting").Server, r.sample("rested").Server
	r.Figures["pss_kb"] = float64(after.Pss-before.Pss) / 1e3 / n
	r.Figures["rss_kb"] = float64(after.Rss-before.Rss) / 1e3 / n
	r.Figures["login_pss_kb"] = float64(login.Pss-before.Pss) / 1e3 / n
	r.Figures["total_pss_mb"] = float64(after.Pss) / 1e6
	for k, u := range r.sample("rested").Beside {
		r.Figures[k+"_pss_kb"] = float64(u.Pss-r.sample("start").Beside[k].Pss) / 1e3 / n
	}
	if s := r.sample("rested").At.Sub(r.sample("resting").At).Seconds(); s > 0 {
		r.Figures["rest_cpu_ms_per_s"] = float64(after.CPU-login.CPU) / 1e6 / s
	}
}
