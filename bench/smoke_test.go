package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Every workload, small, on gabberd and on the relay. It fails when a stanza is
// lost, doubled or reordered, or when a workload does not run; never for time.
func TestNothingIsLost(t *testing.T) {
	o, err := parse([]string{"--smoke", "--out", t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o.warm, o.duration, o.rest = 0, 200*time.Millisecond, 200*time.Millisecond
	b := &bench{options: o, say: t.Logf}
	r, err := b.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range r.trouble() {
		t.Error(what)
	}
	steps := b.steps()
	for _, s := range steps {
		if _, ok := r.figure(ours, s.name, s.rows[0].figure); !ok {
			t.Errorf("%s has no figure %s", s.name, s.rows[0].figure)
		}
	}
	for _, e := range r.Entries {
		if strings.Contains(e.Step, "across") && e.Result != nil {
			if j := e.Result.Job.Target; len(j.Addresses) != 2 || j.Addresses[0] == j.Addresses[1] || len(j.PIDs) != 2 || len(j.Beside["redis"]) != 1 {
				t.Errorf("%s ran on %+v", e.Step, j)
			}
		}
	}
	if err := r.save(o.out, steps); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bench.json", "bench.md", "bench.svg"} {
		if info, err := os.Stat(filepath.Join(o.out, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(b.house.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", b.house.dir, err)
	}
}
