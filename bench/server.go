package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gabberd/gabberd/bench/load"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// A server is one of those that are compared.
type server interface {
	name() string // a column of the table
	on() setting
	remark() string // what the table's reader must know of it
	// start returns when the server takes connections. A second start keeps the
	// users and all else that is on disk.
	start(context.Context) error
	stop() error
	// target has an address for each node.
	target(tls bool) load.Target
}

// A house is what all servers of a run have in common.
type house struct {
	dir      string // temporary; a folder for each server
	cert     string // file with certificate and key
	gabberd  string // the program; empty: made of the work tree
	prefix   string
	password string
	postgres *storagetest.Private // nil until a server wants it

	sink       *sink    // nil until a server wants it
	postmaster int      // its process
	databases  []string // in it
}

// close removes what servers have left.
func (h *house) close() error {
	err := errors.Join(os.RemoveAll(h.dir), h.stopSink())
	if h.postgres != nil {
		err = errors.Join(err, h.postgres.Stop())
	}
	return err
}

// A process is a server that we have started.
type process struct {
	house *house
	label string
	plain int // ports
	tls   int // 0: none
	// command makes the command line; its files lie in dir.
	command func(ctx context.Context, p *process) (*exec.Cmd, error)
	dir     string

	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended
}

// newProcess makes its folder and finds ports for it.
func newProcess(h *house, label string, command func(context.Context, *process) (*exec.Cmd, error)) (*process, error) {
	p := &process{house: h, label: label, command: command, dir: filepath.Join(h.dir, label)}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	for _, port := range []*int{&p.plain, &p.tls} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a port: %w", err)
		}
		defer ln.Close() // after both, so that they differ
		*port = ln.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}

func (p *process) name() string   { return p.label }
func (p *process) on() setting    { return alone }
func (p *process) remark() string { return "" }

func (p *process) target(tls bool) load.Target {
	t := p.house.target(p.label, fmt.Sprintf("127.0.0.1:%d", p.plain), load.Plain)
	if tls {
		t.Addresses, t.TLS = []string{fmt.Sprintf("127.0.0.1:%d", p.tls)}, load.Direct
	}
	t.PIDs = []int{p.cmd.Process.Pid}
	return t
}

// target is what is the same for all servers.
func (h *house) target(label, address string, tls load.TLS) load.Target {
	return load.Target{Addresses: []string{address}, TLS: tls, Domain: "localhost", Prefix: h.prefix, Password: h.password, Keys: filepath.Join(h.dir, label+".keys")}
}

const startLimit = 60 * time.Second

// start runs the command in a process group of its own, so that an interrupt
// for us does not take the server away before we have stopped it.
func (p *process) start(ctx context.Context) error {
	cmd, err := p.command(ctx, p)
	if err != nil {
		return fmt.Errorf("%s: %w", p.label, err)
	}
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", p.label, err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.label, err)
	}
	p.cmd, p.gone = cmd, make(chan struct{})
	go func(gone chan struct{}) {
		cmd.Wait() // how it ended does not matter: that it ended does
		close(gone)
	}(p.gone)
	for _, port := range []int{p.plain, p.tls} {
		if port == 0 {
			continue
		}
		if err := p.listens(ctx, port); err != nil {
			return errors.Join(err, p.stop())
		}
	}
	return nil
}

func (p *process) log() string { return filepath.Join(p.dir, "log") }

// listens waits until a port takes connections.
func (p *process) listens(ctx context.Context, port int) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.gone:
			return fmt.Errorf("%s did not start: %s", p.label, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on port %d: %w: %s", p.label, port, ctx.Err(), p.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lastWords is the end of what the server has logged.
func (p *process) lastWords() string {
	b, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(len(b)-1000, 0):]))
}

// stop asks the server to end, and ends it when it does not.
func (p *process) stop() error {
	if p.cmd == nil {
		return nil
	}
	defer func() { p.cmd = nil }()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.label, err)
	}
	select {
	case <-p.gone:
	case <-time.After(30 * time.Second):
	}
	// Helpers that it has left behind, and itself if it is still there.
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", p.label, err)
	}
	<-p.gone
	return nil
}

// write puts a configuration file into the server's folder.
func (p *process) write(name, text string) (string, error) {
	path := filepath.Join(p.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// installed says whether a program is there.
func installed(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil || !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist)
}
