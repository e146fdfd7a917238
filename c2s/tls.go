package c2s

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// handshake encrypts the connection. domain is what the client wants if it does
// not say so in the handshake. It blocks, within the deadline for logging in.
func (c *Conn) handshake(domain string) error {
	c.login.domain = domain
	if !c.out.silence() {
		return errors.New("TLS handshake: the client has not read what it was sent before")
	}
	c.sock.async = false
	t := tls.Server(c.sock, c.l.tls)
	// Without a context, which would cost a goroutine: Close interrupts it.
	c.sock.cork()
	err := t.Handshake()
	c.sock.uncork()
	state := t.ConnectionState()
	// With TLS 1.3 the client has all that it waits for, and the ticket goes with the
	// stream header.
	if err != nil || state.Version < tls.VersionTLS13 {
		if e := c.sock.flush(); err == nil {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.sock.async = true
	c.stream.TLS = &state
	c.tls = t
	c.out.encrypt(t)
	c.framer.Reset()
	c.state = greeting
	c.login = &login{failures: c.login.failures} // what was agreed on in the clear does not count
	return nil
}

// tlsConfig is the same for all clients of a listener, so that they can resume
// TLS sessions.
func (l *Listener) tlsConfig() *tls.Config {
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"xmpp-client"}, // XEP-0368 §4
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			c := hello.Conn.(*socket).owner
			cert, err := c.certificate(hello.ServerName, c.login.domain)
			if err == nil {
				c.cert = cert.Leaf
			}
			return cert, err
		},
	}
	if l.Verify {
		conf.ClientAuth, conf.ClientCAs = tls.VerifyClientCertIfGiven, l.cas
	}
	return conf
}

// certificate is that of the name in the handshake or, without one that is ours,
// of domain.
func (c *Conn) certificate(name, domain string) (*tls.Certificate, error) {
	if name != "" {
		if cert, err := c.l.server.Certificate(name); err == nil {
			return cert, nil
		}
	}
	return c.l.server.Certificate(domain)
}

// startTLS deals with <starttls/> (RFC 6120 §5).
func (c *Conn) startTLS() error {
	if !c.mayEncrypt() {
		c.write([]byte("<failure xmlns='" + nsTLS + "'/>"))
		return stream.PolicyViolation.With("There is no STARTTLS here")
	}
	c.write([]byte("<proceed xmlns='" + nsTLS + "'/>"))
	return errHandshake
}

func readPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read cafile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("read cafile: " + file + " has no certificate in PEM form")
	}
	return pool, nil
}
