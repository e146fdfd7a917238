package load

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"time"
)

// workerVariable marks a process that Run has started.
const workerVariable = "GABBERD_LOAD_WORKER"

// A worker is one process of the generator.
type worker struct {
	Job
	password string
	keys     *keyring
	tls      *tls.Config
	dialer   net.Dialer
	loop     *loop
	clock    time.Time
	tally    Tally
	opened   func() // called when measuring begins; may be nil

	orders  *bufio.Reader
	reports *json.Encoder
}

// An assignment is what a worker is told at its start.
type assignment struct {
	Job      Job
	Password string
	Keys     string
	Source   string // the address to connect from
}

// A report is a line from a worker to its parent. The last one has a Tally or
// an Error.
type report struct {
	Phase string        `json:"phase,omitempty"`
	CPU   time.Duration `json:"cpu"` // what the worker has used so far
	Tally *Tally        `json:"tally,omitempty"`
	Error string        `json:"error,omitempty"`
}

// Worker does the work and ends the process if this is one that Run has
// started; otherwise it returns at once. Call it first in main.
func Worker() {
	if os.Getenv(workerVariable) == "" {
		return
	}
	if err := work(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// work takes its assignment from in and reports to out.
func work(in io.Reader, out io.Writer) error {
	debug.SetGCPercent(400) // memory is cheap here, CPU is the server's
	w := &worker{clock: time.Now(), orders: bufio.NewReader(in), reports: json.NewEncoder(out)}
	err := w.open()
	if err == nil {
		err = workloads()[w.Workload].run(w)
	}
	last := report{CPU: ownCPU(), Tally: &w.tally}
	if err != nil {
		last = report{Error: err.Error()}
	}
	if w.loop != nil {
		w.tally.Disconnected, w.tally.Reason = w.loop.lost, w.loop.why
		w.loop.close()
	}
	if w.keys != nil {
		if err := w.keys.close(); err != nil && last.Error == "" {
			last = report{Error: err.Error()}
		}
	}
	return w.reports.Encode(last)
}

// open reads the assignment and makes what every workload needs.
func (w *worker) open() error {
	line, err := w.orders.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("assignment: %w", err)
	}
	var a assignment
	if err := json.Unmarshal(line, &a); err != nil {
		return fmt.Errorf("assignment: %w", err)
	}
	w.Job, w.password = a.Job, a.Password
	if w.keys, err = openKeyring(a.Keys); err != nil {
		return err
	}
	if a.Source != "" {
		w.dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(a.Source)}
	}
	w.tls = tlsConfig(w.Target)
	w.loop, err = newLoop()
	return err
}

func tlsConfig(t Target) *tls.Config {
	c := &tls.Config{
		ServerName:         t.Domain,
		InsecureSkipVerify: true, // the certificate is self-signed and the server on this machine
		MinVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519}, // what all servers have, so that all pay the same
	}
	if t.TLS == Direct {
		c.NextProtos = []string{"xmpp-client"}
	}
	return c
}

// now is the worker's clock in nanoseconds.
func (w *worker) now() int64 { return int64(time.Since(w.clock)) }

var errOrphan = errors.New("the parent is gone")

// phase tells the parent how far we are and waits until everybody is there and
// the server has been looked at.
func (w *worker) phase(name string) error {
	if err := w.reports.Encode(report{Phase: name, CPU: ownCPU()}); err != nil {
		return errOrphan
	}
	if _, err := w.orders.ReadBytes('\n'); err != nil {
		return errOrphan
	}
	return nil
}
