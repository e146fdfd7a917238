package stream_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// pieces are what mutations put in: pieces of XML, whole and broken.
var pieces = []string{
	"<", ">", "/", "/>", "</", "<a", "<a>", "</a>", "<a/>", "<!", "<![CDATA[", "]]>", "]]", "]", "<!--", "-->", "<?", "?>", "<!DOCTYPE a>",
	"&", ";", "&amp;", "&lt;", "&#", "&#x", "&#10;", "&#0;", "&#xD800;", "&x;", "&#x10FFFF;", "=", "'", "\"", "=''", " ", "\n", "\t", "\r",
	" a='1'", " a=\"1\"", " id='1'", "a", ":", "x:", " x:a=''", " xmlns='u'", " xmlns=''", " xmlns:x='u'", " xmlns:y='u'", " y:a=''", " xmlns:x=''", " xmlns:xml='u'", " xml:lang=''", "xmlns", "xml",
	"http://www.w3.org/2000/xmlns/", "http://www.w3.org/XML/1998/namespace",
	"\x00", "\x01", "\x7f", "\x80", "\xbf", "\xc2", "\xe2\x82", "\xed\xa0\x80", "\xf0\x9f\x98", "é", "€", "😀", "\uFFFE", "\uFFFD", "\uFEFF", "·", "×", "\u0300", "0", "-", ".", "_",
}

// mutate changes s in a place or two.
func mutate(r *rand.Rand, s string) string {
	for range 1 + r.IntN(6)/5 {
		i := r.IntN(len(s) + 1)
		j := min(i+r.IntN(12), len(s))
		piece := pieces[r.IntN(len(pieces))]
		switch r.IntN(6) {
		case 0:
			s = s[:i] + s[j:]
		case 1:
			s = s[:i] + piece + s[j:]
		case 2:
			s = s[:j] + s[i:]
		case 3:
			s = s[:i] + string([]byte{byte(r.Uint32())}) + s[i:]
		case 4: // next to something that has a meaning
			if k := strings.IndexAny(s[i:], "<>&;='\":"); k >= 0 {
				s = s[:i+k] + piece + s[i+k+r.IntN(2):]
			}
		default:
			s = s[:i] + piece + s[i:]
		}
	}
	return s
}

// documents are what the mutations start from.
func documents() (list []string) {
	list = append(list, stanzas...)
	for _, in := range good {
		list = append(list, "<m xmlns:x='ex' xmlns:y='ex'>"+in+"</m>", "<m>"+in+"</m>")
	}
	for _, more := range bad {
		for _, in := range more {
			list = append(list, "<m xmlns:x='ex'>"+in+"</m>")
		}
	}
	return list
}

// common replaces the characters above ASCII that names may have by such that
// the fourth edition of XML 1.0 (expat, encoding/xml) knows, too: which of
// them may begin a name and which may not stays as it is.
func common(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		part := s[i : i+n]
		i += n
		if r >= 0x80 && takes("<"+part+"/>") {
			part = "é"
		} else if r >= 0x80 && takes("<a"+part+"/>") {
			part = "·"
		}
		b.WriteString(part)
	}
	return b.String()
}

func takes(s string) bool {
	_, err := stream.New(stream.Limits{}).Document([]byte(s))
	return err == nil
}

// Whatever expat refuses, the framer refuses; and what it refuses as not
// well-formed, expat refuses, too.
func TestExpatAgrees(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("this test asks expat, through python3, which is not on this machine: install it (apt-get install python3)")
	}
	r := rand.New(rand.NewPCG(6120, 1998))
	cases := documents()
	whole := len(stanzas) + 2*len(good) // the rest is bad from the start
	for range 20000 {
		cases = append(cases, mutate(r, cases[r.IntN(whole)]))
	}
	streams := make([]string, len(cases))
	for i, c := range cases {
		cases[i] = common(c)
		streams[i] = "<x:s xmlns:x='ex' xmlns='d'>" + cases[i] + "</x:s>"
	}
	out := expat(t, python, cases)
	taken := 0
	for i, c := range cases {
		_, err := stream.New(stream.Limits{}).Document([]byte(c))
		switch {
		case err == nil && out[i] == 'n':
			t.Errorf("expat refuses %q", c)
		case err == nil:
			taken++
		case out[i] == 'y' && condition(err) != "restricted-xml":
			t.Errorf("expat takes %q: %v", c, err)
		}
	}
	out = expat(t, python, streams)
	for i, s := range streams {
		got, err := frames(stream.New(stream.Limits{}), s)
		ended := len(got) > 0 && strings.HasPrefix(got[len(got)-1], "end ")
		if err == nil && ended && out[i] == 'n' {
			t.Errorf("expat refuses the stream %q", s)
		}
		if out[i] == 'y' && condition(err) != "restricted-xml" && condition(err) != "bad-format" && (err != nil || !ended) {
			t.Errorf("expat takes the stream %q: %v", s, err)
		}
	}
	if taken < len(cases)/20 || taken > len(cases)*19/20 {
		t.Errorf("%d of %d taken: the mutations prove little", taken, len(cases))
	}
}

// expat asks whether each of the documents is XML: y or n.
func expat(t *testing.T, python string, docs []string) []byte {
	t.Helper()
	var in bytes.Buffer
	for _, d := range docs {
		in.Write(binary.BigEndian.AppendUint32(nil, uint32(len(d))))
		in.WriteString(d)
	}
	cmd := exec.Command(python, "testdata/expat.py")
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil || len(out) != len(docs) {
		t.Fatalf("expat: %d answers for %d documents, %v", len(out), len(docs), err)
	}
	return out
}
