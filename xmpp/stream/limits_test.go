package stream_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/xmpp/stream"
)

func TestLimits(t *testing.T) {
	const size = 64
	fill := func(s string, n int) string { return strings.Replace(s, "_", strings.Repeat("x", n-len(s)+1), 1) }
	space := strings.Repeat(" ", size)
	for _, c := range []struct {
		what   string
		limits stream.Limits
		in     string
		ok     bool
	}{
		{"an element of the size", stream.Limits{Size: size}, `<s>` + fill(`<a>_</a>`, size), true},
		{"an element of one more", stream.Limits{Size: size}, `<s>` + fill(`<a>_</a>`, size+1), false},
		{"many elements", stream.Limits{Size: size}, `<s>` + strings.Repeat(`<a>x</a>`, size), true},
		{"an unfinished element of the size", stream.Limits{Size: size}, `<s>` + fill(`<a>_`, size), true},
		{"an unfinished element of one more", stream.Limits{Size: size}, `<s>` + fill(`<a>_`, size+1), false},
		{"an endless name", stream.Limits{Size: size}, `<s>` + fill(`<a_`, size+1), false},
		{"an endless attribute name", stream.Limits{Size: size}, `<s>` + fill(`<a b_`, size+1), false},
		{"an endless value", stream.Limits{Size: size}, `<s>` + fill(`<a b='_`, size+1), false},
		{"an endless reference", stream.Limits{Size: size}, `<s>` + fill(`<a>&_`, size+1), false},
		{"an endless number", stream.Limits{Size: size}, `<s><a>&#` + strings.Repeat("0", size), false},
		{"an endless CDATA section", stream.Limits{Size: size}, `<s>` + fill(`<a><![CDATA[_`, size+1), false},
		{"endless white space in a tag", stream.Limits{Size: size}, `<s><a` + space, false},
		{"endless white space at an equals sign", stream.Limits{Size: size}, `<s><a b` + space, false},
		{"endless white space before a quote", stream.Limits{Size: size}, `<s><a b=` + space, false},
		{"endless white space in a closing tag", stream.Limits{Size: size}, `<s><a></a` + space, false},
		{"an error after the limit", stream.Limits{Size: size}, `<s>` + fill(`<a>_`, size) + "\x00", false},
		{"an error before the limit comes first", stream.Limits{Size: 0}, `<s>` + fill(`<a>_`, size) + `</a>`, true},
		{"white space of the size", stream.Limits{Size: size}, `<s>` + space, true},
		{"endless white space", stream.Limits{Size: size}, `<s>` + space + " ", false},
		{"white space with elements in between", stream.Limits{Size: size}, `<s>` + space + `<a/>` + space + `<a/>`, true},
		{"white space before the header", stream.Limits{Size: size}, space + `<s>`, true},
		{"endless white space before the header", stream.Limits{Size: size}, space + " ", false},
		{"an endless header", stream.Limits{Size: size}, `<s a='` + space, false},
		{"an endless declaration", stream.Limits{Size: size}, `<?xml version='1.0'` + space, false},
		{"a declaration and endless white space", stream.Limits{Size: size}, `<?xml version='1.0'?>` + space, false},
		{"an endless end", stream.Limits{Size: size}, `<s></s` + space, false},
		{"an element of one byte", stream.Limits{Size: 1}, `<s>`, false},

		{"as deep as allowed", stream.Limits{Depth: 3}, `<s><a><b><c/></b></a><a><b><c></c></b></a>`, true},
		{"deeper", stream.Limits{Depth: 3}, `<s><a><b><c><d/></c></b></a>`, false},
		{"deeper, unfinished", stream.Limits{Depth: 3}, `<s>` + strings.Repeat(`<a>`, 4), false},

		{"as many attributes as allowed", stream.Limits{Attrs: 2}, `<s a='' b=''><a a='' b=''><b a='' b=''/></a>`, true},
		{"too many attributes", stream.Limits{Attrs: 2}, `<s><a a='' b='' c=''/>`, false},
		{"too many attributes of a child", stream.Limits{Attrs: 2}, `<s><a><b a='' xmlns='' c=''`, false},
		{"too many attributes of the header", stream.Limits{Attrs: 2}, `<s a='' b='' c=''>`, false},

		{"as many elements as allowed", stream.Limits{Elements: 3}, `<s><a><b/><c/></a><a><b><c></c></b></a>`, true},
		{"too many elements", stream.Limits{Elements: 3}, `<s><a><b/><c/><d/></a>`, false},
		{"too many nested elements", stream.Limits{Elements: 3}, `<s><a><b><c><d/></c></b></a>`, false},

		{"many prefixes", stream.Limits{}, `<s><a` + prefixes(256) + `/>`, true},
		{"too many prefixes", stream.Limits{}, `<s><a` + prefixes(257) + `/>`, false},
		{"too many prefixes together", stream.Limits{}, `<s` + prefixes(200) + `><a` + prefixes(57) + `/>`, false},
		{"prefixes one after the other", stream.Limits{}, `<s><a>` + strings.Repeat(`<b`+prefixes(200)+`/><b`+prefixes(200)+`></b>`, 9) + `</a>`, true},
	} {
		want := "policy-violation"
		if c.ok {
			want = ""
		}
		for _, step := range []int{len(c.in), 1, 7} {
			_, err := frames(stream.New(c.limits), c.in, step)
			if condition(err) != want {
				t.Errorf("%s, %d bytes at a time: %v, want %q", c.what, step, err, want)
			}
		}
	}
}

