package metrics_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin/metrics"
)

var (
	waiting = metrics.Gauge("gabberd_test_waiting", "Who waits.", "room")
	served  = metrics.Counter("gabberd_test_served_total", "Who was served.")
	took    = metrics.Histogram("gabberd_test_took_seconds", "How long it took.", []float64{1, 10}, "room")
)

func text(t *testing.T, r *metrics.Registry) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFigures(t *testing.T) {
	r := metrics.NewRegistry()
	n := 3.0
	remove, err := r.Add(metrics.Read(func(set metrics.Set) {
		set(waiting, n, "hall")
		set(waiting, 1, "bar")
		set(served, 7)
	}, waiting, served))
	if err != nil {
		t.Fatal(err)
	}
	h := took.Observes()
	if _, err := r.Add(h); err != nil {
		t.Fatal(err)
	}
	h.WithLabelValues("hall").Observe(5)
	n = 4
	got := text(t, r)
	for _, want := range []string{
		"# HELP gabberd_test_waiting Who waits.\n# TYPE gabberd_test_waiting gauge\n", "gabberd_test_waiting{room=\"hall\"} 4\n", "gabberd_test_waiting{room=\"bar\"} 1\n",
		"# TYPE gabberd_test_served_total counter\ngabberd_test_served_total 7\n",
		`gabberd_test_took_seconds_bucket{room="hall",le="1"} 0`, `gabberd_test_took_seconds_bucket{room="hall",le="10"} 1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	remove()
	if got := text(t, r); strings.Contains(got, "waiting") || !strings.Contains(got, "took") {
		t.Errorf("after one was taken away:\n%s", got)
	}
}

// Each host may have what the others have, and takes away only its own.
func TestHosts(t *testing.T) {
	r := metrics.NewRegistry()
	a, b := served.Counts(), served.Counts()
	removeA, err := r.AddFor("a.example", a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddFor("b.example", b); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddFor("b.example", served.Counts()); err == nil {
		t.Error("the same was offered twice")
	}
	if _, err := r.Add(metrics.Read(func(metrics.Set) {})); err == nil {
		t.Error("nothing was offered")
	}
	a.WithLabelValues().Inc()
	b.WithLabelValues().Add(2)
	want := "gabberd_test_served_total{host=\"a.example\"} 1\ngabberd_test_served_total{host=\"b.example\"} 2\n"
	if got := text(t, r); !strings.Contains(got, want) {
		t.Errorf("got\n%s", got)
	}
	removeA()
	if got := text(t, r); strings.Contains(got, "a.example") || !strings.Contains(got, "b.example") {
		t.Errorf("got\n%s", got)
	}
	if _, err := r.AddFor("a.example", served.Counts()); err != nil {
		t.Errorf("it does not come back: %v", err)
	}
}

// A reader that fails costs its own figures.
func TestReadersThatFail(t *testing.T) {
	r := metrics.NewRegistry()
	for _, c := range []func(metrics.Set){
		func(metrics.Set) { panic("oh") },
		func(set metrics.Set) { set(took, 1) },
		func(set metrics.Set) { set(waiting, 1) }, // no label
	} {
		remove, err := r.Add(metrics.Read(c, waiting))
		if err != nil {
			t.Fatal(err)
		}
		rest, err := r.Add(metrics.Read(func(set metrics.Set) { set(served, 1) }, served))
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		w := httptest.NewRecorder()
		r.Handler(slog.New(slog.NewTextHandler(&log, nil))).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		body, err := io.ReadAll(w.Body)
		if err != nil || w.Code != 200 || !strings.Contains(string(body), "gabberd_test_served_total 1") || strings.Contains(string(body), "waiting") {
			t.Errorf("got %d %s, %v", w.Code, body, err)
		}
		if !strings.Contains(log.String(), "gabberd_test_waiting") {
			t.Errorf("nothing was said: %s", &log)
		}
		remove()
		rest()
	}
}

func TestRuntime(t *testing.T) {
	r := metrics.NewRegistry()
	if err := r.AddRuntime(); err != nil {
		t.Fatal(err)
	}
	if got := text(t, r); !strings.Contains(got, "\ngo_goroutines ") || !strings.Contains(got, "\nprocess_open_fds ") {
		t.Errorf("got\n%s", got)
	}
}
