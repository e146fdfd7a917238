package takeover

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/gabberd/gabberd/admin/control"
	"github.com/gabberd/gabberd/modules/all"
	"github.com/gabberd/gabberd/server"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// formats are the virtual hosts of a site: one for each form in which ejabberd
// 23.01 stores passwords.
var formats = map[string]map[string]any{
	"plain.localhost":  {"auth_password_format": "plain"},
	"scram.localhost":  {"auth_password_format": "scram", "auth_scram_hash": "sha"},
	"strong.localhost": {"auth_password_format": "scram", "auth_scram_hash": "sha256"},
}

// A site is what one server leaves to the next: a configuration, addresses,
// and databases.
type site struct {
	dir       string
	owner     owner
	multiHost bool
	domains   []string
	databases map[string]*database // by domain
	options   map[string]any       // of ejabberd.yml
	ports     struct{ client, api int }
}

// newSite makes databases and a configuration that both servers read.
func newSite(t *testing.T, v storagetest.Variant) *site {
	t.Helper()
	o, err := findOwner()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "gabberd-takeover") // t.TempDir lies below a directory that is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &site{dir: dir, owner: o, multiHost: v.Flavour == storage.MultiHost, databases: map[string]*database{}}
	s.domains = slices.Sorted(maps.Keys(formats))
	if s.multiHost && !v.PostgreSQL {
		s.domains = s.domains[2:] // two hosts of ejabberd's lock each other out of one SQLite file
	}
	for _, dir := range []string{"conf", "log", "spool", "gabberd"} {
		if err := os.Mkdir(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, domain := range s.domains {
		if first := s.first(); s.multiHost && first != nil {
			s.databases[domain] = first
			continue
		}
		s.databases[domain] = makeDatabase(t, v, s.path("spool/"+domain+".db"))
	}
	s.ports.client, s.ports.api = freePort(t), freePort(t)
	s.configure(t)
	s.handOver(t)
	return s
}

// first is any of the databases, nil if there is none yet.
func (s *site) first() *database {
	for _, d := range s.databases {
		return d
	}
	return nil
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }
func (s *site) config() string          { return s.path("conf/ejabberd.yml") }
func (s *site) client() string          { return fmt.Sprintf("127.0.0.1:%d", s.ports.client) }
func (s *site) api() string             { return fmt.Sprintf("127.0.0.1:%d", s.ports.api) }

// freePort is a port on which nothing listens. It is not one of those that the
// kernel gives to connections: for a while nobody has it.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		n, err := rand.Int(rand.Reader, big.NewInt(12000))
		if err != nil {
			t.Fatal(err)
		}
		port := 20000 + int(n.Int64())
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no free port found")
	return 0
}

// handOver gives the files to ejabberd's user, as an operator would who lets
// ejabberd follow on another server.
func (s *site) handOver(t *testing.T) {
	t.Helper()
	if err := s.owner.own(s.dir); err != nil {
		t.Fatal(err)
	}
}

// configure writes ejabberd.yml.
func (s *site) configure(t *testing.T) {
	t.Helper()
	type m = map[string]any
	hosts, each := []any{}, m{}
	for _, domain := range s.domains {
		hosts = append(hosts, domain)
		own := maps.Clone(formats[domain])
		if !s.multiHost {
			maps.Copy(own, s.databases[domain].options())
		}
		each[domain] = own
	}
	s.options = m{
		"hosts": hosts, "loglevel": "warning", "host_config": each,
		"certfiles":      []any{s.certificate(t)},
		"default_db":     "sql",
		"auth_method":    "sql",
		"new_sql_schema": s.multiHost,
		"listen": []any{
			m{"port": s.ports.client, "ip": "127.0.0.1", "module": "ejabberd_c2s", "starttls": true},
			m{"port": s.ports.api, "ip": "127.0.0.1", "module": "ejabberd_http", "request_handlers": m{"/api": "mod_http_api"}},
		},
		"api_permissions": m{"tests": m{"from": []any{"mod_http_api"}, "who": m{"ip": "127.0.0.0/8"}, "what": []any{"*"}}},
		"modules": m{
			"mod_admin_extra": m{}, "mod_last": m{}, "mod_offline": m{}, "mod_private": m{}, "mod_roster": m{}, "mod_vcard": m{},
		},
	}
	maps.Copy(s.options, s.first().options())
	text, err := yaml.Marshal(s.options)
	if err == nil {
		err = os.WriteFile(s.config(), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// certificate writes a key and a certificate for every domain into one file.
func (s *site) certificate(t *testing.T) (file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	tmpl.DNSNames = append(tmpl.DNSNames, s.domains...)
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	file = s.path("conf/all.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// gabberd is our server on the same site, in this process.
type gabberd struct {
	site  *site
	end   context.CancelFunc
	ended chan error
	log   diary
}

// startGabberd starts it on the site's configuration. The test ends it if
// nobody else does.
func startGabberd(t *testing.T, s *site) *gabberd {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	g := &gabberd{site: s, end: end, ended: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		g.ended <- server.Run(ctx, server.Options{
			Config: s.config(), Data: s.path("gabberd"), Modules: all.Modules,
			Log:   slog.New(slog.NewTextHandler(&g.log, nil)),
			Ready: func(server.Addresses) { close(ready) },
		})
		close(g.ended)
	}()
	t.Cleanup(func() {
		g.end()
		<-g.ended
		if t.Failed() {
			t.Logf("gabberd said:\n%s", g.log.String())
		}
	})
	select {
	case <-ready:
	case err := <-g.ended:
		t.Fatalf("gabberd did not start: %v\n%s", err, g.log.String())
	}
	return g
}

// stop ends it, waits until it is gone, and leaves the site to ejabberd.
func (g *gabberd) stop(t *testing.T) {
	t.Helper()
	g.end()
	if err := <-g.ended; err != nil {
		t.Errorf("gabberd ended with %v", err)
	}
	g.site.handOver(t)
}

// command has gabberd carry out a command.
func (g *gabberd) command(t *testing.T, name string, args ...string) {
	t.Helper()
	var out, complaint bytes.Buffer
	exit, err := control.Call(t.Context(), g.site.path("gabberd/"+control.SocketName), control.Request{Command: name, Args: args}, &out, &complaint)
	if err != nil || exit != 0 {
		t.Errorf("gabberd: %s %s: exit code %d, %v: %s%s", name, strings.Join(args, " "), exit, err, out.String(), complaint.String())
	}
}

// diary keeps what a server logs.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *diary) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(b)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}
