package storage_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// authority makes certificates for these tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	var raw []byte
	raw, a.key = a.sign("test authority", true)
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = cert
	return a
}

func (a *authority) sign(name string, isCA bool) ([]byte, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: isCA, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return raw, key
}

// certificate is a certificate and its key in PEM.
func (a *authority) certificate(name string) (cert, key string) {
	a.t.Helper()
	raw, private := a.sign(name, false)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func (a *authority) file(name, text string) string {
	a.t.Helper()
	if text == "" {
		text = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	}
	file := filepath.Join(a.t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// TestPasswordAndTLS connects over TCP to a server that wants a password, with
// and without TLS, and in all the ways that must not work.
func TestPasswordAndTLS(t *testing.T) {
	p, err := storagetest.Start("listen_addresses=127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	ours, theirs := newAuthority(t), newAuthority(t)
	cert, key := ours.certificate("postgres server")
	const password = "pass' word\\ =x"
	setup := storagetest.Serve(t, map[string]storage.SQL{"localhost": p.SQL()}).Host("localhost")
	for _, text := range []string{
		`CREATE ROLE xmpp LOGIN SUPERUSER PASSWORD '` + strings.ReplaceAll(password, "'", "''") + `'`,
		`COPY (SELECT unnest(string_to_array('` + cert + `', E'\n'))) TO PROGRAM 'cat > server.crt'`,
		`COPY (SELECT unnest(string_to_array('` + key + `', E'\n'))) TO PROGRAM 'umask 077; cat > server.key'`,
		`ALTER SYSTEM SET ssl = on`,
		`SELECT pg_reload_conf()`,
	} {
		exec(t, setup, text)
	}
	good := p.SQL()
	good.Server, good.Username, good.Password, good.StartInterval = "127.0.0.1", "xmpp", password, 10*time.Second
	own, ownKey := ours.certificate("gabberd")
	for _, c := range []struct {
		name   string
		change func(*storage.SQL)
		want   string // of the error; none if it opens
		tls    bool
	}{
		{"plain", func(*storage.SQL) {}, "", false},
		{"by a name", func(o *storage.SQL) { o.Server = "localhost" }, "", false},
		{"TLS", func(o *storage.SQL) { o.SSL = true }, "", true},
		{"TLS, checked", func(o *storage.SQL) { o.SSL, o.SSLVerify, o.CAFile = true, true, ours.file("ca.pem", "") }, "", true},
		{"TLS, with a certificate", func(o *storage.SQL) { o.SSL, o.CertFile = true, ours.file("own.pem", own+ownKey) }, "", true},
		{"wrong password", func(o *storage.SQL) { o.Password = "wrong-" + password }, "check sql_username, sql_password", false},
		{"no password", func(o *storage.SQL) { o.Password = "" }, "127.0.0.1", false},
		{"another authority", func(o *storage.SQL) { o.SSL, o.SSLVerify, o.CAFile = true, true, theirs.file("ca.pem", "") }, "unknown authority", false},
		{"no authority", func(o *storage.SQL) { o.SSL, o.SSLVerify = true, true }, "unknown authority", false},
		{"another name", func(o *storage.SQL) {
			o.Server, o.SSL, o.SSLVerify, o.CAFile = "localhost", true, true, ours.file("ca.pem", "")
		}, "localhost", false},
		{"a key without certificate", func(o *storage.SQL) { o.SSL, o.CertFile = true, ours.file("own.pem", ownKey) }, "sql_ssl_certfile", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good
			c.change(&o)
			if c.want != "" {
				o.StartInterval = 100 * time.Millisecond
				got, log := refusal(t, map[string]storage.SQL{"localhost": o})
				if !strings.Contains(got, c.want) {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if strings.Contains(got+log, password) {
					t.Errorf("the password is told: %s %s", got, log)
				}
				return
			}
			db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
			var tls bool
			if err := db.Get(t.Context(), []any{&tls}, `SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`); err != nil || tls != c.tls {
				t.Errorf("TLS is %v, %v", tls, err)
			}
			if s := fmt.Sprint(db); strings.Contains(s, password) || !strings.Contains(s, o.Server) {
				t.Errorf("the database calls itself %q", s)
			}
		})
	}
}
