package server

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/register"
)

// freePort is a port on which nobody listens.
func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// on is r as who connects to another port sees it.
func (r *running) on(port int) *running {
	other := *r
	other.at = Addresses{{Module: "ejabberd_c2s", Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, TLS: true}}
	return &other
}

// shut reports whether nobody listens where r says.
func (r *running) shut() bool {
	c, err := net.Dial("tcp", r.at[0].Addr.String())
	if err == nil {
		c.Close()
	}
	return err != nil
}

// doors is oneDoor with these listeners; each is a port and what else it is told.
func doors(listeners ...string) string {
	list := "listen: []\n"
	if len(listeners) > 0 {
		list = "listen:\n"
	}
	for _, l := range listeners {
		list += "  - {ip: 127.0.0.1, module: ejabberd_c2s, port: " + l + "}\n"
	}
	before, after, _ := strings.Cut(oneDoor, "listen:")
	_, after, _ = strings.Cut(after, "\nauth_")
	return before + list + "auth_" + after
}

// Listeners that are new in the file are opened; those that are gone let nobody in
// any more, and who came in by them stays until the server stops.
func TestReloadOpensAndClosesListeners(t *testing.T) {
	one, two := freePort(t), freePort(t)
	first, second := fmt.Sprint(one, ", tls: true"), fmt.Sprint(two, ", tls: true")
	r := up(t, doors(first))
	r.register("romeo@localhost", "juliet@localhost")
	romeo := r.session("romeo@localhost/orchard")
	if !r.on(two).shut() {
		t.Fatal("somebody listens at the second port already")
	}
	r.rewrite(doors(first, second))
	r.ctl("reload_config")
	juliet := r.on(two).session("juliet@localhost/balcony")
	r.rewrite(doors(second))
	r.ctl("reload_config")
	if !r.on(one).shut() {
		t.Error("the first port is still open")
	}
	romeo.says("still here", "juliet@localhost/balcony", juliet)
	juliet.says("so am I", "romeo@localhost/orchard", romeo)
	r.rewrite(doors())
	r.ctl("reload_config")
	if !r.on(two).shut() {
		t.Error("the second port is still open")
	}
	r.rewrite(doors(first))
	r.ctl("reload_config")
	again := r.on(one).session("juliet@localhost/nurse")
	again.says("and I am back", "romeo@localhost/orchard", romeo)
	r.stop()
	for _, w := range []*wire{romeo, juliet, again} {
		if got := w.until("</stream:stream>"); !strings.Contains(got, "system-shutdown") {
			t.Errorf("the farewell is %s", got)
		}
	}
}

// A unix socket that is gone leaves no file behind, and can come back.
func TestReloadOfUnixSockets(t *testing.T) {
	r := up(t, doors("0, tls: true"))
	for range 2 {
		r.rewrite(doors("0, tls: true", `"unix:door"`))
		r.ctl("reload_config")
		c, err := net.Dial("unix", filepath.Join(r.opt.Data, "door"))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		r.rewrite(doors("0, tls: true"))
		r.ctl("reload_config")
		if r.exists("door") {
			t.Error("the file of the socket is still there")
		}
	}
}

