package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

// A reload, also that by a signal, is in force for whoever comes next and sends
// nobody away.
func TestReloadOfAnAccessRule(t *testing.T) {
	r := up(t, oneDoor)
	r.register("romeo@localhost", "mallory@localhost")
	there := r.session("mallory@localhost/there")
	r.rewrite(strings.Replace(oneDoor, "c2s: {allow: all}", "c2s: {deny: blocked, allow: all}", 1))
	r.hup()
	if _, answer := r.login("mallory@localhost/again"); !strings.Contains(answer, "not-allowed") {
		t.Errorf("the rule is not in force: %s", answer)
	}
	there.says("still here", "mallory@localhost/there", there)
	r.session("romeo@localhost/orchard")
	r.rewrite(oneDoor)
	r.ctl("reload_config")
	r.session("mallory@localhost/again")
}

func TestReloadOfShapers(t *testing.T) {
	const shaped = `
hosts: [localhost]
acl: {slow: {user: romeo@localhost}}
shaper: {normal: 1000, fast: 50000}
shaper_rules: {max_user_sessions: 10, c2s_shaper: {normal: all}}
`
	r, _ := built(t, shaped)
	romeo := acl.Subject{JID: xmpp.MustParse("romeo@localhost")}
	rules := r.Host("localhost").Rules // what a client holds as long as it is connected
	var limit acl.Limit
	limits := func(change string) (sessions int, rate string) {
		t.Helper()
		if err := os.WriteFile(r.opt.Config, []byte(change), 0o600); err != nil {
			t.Fatal(err)
		}
		r.newest(t, "reload_config")
		sessions, _ = rules.Number("max_user_sessions", romeo)
		limit = readShaper(t, r)
		return sessions, fmt.Sprint(limit.Rate(rules, romeo))
	}
	const door = "listen: [{port: 0, ip: 127.0.0.1, module: ejabberd_c2s, shaper: c2s_shaper}]\n"
	n, before := limits(shaped + door[:0])
	if n != 10 {
		t.Errorf("max_user_sessions is %d, not 10", n)
	}
	n, after := limits(strings.NewReplacer("10, c2s", "{3: slow, 10: all}, c2s", "{normal: all}", "{fast: all}").Replace(shaped))
	if n != 3 {
		t.Errorf("max_user_sessions is %d after the reload, not 3", n)
	}
	if before == after {
		t.Errorf("the shaper is %s before and after", after)
	}
}

// readShaper is the option shaper of a listener with `shaper: c2s_shaper`.
func readShaper(t *testing.T, s *Server) acl.Limit {
	t.Helper()
	o := s.opt
	o.Config = filepath.Join(t.TempDir(), "door.yml")
	write(t, o.Config, []byte("hosts: [localhost]\nlisten: [{port: 0, module: ejabberd_c2s, shaper: c2s_shaper}]\nshaper_rules: {c2s_shaper: {none: all}}\n"))
	c, err := readConfiguration(o)
	if err != nil {
		t.Fatal(err)
	}
	return c.listeners[0].c2s.Shaper
}

type word struct{ Word string }

func (w *word) Fields(f *config.Fields) { f.String(&w.Word, "word", "hello", "What it says.") }

// A reload restarts those modules whose options have changed, those that need
// them, and nobody else.
func TestReloadOfModules(t *testing.T) {
	var events []string
	failing := false
	define := func(name string, needs ...string) modules.Module {
		return modules.Define(name, modules.Spec[word]{Doc: name, Needs: needs, Start: func(h *modules.Host, o word) error {
			if failing {
				return fmt.Errorf("%s has no luck", name)
			}
			events = append(events, "+"+name+" "+o.Word)
			h.OnStop(func() { events = append(events, "-"+name) })
			return nil
		}})
	}
	list := []modules.Module{define("mod_caps"), define("mod_disco", "mod_caps"), define("mod_last"), define("mod_ping")}
	const head = "hosts: [localhost]\nmodules:\n"
	s, _ := builtWith(t, head+"  mod_caps: {}\n  mod_disco: {}\n  mod_ping: {}\n", list)
	for _, tt := range []struct {
		name, modules string
		want          []string
	}{
		{"nothing", "  mod_caps: {}\n  mod_disco: {}\n  mod_ping: {}\n", nil},
		{"the default, said aloud", "  mod_caps: {word: hello}\n  mod_disco: {}\n  mod_ping: {}\n", nil},
		{"an option", "  mod_caps: {}\n  mod_disco: {}\n  mod_ping: {word: ping}\n", []string{"-mod_ping", "+mod_ping ping"}},
		{"an option of what another needs", "  mod_caps: {word: star}\n  mod_disco: {}\n  mod_ping: {word: ping}\n", []string{"-mod_disco", "-mod_caps", "+mod_caps star", "+mod_disco hello"}},
		{"one more", "  mod_caps: {word: star}\n  mod_disco: {}\n  mod_ping: {word: ping}\n  mod_last: {}\n", []string{"+mod_last hello"}},
		{"one less", "  mod_caps: {word: star}\n  mod_disco: {}\n  mod_last: {}\n", []string{"-mod_ping"}},
	} {
		events = nil
		write(t, s.opt.Config, []byte(head+tt.modules))
		s.newest(t, "reload_config")
		if !slices.Equal(events, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, events, tt.want)
		}
	}
	events, failing = nil, true
	write(t, s.opt.Config, []byte(head+"  mod_caps: {word: star}\n  mod_disco: {}\n  mod_last: {word: again}\n"))
	left, err := s.reload(t.Context())
	if err != nil || len(left) != 1 || !strings.Contains(left[0], "mod_last has no luck") {
		t.Errorf("a module that does not start: %q, %v", left, err)
	}
	failing = false
	s.newest(t, "reload_config")
	if got := s.newest(t, "modules"); !strings.Contains(got, "mod_disco") {
		t.Errorf("left: %s", got)
	}
}

