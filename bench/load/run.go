package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// Run puts the load on the server and waits until it is over or ctx is done. It
// returns a result also when stanzas were lost: ask Tally.Broken.
func Run(ctx context.Context, j Job) (*Result, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{kind: workloads()[j.Workload], result: &Result{Job: j, Figures: map[string]float64{}}}
	defer func() {
		cancel()
		for _, w := range r.workers {
			w.cmd.Wait()
		}
	}()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	if err := r.follow(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%s: %w", j.Workload, err)
	}
	r.kind.summarize(r.result)
	return r.result, nil
}

// A run is one job under way, seen from the parent.
type run struct {
	kind    workload
	workers []*child
	result  *Result
}

// A child is a worker process.
type child struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	reports *json.Decoder
}

// start starts the workers and gives each its share.
func (r *run) start(ctx context.Context) error {
	j := r.result.Job
	shares, err := divide(j, r.kind)
	if err != nil {
		return err
	}
	for i, share := range shares {
		c, err := startWorker(ctx)
		if err != nil {
			return err
		}
		r.workers = append(r.workers, c)
		a := assignment{Job: share, Password: j.Target.Password, Keys: j.Target.Keys}
		if len(shares) > 1 {
			a.Source = "127.0.0." + strconv.Itoa(i+1) // each its own 28,000 ports
		}
		line, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if err := c.order(line); err != nil {
			return err
		}
	}
	return nil
}

// startWorker starts this program once more. It goes with ctx.
func startWorker(ctx context.Context) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	c := &child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), workerVariable+"=1")
	c.cmd.Stderr = os.Stderr
	c.cmd.WaitDelay = 5 * time.Second
	if c.orders, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	c.reports = json.NewDecoder(bufio.NewReader(out))
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	return c, nil
}

// order writes one line to a worker.
func (c *child) order(line []byte) error {
	if _, err := c.orders.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("order to worker: %w", err)
	}
	return nil
}

// divide cuts a job into one for each process: as many as it asks for or as the
// limit on open files makes necessary.
func divide(j Job, kind workload) ([]Job, error) {
	n := j.Processes
	if n <= 0 {
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return nil, fmt.Errorf("limit on open files: %w", err)
		}
		room := max(int(min(limit.Cur, 1<<20))-200, 1)
		n = (j.Sessions + room - 1) / room
	}
	if kind.ring || kind.single {
		n = 1
	}
	units := (j.Sessions + kind.unit - 1) / kind.unit
	n = min(n, units, 250)
	var shares []Job
	for i := range n {
		from, to := units*i/n*kind.unit, min(units*(i+1)/n*kind.unit, j.Sessions)
		s := j
		s.First, s.Sessions = j.First+from, to-from
		s.Rate = j.Rate * float64(s.Sessions) / float64(j.Sessions)
		s.Concurrent = max(j.Concurrent/n, 1)
		shares = append(shares, s)
	}
	return shares, nil
}

// follow takes the workers from phase to phase, all together, and looks at the
// server at each.
func (r *run) follow() error {
	for {
		reports, err := r.gather()
		if err != nil {
			return err
		}
		phase := reports[0].Phase
		var generator time.Duration
		for i, one := range reports {
			if one.Phase != phase {
				return fmt.Errorf("workers fell out of step: %q and %q", phase, one.Phase)
			}
			generator += one.CPU
			if one.Tally != nil {
				r.result.Tally.merge(reports[i].Tally)
			}
		}
		if phase == "" {
			return nil
		}
		if err := r.look(phase, generator); err != nil {
			return err
		}
		for _, c := range r.workers {
			if err := c.order([]byte("go")); err != nil {
				return err
			}
		}
	}
}

// gather waits for one report of each worker.
func (r *run) gather() ([]report, error) {
	reports := make([]report, len(r.workers))
	for i, c := range r.workers {
		if err := c.reports.Decode(&reports[i]); err != nil {
			return nil, fmt.Errorf("a worker process ended: %w", err)
		}
		if reports[i].Error != "" {
			return nil, errors.New(reports[i].Error)
		}
	}
	return reports, nil
}

// look takes a sample.
func (r *run) look(phase string, generator time.Duration) error {
	s := Sample{Phase: phase, Generator: generator}
	var err error
	if s.Server, err = Read(r.result.Job.Target.PIDs, r.kind.memory); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	for name, pids := range r.result.Job.Target.Beside {
		if s.Beside == nil {
			s.Beside = map[string]Usage{}
		}
		if s.Beside[name], err = Read(pids, r.kind.memory); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if s.Machine, err = busy(); err != nil {
		return err
	}
	s.At = time.Now()
	r.result.Samples = append(r.result.Samples, s)
	return nil
}
