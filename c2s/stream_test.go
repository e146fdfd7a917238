package c2s_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp/stream"
)

func TestHeaders(t *testing.T) {
	h := newHouse(t, nil)
	const rest = " xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
	for _, c := range []struct{ what, in, want string }{
		{"a plain one", header, ""},
		{"with a declaration", "<?xml version='1.0'?>" + header, ""},
		{"with an encoding", "<?xml version='1.0' encoding='UTF-8'?>\n" + header, ""},
		{"double quotes", strings.ReplaceAll(header, "'", `"`), ""},
		{"a higher minor version", "<stream:stream to='localhost' version='1.7'" + rest, ""},
		{"the domain in capitals", "<stream:stream to='LocalHost' version='1.0'" + rest, ""},
		{"a language", "<stream:stream to='localhost' version='1.0' xml:lang='de'" + rest, ""},
		{"another prefix", "<s:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>", ""},
		{"from", "<stream:stream to='localhost' from='romeo@localhost' version='1.0'" + rest, ""},

		{"another domain", "<stream:stream to='elsewhere.example' version='1.0'" + rest, "host-unknown"},
		{"no to", "<stream:stream version='1.0'" + rest, "improper-addressing"},
		{"empty to", "<stream:stream to='' version='1.0'" + rest, "improper-addressing"},
		{"to a user", "<stream:stream to='romeo@localhost' version='1.0'" + rest, "improper-addressing"},
		{"to a resource", "<stream:stream to='localhost/x' version='1.0'" + rest, "improper-addressing"},
		{"to nonsense", "<stream:stream to='a b' version='1.0'" + rest, "improper-addressing"},
		{"no version", "<stream:stream to='localhost'" + rest, "unsupported-version"},
		{"version 0.9", "<stream:stream to='localhost' version='0.9'" + rest, "unsupported-version"},
		{"version 2.0", "<stream:stream to='localhost' version='2.0'" + rest, "unsupported-version"},
		{"version 10.0", "<stream:stream to='localhost' version='10.0'" + rest, "unsupported-version"},
		{"another namespace for streams", "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='streams'>", "invalid-namespace"},
		{"another content", "<stream:stream to='localhost' version='1.0' xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>", "invalid-namespace"},
		{"no namespace at all", "<stream to='localhost' version='1.0'>", "invalid-namespace"},
		{"another element", "<stream:strom to='localhost' version='1.0'" + rest, "bad-format"},
		{"another protocol", "GET / HTTP/1.1\r\n\r\n", "not-well-formed"},
		{"a DTD", "<!DOCTYPE x>" + header, "restricted-xml"},
		{"another encoding", "<?xml version='1.0' encoding='ISO-8859-1'?>" + header, "unsupported-encoding"},
		{"nothing but NUL", "\x00\x00\x00\x00", "not-well-formed"},
	} {
		s := h.connect()
		s.send(c.in)
		if c.want == "" {
			if got := s.until(features); !strings.Contains(got, "from='localhost'") || !strings.Contains(got, "<mechanism>PLAIN</mechanism>") {
				t.Errorf("%s: %s", c.what, got)
			}
			end := farewell
			if c.what == "another prefix" {
				end = "</s:stream>"
			}
			s.send(end)
			if got := ended(t, s.rest()); got != "no error" {
				t.Errorf("%s: ended with %s", c.what, got)
			}
			continue
		}
		got := s.rest()
		if e := ended(t, got); e != c.want {
			t.Errorf("%s: ended with %s, want %s", c.what, e, c.want)
		}
		if !strings.HasPrefix(got, "<?xml version='1.0'?><stream:stream ") {
			t.Errorf("%s: an error outside of a stream: %s", c.what, got)
		}
	}
}

func TestStreamIDsDiffer(t *testing.T) {
	h := newHouse(t, nil)
	seen := map[string]bool{}
	for range 3 {
		_, id, _ := strings.Cut(h.connect().open(), " id='")
		id, _, _ = strings.Cut(id, "'")
		if len(id) < 20 || seen[id] {
			t.Errorf("stream id %q", id)
		}
		seen[id] = true
	}
}

// stages are how far a client can come before it does something wrong.
var stages = map[string]func(*stranger){
	"new":    func(*stranger) {},
	"opened": func(s *stranger) { s.open() },
	"authed": func(s *stranger) { s.open(); s.login("romeo") },
	"bound":  func(s *stranger) { s.open(); s.login("romeo"); s.bind("x") },
}

