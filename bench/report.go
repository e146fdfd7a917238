package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gabberd/gabberd/bench/load"
)

// A report is all that a run has found out; it is what the JSON file holds.
type report struct {
	Machine  string    `json:"machine"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Servers  []column  `json:"servers"`
	Entries  []entry   `json:"entries"`
}

// A column is a server of the run.
type column struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"` // its name included
	Remark  string `json:"remark,omitempty"`
}

// An entry is one step on one server.
type entry struct {
	Server string       `json:"server"`
	Step   string       `json:"step"`
	Round  int          `json:"round"`
	Broken []string     `json:"broken,omitempty"` // stanzas that were lost and the like
	Error  string       `json:"error,omitempty"`  // why there is no result
	Result *load.Result `json:"result,omitempty"`
}

// figure is the median of all rounds; false when there is none, or when any of
// them is broken: a server that loses stanzas is not fast.
func (r *report) figure(server, step, name string) (float64, bool) {
	var all []float64
	for _, e := range r.Entries {
		if e.Server != server || e.Step != step {
			continue
		}
		if e.Result == nil || e.Broken != nil {
			return 0, false
		}
		if v, ok := e.Result.Figures[name]; ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2, true
}

// cost is what a delivery has cost in a step of that round.
func (r *report) cost(server, step string, round int) (float64, bool) {
	return r.figureOf(server, step, round, "cpu_us")
}

// figureOf is a figure of a step in a round, if it was measured and is sound.
func (r *report) figureOf(server, step string, round int, figure string) (float64, bool) {
	for _, e := range r.Entries {
		if e.Server == server && e.Step == step && e.Round == round && e.Result != nil && e.Broken == nil {
			v := e.Result.Figures[figure]
			return v, v > 0
		}
	}
	return 0, false
}

// trouble lists what was lost or did not work.
func (r *report) trouble() []string {
	var all []string
	for _, e := range r.Entries {
		if what := append(slices.Clone(e.Broken), e.Error); len(e.Broken) > 0 || e.Error != "" {
			all = append(all, fmt.Sprintf("%s, %s: %s", e.Server, e.Step, strings.Trim(strings.Join(what, ", "), ", ")))
		}
	}
	return all
}

// ran says whether a server has a column.
func (r *report) ran(name string) bool {
	return slices.ContainsFunc(r.Servers, func(c column) bool { return c.Name == name })
}

// others is how many cores programs that do not belong to the run took at worst
// while something was measured.
func (r *report) others() float64 {
	var most float64
	for _, e := range r.Entries {
		if e.Result != nil {
			most = max(most, e.Result.Figures["others_cores"])
		}
	}
	return most
}

// save writes the raw figures, the table and the chart.
func (r *report) save(dir string, steps []step) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	for name, text := range map[string]string{"bench.json": string(raw), "bench.md": r.table(steps), "bench.svg": r.chart(steps)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("results: %w", err)
		}
	}
	return nil
}

// machine describes where the figures were made.
func machine() string {
	cpu := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores, %s, Linux %s, %s", runtime.NumCPU(), cpu, kernel(), runtime.Version())
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "of an unknown release"
	}
	return strings.TrimSpace(string(b))
}
