package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/gabberd/gabberd/admin/metrics"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/all"
	"github.com/gabberd/gabberd/storage/redis/redistest"
)

// watched is oneDoor with another host, where the figures are on a port, with
// these options.
func watched(port int, options string) string {
	out := strings.Replace(oneDoor, "hosts: [localhost]", "hosts: [localhost, verona.example]", 1)
	return strings.Replace(out, "access: c2s}", fmt.Sprintf("access: c2s}\n  - {port: %d, ip: 127.0.0.1, module: gabberd_metrics%s}", port, options), 1)
}

// port is one on which nothing listens.
func port(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// asked is a request on a connection of its own, and what was answered.
func asked(t *testing.T, method string, port int, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// scrape is the figures as Prometheus reads them, by name and labels:
// gabberd_sessions{host=localhost}.
func scrape(t *testing.T, port int) map[string]float64 {
	t.Helper()
	status, body := asked(t, "GET", port, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("%d: %s", status, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			out[name+labels(m)] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

func labels(m *dto.Metric) string {
	var out []string
	for _, l := range m.GetLabel() {
		out = append(out, l.GetName()+"="+l.GetValue())
	}
	slices.Sort(out)
	if len(out) == 0 {
		return ""
	}
	return "{" + strings.Join(out, ",") + "}"
}

var doves = metrics.Gauge("gabberd_test_doves", "How many doves there are.", "colour")

// cote is a module with a figure.
var cote = modules.Define("mod_test_cote", modules.Spec[nothing]{Metrics: []metrics.Metric{doves}, Start: func(h *modules.Host, _ nothing) error {
	return h.Metrics(metrics.Read(func(set metrics.Set) { set(doves, float64(len(h.Domain)), "white") }, doves))
}})

func TestMetrics(t *testing.T) {
	p := port(t)
	opt := prepareFiles(t, watched(p, "")+"  mod_test_cote: {}\n")
	opt.Modules = append(slices.Clone(all.Modules), cote)
	r := launch(t, opt)
	r.register("romeo@localhost")
	r.session("romeo@localhost/orchard")
	r.ctl("status")
	if _, exit := r.try("register", "romeo", "nowhere.example", "secret"); exit == 0 {
		t.Error("an account on a host that is not ours")
	}
	got := scrape(t, p)
	for name, want := range map[string]float64{
		"gabberd_sessions{host=localhost}": 1, "gabberd_sessions{host=verona.example}": 0,
		"gabberd_commands_total{command=status,outcome=done}": 1,
		"gabberd_test_doves{colour=white,host=localhost}":     9, "gabberd_test_doves{colour=white,host=verona.example}": 14,
		"gabberd_build_info{ejabberd=" + Version + ",version=" + ownVersion + "}": 1,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %v (%v), want %v", name, n, ok, want)
		}
	}
	for name, least := range map[string]float64{"gabberd_uptime_seconds": 0, "gabberd_start_time_seconds": float64(time.Now().Add(-time.Hour).Unix()), "go_goroutines": 5, "process_open_fds": 5} {
		if n, ok := got[name]; !ok || n <= least {
			t.Errorf("%s is %v (%v), want more than %v", name, n, ok, least)
		}
	}
	queues, doors, refused := 0, 0.0, 0.0
	for name, n := range got {
		switch {
		case strings.HasPrefix(name, "gabberd_storage_queue_length{database="):
			queues++
		case strings.HasPrefix(name, "gabberd_connections{address="):
			doors += n
		case strings.HasPrefix(name, "gabberd_commands_total{command=register") && !strings.HasSuffix(name, "outcome=done}"):
			refused += n
		case strings.HasPrefix(name, "gabberd_cluster_"):
			t.Errorf("a server that is alone has %s", name)
		}
	}
	if queues == 0 || doors != 1 || refused != 1 {
		t.Errorf("%d queues, %v connections, %v refused commands in %v", queues, doors, refused, got)
	}

	// A module that stops takes its figures along, on its host.
	r.rewrite(watched(p, "") + "host_config:\n  verona.example:\n    modules:\n      mod_test_cote: {}\n")
	r.hup()
	got = scrape(t, p)
	if _, ok := got["gabberd_test_doves{colour=white,host=localhost}"]; ok || got["gabberd_test_doves{colour=white,host=verona.example}"] != 14 {
		t.Errorf("after the module was stopped on one host: %v", got)
	}
}

// Every figure that is offered has a line in the manual, and the other way round.
func TestMetricsAreInTheManual(t *testing.T) {
	p := port(t)
	s := redistest.Start(t)
	r := up(t, fmt.Sprintf("redis_server: %s\nsm_db_type: redis\n", s.URL())+watched(p, ""))
	r.ctl("status")
	docs, err := Documents(all.Modules)
	if err != nil {
		t.Fatal(err)
	}
	own, theirs := map[string]bool{}, map[string]bool{}
	for name := range scrape(t, p) {
		name, _, _ = strings.Cut(name, "{")
		if strings.HasPrefix(name, "gabberd_") {
			own[name] = true
		}
	}
	for line := range bytes.Lines(docs["docs/metrics.md"]) {
		if rest, ok := strings.CutPrefix(string(line), "| `gabberd_"); ok {
			name, _, _ := strings.Cut(rest, "`")
			theirs["gabberd_"+name] = true
		}
	}
	for name := range own {
		if !theirs[name] {
			t.Errorf("%s is not in the manual", name)
		}
	}
	for _, m := range slices.Concat(ownMetrics(), clusterMetrics()) {
		if !own[m.Name] {
			t.Errorf("%s is in the manual and not offered", m.Name)
		}
	}
	got := scrape(t, p)
	up, lease := 0.0, 0.0
	for name, n := range got {
		if strings.HasPrefix(name, "gabberd_cluster_node_up{") {
			up += n
		}
		if strings.HasPrefix(name, "gabberd_cluster_node_lease_seconds{") {
			lease += n
		}
	}
	if up != 1 || lease <= 0 {
		t.Errorf("%v nodes are up, with leases of %v s", up, lease)
	}
}

func TestMetricsOverHTTP(t *testing.T) {
	p := port(t)
	r := up(t, watched(p, ", path: /figures"))
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/figures", 200}, {"HEAD", "/figures", 200}, {"GET", "/figures?x=1", 200}, {"GET", "/metrics", 404}, {"GET", "/", 404},
		{"POST", "/figures", 405}, {"DELETE", "/figures", 405}, {"OPTIONS", "/figures", 405}, {"GET", "/figures/../figures", 404},
	} {
		status, body := asked(t, c.method, p, c.path)
		if status != c.want || c.method == "HEAD" && body != "" {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
	if big := r.raw(p, "GET /figures HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n"); !strings.HasPrefix(big, "HTTP/1.1 431") {
		t.Errorf("a header of 64 kB: %.60q", big)
	}
	if junk := r.raw(p, "<stream:stream>\r\n\r\n"); !strings.HasPrefix(junk, "HTTP/1.1 400") {
		t.Errorf("what is not HTTP: %.60q", junk)
	}
	// Whoever only connects keeps others out up to a bound, and only himself in the end.
	var idle []net.Conn
	for range maxAsking {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	if more := r.raw(p, "GET /figures HTTP/1.0\r\n\r\n"); more != "" {
		t.Errorf("one connection too many got %.60q", more)
	}
	for _, c := range idle {
		c.Close()
	}
	eventually(t, "others get in again", func() bool { return strings.HasPrefix(r.raw(p, "GET /figures HTTP/1.0\r\n\r\n"), "HTTP/1.0 200") })
}

// raw writes bytes to a port and returns what comes until the end; nothing when the
// connection is refused.
func (r *running) raw(port int, text string) string {
	r.t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	_, _ = io.WriteString(c, text) // it may be closed already
	answer, _ := io.ReadAll(c)     // and then there is none
	return string(answer)
}

func TestWhoMaySeeMetrics(t *testing.T) {
	s := &Server{}
	for _, c := range []struct {
		addr string
		want bool
	}{{"127.0.0.1:1", true}, {"[::1]:1", true}, {"[::ffff:127.0.0.1]:1", true}, {"@", true}, {"10.0.0.1:1", false}, {"[2001:db8::1]:1", false}} {
		m := &metricsService{rules: s.rules}
		if m.admits(c.addr) != c.want {
			t.Errorf("%s: got %v without a rule", c.addr, !c.want)
		}
	}
	p := port(t)
	r := up(t, watched(p, ", access: {deny: {ip: 127.0.0.1}}"))
	if status, body := asked(t, "GET", p, "/metrics"); status != http.StatusForbidden || strings.Contains(body, "gabberd_") {
		t.Errorf("%d %s", status, body)
	}
	r.rewrite(watched(p, ", access: {allow: {ip: 127.0.0.1}}"))
	r.hup()
	if n := scrape(t, p)["gabberd_uptime_seconds"]; n <= 0 {
		t.Errorf("up for %v s", n)
	}
}

// A reload opens, changes and closes the listener, and clients do not notice.
func TestMetricsReload(t *testing.T) {
	p, q := port(t), port(t)
	plain := strings.Replace(oneDoor, "hosts: [localhost]", "hosts: [localhost, verona.example]", 1)
	r := up(t, plain)
	r.register("romeo@localhost")
	r.session("romeo@localhost/orchard")
	steps := []struct {
		yaml, path string
		at         int // 0: nowhere
	}{
		{watched(p, ""), "/metrics", p}, {watched(p, ", path: /x"), "/x", p}, {watched(q, ", path: /x"), "/x", q}, {plain, "", 0}, {watched(p, ""), "/metrics", p},
	}
	for i, s := range steps {
		r.rewrite(s.yaml)
		r.hup()
		for _, at := range []int{p, q} {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", at))
			if err == nil {
				c.Close()
			}
			if (err == nil) != (at == s.at) {
				t.Errorf("step %d, port %d: %v", i, at, err)
			}
		}
		if s.at == 0 {
			continue
		}
		if status, body := asked(t, "GET", s.at, s.path); status != 200 || !strings.Contains(body, `gabberd_sessions{host="localhost"} 1`) {
			t.Errorf("step %d: %d %s", i, status, body)
		}
	}
	for _, wrong := range []string{", path: metrics", ", path: /x?y", ", tls: true"} {
		r.rewrite(watched(p, wrong))
		r.hup()
		if status, _ := asked(t, "GET", p, "/metrics"); status != 200 {
			t.Errorf("%s: a configuration that is wrong was taken up: %d", wrong, status)
		}
	}
}
