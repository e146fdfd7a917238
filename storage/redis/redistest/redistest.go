// Package redistest starts real Redis servers for tests, which may then be
// stopped, killed, frozen and emptied: one, one with TLS, a master with a
// Sentinel, a Redis Cluster. They listen on the loopback, live in temporary
// directories and end with the test, also when its process dies.
//
// The program is redis-server, or what GABBERD_REDIS_SERVER names, so that the
// same tests can be run on Valkey.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// patience is how long a server may take to do what it was told.
const patience = 30 * time.Second

// A Server is a Redis in a process of its own. Its methods fail the test when
// they cannot do what they say, and are for one goroutine at a time.
type Server struct {
	t        testing.TB
	program  string
	args     []string // after the name of the configuration file
	dir      string
	port     int
	tls      bool
	password string
	frozen   bool

	process *exec.Cmd // nil while it is stopped
	exited  chan struct{}
	warden  *exec.Cmd // kills it when we die
}

// Start starts a server that writes nothing to the disk and has no password.
// Settings are lines for its configuration, such as "appendonly yes" or
// "requirepass secret".
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	return start(t, func(s *Server) []string {
		return append([]string{"port " + strconv.Itoa(s.port)}, settings...)
	})
}

// start starts a server with the settings that are made for its port.
func start(t testing.TB, settings func(*Server) []string, args ...string) *Server {
	t.Helper()
	logging.Disable() // go-redis would say that a server has not started yet
	program, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	// The path of the socket must be short, which t.TempDir is not.
	dir, err := os.MkdirTemp("", "gabberd-redis")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, program: program, args: args, dir: dir}
	t.Cleanup(s.end)
	for try := 0; ; try++ {
		s.port = freePort(t)
		lines := []string{"bind 127.0.0.1", "daemonize no", "dir " + dir, "unixsocket " + s.Socket(), "loglevel notice"}
		if len(args) == 0 { // a Sentinel has no data
			lines = append(lines, `save ""`, "appendonly no")
		}
		for _, line := range settings(s) {
			if password, ok := strings.CutPrefix(line, "requirepass "); ok {
				s.password = password
			}
			lines = append(lines, line)
		}
		if err := os.WriteFile(s.file("redis.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err = s.run(); err == nil {
			return s
		}
		if try == 4 { // somebody else may have taken the port four times
			t.Fatal(err)
		}
	}
}

// Program finds the server's program.
func Program() (string, error) {
	name := os.Getenv("GABBERD_REDIS_SERVER")
	if name == "" {
		name = "redis-server"
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("this test needs %s: install it (apt-get install redis-server), or name a program like it in GABBERD_REDIS_SERVER: %w", name, err)
	}
	return found, nil
}

