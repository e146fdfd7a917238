package stream_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// good is what may stand inside of an element.
var good = []string{
	``, `text`, "\t\r\n", `a > b`, `]]`, `]>`, `]] >`, `]]&gt;`, `]]<b/>>`,
	`&lt;&gt;&amp;&quot;&apos;`, `&#9;&#10;&#13;&#32;&#x10FFFF;&#xD7FF;&#xE000;&#xFFFD;&#000000000000000000065;&#x00000041;`,
	"\x7F\u0080\u0085\u2028\uFEFF\uFFFD\U0001F600\U0010FFFF", "\uD7FF\uE000",
	`<b></b>`, `<b/>`, "<b\t\n/>", `<b ></b	>`, `<b a='1' c="2"/>`,
	`<b a = '1'/>`, "<b\na\t=\r'1'\n/>", `<b a='"' c="'"/>`, `<b a='>'/>`, `<b a=']]>'/>`, `<b a=''/>`, "<b a='\t\n\r'/>",
	`<b a='&lt;&#60;'/>`, `<b a='#%(;='/>`, `<b a="#"/>`, "<b a='é\u4e16\U0001F600'/>",
	`<_/>`, `<a-b.c1_/>`, "<\u00e9l\u00e8ve/>", "<a\u00b7/>", "<\u0391/>", "<\u4e16\u754c \u540d='1'/>", "<\U00010000/>", "<a\u0300\u203f\u2040/>",
	`<![CDATA[]]>`, `<![CDATA[<&>]]]]>`, `<![CDATA[]]]>`, `<![CDATA[]>]]>`, `<![CDATA[>]]>`, `<![CDATA[<![CDATA[]]>`, "<![CDATA[\u00e9\r\n]]>", `<![CDATA[a]]>]]`,
	`<x:b xmlns:x='u'/>`, `<x:b xmlns:x='u' x:a='1'/>`, `<b xmlns:x='u'><x:c/></b>`, `<b xmlns=''/>`, `<b xmlns='u'><c xmlns=''/></b>`,
	`<b xml:lang='en'/>`, `<b xmlns:xml='http://www.w3.org/XML/1998/namespace'/>`, `<xml:b/>`, `<b xmlns:xmlfoo='u' xmlfoo:a=''/>`,
	`<b a='1' x:a='2' xmlns:x='u'/>`, `<b xmlns='u' xmlns:x='u' a='1' x:a='2'/>`, `<b xmlns:x='u' xmlns:y='v' x:a='1' y:a='2'/>`,
	`<b xmlns:x='u'><c xmlns:x='v'><x:d/></c><x:d/></b>`, `<xmlns/>`, `<b XMLNS='' Xmlns='' xmlNS:a='' xmlns:xmlNS='u'/>`,
	`<b xmlns:a='u' xmlns:b='u'/>`, `<b a:c='' xmlns:a='u&amp;v' b:c='' xmlns:b='u&amp;amp;v'/>`,
}

func TestGoodXMLIsTaken(t *testing.T) {
	for _, in := range good {
		for _, s := range []string{"<s><m>" + in + "</m>", "<s><m>" + in + strings.Repeat(" ", 9) + "</m>"} {
			got, err := frames(stream.New(stream.Limits{}), s)
			if err != nil || len(got) != 2 {
				t.Errorf("%q: %v, %d frames", in, err, len(got))
			}
		}
	}
}

