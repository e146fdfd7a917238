package xmpp_test

import (
	"encoding/xml"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/xmpp"
)

func parse(t testing.TB, s string) *xmpp.Element {
	t.Helper()
	el, err := xmpp.ParseElement([]byte(s), xmpp.NSClient)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return el
}

func TestElementView(t *testing.T) {
	el := parse(t, `<a x="1 &amp; 2" y='&#x263A;'><b xmlns='urn:b'>one<c/>two</b><p:d xmlns:p="urn:p"><p:e p:z='>'/></p:d><![CDATA[<no/>]]>tail<f/></a>`)
	var names []string
	for c := range el.Children() {
		names = append(names, "{"+c.NS+"}"+c.Name)
	}
	if got := strings.Join(names, " "); got != "{urn:b}b {urn:p}d {jabber:client}f" {
		t.Errorf("children: %s", got)
	}
	if el.Attr("x") != "1 & 2" || el.Attr("y") != "☺" || el.Attr("z") != "" {
		t.Errorf("attributes: %q %q", el.Attr("x"), el.Attr("y"))
	}
	if el.Text() != "<no/>tail" || el.Child("urn:b", "b").Text() != "onetwo" {
		t.Errorf("text: %q, %q", el.Text(), el.Child("urn:b", "b").Text())
	}
	e := el.Child("urn:p", "d").Child("urn:p", "e")
	if e == nil || e.Attr("p:z") != ">" {
		t.Errorf("prefixed child: %v", e)
	}
	if c := el.Child("urn:b", "b").Child("urn:b", "c"); c == nil {
		t.Error("the namespace is not inherited")
	}
	var none *xmpp.Element
	if none.Attr("x") != "" || none.Text() != "" || none.Child("", "") != nil || none.Is("", "") || none.String() != "" {
		t.Error("nil is not safe to ask")
	}
}

// Taken out of its surroundings, an element must mean what it meant there.
func TestElementStandsAlone(t *testing.T) {
	outer := parse(t, `<a xmlns='urn:a' xmlns:p='urn:p' xmlns:q='urn:q'><b p:x='1'><q:c xmlns:q='urn:other'/></b></a>`)
	b := outer.Child("urn:a", "b")
	for _, around := range []string{"", "urn:a", "urn:else"} {
		s := string(b.AppendXML(nil, around))
		wrapped := "<w xmlns='" + around + "'>" + s + "</w>"
		if around == "" {
			wrapped = "<w>" + s + "</w>"
		}
		var got struct {
			B struct {
				XMLName xml.Name
				X       string                     `xml:"urn:p x,attr"`
				C       struct{ XMLName xml.Name } `xml:"urn:other c"`
			} `xml:"urn:a b"`
		}
		if err := xml.Unmarshal([]byte(wrapped), &got); err != nil || got.B.X != "1" || got.B.C.XMLName.Local != "c" {
			t.Errorf("in %q: %s: %+v, %v", around, s, got, err)
		}
	}
}

func TestBuilder(t *testing.T) {
	el := xmpp.Build("urn:q", "query").Attr("node", `<"'&>`).OptAttr("none", "").
		Open("", "item").Attr("jid", "a@b").Text("1 < 2 \x01").Close().
		Open("urn:x", "x").Open("", "y").Close().Close().
		Add(xmpp.TextEl("urn:q", "z", "t")).Add(nil).Done()
	want := `<query xmlns='urn:q' node='&lt;"&apos;&amp;&gt;'><item jid='a@b'>1 &lt; 2 ` + "\uFFFD" + `</item><x xmlns='urn:x'><y/></x><z>t</z></query>`
	if el.XML() != want {
		t.Errorf("got  %s\nwant %s", el.XML(), want)
	}
	if got := string(el.AppendXML(nil, "urn:q")); strings.Contains(got, "xmlns='urn:q'") {
		t.Errorf("declared again where it holds already: %s", got)
	}
	if el.Child("urn:q", "item").Text() != "1 < 2 \uFFFD" || el.Attr("node") != `<"'&>` {
		t.Error("what was built is not what is read")
	}
}

// Whatever a program puts in comes out again, and is XML on the way.
func FuzzBuilder(f *testing.F) {
	for _, s := range []string{"a", "<&>'\"", "\r\n\t", "\x00\x1f\x7f", "\xff\xfe", "]]>", "\ufffe\uffff", "日本"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, attr, text string) {
		x := xmpp.Build("urn:f", "f").Attr("a", attr).Text(text).Done().XML()
		el, err := xmpp.ParseElement([]byte(x), "")
		if err != nil {
			t.Fatalf("%q: %v", x, err)
		}
		if got := el.Attr("a"); got != cleaned(attr) {
			t.Errorf("attribute %q became %q", attr, got)
		}
		if got := el.Text(); got != cleaned(text) {
			t.Errorf("text %q became %q", text, got)
		}
		var std struct {
			A string `xml:"a,attr"`
			T string `xml:",chardata"`
		}
		if err := xml.Unmarshal([]byte(x), &std); err != nil || std.A != el.Attr("a") || std.T != el.Text() {
			t.Errorf("encoding/xml reads %q as %q, %q, %v", x, std.A, std.T, err)
		}
	})
}

// cleaned is s without what XML cannot hold.
func cleaned(s string) string {
	var b strings.Builder
	for i, r := range s {
		bad := r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
		if r == 0xFFFD && !strings.HasPrefix(s[i:], "\uFFFD") {
			bad = true
		}
		if bad {
			r = 0xFFFD
		}
		b.WriteRune(r)
	}
	return b.String()
}

func TestParseElementRefuses(t *testing.T) {
	for _, s := range []string{"", "x", "<a>", "<a></b>", "<a/><b/>", "<a b='1' b='2'/>", "<p:a/>", "<!-- --><a/>", "<a>&x;</a>"} {
		if el, err := xmpp.ParseElement([]byte(s), ""); err == nil {
			t.Errorf("%q was read as %s", s, el)
		}
	}
}
