package e2e

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Pieces of a login by SASL2.
const (
	authenticate = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='"
	phone        = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>Test</software><device>Bench</device></user-agent>"
	bind2        = "<bind xmlns='urn:xmpp:bind:0'><tag>Test</tag></bind>"
)

// byPassword is a login by PLAIN, with what is wanted besides.
func byPassword(user, password, inline string) string {
	return authenticate + "PLAIN'><initial-response>" + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)) + "</initial-response>" + inline + "</authenticate>"
}

// byToken is a login with a token over this connection.
func byToken(t *testing.T, c *stranger, user, token, inline string) string {
	t.Helper()
	state := c.conn.(*tls.Conn).ConnectionState()
	bound, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	if err != nil {
		t.Fatal(err)
	}
	m := hmac.New(sha256.New, []byte(token))
	m.Write(append([]byte("Initiator"), bound...))
	return authenticate + "HT-SHA-256-EXPR'><initial-response>" + base64.StdEncoding.EncodeToString(m.Sum([]byte(user+"\x00"))) +
		"</initial-response><fast xmlns='urn:xmpp:fast:0'/>" + inline + "</authenticate>"
}

// directTLS is the listener that encrypts from the first byte, so that nothing stands
// before the handshake.
const directTLS = "listen: [{tls: true}]\n"

// encrypted connects to a listener with direct TLS, and counts what the client reads.
func (s *running) encrypted(t *testing.T) (c *stranger, reads *atomic.Int64) {
	t.Helper()
	c = s.stranger(t)
	counted := &countedConn{Conn: c.tcp}
	conn := tls.Client(counted, &tls.Config{InsecureSkipVerify: true})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.conn = conn
	return c, &counted.turns
}

// A countedConn counts how often it is read from after it was written to: how often
// its user has waited for the other end.
type countedConn struct {
	net.Conn
	wrote atomic.Bool
	turns atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.wrote.Store(true)
	return c.Conn.Write(b)
}

func (c *countedConn) Read(b []byte) (int, error) {
	if c.wrote.Swap(false) {
		c.turns.Add(1)
	}
	return c.Conn.Read(b)
}

// between cuts out what stands between two texts.
func between(t *testing.T, in, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(in, from)
	out, _, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("nothing between %s and %s in %s", from, to, in)
	}
	return out
}

// token logs in with the password and returns a token.
func (s *running) token(t *testing.T, user string) string {
	t.Helper()
	c, _ := s.encrypted(t)
	c.send(header + byPassword(user, "secret", phone+"<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/>"))
	return between(t, c.until("</success>"), "token='", "'")
}

// A client that comes back says everything in one go and waits once: for its token to
// be accepted, its session, and all that it has switched on.
func TestReconnectionIsOneRoundTrip(t *testing.T) {
	s := startServer(t, directTLS+"modules: {mod_auth_fast: {}}")
	s.register("romeo@localhost", "secret")
	token := s.token(t, "romeo")
	c, turns := s.encrypted(t)
	before := turns.Load()
	c.send(header + byToken(t, c, "romeo", token, phone+bind2) + "<presence/><iq type='get' id='p1' to='localhost'><query xmlns='none'/></iq>")
	got := c.until("id='p1'")
	if n := turns.Load() - before; n != 1 {
		t.Errorf("%d round trips", n)
	}
	full := between(t, got, "<authorization-identifier>", "</authorization-identifier>")
	if !strings.HasPrefix(full, "romeo@localhost/Test/") || !strings.Contains(got, "<bound") || !strings.Contains(s.ctl("connected_users"), full) {
		t.Errorf("got %s", got)
	}
}

func TestDevicesAreListedAndRevoked(t *testing.T) {
	s := startServer(t, directTLS+"modules: {mod_auth_fast: {}}")
	s.register("romeo@localhost", "secret")
	token := s.token(t, "romeo")
	c, _ := s.encrypted(t)
	c.send(header + byToken(t, c, "romeo", token, phone+bind2))
	c.until("</success>")
	other, _ := s.encrypted(t)
	other.send(header + byPassword("romeo", "secret", strings.Replace(phone, "d4565fa7", "00000000", 1)+bind2))
	other.until("</success>")
	list := ""
	for end := time.Now().Add(patience); strings.Count(list, "\n") < 2 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		list = s.ctl("list_devices", "romeo", "localhost") // a login does not wait for the device to be remembered
	}
	for _, want := range []string{"d4565fa7-4d72-4749-b3d3-740edbf87770\tTest\tBench\t20", "\t127.0.0.1\ttrue\n", "00000000-4d72-4749-b3d3-740edbf87770", "\tfalse\n"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in %s", want, list)
		}
	}
	if strings.Contains(list, token) {
		t.Error("the token is shown")
	}
	s.ctl("revoke_device", "romeo", "localhost", "d4565fa7-4d72-4749-b3d3-740edbf87770")
	c.refused("policy-violation")
	c, _ = s.encrypted(t)
	c.send(header + byToken(t, c, "romeo", token, phone+bind2))
	if got := c.until("</failure>"); !strings.Contains(got, "<not-authorized") {
		t.Errorf("with a revoked token: %s", got)
	}
	other.undisturbed()
	if list := s.ctl("list_devices", "romeo", "localhost"); strings.Contains(list, "d4565fa7") || !strings.Contains(list, "00000000") {
		t.Errorf("left: %s", list)
	}
}

// Passwords are kept as keys of SHA-1; a client that has proved one makes those of
// SHA-256, and can log in by them when the server is told to offer that.
func TestPasswordIsUpgraded(t *testing.T) {
	const fallback = directTLS + "auth_password_format: scram\nmodules: {mod_scram_upgrade: {offered_upgrades: [sha256]}}\n"
	s := startServer(t, fallback)
	s.register("romeo@localhost", "secret")
	c, _ := s.encrypted(t)
	c.send(header)
	if got := c.until("</stream:features>"); !strings.Contains(got, "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade></authentication>") {
		t.Errorf("offered: %s", got)
	}
	wish := "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade><upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>"
	c.send(byPassword("romeo", "secret", wish+bind2))
	c.until("<tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>")
	c.send("<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>")
	ask := c.until("</task-data>")
	salt, err := base64.StdEncoding.DecodeString(between(t, ask, "iterations='4096'>", "</salt>"))
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(sha256.New, "secret", salt, 4096, sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	c.send("<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>" + base64.StdEncoding.EncodeToString(salted) + "</hash></task-data>")
	if got := c.until("</success>"); !strings.Contains(got, "romeo@localhost/Test/") {
		t.Errorf("got %s", got)
	}
	c, _ = s.encrypted(t) // there is nothing left to do
	c.send(header + byPassword("romeo", "secret", wish))
	c.until("</success>")
	c, _ = s.encrypted(t)
	c.send(header + byPassword("romeo", "wrong", wish))
	if got := c.until("</failure>"); strings.Contains(got, "continue") {
		t.Errorf("whoever does not know the password is asked for another form of it: %s", got)
	}
}
