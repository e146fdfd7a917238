package xmpp_test

import (
	"errors"
	"strings"
	"testing"

	"mellium.im/xmpp/jid"

	"github.com/gabberd/gabberd/xmpp"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("a", 1023)
	for _, tt := range []struct{ in, want, local, domain, resource string }{
		{"localhost", "localhost", "", "localhost", ""},
		{"romeo@montague.lit", "romeo@montague.lit", "romeo", "montague.lit", ""},
		{"romeo@montague.lit/orchard", "romeo@montague.lit/orchard", "romeo", "montague.lit", "orchard"},
		{"Romeo@Montague.LIT/Orchard", "romeo@montague.lit/Orchard", "romeo", "montague.lit", "Orchard"},
		{"a@b/c/d@e", "a@b/c/d@e", "a", "b", "c/d@e"},
		{"b/c@d", "b/c@d", "", "b", "c@d"},
		{"a@b/res ource", "a@b/res ource", "a", "b", "res ource"},
		{"ñandú@b", "ñandú@b", "ñandú", "b", ""},
		{"fußball@b", "fußball@b", "fußball", "b", ""},
		{"a@xn--mnchen-3ya.de", "a@münchen.de", "a", "münchen.de", ""},
		{"a@b.", "a@b", "a", "b", ""},
		{"a@[::1]/x", "a@[::1]/x", "a", "[::1]", "x"},
		{"♥@b", "♥@b", "♥", "b", ""}, // PRECIS refuses symbols, stringprep did not
		{"a@b/♥", "a@b/♥", "a", "b", "♥"},
		{long + "@b", long + "@b", long, "b", ""},
		{"a_b@docker_host", "a_b@docker_host", "a_b", "docker_host", ""},
	} {
		j, err := xmpp.Parse(tt.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.in, err)
			continue
		}
		if j.String() != tt.want || j.Local() != tt.local || j.Domain() != tt.domain || j.Resource() != tt.resource {
			t.Errorf("Parse(%q) = %q: %q %q %q", tt.in, j, j.Local(), j.Domain(), j.Resource())
		}
		again, err := xmpp.Parse(j.String())
		if err != nil || again != j {
			t.Errorf("Parse(%q) is not stable: %q, %v", tt.in, again, err)
		}
		if j.Bare().String() != strings.TrimSuffix(tt.want, "/"+tt.resource) || j.Bare().Resource() != "" {
			t.Errorf("Bare of %q = %q", tt.in, j.Bare())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{
		"", "@", "@b", "a@", "a@/c", "/c", "a@b/", "a b@c", "a\"b@c", "a&b@c", "a'b@c", "a:b@c", "a<b@c", "a>b@c",
		"a@b@c", "a@b..c", "\xff@b", "a@b/\xff", "a@b/\x00", "a\x00@b", "a@b/\n", "a@b\n", "a@-", "a@b/\u200e",
		strings.Repeat("a", 1024) + "@b", "a@" + strings.Repeat("b", 1024), "a@b/" + strings.Repeat("c", 1024),
	} {
		if j, err := xmpp.Parse(in); err == nil {
			t.Errorf("Parse(%q) = %q", in, j)
		} else if !errors.Is(err, xmpp.ErrJID) {
			t.Errorf("Parse(%q): %v does not wrap ErrJID", in, err)
		}
	}
}

// The fast path must never say anything but what the library says.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a@b/c", "A@b", "a@b.c", "a@b./x", "xn--a@xn--b", "♥@b", "a@b/ ", "a@b/x y", "a..b@c", "a@1.2.3.4", "a@[::1]", "ﬀ@b", "a@b-/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		j, err := xmpp.Parse(s)
		m, merr := jid.Parse(s)
		if merr == nil && err == nil && m.String() != j.String() {
			t.Fatalf("Parse(%q) = %q, mellium says %q", s, j, m)
		}
		if merr != nil && err == nil && isPlain(s) {
			t.Fatalf("Parse(%q) = %q, mellium refuses it: %v", s, j, merr)
		}
		if err != nil {
			return
		}
		again, err := xmpp.Parse(j.String())
		if err != nil || again != j {
			t.Fatalf("%q became %q, which became %q, %v", s, j, again, err)
		}
	})
}

// isPlain reports whether PRECIS and stringprep agree about s.
func isPlain(s string) bool {
	for _, c := range []byte(s) {
		// Hosts in private networks do have underscores.
		if c <= 0x20 || c >= 0x7f || c == '_' {
			return false
		}
	}
	return true
}

func TestSameAddressIsEqual(t *testing.T) {
	a, b := xmpp.MustParse("ROMEO@Localhost/x"), xmpp.MustParse("romeo@localhost/x")
	if a != b {
		t.Error("equal addresses differ")
	}
	m := map[xmpp.JID]int{a.Bare(): 1}
	if m[xmpp.MustParse("romeo@localhost")] != 1 {
		t.Error("a bare address is not the key that it should be")
	}
	if xmpp.MustParse("a@b") == xmpp.MustParse("b/a") || xmpp.MustParse("b/a").Bare() != xmpp.MustParse("b") {
		t.Error("different addresses are equal")
	}
}

func TestNewJIDKeepsPartsApart(t *testing.T) {
	for _, tt := range [][3]string{{"a/b", "c", ""}, {"a@b", "c", ""}, {"a", "b/c", ""}, {"a", "b@c", ""}, {"a", "", "c"}} {
		if j, err := xmpp.NewJID(tt[0], tt[1], tt[2]); err == nil {
			t.Errorf("NewJID%q = %q", tt, j)
		}
	}
	if j, err := xmpp.NewJID("a", "b", "c/d"); err != nil || j.Resource() != "c/d" {
		t.Errorf("got %q, %v", j, err)
	}
}

func TestCheckNameIsStricter(t *testing.T) {
	if err := xmpp.CheckName("juliet"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "♥", "a b", "a@b", "a/b", "a'"} {
		if xmpp.CheckName(bad) == nil {
			t.Errorf("%q may be the name of a new account", bad)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := xmpp.Parse("romeo@montague.example.org/orchard.1234567"); err != nil {
			b.Fatal(err)
		}
	}
}
