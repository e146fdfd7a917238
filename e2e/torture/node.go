package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gopkg.in/yaml.v3"
)

// domain is the one virtual host; password is everybody's.
const (
	domain   = "localhost"
	password = "torture"
)

// A node is a server process, and what it starts with: it may be started again and
// again.
type node struct {
	name string // in the cluster
	dir  string // configuration, data and log
	bin  string // directory of the programs
	port int

	frozen atomic.Bool  // stopped, and answers nobody
	lives  atomic.Int64 // how often it has started
	doomed atomic.Bool  // that it ends, or has ended, is meant

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	status error         // how; read after exited
}

// newNode writes what a server needs to start.
func newNode(dir, bin, name string, options map[string]any) (*node, error) {
	n := &node{name: name, dir: filepath.Join(dir, strings.ReplaceAll(name, "@", "-")), bin: bin}
	var err error
	if n.port, err = freePort(); err != nil {
		return nil, err
	}
	options["listen"] = []any{map[string]any{"port": n.port, "ip": "127.0.0.1", "module": "ejabberd_c2s", "allow_unencrypted_sasl2": true}}
	text, err := yaml.Marshal(options)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(n.data(), 0o700); err != nil {
		return nil, err
	}
	return n, os.WriteFile(n.config(), text, 0o600)
}

func (n *node) data() string   { return filepath.Join(n.dir, "data") }
func (n *node) config() string { return filepath.Join(n.dir, "ejabberd.yml") }
func (n *node) log() string    { return filepath.Join(n.dir, "log") }
func (n *node) addr() string   { return fmt.Sprintf("127.0.0.1:%d", n.port) }

// freePort is one on which nothing listens, below those that the kernel gives to
// connections: nobody takes it while the server that had it is away.
func freePort() (int, error) {
	for range 100 {
		r, err := rand.Int(rand.Reader, big.NewInt(12000))
		if err != nil {
			return 0, err
		}
		port := 20000 + int(r.Int64())
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, ln.Close()
		}
	}
	return 0, errors.New("no free port found")
}

// start starts the process; ready says when it serves.
func (n *node) start() error {
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(n.bin, "gabberd"), "--config", n.config(), "--data", n.data())
	cmd.Env = append(os.Environ(), "GABBERD_NODE="+n.name, "GOTRACEBACK=all", "GORACE=halt_on_error=0")
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, n.dir
	// It ends with us, however we end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	n.doomed.Store(false)
	n.lives.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	exited := make(chan struct{})
	n.cmd, n.exited = cmd, exited
	go func() {
		err := cmd.Wait()
		n.mu.Lock()
		n.status = err
		n.mu.Unlock()
		close(exited)
	}()
	return nil
}

// gone is closed when the process has ended.
func (n *node) gone() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.exited
}

// running reports whether there is a process.
func (n *node) running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.exited == nil {
		return false
	}
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

func (n *node) signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cmd.Process.Signal(s)
}

// kill ends the process without a chance to say anything, and waits for its end.
func (n *node) kill() error {
	n.doomed.Store(true)
	if err := n.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-n.gone()
	return nil
}

// fallen reports whether it has ended although nobody wanted it to.
func (n *node) fallen() bool { return n.gone() != nil && !n.running() && !n.doomed.Load() }

// ended is how a process that is gone ended: nil for exit code 0.
func (n *node) ended() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}

// ctl has the server carry out a command and returns the lines that it prints.
func (n *node) ctl(ctx context.Context, words ...string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(n.bin, "gabberdctl"), append([]string{"--data", n.data()}, words...)...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: gabberdctl %s: %w: %s%s", n.name, strings.Join(words, " "), err, &out, &complaint)
	}
	return strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\n' }), nil
}

// serves is what is missing until the node takes clients; empty when it does.
func (n *node) serves(ctx context.Context) string {
	if !n.running() {
		return fmt.Sprintf("%s has ended: %v", n.name, n.ended())
	}
	if _, err := n.ctl(ctx, "status"); err != nil {
		return n.name + " does not answer yet"
	}
	conn, err := net.Dial("tcp", n.addr())
	if err != nil {
		return n.name + " does not listen yet"
	}
	conn.Close()
	return ""
}

// logTail is the end of what the server has logged.
func (n *node) logTail(bytes int64) string {
	f, err := os.Open(n.log())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > bytes {
		if _, err := f.Seek(-bytes, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// build makes the programs in dir, the server with the race detector if that is
// wanted.
func build(ctx context.Context, dir string, race bool) error {
	for _, program := range []string{"gabberd", "gabberdctl"} {
		args := []string{"build", "-o", dir + "/"}
		if race && program == "gabberd" {
			args = append(args, "-race")
		}
		args = append(args, "github.com/gabberd/gabberd/cmd/"+program)
		if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	return nil
}
