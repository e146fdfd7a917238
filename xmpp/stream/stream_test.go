package stream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// show writes a frame so that a test can compare it.
func show(fr stream.Frame) string {
	var b strings.Builder
	switch fr.Kind {
	case stream.Space:
		return "space"
	case stream.End:
		return "end " + string(fr.Raw)
	case stream.Header:
		b.WriteString("header ")
	case stream.Element:
		b.WriteString("element ")
	}
	fmt.Fprintf(&b, "%s:{%s}%s", fr.Prefix, fr.NS, fr.Name)
	for _, a := range fr.Attrs {
		fmt.Fprintf(&b, " %s=%q", a.Name, a.Value)
	}
	if fr.Kind == stream.Element {
		fmt.Fprintf(&b, " inner %q", fr.Inner)
	}
	for _, d := range fr.Borrowed {
		fmt.Fprintf(&b, " borrowed %s=%s", d.Prefix, d.NS)
	}
	return b.String() + " raw " + string(fr.Raw)
}

// frames feeds s in pieces of the given sizes (the last one again and again)
// and returns what came out of it, white space left out.
func frames(f *stream.Framer, s string, sizes ...int) (out []string, err error) {
	start, end := 0, 0
	for {
		// Bytes move while they pile up, so each call gets its own copy.
		fr, n, err := next(f, []byte(s[start:end]))
		if err != nil {
			return out, err
		}
		start += n
		switch fr.Kind {
		case stream.Need:
			if end == len(s) {
				return out, nil
			}
			step := len(s)
			if len(sizes) > 0 {
				step = sizes[0]
			}
			if len(sizes) > 1 {
				sizes = sizes[1:]
			}
			end = min(end+step, len(s))
		case stream.Space:
		default:
			out = append(out, show(fr))
		}
	}
}

// condition returns the condition of a stream error, or what else err is.
func condition(err error) string {
	var e *stream.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Condition
	}
	return err.Error()
}

func TestStreamIsCutIntoFrames(t *testing.T) {
	const in = "<?xml version='1.0'?>\n<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' to='a&amp;b' > " +
		"<message to='x'><body>hi</body></message>\n\n<iq/><presence ></presence >" +
		"<s:error><bad xmlns='urn:x'/></s:error></s:stream\n>\n"
	f := stream.New(stream.Limits{})
	got, err := frames(f, in)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`header s:{http://etherx.jabber.org/streams}stream xmlns="jabber:client" xmlns:s="http://etherx.jabber.org/streams" to="a&amp;b"` +
			` raw <s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' to='a&amp;b' >`,
		`element :{jabber:client}message to="x" inner "<body>hi</body>" raw <message to='x'><body>hi</body></message>`,
		`element :{jabber:client}iq inner "" raw <iq/>`,
		`element :{jabber:client}presence inner "" raw <presence ></presence >`,
		`element s:{http://etherx.jabber.org/streams}error inner "<bad xmlns='urn:x'/>" borrowed s=http://etherx.jabber.org/streams` +
			` raw <s:error><bad xmlns='urn:x'/></s:error>`,
		"end </s:stream\n>",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for prefix, ns := range map[string]string{"": "jabber:client", "s": "http://etherx.jabber.org/streams", "x": ""} {
		if got := f.Namespace(prefix); string(got) != ns {
			t.Errorf("Namespace(%q) = %q, want %q", prefix, got, ns)
		}
	}
}