// bad is what may not stand inside of an element, and the error for it.
var bad = map[string][]string{
	"not-well-formed": {
		// Text.
		`]]>`, `a]]>b`, `x]]]>`, "\x00", "\x01", "\x08", "\x0B", "\x0C", "\x1F", "\uFFFE", "\uFFFF",
		// References.
		`&`, `& `, `&;`, `&lt`, `&lt `, `&#;`, `&#x;`, `&#xG;`, `&#1a;`, `&#X41;`, `&#0;`, `&#8;`, `&#11;`, `&#31;`, `&#xD800;`, `&#xDFFF;`,
		`&#xFFFE;`, `&#xFFFF;`, `&#x110000;`, `&#99999999999999999999;`, `&#-1;`, `&#+1;`, `&#1.;`, `&1;`, `&-a;`, `&a:b;`, "&\u00e9;", `&##1;`, `&a#1;`,
		// Tags.
		`<`, `< b/>`, `<1/>`, `<-/>`, `<./>`, `<b/ >`, `<b`, `<b/`, `<b//>`, `<b</b>`, `<b></c>`, `<b></bc>`, `<b></B>`, `<bc></b>`, `<b></ b>`, `<b></b x>`, `<b></b a=''>`, `<b></b/>`, `</>`, `</m></m>`, `</n>`, `<b>`,
		"<\u00d7/>", "<\u0300/>", "<\u00b7/>", "<a\u00d7/>", "<a\u2030/>", "<a\u3000/>", "<\U000F0000/>", "<a\u037e/>", "<a\uD7FF\uE000/>", `<a$/>`, `<a@/>`, `<"/>`,
		`<b></m><b>`, "<b\x00/>", "<b\u00a0/>", "<b\u00a0a=''/>",
		// Attributes.
		`<b a/>`, `<b a=/>`, `<b a=1/>`, `<b a='1/>`, `<b a="1'/>`, `<b a='1'c='2'/>`, `<b a='1'"/>`, `<b a=''b=''/>`, `<b 'a'/>`, `<b ='1'/>`, `<b a=='1'/>`, `<b 1a=''/>`, `<b -a=''/>`, `<b a='<'/>`, `<b a='&'/>`, `<b a='&#0;'/>`,
		"<b a='\x00'/>", "<b a='\uFFFF'/>", `<b a='1' a='2'/>`, `<b a='1' c='' a='1'/>`, `<ba=''/>`, `<b a='x'/ >`, `<b,a=''/>`,
		// Markup.
		`<!>`, `<!x>`, `<![`, `<![cdata[]]>`, `<![CDATA []]>`, `<![CDATA[]]>]]>`, "<![CDATA[\x00]]>", "<![CDATA[\uFFFE]]>", `<![INCLUDE[]]>`, `<b ![CDATA[]]>`,
		// Namespaces.
		`<x:b/>`, `<b x:a=''/>`, `<b><x:c/></b>`, `<b xmlns:x='u'/><x:c/>`, `<b xmlns:x='u'/><c x:a=''/>`, `<b><c xmlns:x='u'/></b><x:d/>`,
		`<:b/>`, `<b:/>`, `<b: a=''/>`, `<x:1 xmlns:x='u'/>`, `<x:-b xmlns:x='u'/>`, `<x:b:c xmlns:x='u'/>`, `<x::b xmlns:x='u'/>`, `<b :a=''/>`, `<b a:=''/>`, `<b xmlns:=''/>`, `<b xmlns:x='u' x:y:z=''/>`, `<b xmlns:1='u'/>`,
		`<b xmlns:x=''/>`, `<b xmlns:x='u'><c xmlns:x=''/></b>`, `<b xmlns:xml='u'/>`, `<b xmlns:xmlns='u'/>`, `<b xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>`, `<b xmlns:x='http://www.w3.org/2000/xmlns/'/>`, `<b xmlns='http://www.w3.org/2000/xmlns/'/>`,
		`<b xmlns:x='http://www.w3.org/XML/1998/namespace'/>`, `<b xmlns='http://www.w3.org/XML/1998/namespace'/>`, `<b xmlns:x='http&#x3a;//www.w3.org/XML/1998/namespace'/>`, `<b xmlns='http://www.w3.org/2000/&#120;mlns/'/>`,
		`<xmlns:b/>`, `<xmlns:b xmlns='u'/>`,
		`<b xmlns='u' xmlns='v'/>`, `<b xmlns:x='u' xmlns:x='u'/>`, `<b xmlns:x='u' xmlns:y='u' x:a='' y:a=''/>`, `<b x:a='' xmlns:x='u' y:a='' xmlns:y='u'/>`, `<b xmlns:x='u'><c xmlns:y='u' x:a='' y:a=''/></b>`,
		`<b xmlns:x='u&amp;v' xmlns:y='u&#38;v' x:a='' y:a=''/>`, "<b xmlns:x='u v' xmlns:y='u\tv' x:a='' y:a=''/>",
		`<b xml:lang='' xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang=''/>`,
	},
	"unsupported-encoding": {
		"\x80", "\xC0\x80", "\xC1\xBF", "\xC3(", "\xE0\x80\x80", "\xE2\x28\xA1", "\xED\xA0\x80", "\xED\xBF\xBF", "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF", "\xE9t\xE9",
		"<b a='\xE9'/>", "<\xE9/>", "<b \xE9=''/>", "<b\xE9/>", "<![CDATA[\xE9]]>", "<b\xED\xA0\x80/>",
	},
	"restricted-xml": {
		`<!---->`, `<!-- x -->`, `<?x?>`, `<?xml version='1.0'?>`, `<!DOCTYPE m>`, `<!DOCTYPE m [<!ENTITY x 'y'>]>`, `<!D`,
		`&nbsp;`, `&x;`, `&LT;`, `&quo;`, `&apos.;`, `<b a='&nbsp;'/>`, `&_;`,
	},
}

