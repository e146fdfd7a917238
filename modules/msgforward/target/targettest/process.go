// Package targettest starts real message queues for tests, which may then be
// killed, frozen and started again, and tries what every target must be able to
// do. They listen on the loopback, live in temporary directories and end with the
// test, also when its process dies.
package targettest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to do what it was told.
const patience = 60 * time.Second

// A process is a server that runs, with all that it has started.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	warden *exec.Cmd // kills it when we die
}

// launch starts a program whose words go to a file in dir.
func launch(dir string, env []string, program string, args ...string) (*process, error) {
	log, err := os.OpenFile(filepath.Join(dir, filepath.Base(program)+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = dir, env, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with a group of its own, so that nothing of it survives
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // how it ended is in its log
	}()
	p.warden = exec.Command("sh", "-c", `read _; kill -9 -"$0"; rm -rf "$1"`, strconv.Itoa(p.cmd.Process.Pid), dir)
	p.warden.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what ends us must not end it
	if _, err = p.warden.StdinPipe(); err == nil {
		err = p.warden.Start()
	}
	if err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// kill ends it as a crash would, and waits for that.
func (p *process) kill() {
	if p.warden.Process != nil { // first, lest it kill whoever gets the number next
		_ = p.warden.Process.Kill() // it may be gone
		_ = p.warden.Wait()
	}
	_ = p.signal(syscall.SIGKILL) // it may be gone
	<-p.exited
}

func (p *process) signal(sig syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, sig) }

// A Server is a message queue in a process of its own. Its methods fail the test
// when they cannot do what they say, and are for one goroutine at a time.
type Server struct {
	t       testing.TB
	dir     string
	port    int
	start   func() (*process, error)
	answers func() error
	process *process // nil while it is down
}

// newServer prepares a server in a directory of its own, which ends with the test.
func newServer(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "gabberd-queue")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, port: freePort(t)}
	t.Cleanup(func() {
		if s.process != nil {
			s.process.kill()
		}
		if t.Failed() {
			s.quote()
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return s
}

// quote shows the end of what the server has said.
func (s *Server) quote() {
	logs, _ := filepath.Glob(filepath.Join(s.dir, "*.log")) // the pattern is a good one
	for _, name := range logs {
		if said, err := os.ReadFile(name); err == nil {
			s.t.Logf("%s:\n%s", filepath.Base(name), said[max(0, len(said)-4000):])
		}
	}
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// Addr is 127.0.0.1 and the port. It stays the same.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Resume starts the server after Kill, with the same port and data.
func (s *Server) Resume() {
	s.t.Helper()
	if err := s.run(); err != nil {
		s.t.Fatal(err)
	}
}

// run starts the server and waits until it answers.
func (s *Server) run() error {
	p, err := s.start()
	if err != nil {
		return err
	}
	s.process = p
	for deadline := time.Now().Add(patience); ; {
		if err = s.answers(); err == nil {
			return nil
		}
		select {
		case <-p.exited:
		case <-time.After(10 * time.Millisecond):
			if time.Now().Before(deadline) {
				continue
			}
		}
		s.Kill()
		return fmt.Errorf("%s did not start: %w", p.cmd.Path, err)
	}
}

// Kill ends it as a crash would.
func (s *Server) Kill() {
	s.process.kill()
	s.process = nil
}

// Freeze has it do nothing more (SIGSTOP): connections stay, nothing answers.
func (s *Server) Freeze() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	// Its threads stop one after the other, each when it is next looked at.
	for deadline := time.Now().Add(patience); !s.stopped(); {
		if time.Now().After(deadline) {
			s.t.Fatal("it does not stop")
		}
	}
}

// stopped says whether no thread of the server runs.
func (s *Server) stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.process.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range threads {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		// The state is behind the name, which may hold anything.
		if i := bytes.LastIndexByte(stat, ')'); i < 0 || !bytes.HasPrefix(stat[i+1:], []byte(" T")) {
			return false
		}
	}
	return true
}

// Thaw has a frozen server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// program finds a server's program.
func program(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	t.Fatalf("this test needs %s: install it (test/packages test)", names[len(names)-1])
	return ""
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

// reachable says whether something listens at an address.
func reachable(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}
