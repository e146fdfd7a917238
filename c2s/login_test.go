package c2s_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"mellium.im/sasl"
	mellium "mellium.im/xmpp"
	"mellium.im/xmpp/jid"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// mechanisms are what the independent client knows.
var mechanisms = []sasl.Mechanism{sasl.Plain, sasl.ScramSha1, sasl.ScramSha256, sasl.ScramSha1Plus, sasl.ScramSha256Plus}

// visit logs in as a client that is not ours does.
func (h *house) visit(user, password string, m sasl.Mechanism, encrypt bool) (*mellium.Session, error) {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	list := []mellium.StreamFeature{mellium.SASL("", password, m), mellium.BindResource()}
	if encrypt {
		list = append(list, mellium.StartTLS(insecure()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return mellium.NewClientSession(ctx, jid.MustParse(user+"@localhost"), conn, list...)
}

func TestAnotherClientLogsIn(t *testing.T) {
	h := newHouse(t, starttls)
	for _, m := range mechanisms {
		session, err := h.visit("romeo", "secret", m, true)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
			continue
		}
		if got := h.session(session.LocalAddr().String()); got.JID.Local() != "romeo" || got.Auth != "sql" || got.Transport() != "c2s_tls" {
			t.Errorf("%s: %+v", m.Name, got)
		}
		if err := session.Close(); err != nil {
			t.Errorf("%s: close: %v", m.Name, err)
		}
		for _, c := range []struct{ user, password string }{{"romeo", "wrong"}, {"romeo", ""}, {"tybalt", "secret"}} {
			if _, err := h.visit(c.user, c.password, m, true); err == nil {
				t.Errorf("%s: %+v got in", m.Name, c)
			}
		}
	}
}

func TestLoginFailures(t *testing.T) {
	h := newHouse(t, nil)
	auth := func(mechanism, data string) string {
		return "<auth" + nsSASL + " mechanism='" + mechanism + "'>" + data + "</auth>"
	}
	for _, c := range []struct{ what, in, want string }{
		{"wrong password", auth("PLAIN", plain("romeo", "wrong")), "not-authorized"},
		{"no such user", auth("PLAIN", plain("tybalt", "secret")), "not-authorized"},
		{"no user", auth("PLAIN", plain("", "secret")), "malformed-request"},
		{"unknown mechanism", auth("KERBEROS", ""), "invalid-mechanism"},
		{"no mechanism", auth("", ""), "invalid-mechanism"},
		{"channel binding in the clear", auth("SCRAM-SHA-1-PLUS", ""), "invalid-mechanism"},
		{"no base64", auth("PLAIN", "?"), "incorrect-encoding"},
		{"base64 with junk behind it", auth("PLAIN", plain("romeo", "secret")+"="), "incorrect-encoding"},
		{"no message", auth("PLAIN", "eA=="), "malformed-request"},
		{"a response to nothing", "<response" + nsSASL + ">eA==</response>", "malformed-request"},
		{"an abort", "<abort" + nsSASL + "/>", "aborted"},
		{"for somebody else", auth("PLAIN", "anVsaWV0QGxvY2FsaG9zdAByb21lbwBzZWNyZXQ="), "invalid-authzid"},
	} {
		s := h.connect()
		s.open()
		s.send(c.in)
		if got := s.until("</failure>"); !strings.Contains(got, "<"+c.want+"/>") {
			t.Errorf("%s: %s", c.what, got)
		}
		s.login("romeo") // the next try may succeed
		s.send(farewell)
		s.rest()
	}
}

func TestPlainWithoutInitialResponse(t *testing.T) {
	h := newHouse(t, nil)
	s := h.connect()
	s.open()
	s.send("<auth" + nsSASL + " mechanism='PLAIN'/>")
	if got := s.until("</challenge>"); strings.Contains(got, "=<") {
		t.Errorf("an empty challenge: %s", got)
	}
	s.send("<response" + nsSASL + ">" + plain("romeo", "secret") + "</response>")
	s.until("<success")
	s.open()
	s.bind("x")
}

func TestTooManyFailedLogins(t *testing.T) {
	h := newHouse(t, nil)
	s := h.connect()
	s.open()
	for range c2s.MaxFailures - 1 {
		s.send("<auth" + nsSASL + " mechanism='PLAIN'>" + plain("romeo", "wrong") + "</auth>")
		s.until("</failure>")
	}
	s.send("<auth" + nsSASL + " mechanism='PLAIN'>" + plain("romeo", "wrong") + "</auth>" +
		"<auth" + nsSASL + " mechanism='PLAIN'>" + plain("romeo", "secret") + "</auth>")
	got := s.rest()
	if ended(t, got) != "policy-violation" || strings.Contains(got, "<success") {
		t.Errorf("after the tenth: %s", got)
	}
}

func TestAnonymous(t *testing.T) {
	h := newHouse(t, nil)
	s := h.connect()
	s.open()
	s.send("<auth" + nsSASL + " mechanism='ANONYMOUS'/>")
	s.until("<success")
	s.open()
	got := s.bind("x")
	_, full, _ := strings.Cut(got, "<jid>")
	full, _, _ = strings.Cut(full, "</jid>")
	if sess := h.session(full); !sess.Anonymous {
		t.Errorf("%s is not anonymous", full)
	}
	s.send(farewell)
	s.rest()
}

func TestAccessRuleOfTheListener(t *testing.T) {
	h := newHouse(t, func(o *c2s.Options) { o.Access = acl.NewAccess("none") })
	s := h.connect()
	s.open()
	s.login("romeo")
	if got := s.bind("x"); !strings.Contains(got, "<not-allowed") {
		t.Errorf("got %s", got)
	}
	if n := h.first().Sessions.Count(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

func TestLoginIsForTheHostOfTheStream(t *testing.T) {
	h := newHouse(t, nil)
	s := h.connect()
	s.open()
	s.send("<auth" + nsSASL + " mechanism='PLAIN'>" + plain("romeo", "secret") + "</auth>")
	s.until("<success")
	s.send(strings.Replace(header, "'localhost'", "'second.example'", 1))
	if got := ended(t, s.rest()); got != "host-unknown" {
		t.Errorf("changed the host after the login: %s", got)
	}
}

// A client that may send a byte a second is not read any more, and still gone at
// once when it has to.
func TestShaperStopsReading(t *testing.T) {
	h := newHouse(t, func(o *c2s.Options) { o.Shaper = acl.NewLimit("slow") })
	n, err := config.Parse("test", []byte("shaper: {slow: 1}\nshaper_rules: {slow: slow}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var rules acl.Options
	if wrong, _ := config.Decode(n, &rules); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	h.first().Rules.Replace(rules)
	s := h.client("romeo", "x")
	// What it has sent to bind is worth two minutes already.
	s.send("<message to='romeo@localhost/x' id='1'/>")
	h.client("juliet", "x") // time for the server to read, if it did
	h.session("romeo@localhost/x").Close(stream.PolicyViolation)
	if got := s.rest(); ended(t, got) != "policy-violation" || strings.Contains(got, "id='1'") {
		t.Errorf("got %s", got)
	}
}
