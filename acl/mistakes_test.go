package acl_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
)

func TestMistakesHaveAPlace(t *testing.T) {
	tests := []struct{ text, want string }{
		{"acl: {all: {user: a}}", `ejabberd.yml:1:7: acl.all: all is a reserved name`},
		{"acl:\n  a: {usr: alice}", `ejabberd.yml:2:7: acl.a.usr: "usr" is no kind of matcher; there are user,`},
		{"acl:\n  a: alice", `ejabberd.yml:2:6: acl.a: "alice" must be a matcher`},
		{"acl:\n  a: {acl: b}", `ejabberd.yml:2:7: acl.a.acl: "acl" is no kind of matcher`},
		{"acl:\n  a: []", `ejabberd.yml:2:6: acl.a: an ACL needs at least one matcher`},
		{"acl:\n  a: {user: []}", `ejabberd.yml:2:13: acl.a.user: user needs at least one value`},
		{"acl:\n  a: {user: a@b@c}", `2:13: acl.a.user: "a@b@c" has more than one @`},
		{"acl:\n  a: {user: ''}", `2:13: acl.a.user: "" is not the name of a user`},
		{"acl:\n  a: {user: 'a b'}", `"a b" is not the name of a user`},
		{"acl:\n  a: {user: 'a@'}", `"" is not a domain`},
		{"acl:\n  a: {user: {a: 'b c'}}", `2:17: acl.a.user.a: "b c" is not a domain`},
		{"acl:\n  a: {user: {a: [b]}}", `expected one value, not a list`},
		{"acl:\n  a: {server: {a: b}}", `server takes one value or a list of them, not a map`},
		{"acl:\n  a: {server: ..}", `".." is not a domain`},
		{"acl:\n  a: {user_regexp: '('}", `2:20: acl.a.user_regexp: "(" is not a regular expression`},
		{"acl:\n  a: {user_regexp: '(?=x)'}", `lookahead`},
		{"acl:\n  a: {user_glob: '[z-a]'}", `is not a glob`},
		{"acl:\n  a: {node_regexp: x}", `node_regexp needs a map of user to server`},
		{"acl:\n  a: {ip: 10.0.0.0/33}", `2:11: acl.a.ip: expected an IP address or a network`},
		{"acl:\n  a: {ip: example.org}", `expected an IP address or a network`},
		{"acl: [a]", `expected a map of names`},
		{"access_rules: {none: {allow: x}}", `none is a reserved name`},
		{"access_rules:\n  x: [{permit: a}]", `2:8: access_rules.x[0].permit: "permit" must be allow or deny`},
		{"access_rules:\n  x: all", `"all" must be allow or deny`},
		{"access_rules:\n  x: []", `a rule needs at least one allow or deny`},
		{"access_rules:\n  x: {allow: []}", `needs the name of an ACL or a matcher`},
		{"access_rules:\n  x: {allow: {moon: full}}", `"moon" is no kind of matcher`},
		{"access_rules:\n  x: {allow: {acl: [a]}}", `expected the name of an ACL`},
		{"access_rules:\n  x: {allow: }", `allow has no value`},
		{"shaper: {infinite: 1}", `infinite is a reserved name`},
		{"shaper:\n  x: fast", `expected bytes per second`},
		{"shaper:\n  x: 0", `must be more than 0`},
		{"shaper:\n  x: -1", `must be more than 0`},
		{"shaper:\n  x: {burst_size: 3}", `shaper.x.rate: this option is required`},
		{"shaper:\n  x: {rate: 3, burst: 3}", `shaper.x.burst: no such option`},
		{"shaper_rules:\n  x: []", `a shaper rule needs at least one value`},
		{"shaper_rules:\n  x: {0: all}", `must be more than 0`},
		{"shaper_rules:\n  x: {5: {moon: a}}", `"moon" is no kind of matcher`},
	}
	for _, tt := range tests {
		_, got, _ := read(t, tt.text)
		if len(got) != 1 || !strings.Contains(got[0], tt.want) {
			t.Errorf("%s\n got %q\nwant one with %q", tt.text, got, tt.want)
		}
	}
}

