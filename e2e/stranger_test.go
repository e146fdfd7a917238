package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// patience is how long something may take that will happen.
const patience = 20 * time.Second

// header is how a client's stream begins.
const header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

// A stranger speaks to the server byte by byte, as no client library would let
// them.
type stranger struct {
	t    *testing.T
	tcp  net.Conn
	conn net.Conn // tcp, or TLS on top of it
	got  bytes.Buffer
	n    int // requests made to see whether the stream is alive
}

// stranger connects and says nothing.
func (s *running) stranger(t *testing.T) *stranger {
	t.Helper()
	tcp, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	return &stranger{t: t, tcp: tcp, conn: tcp}
}

// login connects, encrypts, logs in and binds a resource, by hand.
func (s *running) login(t *testing.T, user, resource string) *stranger {
	t.Helper()
	c := s.stranger(t)
	c.send(header)
	c.until("</stream:features>")
	c.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	c.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	c.conn = tls.Client(c.tcp, &tls.Config{InsecureSkipVerify: true})
	c.send(header)
	c.until("</stream:features>")
	token := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00secret"))
	c.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + token + "</auth>")
	c.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'")
	c.send(header)
	c.until("</stream:features>")
	c.send("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>" + resource + "</resource></bind></iq>")
	c.until("</iq>")
	return c
}

// send sends text as it is.
func (c *stranger) send(text string) {
	c.t.Helper()
	if err := c.try(text); err != nil {
		c.t.Fatalf("send: %v; received so far: %s", err, c.got.String())
	}
}

// try sends text, and tells when the server does not take it.
func (c *stranger) try(text string) error {
	if err := c.tcp.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.WriteString(c.conn, text)
	return err
}

// until reads to the end of a text and returns what came before and with it.
func (c *stranger) until(text string) string {
	c.t.Helper()
	if err := c.tcp.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		if i := bytes.Index(c.got.Bytes(), []byte(text)); i >= 0 {
			return string(c.got.Next(i + len(text)))
		}
		n, err := c.conn.Read(b)
		c.got.Write(b[:n])
		if err != nil && !bytes.Contains(c.got.Bytes(), []byte(text)) {
			c.t.Fatalf("waiting for %s: %v; received: %s", text, err, c.got.String())
		}
	}
}

// end reads to the end of the connection and returns what came.
func (c *stranger) end() string {
	c.t.Helper()
	if err := c.tcp.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, err := c.conn.Read(b)
		c.got.Write(b[:n])
		if err == nil {
			continue
		}
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			c.t.Fatalf("the connection did not end; received: %s", c.got.String())
		}
		return c.got.String()
	}
}

// refused expects the end of the stream with an error.
func (c *stranger) refused(condition string) {
	c.t.Helper()
	got := c.end()
	if !strings.Contains(got, "<stream:error><"+condition+" xmlns='urn:ietf:params:xml:ns:xmpp-streams'") {
		c.t.Errorf("the stream did not end with %s; received: %.2000s", condition, got)
	}
	if !strings.HasSuffix(got, "</stream:stream>") {
		c.t.Errorf("the stream was not closed; received: %.2000s", got)
	}
}

// undisturbed checks that a session goes on, and that nothing has come to it.
func (c *stranger) undisturbed() {
	c.t.Helper()
	c.n++
	id := fmt.Sprintf("alive-%d", c.n)
	c.send("<iq type='get' id='" + id + "' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
	if got := c.until("</iq>"); !strings.Contains(got, id) || strings.Count(got, "<iq ") != 1 || strings.Contains(got, "<message") {
		c.t.Errorf("something reached a session that it does not concern: %s", got)
	}
}
