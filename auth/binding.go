package auth

import (
	"crypto"
	_ "crypto/sha256" // the hashes of certificates
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// The types of channel binding.
const (
	tlsExporter       = "tls-exporter"         // RFC 9266
	tlsUnique         = "tls-unique"           // RFC 5929 §3, only before TLS 1.3
	tlsServerEndPoint = "tls-server-end-point" // RFC 5929 §4
)

// bindings are the types of channel binding that a stream has, the strongest
// first.
func bindings(s Stream) []string {
	if s.TLS == nil {
		return nil
	}
	var list []string
	if s.TLS.Version >= tls.VersionTLS13 {
		list = append(list, tlsExporter)
	} else if len(s.TLS.TLSUnique) > 0 {
		list = append(list, tlsUnique)
	}
	if s.ServerCertificate != nil && certificateHash(s.ServerCertificate) != 0 {
		list = append(list, tlsServerEndPoint)
	}
	return list
}

// binding is the data of a type that is in bindings.
func binding(s Stream, kind string) ([]byte, error) {
	switch kind {
	case tlsExporter:
		return s.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	case tlsUnique:
		return s.TLS.TLSUnique, nil
	case tlsServerEndPoint:
		h := certificateHash(s.ServerCertificate).New()
		h.Write(s.ServerCertificate.Raw)
		return h.Sum(nil), nil
	}
	return nil, fmt.Errorf("there is no channel binding %q", kind)
}

// certificateHash is the hash of tls-server-end-point: that of the certificate's
// signature, but SHA-256 for weaker ones. Signatures without a hash of their own
// have no such binding.
func certificateHash(c *x509.Certificate) crypto.Hash {
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		return crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		return crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		return crypto.SHA512
	}
	return 0
}
