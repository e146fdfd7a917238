package e2e

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// everyday is the configuration that comes with the server, with other ports.
func everyday(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../ejabberd.yml")
	if err != nil {
		t.Fatal(err)
	}
	o := parseOptions(t, string(text))
	listeners, _ := o["listen"].([]any)
	for _, l := range listeners {
		m, ok := l.(map[string]any)
		if !ok {
			t.Fatalf("a listener in ejabberd.yml is %v", l)
		}
		m["port"], m["ip"] = 0, "127.0.0.1"
	}
	return o.text(t)
}

// startEveryday runs such a server with Romeo and Juliet on it and returns the
// file with the certificate that it made for itself.
func startEveryday(t *testing.T) (s *running, certificate string) {
	t.Helper()
	s = startServer(t, everyday(t))
	s.register("romeo@localhost", "secret")
	s.register("juliet@localhost", "secret")
	found, err := filepath.Glob(filepath.Join(s.data, "*.pem"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no certificate in %s: %v", s.data, err)
	}
	return s, found[0]
}

// installed is the path of a program that the tests need.
func installed(t *testing.T, path, pack string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing; `make test` installs it as root, or: apt-get install %s", path, pack)
	}
	return path
}

// TestSlixmpp has two clients of the Python library slixmpp, which check the
// server's certificate, do what two people do.
func TestSlixmpp(t *testing.T) {
	t.Parallel()
	installed(t, "/usr/lib/python3/dist-packages/slixmpp/__init__.py", "python3-slixmpp")
	s, certificate := startEveryday(t)
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), installed(t, "/usr/bin/python3", "python3"), "clients/slixmpp_chat.py", host, port, certificate).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "ok   "); err == nil && n != 14 {
		t.Errorf("%d things worked, not 14:\n%s", n, out)
	}
}

// sendxmpp is go-sendxmpp, logged in as somebody, in a home of its own. It trusts
// the server's certificate and no other.
func (s *running) sendxmpp(t *testing.T, certificate, user string, args ...string) *exec.Cmd {
	t.Helper()
	program := installed(t, "/usr/bin/go-sendxmpp", "go-sendxmpp")
	cmd := exec.CommandContext(t.Context(), program, append([]string{"-u", user + "@localhost", "-p", "secret", "-j", s.addr}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "SSL_CERT_FILE="+certificate, "SSL_CERT_DIR=/nonexistent")
	return cmd
}

// TestGoSendxmpp sends with go-sendxmpp to a go-sendxmpp that listens, and to and
// from another client.
func TestGoSendxmpp(t *testing.T) {
	t.Parallel()
	s, certificate := startEveryday(t)
	send := func(user, text, to string) {
		t.Helper()
		cmd := s.sendxmpp(t, certificate, user, to)
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go-sendxmpp: %v\n%s", err, out)
		}
	}

	heard := s.listen(t, certificate, "juliet")
	send("romeo", "It is the east", "juliet@localhost")
	heard("It is the east")
	romeo := s.login(t, "romeo", "orchard")
	romeo.send("<message to='juliet@localhost' type='chat'><body>And Juliet is the sun</body></message>")
	heard("And Juliet is the sun")

	romeo.send("<presence/>")
	romeo.until("orchard")
	send("juliet", "Wherefore art thou?", "romeo@localhost")
	if got := romeo.until("</message>"); !strings.Contains(got, "<body>Wherefore art thou?") || !strings.Contains(got, "from='juliet@localhost/") {
		t.Errorf("received %s", got)
	}

	wrong := s.sendxmpp(t, certificate, "romeo", "-p", "guessed", "juliet@localhost")
	wrong.Stdin = strings.NewReader("let me in")
	if out, err := wrong.CombinedOutput(); err == nil {
		t.Errorf("go-sendxmpp got in with a wrong password: %s", out)
	}
}

// listen runs a go-sendxmpp that prints what a user is sent; heard waits until it
// has printed a text.
func (s *running) listen(t *testing.T, certificate, user string) (heard func(text string)) {
	t.Helper()
	cmd := s.sendxmpp(t, certificate, user, "-l")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		_ = cmd.Wait() // that it was killed is no news
	})
	return func(text string) {
		t.Helper()
		late := time.After(patience)
		for {
			select {
			case line, ok := <-lines:
				if !ok {
					t.Fatalf("go-sendxmpp ended: %s", complaint.String())
				}
				if strings.Contains(line, text) {
					return
				}
			case <-late:
				t.Fatalf("go-sendxmpp did not print %q", text)
			}
		}
	}
}
