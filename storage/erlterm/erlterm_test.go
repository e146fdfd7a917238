package erlterm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	. "github.com/gabberd/gabberd/storage/erlterm"
)

// What Erlang reads was tried with Erlang/OTP 25: erl_scan:string and
// erl_parse:parse_term on the bytes, as ejabberd does.
func TestParse(t *testing.T) {
	for text, want := range map[string]Term{
		`true`: Atom("true"),
		` % said
 all_users@Host1 . `: Atom("all_users@Host1"),
		`'A b\'c'`:                Atom("A b'c"),
		`''`:                      Atom(""),
		`42`:                      Int(42),
		`-42`:                     Int(-42),
		`- 5`:                     Int(-5),
		`+5`:                      Int(5),
		`1_000`:                   Int(1000),
		`16#F_F`:                  Int(255),
		`$a`:                      Int('a'),
		`-$a`:                     Int(-97),
		`$\n`:                     Int('\n'),
		`$\^a`:                    Int(1),
		`$\101`:                   Int('A'),
		`$\x41`:                   Int('A'),
		`$\\`:                     Int('\\'),
		`18446744073709551616`:    Big("18446744073709551616"),
		`1.0e22`:                  Float(1e22),
		`1.5E-10`:                 Float(1.5e-10),
		`-0.5`:                    Float(-0.5),
		`"abc" "def"`:             String("abcdef"),
		`"\x{433}\e\s\d"`:         String("г\x1b \x7f"),
		`<<>>`:                    Binary(""),
		`<<"room">>`:              Binary("room"),
		"<<\"é\">>":               Binary("é"),
		"<<\"é\"/utf8>>":          Binary("é"),
		`<<"\x{433}"/utf8>>`:      Binary("г"),
		`<<"\x{433}">>`:           Binary("3"),
		`<<208,191,-1>>`:          Binary("\xd0\xbf\xff"),
		`<<300>>`:                 Binary(","),
		`<<"a" "b",99,$d>>`:       Binary("abcd"),
		`<<"q\"\\\n">>`:           Binary("q\"\\\n"),
		`[]`:                      List(nil),
		`{}`:                      Tuple(nil),
		`[1,a,{b,"c"}]`:           List{Int(1), Atom("a"), Tuple{Atom("b"), String("c")}},
		`[1|[2]]`:                 List{Int(1), Int(2)},
		`[a|b]`:                   Improper{List{Atom("a")}, Atom("b")},
		`#{}`:                     Map{},
		`#{a => 1,<<"b">> => []}`: Map{{Atom("a"), Int(1)}, {Binary("b"), List(nil)}},
		`#{a=>1,a=>2}`:            Map{{Atom("a"), Int(2)}},
		`[{title,<<"Гости"/utf8>>},{max_users,200},{members_only,false},{affiliations,[{{<<"a">>,<<"b">>,<<>>},owner}]}]`: List{
			Tuple{Atom("title"), Binary("Гости")}, Tuple{Atom("max_users"), Int(200)}, Tuple{Atom("members_only"), Atom("false")},
			Tuple{Atom("affiliations"), List{Tuple{Tuple{Binary("a"), Binary("b"), Binary("")}, Atom("owner")}}}},
	} {
		got, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
		again, err := Parse(Format(got))
		if err != nil || !Equal(again, got) {
			t.Errorf("%s was written as %s, which is %v, %v", text, Format(got), again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		``, ` `, `%`, `.`, `A`, `_`, `a b`, `a. b`, `'a`, `"a`, `"\`, `"\x{`, `"\x{110000}"`, `"\xg"`, `$`, `$\`, `$\^`, `-`, `--5`, `-+5`, `1#0`, `37#1`, `2#`,
		`[`, `[1`, `[1,`, `[1,]`, `[|a]`, `[a|b,c]`, `[a|b|c]`, `{`, `{a`, `{a]`, `{a,}`, `<<`, `<<a>>`, `<<1`, `<<1,>>`, `<<"a"/float>>`, `<<1.5>>`, `<<99999999999>>`,
		`<0.1.0>`, `#Ref<0.1>`, `#{`, `#{a}`, `#{a=>}`, `#{a=>1`, `#{a=>1,}`, `1.0e999`, `2#102`, "\x00", "é",
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000), strings.Repeat("1", 100_000),
	} {
		got, err := Parse(text)
		var syntax *SyntaxError
		if err == nil {
			t.Errorf("%.40q was read as %.40v", text, got)
		} else if !errors.As(err, &syntax) || syntax.Offset > len(text) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestFormat(t *testing.T) {
	for want, term := range map[string]Term{
		`true`:                   Bool(true),
		`false`:                  Bool(false),
		`'if'`:                   Atom("if"),
		`'A b'`:                  Atom("A b"),
		`''`:                     Atom(""),
		`'\x{E9}'`:               Atom("é"),
		`1.0`:                    Float(1),
		`1.0e+22`:                Float(1e22),
		`-1.5e-10`:               Float(-1.5e-10),
		`[]`:                     List{},
		`<<"é\"\\\n\x{1}">>`:     Binary("é\"\\\n\x01"),
		`<<255,254>>`:            Binary("\xff\xfe"),
		`"a\x{433}"`:             String("aг"),
		`[{a,1},b|c]`:            Improper{List{Tuple{Atom("a"), Int(1)}, Atom("b")}, Atom("c")},
		`#{a => 1,b => <<"x">>}`: Map{{Atom("a"), Int(1)}, {Atom("b"), Binary("x")}},
		`123456789012345678901`:  Big("123456789012345678901"),
	} {
		if got := Format(term); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestGet(t *testing.T) {
	options, err := Parse(`[{title,<<"T">>},persistent,{list,"ab"},{odd,[1,x]},{list2,[208,191]},#{title => 1}]`)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"title": "T", "persistent": "true", "list": "ab", "list2": "п"} {
		if got, ok := Text(Get(options, key)); !ok || got != want {
			t.Errorf("%s is %q, %v", key, got, ok)
		}
	}
	if got := Get(options, "nothing"); got != nil {
		t.Errorf("nothing is %v", got)
	}
	if got, ok := Text(Get(options, "odd")); ok {
		t.Errorf("a list of other things is the text %q", got)
	}
	if items, ok := Items(Get(options, "list")); !ok || len(items) != 2 || items[0] != Term(Int('a')) {
		t.Errorf("the items of a string are %v", items)
	}
	if got := Get(Map{{Atom("a"), Int(1)}}, "a"); got != Term(Int(1)) {
		t.Errorf("in a map: %v", got)
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`"ab"`, `[97,98]`, true},
		{`""`, `[]`, true},
		{`[]`, `{}`, false},
		{`<<"a">>`, `"a"`, false},
		{`a`, `<<"a">>`, false},
		{`1`, `1.0`, false},
		{`#{a => 1,b => 2}`, `#{b => 2,a => 1}`, true},
		{`#{a => 1}`, `#{a => 2}`, false},
		{`{a,[b|c]}`, `{a,[b|c]}`, true},
		{`{a,[b|c]}`, `{a,[b|d]}`, false},
		{`1`, `{1}`, false},
	} {
		a, errA := Parse(c.a)
		b, errB := Parse(c.b)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if Equal(a, b) != c.want || Equal(b, a) != c.want {
			t.Errorf("%s and %s are not found equal: %v", c.a, c.b, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`[{title,<<"T"/utf8>>},{a,-1.5e3,$a},#{a => [b|c]}].`, `'q\x{41}' % c`, `16#ff`, `"a" "b"`, `<<1,"x\377">>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		term, err := Parse(text)
		if err != nil {
			return
		}
		written := Format(term)
		again, err := Parse(written)
		if err != nil {
			t.Fatalf("%q was written as %q: %v", text, written, err)
		}
		if !Equal(term, again) {
			t.Fatalf("%q was written as %q, which is another term", text, written)
		}
		if Format(again) != written {
			t.Fatalf("%q is written as %q and then as %q", text, written, Format(again))
		}
	})
}
