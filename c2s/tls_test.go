package c2s_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/c2s"
)

func TestStartTLS(t *testing.T) {
	h := newHouse(t, starttls)
	s := h.connect()
	if got := s.open(); !strings.Contains(got, askTLS) || !strings.Contains(got, "<mechanism>") {
		t.Errorf("optional encryption: %s", got)
	}
	s.send(askTLS)
	s.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	state := s.secure(insecure()).ConnectionState()
	if state.PeerCertificates[0].DNSNames[0] != "localhost" {
		t.Errorf("certificate of %s", state.PeerCertificates[0].DNSNames)
	}
	if got := s.open(); strings.Contains(got, "starttls") || !strings.Contains(got, "SCRAM-SHA-1-PLUS") {
		t.Errorf("encrypted: %s", got)
	}
	s.login("romeo")
	s.bind("x")
	if sess := h.session("romeo@localhost/x"); sess.Transport() != "c2s_tls" || !sess.TLS() {
		t.Errorf("transport %s", sess.Transport())
	}
	// Encrypted twice there is not.
	s.send(askTLS)
	if got := ended(t, s.rest()); got != "unsupported-stanza-type" {
		t.Errorf("a second starttls: %s", got)
	}
}

func TestStartTLSTwice(t *testing.T) {
	h := newHouse(t, starttls)
	s := h.connect()
	s.open()
	s.send(askTLS)
	s.until("<proceed")
	s.until("/>")
	s.secure(insecure())
	s.open()
	s.send(askTLS)
	if got := s.rest(); !strings.Contains(got, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") || ended(t, got) != "policy-violation" {
		t.Errorf("got %s", got)
	}
}

func TestEncryptionRequired(t *testing.T) {
	h := newHouse(t, func(o *c2s.Options) { o.StartTLSRequired = true })
	s := h.connect()
	if got := s.open(); !strings.Contains(got, "<required/>") || strings.Contains(got, "mechanism") {
		t.Errorf("got %s", got)
	}
	for _, m := range []string{"PLAIN", "SCRAM-SHA-1", "ANONYMOUS"} {
		s.send("<auth" + nsSASL + " mechanism='" + m + "'>" + plain("romeo", "secret") + "</auth>")
		if got := s.until("</failure>"); !strings.Contains(got, "<encryption-required/>") {
			t.Errorf("%s in the clear: %s", m, got)
		}
	}
	s.send("<message to='romeo@localhost'/>")
	if got := ended(t, s.rest()); got != "not-authorized" {
		t.Errorf("a stanza in the clear: %s", got)
	}
}

// What a man in the middle puts behind <starttls/> must not be read as if it had
// come encrypted (CVE-2011-0411 and its children).
func TestPlaintextBehindStartTLS(t *testing.T) {
	h := newHouse(t, starttls)
	for _, injected := range []string{
		header,
		header + "<auth" + nsSASL + " mechanism='PLAIN'>" + plain("romeo", "secret") + "</auth>",
		"x", "\n x",
	} {
		s := h.connect()
		s.open()
		s.send(askTLS + injected)
		if err := s.tcp.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := s.rest(); ended(t, got) != "policy-violation" || strings.Contains(got, "<success") {
			t.Errorf("%.20q: got %s", injected, got)
		}
	}
	// The same, in a packet of its own.
	s := h.connect()
	s.open()
	s.send(askTLS)
	s.until("<proceed")
	s.until("/>")
	s.send(header)
	if got := s.rest(); strings.Contains(got, "stream") {
		t.Errorf("what came instead of a handshake was answered: %q", got)
	}
}

func TestNothingIsKeptFromBeforeTheHandshake(t *testing.T) {
	h := newHouse(t, starttls)
	s := h.connect()
	s.open()
	s.send("<auth" + nsSASL + " mechanism='SCRAM-SHA-1'>biwsbj1yb21lbyxyPWFiY2RlZmdo</auth>")
	s.until("</challenge>")
	s.send(askTLS)
	s.until("<proceed")
	s.until("/>")
	s.secure(insecure())
	s.open()
	s.send("<response" + nsSASL + ">eA==</response>")
	if got := s.until("</failure>"); !strings.Contains(got, "malformed-request") {
		t.Errorf("a login that began in the clear went on: %s", got)
	}
}

