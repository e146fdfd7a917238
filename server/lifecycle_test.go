package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A server that is stopped tells its clients, lets go of its data directory and
// leaves no goroutine (TestMain looks for those).
func TestServerStopsAndLetsGo(t *testing.T) {
	r := up(t, oneDoor)
	r.register("romeo@localhost", "juliet@localhost")
	romeo, juliet := r.session("romeo@localhost/orchard"), r.session("juliet@localhost/balcony")
	romeo.says("It is the east", "juliet@localhost/balcony", juliet)
	idle := r.dial("localhost") // has not logged in
	idle.until("</stream:features>")
	r.stop()
	for _, w := range []*wire{romeo, juliet, idle} {
		if got := w.until("</stream:stream>"); !strings.Contains(got, "system-shutdown") {
			t.Errorf("the farewell is %s", got)
		}
	}
	if c, err := net.Dial("tcp", r.at[0].Addr.String()); err == nil {
		c.Close()
		t.Error("somebody still listens")
	}
	if r.exists("gabberd.sock") {
		t.Error("the control socket is still there")
	}
	again := launch(t, r.opt)
	again.session("romeo@localhost/orchard")
}

// What is under way to a client when the server stops still reaches it.
func TestNothingIsLostAtTheEnd(t *testing.T) {
	r := up(t, oneDoor)
	r.register("romeo@localhost", "juliet@localhost")
	romeo, juliet := r.session("romeo@localhost/orchard"), r.session("juliet@localhost/balcony")
	const many = 200
	for range many {
		romeo.send("<message type='chat' to='juliet@localhost/balcony'><body>Good night</body></message>")
	}
	// The answer comes when everything before it was dealt with.
	romeo.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
	romeo.until("id='p'")
	r.stop()
	if n := strings.Count(juliet.until("</stream:stream>"), "Good night"); n != many {
		t.Errorf("%d of %d messages have arrived", n, many)
	}
}

func TestServerRestartsByCommand(t *testing.T) {
	r := up(t, oneDoor)
	r.register("romeo@localhost")
	romeo := r.session("romeo@localhost/orchard")
	r.ctl("restart")
	if err := r.over(); !errors.Is(err, ErrRestart) {
		t.Fatalf("the server ended with %v", err)
	}
	romeo.until("system-shutdown", "</stream:stream>")
	again := launch(t, r.opt)
	again.session("romeo@localhost/orchard")
	again.ctl("stop")
	if err := again.over(); err != nil {
		t.Errorf("stop: the server ended with %v", err)
	}
}

// Nobody but the server's user may read its data or give it commands.
func TestDataIsPrivate(t *testing.T) {
	r := up(t, oneDoor)
	for name, want := range map[string]os.FileMode{"": 0o700, "gabberd.db": 0o600, "gabberd.sock": 0o600, "self-signed.pem": 0o600, "gabberd.lock": 0o600, "version": 0o600} {
		st, err := os.Lstat(filepath.Join(r.opt.Data, name))
		if err != nil {
			t.Error(err)
		} else if st.Mode().Perm() != want {
			t.Errorf("%q has mode %o, not %o", name, st.Mode().Perm(), want)
		}
	}
}

func TestDataDirectoryIsForOneServer(t *testing.T) {
	r := up(t, oneDoor)
	second := r.opt
	second.Ready, second.Reload = nil, nil
	if err := Run(t.Context(), second); err == nil || !strings.Contains(err.Error(), "another gabberd uses the data directory") {
		t.Errorf("a second server: %v", err)
	}
	r.register("romeo@localhost") // the first has not noticed
}

// systemd hears that the server is ready only when it lets clients in, and that it
// goes only when it does not come back.
func TestSystemdIsTold(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	next := func() string {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 256)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	r := up(t, oneDoor)
	if got := next(); got != "READY=1" {
		t.Errorf("after the start: %q", got)
	}
	r.ctl("restart")
	if err := r.over(); !errors.Is(err, ErrRestart) {
		t.Fatal(err)
	}
	again := launch(t, r.opt)
	if got := next(); got != "READY=1" {
		t.Errorf("a restart says %q, upon which systemd would kill the server", got)
	}
	again.stop()
	if got := next(); got != "STOPPING=1" {
		t.Errorf("at the end: %q", got)
	}
}