func TestAllMistakesAreSaidAtOnce(t *testing.T) {
	_, got, _ := read(t, "acl:\n  a: {user: '', usr: x}\n  b: [{ip: x}]\naccess_rules:\n  x: [{permit: a}, {allow: {moon: 1}}]")
	if len(got) != 5 {
		t.Errorf("got %d mistakes, want 5:\n%s", len(got), strings.Join(got, "\n"))
	}
}

func TestUndefinedNamesAreWarnings(t *testing.T) {
	_, bad, got := read(t, `acl: {local: {user_regexp: ''}}
access_rules:
  c2s: [{deny: blocked}, {allow: all}]
  ok: [{allow: local}, {deny: none}]
shaper_rules:
  s: [{fast: admin}, {5: local}]`)
	want := []string{
		`ejabberd.yml:3:16: access_rules.c2s[0].deny: there is no ACL called "blocked"`,
		`ejabberd.yml:6:8: shaper_rules.s[0].fast: there is no shaper called "fast"`,
		`ejabberd.yml:6:14: shaper_rules.s[0].fast: there is no ACL called "admin"`,
	}
	if bad != nil || len(got) != len(want) {
		t.Fatalf("mistakes %q, warnings %q", bad, got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s…", got[i], want[i])
		}
	}
}

func TestUndefinedRulesOfOptions(t *testing.T) {
	n, err := config.Parse("x.yml", []byte("access: nosuch\nshaper: nosuch"))
	if err != nil {
		t.Fatal(err)
	}
	var l listener
	if bad, _ := config.Decode(n, &l); bad != nil {
		t.Fatal(bad)
	}
	for _, err := range []error{l.Access.Undefined(&acl.Options{}), l.Shaper.Undefined(&acl.Options{})} {
		if err == nil || !strings.HasPrefix(err.Error(), "x.yml:") || !strings.Contains(err.Error(), `called "nosuch"`) {
			t.Errorf("got %v, want a warning with its place", err)
		}
	}
	if err := acl.NewAccess("all").Undefined(&acl.Options{}); err != nil {
		t.Errorf("all: %v", err)
	}
}

// FuzzOptions looks for text that crashes the grammar, and for rules that let
// in somebody of whom nothing is known although nothing says "all".
func FuzzOptions(f *testing.F) {
	f.Add("acl: {a: {user: alice, ip: 10.0.0.0/8}}\naccess_rules: {x: [{allow: a}]}")
	f.Add("access_rules: {x: [{allow: {user_glob: '[a]*?'}}]}\nshaper: {s: {rate: 1}}\nshaper_rules: {l: [{s: a}]}")
	f.Add("api_permissions: {t: {from: [{tag: x}], who: [{oauth: {scope: s, acl: a}}], what: ['*', '!stop']}}")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := config.Parse("x.yml", []byte(text))
		if err != nil || len(text) > 2000 {
			return
		}
		var o acl.Options
		config.Decode(n, &o)
		var p acl.Permissions
		config.Decode(n, &p)
		rs := acl.NewRuleset("", nil, nil)
		rs.Replace(o)
		for name := range o.Rules {
			if rs.Allows(name, acl.Subject{}) && !strings.Contains(text, "all") {
				t.Errorf("%q lets in nobody in particular", name)
			}
		}
	})
}

func TestNamesThatAreWrittenTwice(t *testing.T) {
	for _, text := range []string{
		"acl: {a: {user: x}, a: {user: y}}",
		"access_rules: {a: allow, a: deny}",
		"shaper: {a: 1, a: 2}",
		"shaper_rules: {a: 1, a: 2}",
	} {
		if _, bad, _ := read(t, text); len(bad) != 1 || !strings.Contains(bad[0], "twice") {
			t.Errorf("%s: %q", text, bad)
		}
	}
}