func TestStreamErrors(t *testing.T) {
	h := newHouse(t, func(o *c2s.Options) { o.MaxStanza, o.MaxElements = 20_000, 100 })
	deep := func(n int) string { return strings.Repeat("<a>", n) }
	for _, c := range []struct{ stage, in, want string }{
		{"opened", "<message to='romeo@localhost'/>", "not-authorized"},
		{"opened", "<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>", "not-authorized"},
		{"opened", "<foo xmlns='bar'/>", "unsupported-stanza-type"},
		{"opened", "<auth xmlns='bar' mechanism='PLAIN'/>", "unsupported-stanza-type"},
		{"opened", "<foo" + nsSASL + "/>", "unsupported-stanza-type"},
		{"opened", askTLS, "policy-violation"}, // not offered
		{"opened", "text", "bad-format"},
		{"opened", "<a></b>", "not-well-formed"},
		{"opened", "<a x='1' x='2'/>", "not-well-formed"},
		{"opened", "<!-- c -->", "restricted-xml"},
		{"opened", "<?pi?>", "restricted-xml"},
		{"opened", "<a>&foo;</a>", "restricted-xml"},
		{"opened", "<a>\xff</a>", "unsupported-encoding"},
		{"opened", "<a>" + strings.Repeat("x", 9000), "policy-violation"},
		{"opened", deep(40), "policy-violation"}, // pre_auth_max_stanza_elements
		{"opened", strings.Repeat(" ", 10_000), "policy-violation"},

		{"authed", "<message to='romeo@localhost'/>", "not-authorized"},
		{"authed", "<presence/>", "not-authorized"},
		{"authed", "<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>", "not-authorized"},
		{"authed", "<iq type='set' id='1' from='juliet@localhost'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "invalid-from"},
		{"authed", "<auth" + nsSASL + " mechanism='PLAIN'/>", "unsupported-stanza-type"},

		{"bound", "<foo xmlns='bar'/>", "unsupported-stanza-type"},
		{"bound", "<foo/>", "unsupported-stanza-type"},
		{"bound", "<auth" + nsSASL + " mechanism='PLAIN'/>", "unsupported-stanza-type"},
		{"bound", "<message from='juliet@localhost' to='romeo@localhost'/>", "invalid-from"},
		{"bound", "<message from='romeo@localhost/other' to='romeo@localhost'/>", "invalid-from"},
		{"bound", "<message from='not@an@address' to='romeo@localhost'/>", "invalid-from"},
		{"bound", "<x:message xmlns:x='jabber:client' to='romeo@localhost'/>", "bad-namespace-prefix"},
		{"bound", "text", "bad-format"},
		{"bound", "<message><body>" + strings.Repeat("x", 20_000), "policy-violation"},
		{"bound", "<message>" + strings.Repeat("<a/>", 200), "policy-violation"},
		{"bound", "<message>" + deep(101), "policy-violation"},
		{"bound", "<message to='romeo@localhost'><!-- c --></message>", "restricted-xml"},
		{"bound", header, "policy-violation"},
		{"bound", farewell, "no error"},
		{"opened", farewell, "no error"},
		{"authed", farewell, "no error"},
	} {
		s := h.connect()
		stages[c.stage](s)
		if c.in == header {
			// A stream in a stream is an element that never ends.
			s.send(header + strings.Repeat("<a/>", 200))
		} else {
			s.send(c.in)
		}
		if got := ended(t, s.rest()); got != c.want {
			t.Errorf("%s, %.60q: ended with %s, want %s", c.stage, c.in, got, c.want)
		}
	}
}

func TestNegotiationTimeout(t *testing.T) {
	h := newHouse(t, nil)
	h.patience.Store(int64(50 * time.Millisecond))
	for _, stage := range []string{"new", "opened"} {
		s := h.connect()
		if stage == "opened" {
			s.send(header)
		}
		if got := ended(t, s.rest()); got != "connection-timeout" {
			t.Errorf("%s: ended with %s", stage, got)
		}
	}
	h.patience.Store(int64(time.Minute))
}

// A client that has come in time is not sent away later.
func TestDeadlineEndsWithBind(t *testing.T) {
	h := newHouse(t, nil)
	h.patience.Store(int64(2 * time.Second))
	s := h.client("romeo", "x")
	slow := h.connect()
	if got := ended(t, slow.rest()); got != "connection-timeout" { // it came later, so romeo's time is over too
		t.Errorf("ended with %s", got)
	}
	s.send("<message to='romeo@localhost/x' id='alive'/>")
	s.until("id='alive'")
}

func TestDirectTLSThatNeverShakesHands(t *testing.T) {
	h := newHouse(t, direct)
	h.patience.Store(int64(50 * time.Millisecond))
	if got := h.connect().rest(); got != "" {
		t.Errorf("the server said %q in the clear", got)
	}
	h.patience.Store(int64(time.Minute))
	s := h.connect()
	s.send(header) // no handshake either
	if got := s.rest(); strings.Contains(got, "stream") {
		t.Errorf("the server said %q in the clear", got)
	}
}

func TestHookMayRefuseAStream(t *testing.T) {
	h := newHouse(t, nil)
	sm.StreamStarted.Add(h.hook(), hooks.Normal, func(_ context.Context, e *stream.Error, s *sm.Stream) (*stream.Error, hooks.Flow) {
		if s.Lang == "tlh" {
			return stream.PolicyViolation.With("No Klingon"), hooks.Stop
		}
		return e, hooks.Next
	})
	s := h.connect()
	s.send(strings.Replace(header, " version", " xml:lang='tlh' version", 1))
	if got := ended(t, s.rest()); got != "policy-violation" {
		t.Errorf("ended with %s", got)
	}
	h.connect().open()
}

// A client may send everything at once, and one byte at a time.
func TestPipelinedAndDripping(t *testing.T) {
	all := header + "<auth" + nsSASL + " mechanism='PLAIN'>" + plain("romeo", "secret") + "</auth>" + header +
		"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind></iq>" +
		"<presence/><message to='romeo@localhost' id='m'><body>hi</body></message>" + farewell
	h := newHouse(t, nil)
	for _, step := range []int{len(all), 1, 7} {
		s := h.connect()
		go func() {
			for b := all; len(b) > 0; b = b[min(step, len(b)):] {
				if s.try(b[:min(step, len(b))]) != nil {
					return // whoever reads finds out
				}
			}
		}()
		got := s.rest()
		if ended(t, got) != "no error" || len(bodies(got)) != 1 {
			t.Errorf("%d bytes at a time: %s", step, got)
		}
	}
}
