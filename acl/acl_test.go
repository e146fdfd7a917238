package acl_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// read decodes rules; it returns mistakes and warnings as one text each.
func read(t testing.TB, text string) (o acl.Options, mistakes, warnings []string) {
	t.Helper()
	n, err := config.Parse("ejabberd.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	bad, warned := config.Decode(n, &o)
	for _, err := range bad {
		mistakes = append(mistakes, err.Error())
	}
	for _, err := range append(warned, o.Undefined()) {
		if err != nil {
			warnings = append(warnings, strings.Split(err.Error(), "\n")...)
		}
	}
	return o, mistakes, warnings
}

// rules returns a ruleset of a server that serves example.org and example.net.
func rules(t testing.TB, text string) *acl.Ruleset {
	t.Helper()
	o, mistakes, _ := read(t, text)
	if mistakes != nil {
		t.Fatalf("%s\n%s", text, strings.Join(mistakes, "\n"))
	}
	rs := acl.NewRuleset("example.org", serves, nil)
	rs.Replace(o)
	return rs
}

func serves(domain string) bool { return domain == "example.org" || domain == "example.net" }

func somebody(t testing.TB, jid, ip string) (who acl.Subject) {
	t.Helper()
	if jid != "" {
		who.JID = xmpp.MustParse(jid)
	}
	if ip != "" {
		who.IP = netip.MustParseAddr(ip)
	}
	return who
}

func TestMatchers(t *testing.T) {
	tests := []struct {
		acl, in, out string // addresses of users, servers or machines, separated by spaces
	}{
		{`user: alice`, "alice@example.org alice@example.net alice@example.org/phone", "alice@elsewhere.example alic@example.org malice@example.org bob@example.org example.org alice@sub.example.org"},
		{`user: Alice`, "alice@example.org", "bob@example.org"},
		{`user: alice@example.org`, "alice@example.org", "alice@example.net alice@example.org.evil.example alice@sub.example.org bob@example.org"},
		{`user: {alice: example.org}`, "alice@example.org", "alice@example.net"},
		{`user: [alice, {bob: example.net}]`, "alice@example.org bob@example.net", "bob@example.org carol@example.net"},
		{`user: {alice: far.example}`, "alice@far.example", "alice@example.org"},
		{`user_regexp: ""`, "alice@example.org", "alice@elsewhere.example"},
		{`user_regexp: ^bot`, "bot1@example.org bot@example.net", "robot@example.org bot@elsewhere.example"},
		{`user_regexp: bot`, "robot@example.org", "alice@example.org"},
		{`user_regexp: "^bot@example.net"`, "bot1@example.net", "bot1@example.org"},
		{`user_glob: "a*e"`, "alice@example.org ae@example.org", "malice@example.org alicex@example.org alice@elsewhere.example"},
		{`user_glob: "bot?"`, "bot1@example.org", "bot@example.org bot11@example.org"},
		{`user_glob: "bot[0-9]"`, "bot7@example.org", "botx@example.org"},
		{`user_glob: "bot[!0-9]"`, "botx@example.org", "bot7@example.org"},
		{`user_glob: "a.c"`, "a.c@example.org", "abc@example.org"},
		{`server: example.org`, "example.org alice@example.org", "sub.example.org notexample.org example.org.evil.example"},
		{`server: EXAMPLE.org`, "example.org", "example.net"},
		{`server_regexp: '(^|\.)example\.org$'`, "sub.example.org example.org", "example.org.evil.example badexample.org"},
		{`server_glob: "*.example.org"`, "sub.example.org", "example.org evil.example sub.example.org.evil.example"},
		{`resource: phone`, "alice@elsewhere.example/phone", "alice@example.org/Phone alice@example.org/phone2 alice@example.org"},
		{`resource_regexp: ^ph`, "alice@example.org/phone", "alice@example.org/xph"},
		{`resource_glob: "ph*"`, "alice@example.org/phone", "alice@example.org/aph"},
		{`node_regexp: {"^a": "^example"}`, "alice@example.org alice@example.com", "bob@example.org alice@notexample.org"},
		{`node_glob: {"a*": "*.org"}`, "alice@example.org", "alice@example.net balice@example.org"},
		{`node_glob: [{"a*": "*.org"}, {"b*": "*.net"}]`, "bob@example.net", "bob@example.org"},
		{`ip: 10.0.0.0/8`, "10.1.2.3 ::ffff:10.1.2.3", "11.0.0.1 ::10.1.2.3 alice@example.org"},
		{`ip: 127.0.0.1/8`, "127.9.9.9", "128.0.0.1"},
		{`ip: 192.0.2.1`, "192.0.2.1 ::ffff:192.0.2.1", "192.0.2.2 192.0.2.10"},
		{`ip: "::ffff:10.0.0.0/104"`, "10.9.9.9 ::ffff:10.1.1.1", "11.1.1.1"},
		{`ip: "::/0"`, "2001:db8::1", "192.0.2.1 ::ffff:192.0.2.1"},
		{`ip: "0.0.0.0/0"`, "192.0.2.1", "2001:db8::1 ::1"},
		{`ip: ["::1/128", 127.0.0.0/8]`, "::1 127.0.0.1", "::2"},
		{`ip: "fe80::/10"`, "fe80::1%eth0", "fec0::1"},
		{`[user: alice, ip: 10.0.0.0/8]`, "alice@example.org 10.0.0.1", "bob@example.org 11.0.0.1"},
		{`{user: alice, server: far.example}`, "alice@example.org bob@far.example", "bob@example.org"},
	}
	for _, tt := range tests {
		rs := rules(t, "acl:\n  x:\n    "+tt.acl)
		for want, list := range map[bool]string{true: tt.in, false: tt.out} {
			for _, s := range strings.Fields(list) {
				jid, ip := s, ""
				if _, err := netip.ParseAddr(s); err == nil {
					jid, ip = "", s
				}
				who := somebody(t, jid, ip)
				if got := rs.In("x", who); got != want {
					t.Errorf("%s: %s is in: %v, want %v", tt.acl, s, got, want)
				}
			}
		}
	}
}

func TestNothingKnownMatchesNothing(t *testing.T) {
	rs := rules(t, `acl: {x: {user_regexp: "", server_regexp: "", resource_regexp: "", user_glob: "*", ip: [0.0.0.0/0, "::/0"], node_regexp: {"": ""}}}`)
	if rs.In("x", acl.Subject{}) {
		t.Error("a subject of which nothing is known is in an ACL")
	}
	if !rs.In("all", acl.Subject{}) || rs.In("none", acl.Subject{}) || rs.In("undefined", acl.Subject{}) {
		t.Error("all, none or an undefined ACL say the wrong thing")
	}
}

func TestSharedGroups(t *testing.T) {
	o, bad, _ := read(t, `acl: {x: {shared_group: [staff, {friends: example.net}]}}`)
	if bad != nil {
		t.Fatal(bad)
	}
	var groups acl.Groups
	rs := acl.NewRuleset("example.org", serves, &groups)
	rs.Replace(o)
	alice, bob := somebody(t, "alice@example.org/phone", ""), somebody(t, "bob@example.org", "")
	if rs.In("x", alice) {
		t.Error("alice is in a group that nobody knows")
	}
	gone := groups.Provide("example.org", func(user xmpp.JID, group string) bool {
		return user == alice.JID.Bare() && group == "staff"
	})
	stale := groups.Provide("example.net", func(xmpp.JID, string) bool { return false })
	groups.Provide("example.net", func(user xmpp.JID, group string) bool { return user == bob.JID && group == "friends" })
	stale()
	if !rs.In("x", alice) || !rs.In("x", bob) {
		t.Error("alice and bob are in groups and should be in the ACL")
	}
	gone()
	if rs.In("x", alice) {
		t.Error("alice is in a group of a module that has stopped")
	}
}

func TestRules(t *testing.T) {
	const lists = "acl: {local: {user_regexp: ''}, blocked: {user: mallory}, home: {ip: 10.0.0.0/8}, admin: {user: alice}}\n"
	tests := []struct{ rule, jid, ip, want string }{
		{"[{deny: blocked}, {allow: all}]", "mallory@example.org", "", "deny"},
		{"[{deny: blocked}, {allow: all}]", "alice@example.org", "", "allow"},
		{"{deny: blocked, allow: all}", "mallory@example.org", "", "deny"},
		{"{allow: all, deny: blocked}", "mallory@example.org", "", "allow"},
		{"[{allow: local}]", "alice@elsewhere.example", "", "deny"},
		{"[{allow: [admin, home]}]", "alice@example.org", "10.0.0.1", "allow"},
		{"[{allow: [admin, home]}]", "alice@example.org", "11.0.0.1", "deny"},
		{"[{allow: [admin, home]}]", "alice@example.org", "", "deny"},
		{"[{allow: [admin, home]}]", "bob@example.org", "10.0.0.1", "deny"},
		{"[{allow: [{acl: admin}, {acl: home}]}]", "alice@example.org", "10.0.0.1", "allow"},
		{"{allow: {user: bob, ip: 10.0.0.0/8}}", "bob@example.org", "10.0.0.1", "allow"},
		{"{allow: {user: bob, ip: 10.0.0.0/8}}", "bob@example.org", "", "deny"},
		{"[{allow: [{user: bob}, admin]}]", "bob@example.org", "", "deny"},
		{"[{allow: {user: [bob, alice]}}]", "bob@example.org", "", "deny"},
		{"[allow]", "anyone@elsewhere.example", "", "allow"},
		{"[deny, allow]", "alice@example.org", "", "deny"},
		{"allow", "alice@example.org", "", "allow"},
		{"[{allow: none}]", "alice@example.org", "", "deny"},
		{"[{allow: nosuch}]", "alice@example.org", "", "deny"},
		{"[{deny: nosuch}, {allow: all}]", "alice@example.org", "", "allow"},
		{"[[{deny: blocked}], [[{allow: all}]]]", "alice@example.org", "", "allow"},
	}
	for _, tt := range tests {
		rs := rules(t, lists+"access_rules: {x: "+tt.rule+"}")
		if got := rs.Allows("x", somebody(t, tt.jid, tt.ip)); got != (tt.want == "allow") {
			t.Errorf("%s: %s %s: %v, want %s", tt.rule, tt.jid, tt.ip, got, tt.want)
		}
	}
}

func TestReservedRules(t *testing.T) {
	rs := rules(t, "acl: {}")
	who := somebody(t, "alice@example.org", "")
	if !rs.Allows("all", who) || rs.Allows("none", who) || rs.Allows("nosuch", who) || rs.Allows("", who) {
		t.Error("all, none, an undefined rule or an empty name say the wrong thing")
	}
	var zero acl.Access
	if zero.Allows(rs, who) {
		t.Error("the zero Access allows")
	}
}

type listener struct {
	Access acl.Access
	Shaper acl.Limit
}

func (l *listener) Fields(f *config.Fields) {
	acl.AccessField(f, &l.Access, "access", "all", "Who may.")
	acl.LimitField(f, &l.Shaper, "shaper", "none", "How fast.")
}

func TestInlineRules(t *testing.T) {
	rs := rules(t, "acl: {admin: {user: alice}}\naccess_rules: {admins: {allow: admin}}\nshaper: {slow: 10, fast: {rate: 20, burst_size: 50}}\n"+
		"shaper_rules: {normal: [{fast: admin}, {slow: all}]}")
	alice, bob := somebody(t, "alice@example.org", ""), somebody(t, "bob@example.org", "")
	tests := []struct {
		option     string
		alice, bob bool
		rate       acl.Rate // of alice
	}{
		{"{}", true, true, acl.Rate{}},
		{"access: admins", true, false, acl.Rate{}},
		{"access: [{allow: {user: bob}}]", false, true, acl.Rate{}},
		{"access: {allow: admin}", true, false, acl.Rate{}},
		{"access: [allow]", true, true, acl.Rate{}},
		{"shaper: normal", true, true, acl.Rate{Bytes: 20, Burst: 50}},
		{"shaper: [{slow: admin}]", true, true, acl.Rate{Bytes: 10, Burst: 10}},
		{"shaper: 7", true, true, acl.Rate{Bytes: 7, Burst: 7}},
		{"shaper: infinity", true, true, acl.Rate{}},
		{"shaper: nosuch", true, true, acl.Rate{}},
	}
	for _, tt := range tests {
		n, err := config.Parse("x.yml", []byte(tt.option))
		if err != nil {
			t.Fatal(err)
		}
		var l listener
		if bad, _ := config.Decode(n, &l); bad != nil {
			t.Errorf("%s: %v", tt.option, errors.Join(bad...))
			continue
		}
		if a, b := l.Access.Allows(rs, alice), l.Access.Allows(rs, bob); a != tt.alice || b != tt.bob {
			t.Errorf("%s: alice %v, bob %v", tt.option, a, b)
		}
		if got := l.Shaper.Rate(rs, alice); got != tt.rate {
			t.Errorf("%s: alice has %+v, want %+v", tt.option, got, tt.rate)
		}
	}
}

func TestReloadChangesEveryAnswer(t *testing.T) {
	rs := rules(t, "acl: {admin: {user: alice}}\naccess_rules: {x: {allow: admin}}")
	access := acl.NewAccess("x")
	bob := somebody(t, "bob@example.org", "")
	if access.Allows(rs, bob) {
		t.Fatal("bob is allowed before the reload")
	}
	o, _, _ := read(t, "acl: {admin: {user: bob}}\naccess_rules: {x: {allow: admin}}")
	rs.Replace(o)
	if !access.Allows(rs, bob) || access.Allows(rs, somebody(t, "alice@example.org", "")) {
		t.Error("the old rules still hold after the reload")
	}
}

func TestAskingAllocatesNothing(t *testing.T) {
	rs := rules(t, `acl: {admin: {user: alice@example.org}, local: {user_regexp: ""}, home: {ip: [10.0.0.0/8, "::1"]}}
access_rules: {c2s: [{deny: [admin, home]}, {allow: local}]}
shaper: {normal: 1000}
shaper_rules: {c2s_shaper: [{none: admin}, {normal: all}]}`)
	who := somebody(t, "bob@example.org/phone", "192.0.2.1")
	access, limit := acl.NewAccess("c2s"), acl.NewLimit("c2s_shaper")
	// The race detector has the pool of regexp lose some of what is put back: less than
	// one allocation on average, and far less when there are many.
	if n := testing.AllocsPerRun(10_000, func() {
		if !access.Allows(rs, who) || limit.Rate(rs, who).Bytes != 1000 {
			t.Error("the wrong answer")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAllows(b *testing.B) {
	rs := rules(b, "acl: {blocked: {user: mallory}, local: {user_regexp: ''}}\naccess_rules: {c2s: [{deny: blocked}, {allow: all}]}")
	who := somebody(b, "bob@example.org/phone", "192.0.2.1")
	access := acl.NewAccess("c2s")
	for b.Loop() {
		access.Allows(rs, who)
	}
}

func TestAnswersDuringAReloadAreOldOrNew(t *testing.T) {
	// In both configurations nobody is allowed; a mixture would allow bob.
	var sets [2]acl.Options
	for i, text := range []string{
		"acl: {a: {user: alice}}\naccess_rules: {x: {allow: a}}",
		"acl: {a: {user: bob}}\naccess_rules: {x: [{deny: a}, {allow: none}]}",
	} {
		o, bad, _ := read(t, text)
		if bad != nil {
			t.Fatal(bad)
		}
		sets[i] = o
	}
	rs := acl.NewRuleset("example.org", serves, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			rs.Replace(sets[i%2])
		}
	}()
	bob := somebody(t, "bob@example.org", "")
	for {
		if rs.Allows("x", bob) {
			t.Error("a mixture of old and new rules lets bob in")
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
