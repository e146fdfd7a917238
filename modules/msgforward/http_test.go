package msgforward

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules/msgforward/target"
	"github.com/gabberd/gabberd/storage"
)

// hook makes the target of a destination.
func hook(t *testing.T, d *destination) *webhook {
	t.Helper()
	conf, err := d.tls()
	if err != nil {
		t.Fatal(err)
	}
	w, err := newWebhook(d, conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func one(id string) []target.Message {
	return []target.Message{{ID: id, Type: "application/json", Body: []byte(`{"id":"` + id + `"}`), Head: map[string]string{"X-Of-Message": "1"}}}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	var code atomic.Int64
	var after atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if v := after.Load().(string); v != "" {
			w.Header().Set("Retry-After", v)
		}
		w.WriteHeader(int(code.Load()))
	}))
	t.Cleanup(s.Close)
	w := hook(t, newDestination(s.URL))
	const taken, final, again = "taken", "final", "again"
	for _, c := range []struct {
		code  int
		after string
		want  string
		wait  time.Duration
	}{
		{200, "", taken, 0}, {202, "", taken, 0}, {204, "7", taken, 0}, {299, "", taken, 0},
		{400, "", final, 0}, {401, "9", final, 0}, {404, "", final, 0}, {410, "", final, 0}, {422, "", final, 0},
		{408, "", again, 0}, {425, "", again, 0}, {429, "", again, 0}, {500, "", again, 0}, {503, "", again, 0}, {304, "", again, 0},
		{429, "7", again, 7 * time.Second}, {503, "100000000000", again, time.Hour}, {503, "-3", again, 0}, {503, "soon", again, 0},
		{503, time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), again, 0},
		{503, time.Now().Add(100 * time.Hour).UTC().Format(http.TimeFormat), again, time.Hour},
	} {
		code.Store(int64(c.code))
		after.Store(c.after)
		err := w.Deliver(t.Context(), one("x"))
		got, wait := again, time.Duration(0)
		var f *target.Final
		var l *target.Later
		switch {
		case err == nil:
			got = taken
		case errors.As(err, &f):
			got = final
		case errors.As(err, &l):
			wait = l.After
		}
		if got != c.want || wait != c.wait {
			t.Errorf("%d with %q: %s after %v (%v), want %s after %v", c.code, c.after, got, wait, err, c.want, c.wait)
		}
	}
}

func TestSignature(t *testing.T) {
	secret, old := secretPrefix+base64.StdEncoding.EncodeToString([]byte("a secret of some length, at last")), "this one is only a text"
	var head http.Header
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		head = r.Header.Clone()
		body, _ = io.ReadAll(r.Body) // a wrong body has a wrong signature
	}))
	t.Cleanup(s.Close)
	d := newDestination(s.URL)
	d.Secret, d.OldSecret, d.Headers = secret, old, map[string]string{"Authorization": "Bearer abc"}
	if err := hook(t, d).Deliver(t.Context(), one("179")); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, k := range []string{"a secret of some length, at last", old} {
		mac := hmac.New(sha256.New, []byte(k))
		mac.Write([]byte("179." + head.Get("webhook-timestamp") + "." + string(body)))
		want = append(want, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	for name, value := range map[string]string{
		"webhook-signature": strings.Join(want, " "), "webhook-id": "179", "Idempotency-Key": "179", "Authorization": "Bearer abc", "X-Of-Message": "1",
	} {
		if got := head.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

// TestKnownSignature is the example of the Standard Webhooks specification.
func TestKnownSignature(t *testing.T) {
	k, err := key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), [][]byte{k})
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("signature %s", got)
	}
}

func TestRedirects(t *testing.T) {
	var stolen atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	t.Cleanup(other.Close)
	var arrived atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/here":
			b, _ := io.ReadAll(r.Body) // an empty body fails the test
			arrived.Store(r.Method + " " + string(b))
		case "/301":
			http.Redirect(w, r, "/here", http.StatusMovedPermanently)
		case "/308":
			http.Redirect(w, r, "/here", http.StatusPermanentRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusTemporaryRedirect)
		default:
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}
	}))
	t.Cleanup(s.Close)
	for path, ok := range map[string]bool{"/308": true, "/301": false, "/loop": false, "/away": false} {
		if err := hook(t, newDestination(s.URL+path)).Deliver(t.Context(), one("x")); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
	if n := stolen.Load(); n != 0 {
		t.Errorf("the other host was asked %d times", n)
	}
	if got := arrived.Load(); got != `POST {"id":"x"}` {
		t.Errorf("what arrived after a redirect: %v", got)
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("spoken is %s", r.Proto)
		}
	}))
	t.Cleanup(s.Close)
	s2 := httptest.NewUnstartedServer(s.Config.Handler)
	s2.EnableHTTP2 = true
	s2.Config.ErrorLog = nil
	s2.StartTLS()
	t.Cleanup(s2.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s2.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file   string
		verify bool
		ok     bool
	}{{"", true, false}, {ca, true, true}, {"", false, true}} {
		d := newDestination(s2.URL)
		d.CAFile, d.TLSVerify = c.file, c.verify
		err := hook(t, d).Deliver(t.Context(), one("x"))
		if (err == nil) != c.ok {
			t.Errorf("with authority %q, verify %v: %v", c.file, c.verify, err)
		}
		var f *target.Final
		if errors.As(err, &f) {
			t.Error("a wrong certificate is final")
		}
	}
}

