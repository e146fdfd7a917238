package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// selfSigned is a certificate for all hosts that nobody else vouches for, so
// that a new server can encrypt at once. It is kept in the data directory and
// made anew when the hosts change or it runs out.
func selfSigned(data string, hosts []string) (*tls.Certificate, error) {
	name := filepath.Join(data, "self-signed.pem")
	if b, err := os.ReadFile(name); err == nil {
		if cert, err := tls.X509KeyPair(b, b); err == nil && fits(cert.Leaf, hosts) {
			return &cert, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the self-signed certificate: %w", err)
	}
	b, err := makeCertificate(hosts)
	if err != nil {
		return nil, fmt.Errorf("make a self-signed certificate: %w", err)
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		return nil, fmt.Errorf("keep the self-signed certificate: %w", err)
	}
	cert, err := tls.X509KeyPair(b, b)
	return &cert, err
}

// fits reports whether cert is for all hosts and will be for a month.
func fits(cert *x509.Certificate, hosts []string) bool {
	for _, h := range hosts {
		if cert.VerifyHostname(h) != nil {
			return false
		}
	}
	return time.Now().AddDate(0, 1, 0).Before(cert.NotAfter)
}

// makeCertificate makes a key and a certificate, in PEM form.
func makeCertificate(hosts []string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: hosts[0]},
		DNSNames:              hosts,
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(2, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
		return nil, err
	}
	err = pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return b.Bytes(), err
}
