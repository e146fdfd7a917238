package e2e

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/admin/control"
	"github.com/gabberd/gabberd/modules/all"
	"github.com/gabberd/gabberd/server"
)

// running is a server of ours in this process.
type running struct {
	t    *testing.T
	addr string // of the first listener for clients
	data string // its data directory
	all  server.Addresses
}

// diary keeps what a server logs, for those who ask why a test failed.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *diary) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(b)
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}

// startServer runs a server with these options on top of base, until the test
// ends.
func startServer(t *testing.T, config string) *running {
	t.Helper()
	return startNamed(t, "", config)
}

// startNamed is startServer for a node of that name.
func startNamed(t *testing.T, name, config string) *running {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "ejabberd.yml")
	if err := os.WriteFile(file, []byte(base(0).with(parseOptions(t, config)).text(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended, log := make(chan server.Addresses, 1), make(chan error, 1), &diary{}
	s := &running{t: t, data: filepath.Join(dir, "data")}
	go func() {
		ended <- server.Run(ctx, server.Options{
			Config: file, Node: name, Data: s.data, Modules: all.Modules,
			Log:   slog.New(slog.NewTextHandler(log, nil)),
			Ready: func(at server.Addresses) { ready <- at },
		})
	}()
	select {
	case s.all = <-ready:
	case err := <-ended:
		stop()
		t.Fatalf("the server did not start: %v\n%s", err, log)
	}
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", log)
		}
	})
	for _, at := range s.all {
		if at.Module == "ejabberd_c2s" {
			s.addr = at.Addr.String()
			break
		}
	}
	return s
}

// ctl has the server carry out a command and returns what it prints.
func (s *running) ctl(command string, args ...string) string {
	s.t.Helper()
	var out, complaint bytes.Buffer
	exit, err := control.Call(s.t.Context(), filepath.Join(s.data, control.SocketName),
		control.Request{Command: command, Args: args}, &out, &complaint)
	if err != nil || exit != 0 {
		s.t.Fatalf("%s %s: exit code %d, %v: %s%s", command, strings.Join(args, " "), exit, err, out.String(), complaint.String())
	}
	return out.String()
}

// register makes an account.
func (s *running) register(jid, password string) {
	s.t.Helper()
	user, host, _ := strings.Cut(jid, "@")
	s.ctl("register", user, host, password)
}
