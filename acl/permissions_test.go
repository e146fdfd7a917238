package acl_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
)

// stock is the option as ejabberd 26.07 ships it.
const stock = `api_permissions:
  "console commands": {from: ejabberd_ctl, who: all, what: "*"}
  "webadmin commands": {from: ejabberd_web_admin, who: admin, what: "*"}
  "adhoc commands": {from: mod_adhoc_api, who: admin, what: "*"}
  "http access":
    from: mod_http_api
    who:
      access:
        allow:
          - acl: loopback
          - acl: admin
      oauth:
        scope: "ejabberd:admin"
        access:
          allow:
            - acl: loopback
            - acl: admin
    what: ["*", "!stop", "!start"]
  "public commands":
    who: {ip: 127.0.0.1/8}
    what: [status, connected_users_number]
`

const lists = `acl: {admin: {user: alice@example.org}, loopback: {ip: [127.0.0.0/8, "::1/128"]}}
access_rules: {configure: {allow: admin}, yes: {allow: all}}
`

// permissions decodes api_permissions and returns a function that asks them.
func permissions(t *testing.T, text string) func(acl.Call) bool {
	t.Helper()
	n, err := config.Parse("x.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var p acl.Permissions
	if bad, _ := config.Decode(n, &p); bad != nil {
		t.Fatalf("%s\n%v", text, errors.Join(bad...))
	}
	sets := map[string]*acl.Ruleset{"": rules(t, lists), "example.org": rules(t, lists)}
	sets["example.net"] = rules(t, "acl: {admin: {user: carol@example.net}}\naccess_rules: {configure: {allow: admin}}")
	return func(c acl.Call) bool {
		return p.Permits(func(host string) *acl.Ruleset { return sets[host] }, c)
	}
}

func TestStockPermissions(t *testing.T) {
	may := permissions(t, stock)
	alice, mallory, nobody := "alice@example.org", "mallory@example.org", ""
	tests := []struct {
		name string
		call acl.Call
		want bool
	}{
		{"the console", acl.Call{From: "ejabberd_ctl", Command: "stop"}, true},
		{"an admin in the web admin", acl.Call{From: "ejabberd_web_admin", Who: somebody(t, alice, ""), Command: "stop"}, true},
		{"a user in the web admin", acl.Call{From: "ejabberd_web_admin", Who: somebody(t, mallory, "127.0.0.1"), Command: "stop"}, false},
		{"an admin by ad-hoc command", acl.Call{From: "mod_adhoc_api", Who: somebody(t, alice, ""), Command: "kick"}, true},
		{"an admin over HTTP from here", acl.Call{From: "mod_http_api", Who: somebody(t, alice, "127.0.0.1"), Command: "kick"}, true},
		{"an admin over HTTP from here, IPv4 in IPv6", acl.Call{From: "mod_http_api", Who: somebody(t, alice, "::ffff:127.0.0.1"), Command: "kick"}, true},
		{"an admin over HTTP from elsewhere", acl.Call{From: "mod_http_api", Who: somebody(t, alice, "192.0.2.1"), Command: "kick"}, false},
		{"a user over HTTP from here", acl.Call{From: "mod_http_api", Who: somebody(t, mallory, "127.0.0.1"), Command: "kick"}, false},
		{"somebody without an account from here", acl.Call{From: "mod_http_api", Who: somebody(t, nobody, "127.0.0.1"), Command: "kick"}, false},
		{"an admin who wants to stop over HTTP", acl.Call{From: "mod_http_api", Who: somebody(t, alice, "127.0.0.1"), Command: "stop"}, false},
		{"public: status from here", acl.Call{From: "mod_http_api", Who: somebody(t, nobody, "127.0.0.9"), Command: "status"}, true},
		{"public: status from elsewhere", acl.Call{From: "mod_http_api", Who: somebody(t, nobody, "10.0.0.1"), Command: "status"}, false},
		{"public: stats from here", acl.Call{From: "mod_http_api", Who: somebody(t, nobody, "127.0.0.1"), Command: "stats"}, false},
		{"a token of an admin", acl.Call{From: "mod_http_api", OAuth: true, Scopes: []string{"x", "ejabberd:admin"}, Who: somebody(t, alice, "::1"), Command: "kick"}, true},
		{"a token without the scope", acl.Call{From: "mod_http_api", OAuth: true, Scopes: []string{"ejabberd:user"}, Who: somebody(t, alice, "::1"), Command: "kick"}, false},
		{"a token of a user", acl.Call{From: "mod_http_api", OAuth: true, Scopes: []string{"ejabberd:admin"}, Who: somebody(t, mallory, "::1"), Command: "kick"}, false},
		{"a token does not count as an address", acl.Call{From: "mod_http_api", OAuth: true, Who: somebody(t, nobody, "127.0.0.1"), Command: "status"}, false},
		{"an unknown door", acl.Call{From: "mod_other", Who: somebody(t, alice, "127.0.0.1"), Command: "kick"}, false},
		{"echo", acl.Call{From: "mod_http_api", Command: "echo"}, true},
		{"internal, by the console", acl.Call{From: "ejabberd_ctl", Command: "webadmin_x", CommandTags: []string{"internal"}}, false},
		{"internal, by the web admin", acl.Call{From: "ejabberd_web_admin", Who: somebody(t, alice, ""), Command: "webadmin_x", CommandTags: []string{"internal"}}, true},
	}
	for _, tt := range tests {
		if got := may(tt.call); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestCallersWithAnAccountNeedConfigureOnTheHost(t *testing.T) {
	may := permissions(t, `api_permissions: {x: {who: {access: yes}, what: "*"}}`)
	alice, carol := somebody(t, "alice@example.org", ""), somebody(t, "carol@example.net", "")
	tests := []struct {
		name string
		call acl.Call
		want bool
	}{
		{"her own host", acl.Call{Who: alice, Command: "kick", Hosts: []string{"example.org"}}, true},
		{"another host", acl.Call{Who: alice, Command: "kick", Hosts: []string{"example.net"}}, false},
		{"a host that is not served", acl.Call{Who: alice, Command: "kick", Hosts: []string{"example.com"}}, false},
		{"two hosts are not checked, as in ejabberd", acl.Call{Who: carol, Command: "kick", Hosts: []string{"example.org", "example.net"}}, true},
		{"no host", acl.Call{Who: carol, Command: "stats"}, true},
		{"no account", acl.Call{Command: "kick", Hosts: []string{"example.org"}}, true},
	}
	for _, tt := range tests {
		if got := may(tt.call); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestPermissionsWithoutTheOption(t *testing.T) {
	may := permissions(t, "{}")
	alice, mallory := somebody(t, "alice@example.org", ""), somebody(t, "mallory@example.org", "127.0.0.1")
	for want, calls := range map[bool][]acl.Call{
		true: {
			{From: "ejabberd_ctl", Command: "stop"},
			{From: "mod_http_api", Who: alice, Command: "kick"},
			{From: "mod_http_api", OAuth: true, Scopes: []string{"ejabberd:admin"}, Who: alice, Command: "kick"},
		},
		false: {
			{From: "mod_http_api", Who: alice, Command: "stop"},
			{From: "mod_http_api", Who: mallory, Command: "kick"},
			{From: "mod_http_api", OAuth: true, Scopes: []string{"ejabberd:user"}, Who: alice, Command: "kick"},
			{From: "mod_http_api", Command: "kick"},
		},
	} {
		for _, c := range calls {
			if got := may(c); got != want {
				t.Errorf("%+v: %v, want %v", c, got, want)
			}
		}
	}
}

func TestWhat(t *testing.T) {
	tests := []struct{ what, yes, no string }{
		{`"*"`, "a b", ""},
		{`[a]`, "a", "b ab"},
		{`["!a"]`, "", "a b"},
		{`["*", "!a"]`, "b", "a"},
		{`["!a", "*"]`, "b", "a"},
		{`["*", "!*"]`, "", "a b"},
		{`[a, "!a"]`, "", "a b"},
		{`["[tag:t]"]`, "a", "b"},
		{`["*", "![tag:t]"]`, "b", "a"},
		{`["[tag:t]", "!a", b]`, "b", "a c"},
		{`[]`, "", "a b"},
	}
	tags := map[string][]string{"a": {"t", "u"}}
	for _, tt := range tests {
		may := permissions(t, "api_permissions: {x: {who: all, what: "+tt.what+"}, y: {what: '*'}, 'console commands': {from: mod_cron}}")
		for want, list := range map[bool]string{true: tt.yes, false: tt.no} {
			for _, c := range strings.Fields(list) {
				if got := may(acl.Call{From: "ejabberd_ctl", Command: c, CommandTags: tags[c]}); got != want {
					t.Errorf("%s: %s: %v, want %v", tt.what, c, got, want)
				}
			}
		}
	}
}

func TestFromTags(t *testing.T) {
	may := permissions(t, "api_permissions: {x: {from: [mod_http_api, mod_cron, tag: inside, tag: lab], who: all, what: '*'}}")
	for c, want := range map[[2]string]bool{
		{"mod_http_api", "inside"}:  true,
		{"mod_cron", "lab"}:         true,
		{"mod_http_api", ""}:        false,
		{"mod_http_api", "outside"}: false,
		{"mod_adhoc_api", "inside"}: false,
	} {
		if got := may(acl.Call{From: c[0], Tag: c[1], Command: "status"}); got != want {
			t.Errorf("%v: %v, want %v", c, got, want)
		}
	}
}

func TestPermissionMistakes(t *testing.T) {
	tests := []struct{ text, want string }{
		{"api_permissions: x", "expected a map of titles"},
		{"api_permissions:\n  x: {whom: all}", `x.yml:2:7: api_permissions.x.whom: "whom" must be from, who or what`},
		{"api_permissions:\n  x: {from: mod_http}", `"mod_http" must be one of ejabberd_ctl,`},
		{"api_permissions:\n  x: {from: {tags: a}}", `"tags" must be one of`},
		{"api_permissions:\n  x: {who: {moon: 1}}", `"moon" is no kind of matcher`},
		{"api_permissions:\n  x: {who: {oauth: {acl: admin}}}", `oauth needs a scope`},
		{"api_permissions:\n  x: {who: {access: [{permit: a}]}}", `"permit" must be allow or deny`},
		{"api_permissions:\n  x: {what: '!!a'}", `one exclamation mark is enough`},
		{"api_permissions:\n  x: {what: '[tag:a'}", `is not a tag`},
		{"api_permissions:\n  x: {what: 'A b'}", `"A b" is not the name of a command`},
		{"api_permissions:\n  x: {what: ''}", `"" is not the name of a command`},
		{"api_permissions:\n  x: {what: [{a: b}]}", `expected the name of a command`},
	}
	for _, tt := range tests {
		n, err := config.Parse("x.yml", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		var p acl.Permissions
		bad, _ := config.Decode(n, &p)
		if len(bad) != 1 || !strings.Contains(bad[0].Error(), tt.want) {
			t.Errorf("%s\n got %v\nwant one with %q", tt.text, bad, tt.want)
		}
	}
}

func TestUndefinedNamesInPermissions(t *testing.T) {
	n, err := config.Parse("x.yml", []byte(stock))
	if err != nil {
		t.Fatal(err)
	}
	var p acl.Permissions
	if bad, _ := config.Decode(n, &p); bad != nil {
		t.Fatal(bad)
	}
	o, _, _ := read(t, "acl: {loopback: {ip: '::1'}}")
	got := p.Undefined(&o)
	if got == nil || strings.Count(got.Error(), `no ACL called "admin"`) != 4 || strings.Contains(got.Error(), "loopback") {
		t.Errorf("got %v, want four warnings about admin", got)
	}
}