// prefixes declares n of them.
func prefixes(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(" xmlns:p" + strconv.Itoa(i) + "='u'")
	}
	return b.String()
}

func TestSetLimitsHoldsFromTheNextElement(t *testing.T) {
	f := stream.New(stream.Limits{Size: 20, Depth: 1})
	if _, err := frames(f, `<s>`); err != nil {
		t.Fatal(err)
	}
	f.SetLimits(stream.Limits{Size: 40, Depth: 2})
	if got, err := frames(f, `<message><body>hi</body></message>`); err != nil || len(got) != 1 {
		t.Errorf("with wider limits: %q, %v", got, err)
	}
}

// A peer that sends a byte at a time must not make each byte cost what all
// before it have cost. The bound is on the work, not on time: the bytes that
// were read are overwritten, which must make no difference.
func TestWhatWasReadIsNotReadAgain(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, in := range []string{
		`<a>` + long + `</a>`,
		`<a>` + strings.Repeat("é€😀", 60) + `</a>`,
		`<a b='` + long + `'/>`,
		`<a ` + long + `='1'/>`,
		`<a b` + strings.Repeat(" ", 200) + `=` + strings.Repeat(" ", 200) + `'1'/>`,
		`<a` + strings.Repeat(" ", 200) + `/>`,
		`<a><![CDATA[` + long + `]]></a>`,
		`<a></a` + strings.Repeat(" ", 200) + `>`,
	} {
		f := stream.New(stream.Limits{})
		if _, err := frames(f, `<s>`); err != nil {
			t.Fatal(err)
		}
		b := []byte(in)
		for i := range len(b) {
			if i > 30 {
				// Far behind the end, and not at the beginning, where the
				// element's name is compared with that of its end.
				for j := 17; j < i-12; j++ {
					b[j] = 0
				}
			}
			fr, _, err := next(f, b[:i])
			if err != nil || fr.Kind != stream.Need {
				t.Fatalf("%.20s… at %d: %v, %v", in, i, fr.Kind, err)
			}
		}
		if fr, n, err := next(f, b); err != nil || n != len(b) || fr.Kind != stream.Element {
			t.Errorf("%.20s…: %v, %d, %v", in, fr.Kind, n, err)
		}
	}
}
