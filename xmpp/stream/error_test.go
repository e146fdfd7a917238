package stream_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"testing"

	"github.com/gabberd/gabberd/xmpp/stream"
)

func TestErrorOnTheWire(t *testing.T) {
	for _, c := range []struct {
		err  *stream.Error
		want string
	}{
		{stream.NotWellFormed, `<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`},
		{stream.PolicyViolation.With("too <big> & 'bad'"), `<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>` +
			`<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>too &lt;big&gt; &amp; &apos;bad&apos;</text></stream:error>`},
		{stream.SeeOtherHost.At("[2001:db8::1]:5222"), `<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[2001:db8::1]:5222</see-other-host></stream:error>`},
	} {
		if got := string(c.err.AppendXML(nil)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		fr, err := stream.New(stream.Limits{}).Document(c.err.AppendDocument(nil))
		if err != nil || string(fr.NS) != "http://etherx.jabber.org/streams" || string(fr.Name) != "error" {
			t.Errorf("%v as a document: %s, %v", c.err, show(fr), err)
		}
	}
}

func TestErrorsAreComparedByCondition(t *testing.T) {
	err := fmt.Errorf("read: %w", stream.PolicyViolation.With("too big"))
	if !errors.Is(err, stream.PolicyViolation) || errors.Is(err, stream.NotWellFormed) {
		t.Errorf("%v is taken for another condition", err)
	}
	if stream.PolicyViolation.Text != "" {
		t.Error("With changed the variable")
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{stream.Conflict, "stream error: conflict"},
		{stream.Conflict.With("replaced"), "stream error: conflict: replaced"},
	} {
		if c.err.Error() != c.want {
			t.Errorf("got %q, want %q", c.err, c.want)
		}
	}
}

func TestEscapedMeansTheSameAgain(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain é 😀":                "plain é 😀",
		`<>&'"`:                    `<>&'"`,
		"a\tb\nc\rd":               "a\tb\nc\rd",
		"\x00\x1f\xff\uFFFE\uFFFF": "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD",
		"a\xC3":                    "a\uFFFD",
		"]]>":                      "]]>",
		"\uFFFD":                   "\uFFFD",
	} {
		esc := stream.AppendEscaped(nil, in)
		for _, doc := range []string{`<a b='` + string(esc) + `'/>`, `<a b="` + string(esc) + `"/>`} {
			fr, err := stream.New(stream.Limits{}).Document([]byte(doc))
			if err != nil {
				t.Fatalf("%q: %v", doc, err)
			}
			if got := string(stream.AppendValue(nil, fr.Attr("b"))); got != want {
				t.Errorf("%q as a value is %q", in, got)
			}
		}
		if got := string(stream.AppendText(nil, esc)); got != want {
			t.Errorf("%q as text is %q", in, got)
		}
	}
}

// What text and values mean is what encoding/xml makes of them, where it knows
// (it does not make white space in values spaces).
func TestTextMeans(t *testing.T) {
	for _, raw := range []string{
		"", "a", "a&lt;b&gt;&amp;&quot;&apos;", "&#65;&#x42;&#x1F600;&#13;&#10;", "a\r\nb\rc\nd\r", "\r", "\r\n\r\r\n",
		"<![CDATA[<&>]]>", "a<![CDATA[]]>b", "<![CDATA[&lt;\r\n\r]]>&lt;<![CDATA[]]]]>>", "é\u2028",
	} {
		var want struct {
			Text string `xml:",chardata"`
		}
		doc := "<a>" + raw + "</a>"
		if err := xml.Unmarshal([]byte(doc), &want); err != nil {
			t.Fatal(err)
		}
		fr, err := stream.New(stream.Limits{}).Document([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(stream.AppendText([]byte("x"), fr.Inner)); got != "x"+want.Text {
			t.Errorf("%q means %q, want %q", raw, got, want.Text)
		}
	}
	for raw, want := range map[string]string{
		"a\tb\nc\rd\r\ne": "a b c d e", "&#9;&#10;&#13;": "\t\n\r", "&amp;lt;": "&lt;", "": "",
	} {
		if got := string(stream.AppendValue(nil, []byte(raw))); got != want {
			t.Errorf("the value %q means %q, want %q", raw, got, want)
		}
	}
}

// Bytes that no Framer has seen are a programmer's mistake; they give no
// pretty text, but they do not bring the server down either.
func TestUncheckedBytesDoNoHarm(t *testing.T) {
	for raw, want := range map[string]string{
		"&": "&", "a&b": "a&b", "&;": "&;", "&x;y": "&x;y", "&#0;": "&#0;", "&#x110000;": "&#x110000;",
		"a<": "a", "<![CDATA[b": "", "<![CDATA[b]]>c": "bc",
	} {
		if got := string(stream.AppendText(nil, []byte(raw))); got != want {
			t.Errorf("%q as text is %q, want %q", raw, got, want)
		}
	}
	if got := string(stream.AppendValue(nil, []byte("&;&amp;&"))); got != "&;&&" {
		t.Errorf("as a value: %q", got)
	}
}
