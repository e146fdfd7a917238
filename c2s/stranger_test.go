package c2s_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// patience is how long something may take that will happen.
const patience = 30 * time.Second

// Pieces of streams.
const (
	header   = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
	askTLS   = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	nsSASL   = " xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
	features = "</stream:features>"
	farewell = "</stream:stream>"
)

// A stranger speaks to the server byte by byte, as no client library would let
// them.
type stranger struct {
	t    testing.TB
	tcp  *net.TCPConn
	conn net.Conn // tcp, or TLS on top of it
	got  bytes.Buffer
}

// connect connects and says nothing.
func (h *house) connect() *stranger {
	h.t.Helper()
	tcp, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	s := &stranger{t: h.t, tcp: tcp.(*net.TCPConn), conn: tcp}
	h.t.Cleanup(func() { tcp.Close() })
	return s
}

// secure puts TLS on top of the connection.
func (s *stranger) secure(c *tls.Config) *tls.Conn {
	s.t.Helper()
	t := tls.Client(s.tcp, c)
	if err := s.tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	if err := t.Handshake(); err != nil {
		s.t.Fatalf("handshake: %v", err)
	}
	s.conn = t
	return t
}

// insecure asks for no proof: it is not what these tests are about.
func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// send sends text as it is.
func (s *stranger) send(text string) {
	s.t.Helper()
	if err := s.try(text); err != nil {
		s.t.Fatalf("send: %v; received so far: %.500s", err, s.got.String())
	}
}

// try sends text, and tells when the server does not take it.
func (s *stranger) try(text string) error {
	if err := s.tcp.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.WriteString(s.conn, text)
	return err
}

// until reads to the end of a text and returns what came up to there; what comes
// behind it stays for the next call.
func (s *stranger) until(text string) string {
	s.t.Helper()
	b := make([]byte, 16<<10)
	for {
		if i := bytes.Index(s.got.Bytes(), []byte(text)); i >= 0 {
			return string(s.got.Next(i + len(text)))
		}
		if err := s.tcp.SetReadDeadline(time.Now().Add(patience)); err != nil {
			s.t.Fatal(err)
		}
		n, err := s.conn.Read(b)
		s.got.Write(b[:n])
		if n == 0 && err != nil {
			s.t.Fatalf("waiting for %s: %v; received: %.500s", text, err, s.got.String())
		}
	}
}

// rest reads until the server closes the connection.
func (s *stranger) rest() string {
	s.t.Helper()
	if err := s.tcp.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	_, err := s.got.ReadFrom(s.conn)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		s.t.Fatalf("the server does not close the connection; received: %.500s", s.got.String())
	}
	out := s.got.String()
	s.got.Reset()
	return out
}

// open opens a stream and returns what the server says to it.
func (s *stranger) open() string {
	s.t.Helper()
	s.send(header)
	return s.until(features)
}

// plain is the data of SASL PLAIN.
func plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

// login logs in by PLAIN and opens the new stream.
func (s *stranger) login(user string) {
	s.t.Helper()
	s.send("<auth" + nsSASL + " mechanism='PLAIN'>" + plain(user, "secret") + "</auth>")
	s.until("<success" + nsSASL)
	s.open()
}

// bind binds a resource and returns the answer.
func (s *stranger) bind(resource string) string {
	s.t.Helper()
	wish := ""
	if resource != "" {
		wish = "<resource>" + resource + "</resource>"
	}
	s.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>" + wish + "</bind></iq>")
	return s.until("</iq>")
}

// client connects, logs in and binds a resource, without encryption.
func (h *house) client(user, resource string) *stranger {
	h.t.Helper()
	s := h.connect()
	s.open()
	s.login(user)
	if got := s.bind(resource); !strings.Contains(got, "<jid>"+user+"@localhost/"+resource) {
		h.t.Fatalf("bind: %s", got)
	}
	return s
}

// available is client, and then presence.
func (h *house) available(user, resource string) *stranger {
	h.t.Helper()
	s := h.client(user, resource)
	s.send("<presence id='first'/>")
	s.until("id='first'/>")
	return s
}

// ended is the condition of the stream error in what was received, or
// "no error", if it ends as a stream has to.
func ended(t testing.TB, got string) string {
	t.Helper()
	if !strings.HasSuffix(got, farewell) {
		t.Errorf("the stream does not end properly: %s", got)
	}
	_, after, ok := strings.Cut(got, "<stream:error><")
	if !ok {
		return "no error"
	}
	return after[:strings.IndexAny(after, " />")]
}