func TestBadXMLIsRefused(t *testing.T) {
	for want, list := range bad {
		for _, in := range list {
			// What follows makes sure that an end is in sight.
			for _, s := range []string{"<s><m>" + in + "</m></s>", "<s><m>" + in + "</m>'></m>\"></m> ]]></m></s>"} {
				_, err := frames(stream.New(stream.Limits{}), s)
				if got := condition(err); got != want {
					t.Errorf("%q: %v, want %s", s, err, want)
				}
			}
		}
	}
}

func TestManyAttributesAreCompared(t *testing.T) {
	for _, n := range []int{1, 2, 8, 15, 16, 17, 18, 40, 200} {
		var b strings.Builder
		for i := range n {
			b.WriteString(" a" + strings.Repeat("x", i) + "=''")
		}
		for _, c := range []struct{ more, want string }{
			{"", ""}, {" b=''", ""}, {" a=''", "not-well-formed"}, {" a" + strings.Repeat("x", n-1) + "=''", "not-well-formed"},
		} {
			_, err := frames(stream.New(stream.Limits{}), "<s><m"+b.String()+c.more+"/>")
			if condition(err) != c.want {
				t.Errorf("%d attributes and%s: %v, want %q", n, c.more, err, c.want)
			}
		}
		prefixed := strings.ReplaceAll(b.String(), " a", " x:a")
		for more, want := range map[string]string{"": "", " a=''": "", " y:b=''": "", " y:a=''": "not-well-formed"} {
			_, err := frames(stream.New(stream.Limits{}), "<s><m xmlns:x='u' xmlns:y='u'"+prefixed+more+"/>")
			if condition(err) != want {
				t.Errorf("%d prefixed attributes and%s: %v, want %q", n, more, err, want)
			}
		}
	}
}

