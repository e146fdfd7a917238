package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// peer is a server that we did not write. It runs as its package's user, in a
// directory of its own, and, when GABBERD_PEER_ROOT names a folder with another
// Debian in it, from there.
type peer struct {
	t    *testing.T
	user string
	root string // "/" or GABBERD_PEER_ROOT
	dir  string // as the peer sees it
	addr string
	api  string // of ejabberd's HTTP commands
}

func newPeer(t *testing.T, user string) *peer {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatalf("%s runs as the user of its package: this wants root", user)
	}
	root := os.Getenv("GABBERD_PEER_ROOT")
	dir, err := os.MkdirTemp(filepath.Join(root, "/tmp"), "gabberd-peer")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &peer{t: t, user: user, root: filepath.Join("/", root), addr: loopback(freePort(t))}
	p.dir = "/" + strings.TrimPrefix(strings.TrimPrefix(dir, p.root), "/")
	return p
}

// freePort is a port on which nothing listens, but for bad luck.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (p *peer) port() string {
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	return port
}

// write puts a file into the peer's directory.
func (p *peer) write(name, text string) {
	p.t.Helper()
	file := filepath.Join(p.root, p.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// command is a command in the peer's own Debian, as its user.
func (p *peer) command(args ...string) *exec.Cmd {
	p.t.Helper()
	if out, err := exec.Command("chroot", p.root, "chown", "-R", p.user, p.dir).CombinedOutput(); err != nil {
		p.t.Fatalf("chown: %v: %s", err, out)
	}
	cmd := exec.Command("chroot", append([]string{"--userspec=" + p.user + ":" + p.user, p.root,
		"/usr/bin/env", "HOME=" + p.dir, "USER=" + p.user}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// start starts the server and waits until it listens; it ends with the test.
func (p *peer) start(args ...string) {
	p.t.Helper()
	cmd := p.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // that it was killed is no news
	}()
	p.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if p.t.Failed() {
			p.t.Logf("%s said:\n%s", p.user, out.String())
		}
	})
	deadline := time.After(60 * time.Second)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		if conn, err := net.Dial("tcp", p.addr); err == nil {
			conn.Close()
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-ended:
			p.t.Fatalf("%s ended at once:\n%s", p.user, out.String())
		case <-deadline:
			p.t.Fatalf("%s does not listen on %s", p.user, p.addr)
		}
	}
}

// certificate writes key and certificate for every name below localhost.
func (p *peer) certificate(names []string) (pemFile string) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		p.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	p.write("cert.pem", cert)
	p.write("key.pem", private)
	p.write("all.pem", cert+private)
	return p.dir + "/all.pem"
}

// startEjabberd starts one ejabberd with a virtual host for each configuration.
func startEjabberd(t *testing.T, top options, hosts map[string]options) *peer {
	t.Helper()
	p := newPeer(t, "ejabberd")
	api := freePort(t)
	var names []any
	var dns []string
	for name := range hosts {
		names, dns = append(names, name), append(dns, name)
	}
	conf := base(mustAtoi(t, p.port())).with(options{
		"hosts":                names,
		"certfiles":            []any{p.certificate(dns)},
		"host_config":          hosts,
		"auth_method":          "internal",
		"auth_password_format": "scram",
		"registration_timeout": "infinity",
		"default_db":           "mnesia",
		"api_permissions": options{"tests": options{
			"from": []any{"mod_http_api"}, "who": options{"ip": "127.0.0.0/8"}, "what": []any{"*"},
		}},
	}).with(top)
	conf["listen"] = append(conf["listen"].([]any), options{
		"port": api, "ip": "127.0.0.1", "module": "ejabberd_http", "request_handlers": options{"/api": "mod_http_api"},
	})
	p.write("conf/ejabberd.yml", conf.text(t))
	if inetrc, err := os.ReadFile(filepath.Join(p.root, "/etc/ejabberd/inetrc")); err == nil {
		p.write("conf/inetrc", string(inetrc))
	}
	p.write("conf/ejabberdctl.cfg", fmt.Sprintf("INET_DIST_INTERFACE=127.0.0.1\nERL_DIST_PORT=%d\nERLANG_NODE=plays%d@localhost\n", freePort(t), api))
	for _, d := range []string{"log", "spool"} {
		p.write(d+"/.keep", "")
	}
	p.start("ejabberdctl", "--config-dir", p.dir+"/conf", "--logs", p.dir+"/log", "--spool", p.dir+"/spool",
		"--ctl-config", p.dir+"/conf/ejabberdctl.cfg", "foreground")
	p.api = fmt.Sprintf("http://%s/api/", loopback(api))
	return p
}

// register makes an account through ejabberd's HTTP API.
func (p *peer) register(t *testing.T, jid, password string) {
	t.Helper()
	user, host, _ := strings.Cut(jid, "@")
	body, err := json.Marshal(map[string]string{"user": user, "host": host, "password": password})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(p.api+"register", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("register %s: %s %s", jid, resp.Status, text)
	}
}