// Two virtual hosts have their own accounts and, with host_config, their own
// options.
func TestVirtualHostsDiffer(t *testing.T) {
	r := up(t, strings.NewReplacer("[localhost]", "[localhost, example.org]", "access: c2s", "access: c2s").Replace(oneDoor)+`
append_host_config:
  example.org:
    access_rules: {c2s: {deny: {user: romeo@example.org}, allow: all}}
    modules: {mod_time: {}}
`)
	r.register("romeo@localhost", "romeo@example.org", "juliet@example.org")
	romeo := r.session("romeo@localhost/orchard")
	juliet := r.session("juliet@example.org/balcony")
	romeo.says("across hosts", "juliet@example.org/balcony", juliet)
	if _, answer := r.login("romeo@example.org/orchard"); !strings.Contains(answer, "not-allowed") {
		t.Errorf("an access rule of example.org does not hold there: %s", answer)
	}
	if _, answer := r.auth("juliet", "localhost"); !strings.Contains(answer, "not-authorized") {
		t.Errorf("an account of example.org works on localhost: %s", answer)
	}
	for w, want := range map[*wire]string{romeo: "service-unavailable", juliet: "type='result'"} {
		host := map[bool]string{true: "localhost", false: "example.org"}[w == romeo]
		w.send("<iq type='get' id='time' to='" + host + "'><time xmlns='urn:xmpp:time'/></iq>")
		if got := w.until("</iq>"); !strings.Contains(got, want) {
			t.Errorf("mod_time on %s: %s", host, got)
		}
	}
}

// A certificate that is replaced while the server runs is shown to whoever comes
// next; who is there stays.
func TestCertificatesAreSwapped(t *testing.T) {
	o := prepareFiles(t, "")
	file := filepath.Join(filepath.Dir(o.Config), "cert.pem")
	write(t, file, certFor(t, "localhost"))
	write(t, o.Config, []byte(oneDoor+"certfiles: ["+file+"]\n"))
	r := launch(t, o)
	r.register("romeo@localhost")
	romeo := r.session("romeo@localhost/orchard")
	before := r.serial("localhost")
	write(t, file, certFor(t, "localhost", "other.example"))
	r.ctl("reload_config")
	after := r.serial("localhost")
	if after == before {
		t.Error("the next client is shown the old certificate")
	}
	write(t, file, []byte("not a certificate"))
	if out, exit := r.try("reload_config"); exit == 0 || !strings.Contains(out, file) {
		t.Errorf("a broken certificate: exit code %d, %s", exit, out)
	}
	if r.serial("localhost") != after {
		t.Error("a broken file has taken the certificate away")
	}
	romeo.says("still here", "romeo@localhost/orchard", romeo)
}

// Nobody has to say that certificates have changed.
func TestChangedCertificatesAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		file := write(t, filepath.Join(dir, "a.pem"), certFor(t, "a.example"))
		conf := &configuration{global: global{Certfiles: []string{file}}, hosts: []*hostConfig{{domain: "a.example"}}}
		c, err := newCertificates(dir, conf, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go c.watch(ctx)
		serial := func() string {
			time.Sleep(2 * watchInterval)
			synctest.Wait()
			return c.set.Load().find("a.example").Leaf.SerialNumber.String()
		}
		before := serial()
		write(t, file, certFor(t, "a.example", "longer.example"))
		after := serial()
		if after == before {
			t.Error("the new certificate was not taken up")
		}
		write(t, file, []byte("half"))
		if serial() != after {
			t.Error("a broken file has replaced it")
		}
	})
}

// A server without accounts says what to type, with its own names and ports; one
// with accounts says nothing.
func TestFirstHints(t *testing.T) {
	o := prepareFiles(t, strings.Replace(oneDoor, "[localhost]", "[example.org]", 1))
	o.Tool = "gabberdctl"
	r := launch(t, o)
	said := r.log.String()
	for _, w := range []string{
		"type: gabberdctl --data " + o.Data + " register admin example.org SECRET",
		"admin@example.org", "server 127.0.0.1:", "self-signed", "listening module=ejabberd_c2s address=" + r.at[0].Addr.String(),
	} {
		if !strings.Contains(said, w) {
			t.Errorf("%q is missing in\n%s", w, said)
		}
	}
	if n := strings.Count(said, "\n"); n > 6 {
		t.Errorf("%d lines are not a few:\n%s", n, said)
	}
	r.register("admin@example.org")
	r.stop()
	if again := launch(t, o); strings.Contains(again.log.String(), "register") {
		t.Errorf("a server with accounts explains how to make the first:\n%s", again.log)
	}
}
