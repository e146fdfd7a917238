package server

import (
	"bytes"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func certFor(t *testing.T, hosts ...string) []byte {
	t.Helper()
	b, err := makeCertificate(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// parts cuts a PEM file into its certificate and its key.
func parts(b []byte) (cert, key []byte) {
	i := bytes.Index(b, []byte("-----BEGIN PRIVATE"))
	return b[:i], b[i:]
}

func TestCertificatesAreFoundByName(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.pem"), certFor(t, "a.example", "b.example"))
	cert, key := parts(certFor(t, "*.wild.example"))
	write(t, filepath.Join(dir, "w.crt.pem"), cert)
	write(t, filepath.Join(dir, "w.key.pem"), key)
	set, err := readCertificates([]string{filepath.Join(dir, "*.pem")})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		domain string
		found  bool
	}{
		{"a.example", true}, {"B.Example", true}, {"x.wild.example", true},
		{"wild.example", false}, {"x.y.wild.example", false}, {"c.example", false}, {"", false},
	} {
		if got := set.find(tt.domain); (got != nil) != tt.found {
			t.Errorf("%q: found %v", tt.domain, got != nil)
		} else if got != nil && got.Leaf.VerifyHostname(tt.domain) != nil {
			t.Errorf("%q gets the certificate of %v", tt.domain, got.Leaf.DNSNames)
		}
	}
}

func TestChainIsPutTogether(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "a.pem"), certFor(t, "a.example"))
	set, err := readCertificates([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(set.find("a.example").Certificate); n != 1 {
		t.Errorf("a self-signed certificate has a chain of %d", n)
	}
}

func TestUnusableCertificatesAreNamed(t *testing.T) {
	dir := t.TempDir()
	cert, key := parts(certFor(t, "a.example"))
	_, other := parts(certFor(t, "a.example"))
	for _, tt := range []struct {
		name string
		file string
		want string
	}{
		{"no key", write(t, filepath.Join(dir, "1"), cert), "certificate with its key"},
		{"another key", write(t, filepath.Join(dir, "2"), append(bytes.Clone(cert), other...)), "certificate with its key"},
		{"no certificate", write(t, filepath.Join(dir, "3"), key), "certificate with its key"},
		{"garbage inside", write(t, filepath.Join(dir, "4"), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")), filepath.Join(dir, "4")},
		{"missing", filepath.Join(dir, "5"), "there is no file"},
	} {
		if _, err := readCertificates([]string{tt.file}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestChangedCertificatesAreTakenUp(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "a.pem"), certFor(t, "a.example"))
	conf := &configuration{global: global{Certfiles: []string{file}}, hosts: []*hostConfig{{domain: "a.example"}}}
	c, err := newCertificates(dir, conf, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string { return c.set.Load().find("a.example").Leaf.SerialNumber.String() }
	before, stamp := serial(), c.set.Load().stamp
	write(t, file, certFor(t, "a.example", "longer.example"))
	if stampOf([]string{file}) == stamp {
		t.Fatal("a changed file has the same stamp")
	}
	if err := c.refresh(); err != nil || serial() == before {
		t.Errorf("the new certificate was not taken up: %v", err)
	}
	write(t, file, []byte("half a certificate"))
	now := serial()
	if err := c.refresh(); err == nil || serial() != now {
		t.Errorf("a broken file has replaced a good certificate: %v", err)
	}
}

func TestSelfSignedIsKeptUntilHostsChange(t *testing.T) {
	dir := t.TempDir()
	get := func(hosts ...string) *x509.Certificate {
		t.Helper()
		c, err := selfSigned(dir, hosts)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	a := get("a.example")
	if b := get("a.example"); !a.Equal(b) {
		t.Error("a new certificate although nothing has changed")
	}
	c := get("a.example", "b.example")
	if c.Equal(a) || c.VerifyHostname("b.example") != nil {
		t.Error("the certificate is not for the new host")
	}
	st, err := os.Stat(filepath.Join(dir, "self-signed.pem"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key can be read by others: %v, %v", st.Mode(), err)
	}
}