func TestProlog(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`<s>`, ""},
		{"\n\t <s>", ""},
		{`<?xml version='1.0'?><s>`, ""},
		{`<?xml version="1.0" encoding="UTF-8"?> <s>`, ""},
		{"<?xml\nversion = '1.0'\tencoding\r= 'utf-8' standalone='yes' ?>\n<s>", ""},
		{`<?xml version='1.1'?><s>`, ""},
		{`<?xml version='1.0' standalone='no'?><s>`, ""},
		{`<?xml version='1.0' encoding='Utf-8'?><s>`, ""},
		{`<?xml version='1.0' encoding='ISO-8859-1'?><s>`, "unsupported-encoding"},
		{`<?xml version='1.0' encoding='UTF-16'?><s>`, "unsupported-encoding"},
		{`<?xml version='1.0' encoding='UTF8'?><s>`, "unsupported-encoding"},
		{`<?xml version='1.0' encoding=''?><s>`, "not-well-formed"},
		{`<?xml version='1.0' encoding='_'?><s>`, "not-well-formed"},
		{`<?xml version='1.0' encoding='8'?><s>`, "not-well-formed"},
		{`<?xml?><s>`, "restricted-xml"},
		{`<?xml ?><s>`, "not-well-formed"},
		{`<?xml version='2.0'?><s>`, "not-well-formed"},
		{`<?xml version='1.'?><s>`, "not-well-formed"},
		{`<?xml version='1.0x'?><s>`, "not-well-formed"},
		{`<?xml version='1.0"?><s>`, "not-well-formed"},
		{`<?xml version '1.0'?><s>`, "not-well-formed"},
		{`<?xml version='1.0' encoding?><s>`, "not-well-formed"},
		{`<?xml version=1.0?><s>`, "not-well-formed"},
		{`<?xml version='1.0'encoding='UTF-8'?><s>`, "not-well-formed"},
		{`<?xml encoding='UTF-8'?><s>`, "not-well-formed"},
		{`<?xml encoding='UTF-8' version='1.0'?><s>`, "not-well-formed"},
		{`<?xml version='1.0' standalone='yes' encoding='UTF-8'?><s>`, "not-well-formed"},
		{`<?xml version='1.0' standalone='maybe'?><s>`, "not-well-formed"},
		{`<?xml version='1.0' version='1.0'?><s>`, "not-well-formed"},
		{`<?xml version='1.0' x='y'?><s>`, "not-well-formed"},
		{`<?xml version='1.0'><s>`, "not-well-formed"},
		{`<?xml version='1.0'? ><s>`, "not-well-formed"},
		{`<?XML version='1.0'?><s>`, "restricted-xml"},
		{`<?xmlx version='1.0'?><s>`, "restricted-xml"},
		{`<?php ?><s>`, "restricted-xml"},
		{` <?xml version='1.0'?><s>`, "restricted-xml"},
		{`<?xml version='1.0'?><?xml version='1.0'?><s>`, "restricted-xml"},
		{`<?xml version='1.0'?>x<s>`, "not-well-formed"},
		{`x<s>`, "not-well-formed"},
		{"\uFEFF<s>", "not-well-formed"},
		{"\xFF\xFE<\x00s\x00>\x00", "unsupported-encoding"},
		{"\xFE\xFF\x00<\x00s\x00>", "unsupported-encoding"},
		{"\x00<s>", "not-well-formed"},
		{"<\x00s>", "not-well-formed"},
		{`</s>`, "not-well-formed"},
		{`<!-- x --><s>`, "restricted-xml"},
		{`<!DOCTYPE s><s>`, "restricted-xml"},
		{`<![CDATA[x]]><s>`, "bad-format"},
		{`GET / HTTP/1.1`, "not-well-formed"},
		{"\x16\x03\x01\x02\x00", "not-well-formed"},
		{`<s a='1' a='1'>`, "not-well-formed"},
		{`<x:s>`, "not-well-formed"},
		{`<x:s xmlns:x=''>`, "not-well-formed"},
		{`<s x:a=''>`, "not-well-formed"},
		{`<s a='&nbsp;'>`, "restricted-xml"},
	} {
		got, err := frames(stream.New(stream.Limits{}), c.in)
		if condition(err) != c.want || err == nil && len(got) != 1 {
			t.Errorf("%q: %v, %q, want %q", c.in, err, got, c.want)
		}
	}
}

func TestBetweenElements(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"\n \t\r", ""},
		{`x`, "bad-format"},
		{`<a/>x<b/>`, "bad-format"},
		{`é`, "bad-format"},
		{`&lt;`, "bad-format"},
		{`<![CDATA[x]]>`, "bad-format"},
		{"\xE9t", "unsupported-encoding"},
		{"\x00", "not-well-formed"},
		{`<?xml version='1.0'?>`, "restricted-xml"},
		{`<?x?>`, "restricted-xml"},
		{`<!-- -->`, "restricted-xml"},
		{`<!DOCTYPE s>`, "restricted-xml"},
		{`<a></s>`, "not-well-formed"},
		{`</x:s>`, ""},
		{"</x:s \n>\n ", ""},
		{`</s>`, "not-well-formed"},
		{`</y:s>`, "not-well-formed"},
		{`</x:stream>`, "not-well-formed"},
		{`</x:s x>`, "not-well-formed"},
		{`</x:s a=''>`, "not-well-formed"},
		{`</ x:s>`, "not-well-formed"},
		{`</x:s><a/>`, "not-well-formed"},
		{`</x:s></x:s>`, "not-well-formed"},
		{`</x:s><x:s xmlns:x='u'>`, "not-well-formed"},
		{`</x:s>x`, "not-well-formed"},
	} {
		_, err := frames(stream.New(stream.Limits{}), `<x:s xmlns:x='u'>`+c.in)
		if condition(err) != c.want {
			t.Errorf("%q: %v, want %q", c.in, err, c.want)
		}
	}
}
