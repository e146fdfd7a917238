package server

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// watchInterval is how often certificate files are looked at.
const watchInterval = 5 * time.Second

// certificates are what is shown to clients: those of certfiles and, where they
// have none for a host, one that we signed ourselves.
type certificates struct {
	data  string
	log   *slog.Logger
	files atomic.Pointer[[]string] // the option certfiles
	set   atomic.Pointer[certSet]
}

// certSet is all certificates of one moment.
type certSet struct {
	byName map[string]*tls.Certificate // lower case; "*.example.org" too
	own    *tls.Certificate            // self-signed
	stamp  string                      // of the files
	count  int
}

func newCertificates(data string, conf *configuration, log *slog.Logger) (*certificates, error) {
	c := &certificates{data: data, log: log}
	return c, c.use(conf)
}

// use takes up the certificate options of a configuration.
func (c *certificates) use(conf *configuration) error {
	var hosts []string
	for _, h := range conf.hosts {
		hosts = append(hosts, h.domain)
	}
	files := conf.global.Certfiles
	set, err := readCertificates(files)
	if err != nil {
		return err
	}
	if set.own, err = selfSigned(c.data, hosts); err != nil {
		return err
	}
	c.files.Store(&files)
	c.set.Store(set)
	if set.count > 0 {
		for _, h := range hosts {
			if set.find(h) == nil {
				c.log.Warn("no certificate in certfiles is for this host; its clients get a self-signed one", "host", h)
			}
		}
	}
	return nil
}

// watch reads the files again when they have changed, until ctx ends. Files that
// cannot be used leave everything as it was.
func (c *certificates) watch(ctx context.Context) {
	t := time.NewTicker(watchInterval)
	defer t.Stop()
	failed := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := stampOf(*c.files.Load())
		if now == c.set.Load().stamp || now == failed {
			continue
		}
		if err := c.refresh(); err != nil {
			failed = now
			c.log.Error("changed certificates cannot be used; the old ones stay", "error", err)
			continue
		}
		c.log.Info("certificates were read again")
	}
}

// refresh reads the files again.
func (c *certificates) refresh() error {
	set, err := readCertificates(*c.files.Load())
	if err != nil {
		return err
	}
	set.own = c.set.Load().own
	c.set.Store(set)
	return nil
}

// Certificate is what to show to a client that wants domain. It is part of
// c2s.Server.
func (s *Server) Certificate(domain string) (*tls.Certificate, error) {
	set := s.certs.set.Load()
	if cert := set.find(domain); cert != nil {
		return cert, nil
	}
	if domain != "" && !s.serves(domain) {
		return nil, fmt.Errorf("no certificate for %q", domain)
	}
	return set.own, nil
}

// find is the certificate for a domain, by name or by wildcard (RFC 6125 §6.4.3).
func (s *certSet) find(domain string) *tls.Certificate {
	domain = strings.ToLower(domain)
	if c := s.byName[domain]; c != nil {
		return c
	}
	if _, parent, ok := strings.Cut(domain, "."); ok {
		return s.byName["*."+parent]
	}
	return nil
}

// expand is the files that the patterns of certfiles stand for.
func expand(patterns []string) (files []string, err error) {
	for _, p := range patterns {
		p = strings.TrimPrefix(p, "file://")
		list, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", p, err)
		}
		if len(list) == 0 && !strings.ContainsAny(p, "*?[") {
			return nil, fmt.Errorf("there is no file %s", p)
		}
		files = append(files, list...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// stampOf changes when the files change, also when a link points elsewhere.
func stampOf(patterns []string) string {
	files, err := expand(patterns)
	if err != nil {
		return err.Error()
	}
	var s strings.Builder
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			fmt.Fprintln(&s, f, err)
			continue
		}
		fmt.Fprintln(&s, f, st.ModTime().UnixNano(), st.Size())
	}
	return s.String()
}

// readCertificates reads all files and puts certificates and keys together,
// whichever files they are in.
func readCertificates(patterns []string) (*certSet, error) {
	set := &certSet{byName: map[string]*tls.Certificate{}, stamp: stampOf(patterns)}
	files, err := expand(patterns)
	if err != nil {
		return nil, err
	}
	var m pems
	for _, f := range files {
		if err := m.read(f); err != nil {
			return nil, err
		}
	}
	for i, leaf := range m.certs {
		key := m.keyOf(leaf.cert)
		if key == nil {
			continue
		}
		set.add(&tls.Certificate{Certificate: m.chain(i), PrivateKey: key, Leaf: leaf.cert})
	}
	if len(files) > 0 && set.count == 0 {
		return nil, fmt.Errorf("none of %s holds a certificate with its key", strings.Join(files, ", "))
	}
	return set, nil
}

// add makes cert the one for its names, unless there is one that is valid for
// longer.
func (s *certSet) add(cert *tls.Certificate) {
	s.count++
	names := slices.Clone(cert.Leaf.DNSNames)
	if len(names) == 0 {
		names = append(names, cert.Leaf.Subject.CommonName)
	}
	for _, n := range names {
		n = strings.ToLower(n)
		if old := s.byName[n]; old == nil || old.Leaf.NotAfter.Before(cert.Leaf.NotAfter) {
			s.byName[n] = cert
		}
	}
}

// pems is what was found in files.
type pems struct {
	certs []pemCert
	keys  []crypto.Signer
}

type pemCert struct {
	cert *x509.Certificate
	file string
}

func (m *pems) read(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w; the user that the server runs as (%s) must be able to read it", err, whoami())
	}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			return nil
		}
		switch {
		case block.Type == "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			m.certs = append(m.certs, pemCert{cert, file})
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			key, err := parseKey(block.Bytes)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			m.keys = append(m.keys, key)
		}
	}
}

func parseKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if s, ok := k.(crypto.Signer); ok {
			return s, nil
		}
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	return nil, errors.New("a private key that cannot be read; is it encrypted?")
}

func (m *pems) keyOf(cert *x509.Certificate) crypto.Signer {
	for _, k := range m.keys {
		if pub, ok := k.Public().(interface{ Equal(crypto.PublicKey) bool }); ok && pub.Equal(cert.PublicKey) {
			return k
		}
	}
	return nil
}

// chain is the certificate i and those that have signed it, as far as they are
// there.
func (m *pems) chain(i int) [][]byte {
	cert := m.certs[i].cert
	out := [][]byte{cert.Raw}
	for len(out) < 10 && string(cert.RawIssuer) != string(cert.RawSubject) {
		j := slices.IndexFunc(m.certs, func(p pemCert) bool { return cert.CheckSignatureFrom(p.cert) == nil })
		if j < 0 {
			break
		}
		cert = m.certs[j].cert
		out = append(out, cert.Raw)
	}
	return out
}