// New options of a listener are those of whoever connects from now on.
func TestReloadOfListenerOptions(t *testing.T) {
	port := freePort(t)
	r := up(t, doors(fmt.Sprint(port, ", tls: true"))).on(port)
	r.register("romeo@localhost", "mallory@localhost")
	romeo, mallory := r.session("romeo@localhost/orchard"), r.session("mallory@localhost/there")
	r.rewrite(doors(fmt.Sprint(port, ", tls: true, access: {deny: blocked, allow: all}")))
	r.ctl("reload_config")
	if _, answer := r.login("mallory@localhost/again"); !strings.Contains(answer, "not-allowed") {
		t.Errorf("the rule is not in force: %s", answer)
	}
	mallory.says("still here", "romeo@localhost/orchard", romeo)
	r.session("romeo@localhost/again").conn.Close()
	r.rewrite(doors(fmt.Sprint(port, ", starttls_required: true")))
	r.ctl("reload_config")
	c, err := net.Dial("tcp", r.at[0].Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='localhost'>")
	features := ""
	for buf := make([]byte, 4096); !strings.Contains(features, "</stream:features>"); {
		n, err := c.Read(buf)
		if features += string(buf[:n]); err != nil {
			t.Fatalf("%v after %s", err, features)
		}
	}
	if !strings.Contains(features, "<required/>") {
		t.Errorf("a client that is not encrypted is offered %s", features)
	}
	romeo.says("all is well", "mallory@localhost/there", mallory)
	if strings.Contains(r.log.String(), "stopped listening") {
		t.Errorf("the port was shut for a moment:\n%s", r.log)
	}
}

// A listener that cannot be had is named with its place in the file, everything
// else is in force, and a later reload tries again.
func TestReloadOfListenersThatFail(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy, free, old := taken.Addr().(*net.TCPAddr).Port, freePort(t), freePort(t)
	bad := filepath.Join(t.TempDir(), "authorities.pem")
	write(t, bad, []byte("nobody\n"))
	r := up(t, doors(fmt.Sprint(old, ", tls: true")))
	r.register("romeo@localhost")
	r.rewrite(doors(fmt.Sprint(old, ", tls: true, tls_verify: true, cafile: ", bad), fmt.Sprint(busy, ", tls: true"), fmt.Sprint(free, ", tls: true")))
	for range 2 {
		out, exit := r.try("reload_config")
		if exit == 0 || !strings.Contains(out, fmt.Sprintf("port %d is in use already", busy)) || !strings.Contains(out, bad) || strings.Count(out, "ejabberd.yml:") != 2 {
			t.Errorf("exit code %d, %s", exit, out)
		}
		r.on(free).session("romeo@localhost/free").conn.Close()
		r.on(old).session("romeo@localhost/old").conn.Close()
	}
	taken.Close()
	r.rewrite(doors(fmt.Sprint(busy, ", tls: true")))
	r.ctl("reload_config")
	r.on(busy).session("romeo@localhost/busy")
}

// Whom evacuate_kindly has sent away a reload lets in no more than anything else.
func TestReloadAfterEvacuation(t *testing.T) {
	port := freePort(t)
	r := up(t, doors("0, tls: true"))
	r.ctl("evacuate_kindly", "0", "Out!")
	r.rewrite(doors("0, tls: true", fmt.Sprint(port, ", tls: true")))
	if out, exit := r.try("reload_config"); exit == 0 || !strings.Contains(out, "restart") {
		t.Errorf("exit code %d, %s", exit, out)
	}
	if !r.shut() || !r.on(port).shut() {
		t.Error("a door is open")
	}
}

// What has retired is there as long as it has clients: it takes part in what all
// listeners do, and then it is forgotten.
func TestRetiredListeners(t *testing.T) {
	s, _ := built(t, twoHosts+"listen: [{port: 0, ip: 127.0.0.1, module: ejabberd_c2s}]\n")
	if err := s.listen(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", s.listeners[0].ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0' to='localhost'>")
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	reload := func(listen string) {
		t.Helper()
		write(t, s.opt.Config, []byte(twoHosts+listen))
		if left, err := s.reload(t.Context()); err != nil || len(left) > 0 {
			t.Fatalf("%q, %v", left, err)
		}
		s.trim()
	}
	at := s.listeners[0]
	reload("# a line more\nlisten: [{port: 0, ip: 127.0.0.1, module: ejabberd_c2s}]\n")
	if len(s.listeners) != 1 || s.listeners[0] != at {
		t.Error("a line more in the file has changed a listener")
	}
	reload("listen: [{port: 0, ip: 127.0.0.1, module: ejabberd_c2s, starttls: true}]\n")
	if len(s.listeners) != 2 || len(s.listens()) != 1 || at.service.Count() != 1 || s.listens()[0].ln != at.ln {
		t.Errorf("%d listeners, %d let clients in", len(s.listeners), len(s.listens()))
	}
	c.Close()
	eventually(t, "the client has gone", func() bool { return at.service.Count() == 0 })
	reload("")
	if len(s.listeners) != 0 {
		t.Errorf("%d listeners are left", len(s.listeners))
	}
}

// A start, reloads and an end that come at once are in order.
func TestListenersChangeAtOnce(t *testing.T) {
	const open = twoHosts + "listen: [{port: 0, ip: 127.0.0.1, module: ejabberd_c2s}]\n"
	s, _ := built(t, open)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { s.reload(t.Context()) })
		wg.Go(s.trim)
	}
	wg.Go(func() {
		if err := s.listen(); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	if n := len(s.listens()); n != 1 {
		t.Errorf("%d listeners", n)
	}
	for i := range 4 {
		write(t, s.opt.Config, []byte(strings.Replace(open, "ejabberd_c2s}", fmt.Sprint("ejabberd_c2s, max_stanza_size: ", 10000+i, "}"), 1)))
		wg.Go(func() { s.reload(context.WithoutCancel(t.Context())) })
	}
	s.stop(errStop)
	s.shutdown()
	wg.Wait()
	s.shutdown()
	if n := len(s.listens()); n != 0 {
		t.Errorf("%d listeners after the end", n)
	}
}

type keeping struct{ modules.Backend }

// default_db and the cache options reach those modules that go by them, and no
// others.
func TestReloadOfWhatModulesInherit(t *testing.T) {
	var started []string
	define := func(name string, needs ...string) modules.Module {
		return modules.Define(name, modules.Spec[keeping]{Doc: name, Needs: needs, Start: func(h *modules.Host, o keeping) error {
			db, err := h.DB(h.Context(), o.DBType)
			if err != nil {
				return err
			}
			cache := h.CacheOf(o.Backend)
			started = append(started, fmt.Sprint(name, " ", filepath.Base(db.String()), " ", cache.Size))
			return nil
		}})
	}
	none := modules.Define("mod_ping", modules.Spec[word]{Doc: "mod_ping", Start: func(*modules.Host, word) error {
		started = append(started, "mod_ping")
		return nil
	}})
	const tail = "\nsql_type: sqlite\nsql_database: other.db\nmodules:\n  mod_last: {}\n  mod_private: {db_type: sql}\n  mod_ping: {}\n"
	s, _ := builtWith(t, "hosts: [localhost]"+tail, []modules.Module{define("mod_last"), define("mod_private"), none})
	for _, tt := range []struct {
		name, options string
		want          []string
	}{
		{"where things go", "\ndefault_db: sql", []string{"mod_last other.db 1000"}},
		{"the same once more", "\n# said aloud\ndefault_db: sql", nil},
		{"the cache", "\ndefault_db: sql\ncache_size: 7", []string{"mod_last other.db 7", "mod_private other.db 7"}},
		{"back", "", []string{"mod_last gabberd.db 1000", "mod_private other.db 1000"}},
	} {
		started = nil
		write(t, s.opt.Config, []byte("hosts: [localhost]"+tt.options+tail))
		if left, err := s.reload(t.Context()); err != nil || len(left) > 0 {
			t.Fatalf("%s: %q, %v", tt.name, left, err)
		}
		if !slices.Equal(started, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, started, tt.want)
		}
	}
	if got := s.Host("localhost").DefaultCache; got != (local.Cache{Use: true, Size: 1000, Missed: true, LifeTime: got.LifeTime}) {
		t.Errorf("the cache options are %+v", got)
	}
}

// A module that has an access rule written into its options is not started anew by
// a reload that changes nothing of it.
func TestReloadLeavesModulesAlone(t *testing.T) {
	const yaml = "hosts: [localhost]\nmodules:\n  mod_register: {access: {allow: all}, access_from: all}\n"
	s, _ := builtWith(t, yaml, []modules.Module{register.Module})
	before := s.host("localhost").running[0]
	write(t, s.opt.Config, []byte("# a line more\nloglevel: debug\n"+yaml))
	s.newest(t, "reload_config")
	if s.host("localhost").running[0] != before {
		t.Error("the module was started anew")
	}
	write(t, s.opt.Config, []byte(strings.Replace(yaml, "allow: all", "deny: all", 1)))
	s.newest(t, "reload_config")
	if s.host("localhost").running[0] == before {
		t.Error("the module goes on with the old rule")
	}
}
