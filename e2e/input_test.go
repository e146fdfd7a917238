package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestStrangers sends before login what no client sends. Each is told what is
// wrong, and a client that has logged in notices nothing (RFC 6120 §4.9.3, §11).
func TestStrangers(t *testing.T) {
	t.Parallel()
	s := startServer(t, "modules: {}")
	s.register("juliet@localhost", "secret")
	juliet := s.login(t, "juliet", "balcony")
	deep := strings.Repeat("<a>", 300)
	for _, c := range []struct{ name, text, condition string }{
		{"HTTP", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "not-well-formed"},
		{"binary", "\x16\x03\x01\x02\x00\x01\x00", "not-well-formed"},
		{"mismatched tags", header + "<a xmlns='urn:x'></b>", "not-well-formed"},
		{"no quotes", header + "<a b=c/>", "not-well-formed"},
		{"attribute twice", header + "<a b='1' b='2'/>", "not-well-formed"},
		{"attribute twice by namespace", header + "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", "not-well-formed"},
		{"unbound prefix", header + "<p:a/>", "not-well-formed"},
		{"control character", header + "<a>\x01</a>", "not-well-formed"},
		{"comment", header + "<!-- hello -->", "restricted-xml"},
		{"processing instruction", header + "<?php ?>", "restricted-xml"},
		{"document type", "<!DOCTYPE a [<!ENTITY b 'c'>]>" + header, "restricted-xml"},
		{"foreign entity", header + "<a>&nbsp;</a>", "restricted-xml"},
		{"not UTF-8", header + "<a>\xff\xfe</a>", "unsupported-encoding"},
		{"half a character", header + "<a>\xe2\x82</a>", "unsupported-encoding"},
		{"surrogate", header + "<a>\xed\xa0\x80</a>", "unsupported-encoding"},
		{"too long in UTF-8", header + "<a>\xc0\xaf</a>", "unsupported-encoding"},
		{"another encoding", "<?xml version='1.0' encoding='ISO-8859-1'?>" + header, "unsupported-encoding"},
		{"text between elements", header + "hello", "bad-format"},
		{"wrong stream namespace", strings.Replace(header, "etherx", "example", 1), "invalid-namespace"},
		{"wrong content namespace", strings.Replace(header, "jabber:client", "jabber:server", 1), "invalid-namespace"},
		{"unknown host", strings.Replace(header, "to='localhost'", "to='capulet.example'", 1), "host-unknown"},
		{"no version", strings.Replace(header, "version='1.0' ", "", 1), "unsupported-version"},
		{"stanza", header + "<message to='juliet@localhost/balcony'><body>Hi</body></message>", "not-authorized"},
		{"strange element", header + "<a xmlns='urn:x'/>", "unsupported-stanza-type"},
		{"bind before login", header + "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "not-authorized"},
		{"oversized", header + "<a>" + strings.Repeat("x", 10000), "policy-violation"},
		{"oversized attribute", header + "<a b='" + strings.Repeat("x", 10000), "policy-violation"},
		{"endless name", header + "<" + strings.Repeat("x", 10000), "policy-violation"},
		{"endless header", "<stream:stream to='localhost" + strings.Repeat("x", 10000), "policy-violation"},
		{"too deep", header + deep, "policy-violation"},
		{"too many elements", header + "<a>" + strings.Repeat("<b/>", 100), "policy-violation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			from := s.stranger(t)
			// The server may have hung up before all is sent.
			_ = from.try(c.text)
			from.refused(c.condition)
		})
	}
	juliet.undisturbed()
}

// TestStrangerDrips sends a login byte by byte; slowness is no offence.
func TestStrangerDrips(t *testing.T) {
	t.Parallel()
	s := startServer(t, "modules: {}")
	c := s.stranger(t)
	for _, b := range []byte("<?xml version='1.0'?>" + header) {
		c.send(string(b))
	}
	c.until("</stream:features>")
	for _, b := range []byte("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") {
		c.send(string(b))
	}
	c.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
}

// TestStrangerNeverLogsIn is put out when negotiation_timeout is over, at every
// point before login, while who has logged in may stay.
func TestStrangerNeverLogsIn(t *testing.T) {
	t.Parallel()
	s := startServer(t, "negotiation_timeout: 1\nmodules: {}")
	s.register("juliet@localhost", "secret")
	juliet := s.login(t, "juliet", "balcony")
	t.Run("strangers", func(t *testing.T) {
		for name, text := range map[string]string{
			"silent":       "",
			"white space":  "   ",
			"half a tag":   "<stream:stre",
			"only header":  header,
			"half a login": header + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>bix",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := s.stranger(t)
				c.send(text)
				c.refused("connection-timeout")
			})
		}
	})
	juliet.undisturbed()
}

// TestStrangersFlood opens many connections that say nothing or guess passwords;
// somebody else logs in and chats meanwhile.
func TestStrangersFlood(t *testing.T) {
	t.Parallel()
	s := startServer(t, "modules: {}")
	s.register("romeo@localhost", "secret")
	s.register("juliet@localhost", "secret")
	for range 150 {
		s.stranger(t)
	}
	guesses := strings.Repeat("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABndWVzcw==</auth>", 30)
	guesser := s.stranger(t)
	_ = guesser.try(header + guesses)
	romeo, juliet := s.login(t, "romeo", "orchard"), s.login(t, "juliet", "balcony")
	romeo.send("<message to='juliet@localhost/balcony' type='chat' id='m1'><body>Through the crowd</body></message>")
	if got := juliet.until("</message>"); !strings.Contains(got, "Through the crowd") {
		t.Errorf("received %s", got)
	}
	guesser.refused("policy-violation")
	if got := guesser.got.String(); strings.Contains(got, "<success") {
		t.Errorf("a guess succeeded: %s", got)
	}
}