func TestErrorsShowNoPassword(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	u := url.URL{Scheme: "http", User: url.UserPassword("me", "swordfish"), Host: l.Addr().String(), Path: "/token-in-path"}
	err = hook(t, newDestination(u.String())).Deliver(t.Context(), one("x"))
	if err == nil || strings.Contains(err.Error(), "swordfish") || strings.Contains(err.Error(), "token-in-path") {
		t.Errorf("got %v", err)
	}
}

// A bad server misbehaves in every way, and then takes what it is given.
type bad struct {
	sink
	left atomic.Int64 // so often
}

func (b *bad) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := b.left.Add(-1)
	if n < 0 {
		b.sink.ServeHTTP(w, r)
		return
	}
	switch n % 6 {
	case 0:
		w.WriteHeader(http.StatusInternalServerError)
	case 1:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	case 2: // a reset
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // the test would only be milder
		_ = conn.Close()
	case 3: // taken, but nobody is told
		b.sink.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case 4: // hangs
		_, _ = io.Copy(io.Discard, r.Body) // without that nobody sees the client go
		<-r.Context().Done()
	case 5: // slow
		time.Sleep(20 * time.Millisecond)
		b.sink.ServeHTTP(w, r)
	}
}

func TestBadServer(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		b := new(bad)
		b.left.Store(60)
		b.Server = httptest.NewServer(http.HandlerFunc(b.ServeHTTP))
		t.Cleanup(b.Close)
		d := newDestination(b.URL)
		d.Timeout, d.Concurrency = 100*time.Millisecond, 4
		keep(t, db, d, messages(200, 20)...)
		w, _ := startWorker(t, db, d, nil)
		await(t, "all are delivered", func() bool { n, err := w.store.count(t.Context()); return err == nil && n.waiting == 0 })
		// What was taken without an answer comes again.
		var first []body
		seen := map[string]bool{}
		for _, m := range b.taken() {
			if !seen[m.ID] {
				first = append(first, m)
			}
			seen[m.ID] = true
		}
		inOrder(t, first, 200)
		f := w.count.Figures()
		if f.Failed == 0 || f.Retried == 0 || f.Delivered != 200 || f.Died != 0 || f.LastError == "" || f.Ratio1 <= 0 || f.Ratio60 >= 1 || f.P50 <= 0 || f.P99 < f.P50 {
			t.Errorf("figures: %+v", f)
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	each(t, func(t *testing.T, db *storage.DB) {
		var asked, at atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) == 1 {
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
				at.Store(time.Now().UnixMilli())
				return
			}
			at.Add(-time.Now().UnixMilli())
		}))
		t.Cleanup(s.Close)
		d := newDestination(s.URL)
		keep(t, db, d, chat(1, 1))
		w, _ := startWorker(t, db, d, nil)
		await(t, "it is delivered", func() bool { return w.count.Figures().Delivered == 1 })
		if waited := -at.Load(); waited < 990 {
			t.Errorf("it was tried again after %d ms, the server asked for a second", waited)
		}
	})
}

func TestOptions(t *testing.T) {
	dir := t.TempDir()
	for yaml, want := range map[string]string{
		`url: https://example.org/hook`:                                      "",
		`url: http://user:pass@example.org`:                                  "",
		`destinations: {a: {url: http://a.example, batch: 50, order: none}}`: "",
		`{}`:                                 "ejabberd.yml:3:10: modules.mod_x: say where to forward messages to",
		`url: 7`:                             "3:10",
		`url: "ftp://x"`:                     "3:10",
		`url: "http://"`:                     "has no host",
		`{url: http://x, format: xlm}`:       "did you mean",
		`{url: http://x, types: [chat, iq]}`: "3:40",
		`{url: http://x, secret: short}`:     "at least 16 bytes",
		`{url: http://x, secret: whsec_%%%}`: "whsec_ and base64",
		`{url: http://x, old_secret: sixteen bytes are here}`:                          "there must be a secret",
		`{url: http://x, headers: {"a b": c}}`:                                         "headers of HTTP",
		`{url: http://x, headers: {webhook-id: c}}`:                                    "headers of HTTP",
		`{url: http://x, cafile: ` + dir + `/none}`:                                    "no such file",
		`{url: http://x, batch: 0}`:                                                    "between 1 and 1000",
		`{url: http://x, batch: 2, format: form}`:                                      "3:10: modules.mod_x: batch: more than one message in a request needs format json",
		`{url: http://x, retry: {factor: 0.5}}`:                                        "between 1 and 100",
		`{url: http://x, retry: {first: 1h, ceiling: 1s}}`:                             "ceiling is below",
		`destinations: {default: {url: http://x}}`:                                     "names of letters",
		`destinations: {a: {}}`:                                                        "this option is required",
		`destinations: {a: {url: http://x, batch: 3, format: xml}}`:                    "3:23: modules.mod_x.destinations.a: batch: more",
		`{url: http://x, concurrency: many}`:                                           "a whole number",
		`{url: http://x, retry: {give_up: infinity}, max_queue: infinity, timeout: 1}`: "",
	} {
		if got := configure(t, yaml); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", yaml, got, want)
		}
	}
}

// configure is what is said about the module's options.
func configure(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ejabberd.yml")
	if err := os.WriteFile(file, []byte("hosts: [localhost]\nmodules:\n  mod_x: "+yaml+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(yaml, "url") || strings.HasPrefix(yaml, "destinations") {
		if err := os.WriteFile(file, []byte("hosts: [localhost]\nmodules: {mod_x:\n   {"+yaml+"}}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := config.Load(file, config.LoadOptions{Env: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	var o options
	for _, n := range tree.Modules("localhost") {
		tree.DecodeModule(n, &o)
	}
	if err := tree.Finish(); err != nil {
		return err.Error()
	}
	return ""
}
