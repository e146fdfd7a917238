package targettest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gabberd/gabberd/modules/msgforward/target"
)

// The files of a server that wants TLS.
const (
	certFile = "cert.pem"
	keyFile  = "key.pem"
)

// Certificate makes one for 127.0.0.1 that has signed itself, and its key, in PEM.
func Certificate(t testing.TB) (cert, key []byte) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "targettest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text})
}

// Trusting is the configuration of somebody who trusts that certificate and no other.
func Trusting(cert []byte) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// certify gives the server a certificate.
func (s *Server) certify() {
	s.t.Helper()
	cert, key := Certificate(s.t)
	s.write(certFile, string(cert))
	s.write(keyFile, string(key))
}

// Trusted is the configuration of somebody who trusts the server's certificate.
func (s *Server) Trusted() *tls.Config {
	s.t.Helper()
	cert, err := os.ReadFile(s.file(certFile))
	if err != nil {
		s.t.Fatal(err)
	}
	return Trusting(cert)
}

// OnlyTrusted tries a queue that wants TLS: who trusts its certificate delivers to it,
// who trusts another one, or those of the system, does not. It leaves one message
// behind, with the id 1.
func OnlyTrusted(t *testing.T, url string, trusted *tls.Config) {
	t.Helper()
	other, _ := Certificate(t)
	for name, conf := range map[string]*tls.Config{"trusted": trusted, "another authority": Trusting(other), "those of the system": nil} {
		o, err := target.Open(t.Context(), url, target.Options{TLS: conf})
		if err != nil {
			t.Fatal(err)
		}
		err = o.Deliver(within(t, 20*time.Second), []target.Message{{ID: "1", Body: []byte("x")}})
		unknown := (*tls.CertificateVerificationError)(nil)
		if name == "trusted" && err != nil || name != "trusted" && !errors.As(err, &unknown) {
			t.Errorf("%s: %v", name, err)
		}
		if f := (*target.Final)(nil); errors.As(err, &f) {
			t.Errorf("%s: a certificate can be corrected, this is no reason to give up: %v", name, err)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
}
