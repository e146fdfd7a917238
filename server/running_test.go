package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/admin/control"
	"github.com/gabberd/gabberd/modules/all"
)

// running is a server that runs in this process as it would in its own.
type running struct {
	t      *testing.T
	opt    Options
	at     Addresses
	log    *log
	reload chan struct{}
	cancel context.CancelFunc
	ended  chan error
}

// oneDoor is a server with a listener that encrypts from the first byte.
const oneDoor = `
hosts: [localhost]
listen:
  - {port: 0, ip: 127.0.0.1, module: ejabberd_c2s, tls: true, access: c2s}
auth_password_format: plain
acl: {admin: {user: admin@localhost}, blocked: {user: mallory@localhost}}
access_rules: {c2s: {allow: all}}
modules:
  mod_disco: {}
  mod_offline: {}
  mod_ping: {}
  mod_roster: {}
`

// launch starts a server and waits until it lets clients in. It ends with the test.
func launch(t *testing.T, opt Options) *running {
	t.Helper()
	r := &running{t: t, log: &log{}, reload: make(chan struct{}), ended: make(chan error, 1)}
	ready := make(chan Addresses, 1)
	opt.Level = new(slog.LevelVar)
	opt.Log = slog.New(newLogHandler(r.log, opt.Level))
	opt.Ready, opt.Reload = func(at Addresses) { ready <- at }, r.reload
	if opt.Modules == nil {
		opt.Modules = all.Modules
	}
	r.opt = opt
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() { r.ended <- Run(ctx, opt) }()
	select {
	case r.at = <-ready:
	case err := <-r.ended:
		r.cancel()
		t.Fatalf("the server did not start: %v\n%s", err, r.log)
	}
	t.Cleanup(func() {
		if r.cancel != nil {
			r.stop()
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", r.log)
		}
	})
	return r
}

// up is launch with a new configuration and a new data directory.
func up(t *testing.T, yaml string) *running {
	t.Helper()
	return launch(t, prepareFiles(t, yaml))
}

// stop stops the server as a signal does.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	if err := r.over(); err != nil {
		r.t.Errorf("the server ended with %v", err)
	}
}

// over waits for the end of a server.
func (r *running) over() error {
	err := <-r.ended
	r.cancel()
	r.cancel = nil
	return err
}

// rewrite replaces the configuration.
func (r *running) rewrite(yaml string) {
	r.t.Helper()
	if err := os.WriteFile(r.opt.Config, []byte(yaml), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// hup reloads as SIGHUP does, and waits until that is done.
func (r *running) hup() {
	r.reload <- struct{}{}
	// The server takes no other while it is at it: two more, and the first is
	// over; what they find has not changed.
	r.reload <- struct{}{}
	r.reload <- struct{}{}
}

// try runs a command and returns what gabberdctl prints and its exit code.
func (r *running) try(words ...string) (string, int) {
	r.t.Helper()
	var out, complaint bytes.Buffer
	exit, err := control.Call(r.t.Context(), controlPath(r.opt.Data), control.Request{Command: words[0], Args: words[1:]}, &out, &complaint)
	if err != nil {
		r.t.Fatalf("%v: %v", words, err)
	}
	return out.String() + complaint.String(), exit
}

// ctl is try for what must succeed.
func (r *running) ctl(words ...string) string {
	r.t.Helper()
	out, exit := r.try(words...)
	if exit != 0 {
		r.t.Fatalf("%v: exit code %d: %s", words, exit, out)
	}
	return out
}

// register makes accounts, all with the password secret.
func (r *running) register(users ...string) {
	r.t.Helper()
	for _, u := range users {
		user, host, _ := strings.Cut(u, "@")
		r.ctl("register", user, host, "secret")
	}
}

// wire is a client that says what it is told to, over TLS.
type wire struct {
	t    *testing.T
	conn *tls.Conn
	seen []byte
}

// patience is how long a client waits for what must come.
const patience = 30 * time.Second

// dial connects to the first listener and opens a stream to domain.
func (r *running) dial(domain string) *wire {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.at[0].Addr.String(), &tls.Config{ServerName: domain, InsecureSkipVerify: true})
	if err != nil {
		r.t.Fatal(err)
	}
	w := &wire{t: r.t, conn: conn}
	r.t.Cleanup(func() { conn.Close() })
	w.open(domain)
	return w
}

func (w *wire) open(domain string) {
	w.t.Helper()
	w.send("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='" + domain + "'>")
}

func (w *wire) send(xml string) {
	w.t.Helper()
	if _, err := w.conn.Write([]byte(xml)); err != nil {
		w.t.Fatalf("send %s: %v", xml, err)
	}
}

// until reads until one of the texts has come, and returns everything up to
// there.
func (w *wire) until(texts ...string) string {
	w.t.Helper()
	if err := w.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		for _, text := range texts {
			if i := bytes.Index(w.seen, []byte(text)); i >= 0 {
				got := string(w.seen[:i+len(text)])
				w.seen = w.seen[i+len(text):]
				return got
			}
		}
		n, err := w.conn.Read(buf)
		w.seen = append(w.seen, buf[:n]...)
		if err != nil && n == 0 {
			w.t.Fatalf("no %q before %v; received %s", texts, err, w.seen)
		}
	}
}

// auth opens a stream and authenticates; it returns how that ended.
func (r *running) auth(user, domain string) (*wire, string) {
	r.t.Helper()
	w := r.dial(domain)
	w.until("</stream:features>")
	w.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" +
		base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00secret")) + "</auth>")
	return w, w.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'", "</failure>")
}

// login logs in with a resource; it returns the answer to the request to bind
// it, an error too.
func (r *running) login(full string) (*wire, string) {
	r.t.Helper()
	bare, resource, _ := strings.Cut(full, "/")
	user, domain, _ := strings.Cut(bare, "@")
	w, answer := r.auth(user, domain)
	if !strings.Contains(answer, "<success") {
		r.t.Fatalf("%s cannot log in: %s", full, answer)
	}
	w.open(domain)
	w.until("</stream:features>")
	w.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" + resource + "</resource></bind></iq>")
	return w, w.until("</iq>")
}

// session is login for what must succeed.
func (r *running) session(full string) *wire {
	r.t.Helper()
	w, answer := r.login(full)
	if !strings.Contains(answer, "<jid>"+full+"</jid>") {
		r.t.Fatalf("%s gets no session: %s", full, answer)
	}
	return w
}

// says sends a message and waits until it has arrived.
func (w *wire) says(text, to string, there *wire) {
	w.t.Helper()
	w.send("<message type='chat' to='" + to + "'><body>" + text + "</body></message>")
	there.until("<body>" + text + "</body>")
}

// serial is the serial number of the certificate that clients of domain are
// shown.
func (r *running) serial(domain string) string {
	r.t.Helper()
	w := r.dial(domain)
	defer w.conn.Close()
	return w.conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// exists says whether there is a file in the data directory.
func (r *running) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(r.opt.Data, name))
	return !errors.Is(err, os.ErrNotExist)
}