func TestAttrReturnsValueAsWritten(t *testing.T) {
	fr, err := stream.New(stream.Limits{}).Document([]byte(`<a xml:lang="de" to='x&apos;s'/>`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"xml:lang": "de", "to": "x&apos;s", "lang": ""} {
		if got := fr.Attr(name); string(got) != want {
			t.Errorf("Attr(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestNamespaceOfElement(t *testing.T) {
	for _, c := range []struct{ in, prefix, ns string }{
		{`<a/>`, "", "d"},
		{`<a xmlns='own'/>`, "", "own"},
		{`<a xmlns=''/>`, "", ""},
		{`<x:a/>`, "x", "ex"},
		{`<x:a xmlns:x='own'/>`, "x", "own"},
		{`<x:a xmlns:x='own'><b xmlns:x='inner'/></x:a>`, "x", "own"},
		{`<y:a xmlns:y='a&amp;b'/>`, "y", "a&b"},
		{`<y:a xmlns:y='a&#x26;b'><c xmlns='some&lt;thing'/></y:a>`, "y", "a&b"},
		{`<xml:a/>`, "xml", "http://www.w3.org/XML/1998/namespace"},
		{`<xml:a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>`, "xml", "http://www.w3.org/XML/1998/namespace"},
	} {
		f := stream.New(stream.Limits{})
		if _, err := frames(f, `<s xmlns='d' xmlns:x='ex'>`); err != nil {
			t.Fatal(err)
		}
		fr, _, err := next(f, []byte(c.in))
		if err != nil || string(fr.Prefix) != c.prefix || string(fr.NS) != c.ns {
			t.Errorf("%s: prefix %q, namespace %q, %v; want %q, %q", c.in, fr.Prefix, fr.NS, err, c.prefix, c.ns)
		}
	}
}

func TestElementSaysWhatItBorrows(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`<a/>`, ""},
		{`<a><b/><c xmlns='own'/></a>`, ""},
		{`<x:a/>`, "x=ex"},
		{`<a><x:b/><x:b/></a>`, "x=ex"},
		{`<a x:at='1'/>`, "x=ex"},
		{`<a><b y:at='1' x:at='1'/></a>`, "x=ex y=ey"},
		{`<x:a xmlns:x='own'><x:b/></x:a>`, ""},
		{`<a xmlns:x='own' x:at='1'><b><x:c/></b></a>`, ""},
		{`<a><b xmlns:x='own'/><x:c/></a>`, "x=ex"},
		{`<x:a><b/></x:a>`, "=d x=ex"},
		{`<x:a><b xmlns='own'><c/></b></x:a>`, "x=ex"},
		{`<x:a><b xmlns='own'/><c/></x:a>`, "=d x=ex"},
		{`<x:a xmlns='own'><b/></x:a>`, "x=ex"},
		{`<a xml:lang='en'/>`, ""},
	} {
		f := stream.New(stream.Limits{})
		if _, err := frames(f, `<s xmlns='d' xmlns:x='ex' xmlns:y='ey'>`); err != nil {
			t.Fatal(err)
		}
		fr, _, err := next(f, []byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		var got []string
		for _, d := range fr.Borrowed {
			got = append(got, string(d.Prefix)+"="+string(d.NS))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s borrows %q, want %q", c.in, s, c.want)
		}
	}
}

func TestBorrowedIsOfThisElementOnly(t *testing.T) {
	f := stream.New(stream.Limits{})
	got, err := frames(f, `<s xmlns:x='ex'><x:a/><b/>`)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got[2], "borrowed") {
		t.Errorf("second element: %s", got[2])
	}
}

func TestHeaderThatEndsItself(t *testing.T) {
	f := stream.New(stream.Limits{})
	got, err := frames(f, `<body xmlns='http://jabber.org/protocol/httpbind' rid='1'/>`)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "header ") || got[1] != "end " {
		t.Errorf("got %q", got)
	}
}

func TestResetBeginsANewStream(t *testing.T) {
	f := stream.New(stream.Limits{Depth: 1})
	if _, err := frames(f, `<s xmlns:x='ex'><a`); err != nil {
		t.Fatal(err)
	}
	f.Reset()
	got, err := frames(f, `<?xml version='1.0'?><t><b/></t>`)
	if err != nil || len(got) != 3 {
		t.Errorf("after Reset: %q, %v", got, err)
	}
	f.Reset()
	if _, err := frames(f, `<t><x:b/>`); condition(err) != "not-well-formed" {
		t.Errorf("a prefix of the old header: %v", err)
	}
	f.Reset()
	if _, err := frames(f, `<t><b><c/></b>`); condition(err) != "policy-violation" {
		t.Errorf("the limits after Reset: %v", err)
	}
}

func TestErrorStays(t *testing.T) {
	f := stream.New(stream.Limits{})
	_, _, err := next(f, []byte(`<s></t>`))
	if err == nil {
		_, _, err = next(f, []byte(`</t>`))
	}
	if condition(err) != "not-well-formed" {
		t.Fatal(err)
	}
	if _, n, again := next(f, []byte(`<s>`)); again != err || n != 0 {
		t.Errorf("after the error: %d, %v", n, again)
	}
}

func TestDocument(t *testing.T) {
	f := stream.New(stream.Limits{Size: 100, Depth: 2})
	for _, c := range []struct{ in, want string }{
		{`<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='x'/>`, ""},
		{` <a><b/></a> `, ""},
		{`<?xml version='1.0' encoding='utf-8'?> <a/>`, ""},
		{`<a/>`, ""},
		{`<a>`, "not-well-formed"},
		{`<a/><b/>`, "not-well-formed"},
		{`<a/>x`, "not-well-formed"},
		{``, "not-well-formed"},
		{` `, "not-well-formed"},
		{`x`, "not-well-formed"},
		{`<stream:features/>`, "not-well-formed"},
		{`<?xml version='1.0' encoding='latin1'?><a/>`, "unsupported-encoding"},
		{`<?xml version='1.0'`, "restricted-xml"},
		{`<a><b><c/></b></a>`, "policy-violation"},
		{`<a b='` + strings.Repeat("x", 100) + `'/>`, "policy-violation"},
		{`<!--x--><a/>`, "restricted-xml"},
	} {
		fr, err := f.Document([]byte(c.in))
		if got := condition(err); got != c.want {
			t.Errorf("%s: %v, want %q", c.in, err, c.want)
		}
		if err == nil && (fr.Kind != stream.Element || len(fr.Borrowed) > 0 || fr.Raw[0] != '<') {
			t.Errorf("%s: %s", c.in, show(fr))
		}
	}
}

func TestDocumentLeavesTheStreamAlone(t *testing.T) {
	f := stream.New(stream.Limits{})
	if _, err := frames(f, `<s xmlns:x='ex'><x:a><b`); err != nil {
		t.Fatal(err)
	}
	fr, err := f.Document([]byte(`<x:d xmlns:x='u&amp;v' at='1'><e/></x:d>`))
	if err != nil || string(fr.NS) != "u&v" || string(fr.Attr("at")) != "1" {
		t.Errorf("the document: %s, %v", show(fr), err)
	}
	if _, err := f.Document([]byte(`<x:d/>`)); condition(err) != "not-well-formed" {
		t.Errorf("a prefix of the stream in a document: %v", err)
	}
	el, n, err := next(f, []byte(`<x:a><b/></x:a>`))
	if err != nil || n != 15 || string(el.Inner) != "<b/>" {
		t.Errorf("the stream: %s, %v", show(el), err)
	}
}

func TestNoAllocation(t *testing.T) {
	f := opened(t)
	mix := []byte(strings.Join(stanzas, " "))
	allocs := testing.AllocsPerRun(100, func() {
		for b := mix; len(b) > 0; {
			_, n, err := next(f, b)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			b = b[n:]
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for %d stanzas", allocs, len(stanzas))
	}
	doc := []byte(stanzas[3])
	// The best of many: a pool is allowed to forget, and with the race detector
	// it does so on purpose.
	for range 100 {
		allocs = testing.AllocsPerRun(1, func() {
			if _, err := f.Document(doc); err != nil {
				t.Fatal(err)
			}
		})
		if allocs == 0 {
			return
		}
	}
	t.Errorf("%v allocations for a document", allocs)
}

// next is Next, for who wants a frame of his own.
func next(f *stream.Framer, b []byte) (fr stream.Frame, n int, err error) {
	n, err = f.Next(b, &fr)
	return fr, n, err
}
