package xmpp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

const header = `<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:h='urn:h'>`

// frame is the element x as it comes out of a client's stream.
func frame(t testing.TB, x string) *stream.Frame {
	t.Helper()
	f := stream.New(stream.Limits{})
	_, n, err := next(f, []byte(header))
	if err != nil || n != len(header) {
		t.Fatalf("header: %d, %v", n, err)
	}
	fr, n, err := next(f, []byte(x))
	if err != nil || fr.Kind != stream.Element || n != len(x) {
		t.Fatalf("%s: %v, %d, %v", x, fr.Kind, n, err)
	}
	return &fr
}

var romeo = xmpp.MustParse("romeo@localhost/orchard")

func TestReadStanzaStampsTheSender(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`<message to='juliet@localhost'><body>hi</body></message>`,
			`<message to='juliet@localhost' from='romeo@localhost/orchard' xml:lang='en'><body>hi</body></message>`},
		{`<message from='romeo@localhost' to="juliet@localhost" xml:lang='it' id='a&amp;b' type='chat'/>`,
			`<message to='juliet@localhost' from='romeo@localhost/orchard' id='a&amp;b' type='chat' xml:lang='it'/>`},
		{`<message><body/></message>`,
			`<message to='romeo@localhost' from='romeo@localhost/orchard' xml:lang='en'><body/></message>`},
		{`<presence/>`, `<presence from='romeo@localhost/orchard' xml:lang='en'/>`},
		{`<message xmlns='jabber:client' xmlns:y='urn:y' y:z="it's" to='a@b'><y:a/></message>`,
			`<message to='a@b' from='romeo@localhost/orchard' xml:lang='en' xmlns:y='urn:y' y:z="it's"><y:a/></message>`},
		{`<message to='a@b'><h:a/></message>`,
			`<message to='a@b' from='romeo@localhost/orchard' xml:lang='en' xmlns:h='urn:h'><h:a/></message>`},
	} {
		st, err := xmpp.ReadStanza(frame(t, tt.in), romeo, "en")
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if got := string(st.AppendXML(nil)); got != tt.want {
			t.Errorf("%s\n became %s\n    want %s", tt.in, got, tt.want)
		}
	}
}

func TestReadStanzaRefuses(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want error
	}{
		{`<message from='juliet@localhost' to='a@b'/>`, xmpp.ErrForged},
		{`<message from='romeo@localhost/other' to='a@b'/>`, xmpp.ErrForged},
		{`<message from='localhost' to='a@b'/>`, xmpp.ErrForged},
		{`<message from='@' to='a@b'/>`, xmpp.ErrForged},
		{`<message to='@'/>`, xmpp.ErrJID},
		{`<massage to='a@b'/>`, xmpp.ErrNoStanza},
		{`<h:message to='a@b'/>`, xmpp.ErrNoStanza},
	} {
		st, err := xmpp.ReadStanza(frame(t, tt.in), romeo, "en")
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.in, err, tt.want)
		}
		if errors.Is(tt.want, xmpp.ErrJID) && (st == nil || !st.To.IsZero()) {
			t.Errorf("%s: no stanza to bounce", tt.in)
		}
	}
}

// A stanza's memory is its own: what happens to the buffer it came in must not
// matter.
func TestStanzaOutlivesItsBuffer(t *testing.T) {
	in := []byte(`<message to='juliet@localhost/balcony' id='x1' type='chat'><body>hello</body></message>`)
	f := stream.New(stream.Limits{})
	if _, _, err := next(f, []byte(header)); err != nil {
		t.Fatal(err)
	}
	fr, _, err := next(f, in)
	if err != nil {
		t.Fatal(err)
	}
	st, err := xmpp.ReadStanza(&fr, romeo, "")
	if err != nil {
		t.Fatal(err)
	}
	before := st.String()
	for i := range in {
		in[i] = '#'
	}
	if st.String() != before || st.To.Resource() != "balcony" || st.Body() != "hello" {
		t.Errorf("the stanza became %s", st)
	}
}