func TestCertificateByName(t *testing.T) {
	for _, c := range []struct {
		sni, to string
		direct  bool
		want    string
	}{
		{"second.example", "localhost", false, "second.example"},
		{"", "second.example", false, "second.example"},
		{"", "localhost", false, "localhost"},
		{"unknown.example", "second.example", false, "second.example"},
		{"second.example", "", true, "second.example"},
		{"localhost", "", true, "localhost"},
		{"", "", true, "localhost"},
	} {
		h := newHouse(t, func(o *c2s.Options) { o.TLS, o.StartTLS = c.direct, !c.direct })
		s := h.connect()
		if !c.direct {
			s.send(strings.Replace(header, "'localhost'", "'"+c.to+"'", 1))
			s.until(features)
			s.send(askTLS)
			s.until("<proceed")
			s.until("/>")
		}
		conf := insecure()
		conf.ServerName = c.sni
		if got := s.secure(conf).ConnectionState().PeerCertificates[0].DNSNames[0]; got != c.want {
			t.Errorf("%+v: certificate of %s", c, got)
		}
	}
}

func TestDirectTLS(t *testing.T) {
	h := newHouse(t, direct)
	for _, alpn := range [][]string{nil, {"xmpp-client"}, {"h2", "xmpp-client"}} {
		s := h.connect()
		conf := insecure()
		conf.NextProtos = alpn
		if got := s.secure(conf).ConnectionState().NegotiatedProtocol; alpn != nil && got != "xmpp-client" {
			t.Errorf("%q: negotiated %q", alpn, got)
		}
		if got := s.open(); strings.Contains(got, "starttls") {
			t.Errorf("STARTTLS is offered inside TLS: %s", got)
		}
		s.login("romeo")
		s.bind("x")
		s.send(farewell)
		if got := ended(t, s.rest()); got != "no error" {
			t.Errorf("ended with %s", got)
		}
	}
	conf := insecure()
	conf.NextProtos = []string{"http/1.1"}
	s := h.connect()
	if err := tls.Client(s.tcp, conf).Handshake(); err == nil {
		t.Error("somebody who wants another protocol got in") // ALPACA
	}
	old := insecure()
	old.MaxVersion = tls.VersionTLS11
	if err := tls.Client(h.connect().tcp, old).Handshake(); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// wiretap is a connection that keeps what the server has sent.
type wiretap struct {
	net.Conn
	got []byte
}

func (w *wiretap) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.got = append(w.got, b[:n]...)
	return n, err
}

// A stream that ends without TLS saying so looks cut off.
func TestTLSEndsProperly(t *testing.T) {
	h := newHouse(t, direct)
	s := h.connect()
	w := &wiretap{Conn: s.tcp}
	conf := insecure()
	conf.MaxVersion = tls.VersionTLS12 // where a record says what it is
	s.conn = tls.Client(w, conf)
	s.open()
	s.send(farewell)
	s.rest()
	var last byte
	for b := w.got; len(b) >= 5; b = b[5+int(b[3])<<8+int(b[4]):] {
		last = b[0]
	}
	if last != 21 { // alert
		t.Errorf("the last record is of type %d", last)
	}
}

func TestTLSSessionIsResumed(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		h := newHouse(t, direct)
		conf := insecure()
		conf.ServerName, conf.MaxVersion = "localhost", version
		conf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i, want := range []bool{false, true} {
			s := h.connect()
			conn := s.secure(conf)
			s.open()
			s.login("romeo")
			s.bind("x")
			if got := conn.ConnectionState().DidResume; got != want {
				t.Errorf("TLS %x, connection %d: resumed %v", version, i+1, got)
			}
			s.send(farewell)
			s.rest()
		}
	}
}

// Records that the client splits, and several in one packet, make no difference.
func TestTLSInPieces(t *testing.T) {
	h := newHouse(t, direct)
	s := h.connect()
	s.secure(insecure())
	s.open()
	s.login("romeo")
	s.bind("x")
	body := strings.Repeat("wherefore ", 5000) // some records long
	text := "<message to='romeo@localhost/x' id='1'><body>" + body + "</body></message>"
	for b := text; len(b) > 0; b = b[min(777, len(b)):] {
		s.send(b[:min(777, len(b))])
	}
	s.send(strings.Replace(text, "id='1'", "id='2'", 1))
	s.until("id='1'")
	got := s.until("id='2'") + s.until("</message>")
	if list := bodies(got); len(list) != 2 || list[0] != body || list[1] != body {
		t.Errorf("%d bodies", len(list))
	}
	if _, err := s.tcp.Write([]byte("garbage that is no record")); err != nil {
		t.Fatal(err)
	}
	if err := readToEnd(s.conn); err == nil {
		t.Error("garbage between records was survived")
	}
}

// readToEnd reads until there is nothing more, and tells why.
func readToEnd(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