// The clients of a host that goes hear host-gone and nothing of it is left; one
// that comes works at once, with a certificate.
func TestReloadOfHosts(t *testing.T) {
	two := strings.Replace(oneDoor, "[localhost]", "[localhost, example.org]", 1)
	r := up(t, two)
	r.register("romeo@localhost", "juliet@example.org")
	romeo, juliet := r.session("romeo@localhost/orchard"), r.session("juliet@example.org/balcony")
	late, answer := r.auth("juliet", "example.org")
	if !strings.Contains(answer, "<success") {
		t.Fatal(answer)
	}
	r.rewrite(oneDoor)
	r.ctl("reload_config")
	if got := juliet.until("</stream:stream>"); !strings.Contains(got, "host-gone") {
		t.Errorf("juliet hears %s", got)
	}
	late.open("example.org")
	if got := late.until("</stream:stream>", "</stream:features>"); !strings.Contains(got, "host-unknown") {
		t.Errorf("who comes too late hears %s", got)
	}
	romeo.send("<iq type='get' id='gone' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>")
	if got := romeo.until("</iq>"); !strings.Contains(got, "type='error'") {
		t.Errorf("the host that is gone still answers: %s", got)
	}
	r.rewrite(strings.Replace(oneDoor, "[localhost]", "[localhost, example.org, example.net]", 1))
	r.ctl("reload_config")
	r.register("paris@example.net")
	paris := r.session("paris@example.net/hall")
	romeo.says("welcome", "paris@example.net/hall", paris)
	if err := paris.conn.ConnectionState().PeerCertificates[0].VerifyHostname("example.net"); err != nil {
		t.Error(err)
	}
	// Accounts of a host that comes back are as they were.
	r.session("juliet@example.org/balcony")
}

// Who has logged in on a host but has no session yet when it goes, gets none.
func TestNoSessionOnAHostThatIsGone(t *testing.T) {
	r := up(t, strings.Replace(oneDoor, "[localhost]", "[localhost, example.org]", 1))
	r.register("juliet@example.org")
	late, _ := r.auth("juliet", "example.org")
	late.open("example.org")
	late.until("</stream:features>")
	r.rewrite(oneDoor)
	r.ctl("reload_config")
	late.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
	if got := late.until("</stream:stream>"); !strings.Contains(got, "host-gone") {
		t.Errorf("who binds too late hears %s", got)
	}
}

// A mistake leaves everything as it was.
func TestReloadOfAMistake(t *testing.T) {
	r := up(t, oneDoor)
	r.register("romeo@localhost", "mallory@localhost")
	denying := strings.Replace(oneDoor, "c2s: {allow: all}", "c2s: {deny: all}", 1)
	for name, tt := range map[string]struct{ yaml, want string }{
		"an unknown option":      {denying + "loglevle: debug\n", `did you mean "loglevel"`},
		"no YAML":                {denying + "hosts: [\n", "ejabberd.yml:"},
		"an unbuilt backend":     {denying + "auth_method: [ldap]\n", "ldap"},
		"a missing certificate":  {denying + "certfiles: [/does/not/exist.pem]\n", "/does/not/exist.pem"},
		"no hosts":               {strings.Replace(denying, "[localhost]", "[]", 1), "hosts"},
		"an option of a module":  {strings.Replace(denying, "mod_ping: {}", "mod_ping: {ping_intervall: 3}", 1), "ping_interval"},
		"an option of listeners": {strings.Replace(denying, "tls: true", "tls: perhaps", 1), "tls"},
	} {
		r.rewrite(tt.yaml)
		out, exit := r.try("reload_config")
		if exit == 0 || !strings.Contains(out, tt.want) || !strings.Contains(out, "nothing was changed") {
			t.Errorf("%s: exit code %d, %s", name, exit, out)
		}
		r.hup()
		w := r.session("romeo@localhost/orchard")
		w.send("<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
		if got := w.until("</iq>", "/>"); !strings.Contains(got, "result") {
			t.Errorf("%s: a module is gone: %s", name, got)
		}
		w.conn.Close()
	}
	if !strings.Contains(r.log.String(), "the configuration stays as it is") {
		t.Errorf("the signal's mistakes are not logged:\n%s", r.log)
	}
}

// What only a restart can change is said, and the rest is done.
func TestReloadSaysWhatItCannot(t *testing.T) {
	r := up(t, oneDoor)
	r.register("romeo@localhost", "mallory@localhost")
	denying := strings.Replace(oneDoor, "c2s: {allow: all}", "c2s: {deny: blocked, allow: all}", 1)
	for name, tt := range map[string]struct{ yaml, want string }{
		"the database":    {denying + "sql_pool_size: 7\n", "sql options of localhost"},
		"the language":    {denying + "language: de\n", "language"},
		"where things go": {denying + "default_db: sql\nsql_type: sqlite\n", "default_db"},
	} {
		r.rewrite(tt.yaml)
		out, exit := r.try("reload_config")
		if exit == 0 || !strings.Contains(out, tt.want) || !strings.Contains(out, "restart") {
			t.Errorf("%s: exit code %d, %s", name, exit, out)
		}
		if _, answer := r.login("mallory@localhost/x"); !strings.Contains(answer, "not-allowed") {
			t.Errorf("%s: the rest is not in force: %s", name, answer)
		}
		if again, _ := r.try("reload_config"); again != out {
			t.Errorf("%s: a second reload says %s, the first has said %s", name, again, out)
		}
		r.rewrite(oneDoor)
		if out, exit := r.try("reload_config"); exit != 0 {
			t.Errorf("%s: after going back: %s", name, out)
		}
	}
}