func TestReadingAllocatesOnce(t *testing.T) {
	fr := frame(t, `<message to='juliet@localhost/balcony' id='x1' type='chat'><body>hello</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>`)
	n := testing.AllocsPerRun(100, func() {
		if _, err := xmpp.ReadStanza(fr, romeo, "en"); err != nil {
			t.Fatal(err)
		}
	})
	if n > 1 {
		t.Errorf("reading a stanza allocates %v times: once is its memory, the rest is waste", n)
	}
	st, err := xmpp.ReadStanza(fr, romeo, "en")
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf = st.AppendXML(buf[:0]) }); n != 0 {
		t.Errorf("writing a stanza allocates %v times", n)
	}
}

func TestBounceSwapsAndKeepsThePayload(t *testing.T) {
	st, err := xmpp.ReadStanza(frame(t, `<iq type='get' id='1' to='a@b'><q xmlns='urn:q'/></iq>`), romeo, "")
	if err != nil {
		t.Fatal(err)
	}
	got := st.Bounce(xmpp.ServiceUnavailable.WithText("no <one>")).String()
	want := `<iq to='romeo@localhost/orchard' from='a@b' id='1' type='error'><q xmlns='urn:q'/>` +
		`<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>` +
		`<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>no &lt;one&gt;</text></error></iq>`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	back, err := xmpp.ParseXML([]byte(strings.Replace(got, "<iq ", "<iq xmlns='jabber:client' ", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if e := xmpp.ParseError(back); !errors.Is(e, xmpp.ServiceUnavailable) || e.Text != "no <one>" {
		t.Errorf("read back: %v", e)
	}
	for _, x := range []string{`<iq type='result' id='1' to='a@b'/>`, `<message type='error' to='a@b'/>`} {
		if st, _ := xmpp.ReadStanza(frame(t, x), romeo, ""); st.Bounces() {
			t.Errorf("%s would be bounced", x)
		}
	}
}

func TestWithAndFilterLeaveTheOriginalAlone(t *testing.T) {
	st, err := xmpp.ReadStanza(frame(t, `<message to='a@b'><body>x</body><n xmlns='urn:n'/></message>`), romeo, "")
	if err != nil {
		t.Fatal(err)
	}
	before := st.String()
	one, two := st.With(xmpp.El("urn:1", "one")), st.With(xmpp.El("urn:2", "two"))
	if !one.Has("urn:1", "one") || one.Has("urn:2", "two") || two.Has("urn:1", "one") {
		t.Errorf("copies share memory: %s / %s", one, two)
	}
	rest := st.Filter(func(e *xmpp.Element) bool { return e.NS != "urn:n" })
	if rest.Has("urn:n", "n") || rest.Body() != "x" {
		t.Errorf("filtered: %s", rest)
	}
	if st.String() != before {
		t.Errorf("the original became %s", st)
	}
}

func BenchmarkReadStanza(b *testing.B) {
	fr := frame(b, `<message to='juliet@localhost/balcony' id='x1' type='chat'><body>hello</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := xmpp.ReadStanza(fr, romeo, "en"); err != nil {
			b.Fatal(err)
		}
	}
}

// next is the framer's Next, for who wants a frame of his own.
func next(f *stream.Framer, b []byte) (fr stream.Frame, n int, err error) {
	n, err = f.Next(b, &fr)
	return fr, n, err
}

// Alone, a stanza is the same text whether it is written as one or as an element.
func TestStanzaAlone(t *testing.T) {
	for _, x := range []string{
		`<presence/>`,
		`<message to='juliet@localhost' type='chat' id='a&amp;b'><body>hi</body></message>`,
		`<message xmlns:x='urn:x' x:a="1'2" to='juliet@localhost'><x:b/></message>`,
		`<iq type='get' id='1'><h:q/><q xmlns='urn:q'/></iq>`,
	} {
		st, err := xmpp.ReadStanza(frame(t, x), romeo, "en")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := st.XML(), st.Element().XML(); got != want {
			t.Errorf("%s:\n%s\nas an element\n%s", x, got, want)
		}
		again, err := xmpp.ParseXML([]byte(st.XML()))
		if err != nil || again.XML() != st.XML() {
			t.Errorf("%s: read again %s, %v", st.XML(), again, err)
		}
	}
}