// freePort is a port on which nothing listens, below those that the kernel
// gives to outgoing connections, so that it is still free after a restart.
func freePort(t testing.TB) int {
	t.Helper()
	for range 200 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port found")
	return 0
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// Port is where it listens on 127.0.0.1. It stays the same.
func (s *Server) Port() int { return s.port }

// Addr is 127.0.0.1 and the port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Socket is the path of its socket, which every server has beside the port.
func (s *Server) Socket() string { return s.file("socket") }

// URL is what to write as redis_server.
func (s *Server) URL() string {
	if s.tls {
		return "rediss://" + s.Addr()
	}
	return "redis://" + s.Addr()
}

// CAFile is the certificate that a server with TLS can be checked with.
func (s *Server) CAFile() string { return s.file("ca.pem") }

// run starts the process and waits until it answers.
func (s *Server) run() error {
	log, err := os.OpenFile(s.file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.program, append([]string{s.file("redis.conf")}, s.args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	s.process, s.exited = cmd, exited
	if err := s.guard(); err != nil {
		s.reap(syscall.SIGKILL)
		return err
	}
	deadline := time.Now().Add(patience)
	for {
		_, err := s.do("PING")
		if err == nil {
			return nil
		}
		select {
		case <-exited:
		case <-time.After(10 * time.Millisecond):
			if time.Now().Before(deadline) {
				continue
			}
		}
		s.reap(syscall.SIGKILL)
		said, _ := os.ReadFile(s.file("log")) // for the message only
		return fmt.Errorf("%s did not start: %w\n%s", s.program, err, said)
	}
}

// guard starts the warden, who kills the server and takes its directory away
// when the pipe from us breaks.
func (s *Server) guard() error {
	s.warden = exec.Command("sh", "-c", `read _; kill -9 "$0"; rm -rf "$1"`, strconv.Itoa(s.process.Process.Pid), s.dir)
	if _, err := s.warden.StdinPipe(); err != nil {
		return err
	}
	return s.warden.Start()
}

// reap ends the process, if there is one, and waits for that.
func (s *Server) reap(sig syscall.Signal) {
	if s.process == nil {
		return
	}
	if s.frozen && sig != syscall.SIGKILL {
		s.Thaw()
	}
	if s.warden.Process != nil { // first, lest it kill whoever gets the number next
		_ = s.warden.Process.Kill() // it may be gone
		_ = s.warden.Wait()
	}
	_ = s.process.Process.Signal(sig) // it may be gone
	select {
	case <-s.exited:
	case <-time.After(patience):
		_ = s.process.Process.Kill()
		<-s.exited
		s.t.Errorf("%s did not end", s.program)
	}
	s.process, s.frozen = nil, false
}

func (s *Server) end() {
	s.reap(syscall.SIGKILL)
	if s.t.Failed() {
		if said, err := os.ReadFile(s.file("log")); err == nil {
			s.t.Logf("%s at %s said:\n%s", s.program, s.Addr(), said)
		}
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Error(err)
	}
}

// Stop ends it in order, as an operator would. All data are gone but those that
// "appendonly yes" keeps.
func (s *Server) Stop() { s.reap(syscall.SIGTERM) }

// Kill ends it as a crash would.
func (s *Server) Kill() { s.reap(syscall.SIGKILL) }

// Resume starts it again after Stop or Kill, on the same port and directory.
func (s *Server) Resume() {
	s.t.Helper()
	if s.process != nil {
		s.t.Fatal("it runs already")
	}
	if err := s.run(); err != nil {
		s.t.Fatal(err)
	}
}

// Freeze has it do nothing more (SIGSTOP): connections stay, nothing answers.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP); s.frozen = true }

// Thaw has a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT); s.frozen = false }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.process == nil {
		s.t.Fatal("it does not run")
	}
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Flush empties it: all keys of all databases. Scripts stay; to have it forget
// those there is Do("SCRIPT", "FLUSH").
func (s *Server) Flush() { s.t.Helper(); s.Do("FLUSHALL") }

// Do runs a command past everything that is tested, and returns the answer.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	got, err := s.do(args...)
	if err != nil && !errors.Is(err, goredis.Nil) {
		s.t.Fatalf("%v: %v", args, err)
	}
	return got
}

func (s *Server) do(args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// go-redis leaves a goroutine behind for a second when nobody listens.
	there, err := net.Dial("unix", s.Socket())
	if err != nil {
		return nil, err
	}
	if err := there.Close(); err != nil {
		return nil, err
	}
	c := goredis.NewClient(&goredis.Options{
		Network: "unix", Addr: s.Socket(), Password: s.password, Protocol: 2, PoolSize: 1, PipelinePoolSize: -1,
		MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, ContextTimeoutEnabled: true,
	})
	got, err := c.Do(ctx, args...).Result()
	if closed := c.Close(); err == nil || errors.Is(err, goredis.Nil) {
		err = errors.Join(err, closed)
	}
	return got, err
}

// Log is what the server has written about itself.
func (s *Server) Log() string {
	s.t.Helper()
	f, err := os.Open(s.file("log"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	said, err := io.ReadAll(f)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(said)
}