// TestBadStanzas sends in a session what must not come: what breaks the stream
// ends it, what breaks one stanza is answered, and nobody else hears of it.
func TestBadStanzas(t *testing.T) {
	t.Parallel()
	s := startServer(t, "listen:\n  - max_stanza_size: 20000\nmodules: {}")
	for _, user := range []string{"romeo", "juliet"} {
		s.register(user+"@localhost", "secret")
	}
	juliet := s.login(t, "juliet", "balcony")
	to := "<message to='juliet@localhost/balcony' type='chat'>"
	for _, c := range []struct{ name, text, condition string }{
		{"malformed", to + "<body>Hi</message>", "not-well-formed"},
		{"not UTF-8", to + "<body>\xc3\x28</body></message>", "unsupported-encoding"},
		{"control character as reference", to + "<body>&#0;</body></message>", "not-well-formed"},
		{"comment inside", to + "<body>a<!-- b -->c</body></message>", "restricted-xml"},
		{"oversized", to + "<body>" + strings.Repeat("x", 30000) + "</body></message>", "policy-violation"},
		{"too deep", to + strings.Repeat("<a>", 1000), "policy-violation"},
		{"forged user", "<message from='juliet@localhost' to='juliet@localhost/balcony'><body>Hi</body></message>", "invalid-from"},
		{"forged resource", "<message from='romeo@localhost/other' to='juliet@localhost/balcony'><body>Hi</body></message>", "invalid-from"},
		{"forged server", "<presence from='localhost' to='juliet@localhost/balcony'/>", "invalid-from"},
		{"unknown stanza", "<letter to='juliet@localhost/balcony'/>", "unsupported-stanza-type"},
		{"foreign namespace", "<message xmlns='urn:x' to='juliet@localhost/balcony'/>", "unsupported-stanza-type"},
		{"second stream", header + "</stream:stream>", "unsupported-stanza-type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			romeo := s.login(t, "romeo", "orchard")
			_ = romeo.try(c.text)
			got := romeo.end()
			if !strings.Contains(got, "<stream:error><"+c.condition+" ") {
				t.Errorf("the stream did not end with %s; received: %.2000s", c.condition, got)
			}
		})
	}
	juliet.undisturbed()
}

// TestBadAddresses sends stanzas to what is no JID: each is answered with
// jid-malformed, and the stream goes on (RFC 6120 §8.3.3.8).
func TestBadAddresses(t *testing.T) {
	t.Parallel()
	s := startServer(t, "modules: {}")
	s.register("romeo@localhost", "secret")
	romeo := s.login(t, "romeo", "orchard")
	for i, to := range []string{"@", "@localhost", "juliet@", "a b@localhost", "juliet@localhost/", "&lt;@localhost", "a@b@c", strings.Repeat("x", 1024) + "@localhost", "juliet@local host"} {
		t.Run(fmt.Sprintf("%.20s", to), func(t *testing.T) {
			romeo.t = t
			romeo.send(fmt.Sprintf("<iq type='get' id='q%d' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>", i, to))
			got := romeo.until("</iq>")
			if !strings.Contains(got, fmt.Sprintf("id='q%d'", i)) || !strings.Contains(got, "<jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>") {
				t.Errorf("answered with %s", got)
			}
		})
	}
	romeo.t = t
	romeo.undisturbed()
}

// TestWhoNeverReads is sent more than anything between him and the server can
// hold. His session ends, his sender is not held up, and others are served.
func TestWhoNeverReads(t *testing.T) {
	t.Parallel()
	s := startServer(t, "modules: {}")
	for _, user := range []string{"romeo", "juliet", "stuck"} {
		s.register(user+"@localhost", "secret")
	}
	s.login(t, "stuck", "mud") // reads nothing from here on
	romeo, juliet := s.login(t, "romeo", "orchard"), s.login(t, "juliet", "balcony")
	burst := strings.Repeat("<message to='stuck@localhost/mud' type='chat' id='m'><body>"+strings.Repeat("x", 8000)+"</body></message>", 16)
	for sent := 0; ; sent++ {
		if sent == 1000 { // 128 MB
			t.Fatal("the session of who never reads does not end")
		}
		romeo.send(burst)
		romeo.n++
		id := fmt.Sprintf("sync-%d", romeo.n)
		romeo.send("<iq type='get' id='" + id + "' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
		if got := romeo.until(id); strings.Contains(got, "<service-unavailable") && strings.Contains(got, "stuck@localhost") {
			break
		}
		romeo.until("</iq>")
	}
	juliet.undisturbed()
	romeo.send("<message to='juliet@localhost/balcony' type='chat' id='m1'><body>Still here</body></message>")
	if got := juliet.until("</message>"); !strings.Contains(got, "Still here") {
		t.Errorf("received %s", got)
	}
}
