package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gabberd/gabberd/bench/load"
)

// A bench is one run of the whole comparison.
type bench struct {
	options
	house  *house
	known  map[server]bool // has its users
	report report
	say    func(format string, args ...any) // tells whoever waits
}

// A maker makes a server; nil is one that is not installed.
type maker struct {
	name string
	on   setting
	make func(context.Context, *house) (server, error)
}

// makers are in the order in which servers run.
func makers() []maker {
	return []maker{
		{ours, alone, newGabberd},
		{ours, fasting, newGabberdFast},
		{ours, archiving, newGabberdArchive},
		{ours, archivePG, newGabberdPostgres},
		{ours, forwarding, newGabberdForward},
		{ours, forwardPG, newGabberdForwardPostgres},
		{ours, redisOne, newGabberdRedis(1)},
		{ours, redisTwo, newGabberdRedis(2)},
		{"ejabberd", alone, newEjabberd},
		{"ejabberd", fasting, newEjabberdFast},
		{"ejabberd", archiving, newEjabberdArchive},
		{"ejabberd", archivePG, newEjabberdPostgres},
		{"ejabberd", redisOne, newEjabberdRedis},
		{"prosody", alone, newProsody},
		{"prosody", archiving, newProsodyArchive},
		{limitName, alone, newLimit},
	}
}

// run starts each server in turn and runs all steps on it. What goes wrong with
// one server is in the report; an error is what makes the whole run worthless.
func (b *bench) run(ctx context.Context) (_ *report, err error) {
	if err := manyFiles(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gabberd-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.house.close()) }()
	b.known = map[server]bool{}
	b.house = &house{dir: dir, cert: filepath.Join(dir, "cert.pem"), gabberd: b.gabberd, prefix: b.prefix, password: b.password}
	if err := writeCertificate(b.house.cert); err != nil {
		return nil, err
	}
	b.report = report{Machine: machine(), Started: time.Now()}
	servers, err := b.makeServers(ctx)
	if err != nil {
		return nil, err
	}
	for round := range b.rounds {
		for _, s := range servers {
			b.serve(ctx, s, round)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	b.report.Finished = time.Now()
	return &b.report, nil
}

// manyFiles raises the limit on open files for us and all that we start.
func manyFiles() error {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	if err == nil {
		limit.Cur = limit.Max
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	if err != nil {
		return fmt.Errorf("limit on open files: %w", err)
	}
	return nil
}

// makeServers makes those that are wanted and there, and says which are not.
func (b *bench) makeServers(ctx context.Context) ([]server, error) {
	var all []server
	for _, m := range makers() {
		if !slices.Contains(b.servers, m.name) || len(b.stepsFor(m.on)) == 0 {
			continue
		}
		s, err := b.makeServer(ctx, m)
		if err != nil {
			return nil, err
		}
		if s == nil {
			b.say("%s%s: it is not installed, or not what it needs", m.name, m.on.says())
			continue
		}
		all = append(all, s)
	}
	return all, nil
}

func (b *bench) makeServer(ctx context.Context, m maker) (server, error) {
	variable := "BENCH_" + strings.ToUpper(m.name)
	if m.on != alone {
		variable += "_" + strings.ToUpper(strings.ReplaceAll(string(m.on), "-", "_"))
	}
	if where := os.Getenv(variable); where != "" && m.name != ours && m.name != limitName {
		g, err := parseGiven(b.house, m.name, where)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
		g.setting = m.on
		return g, nil
	}
	return m.make(ctx, b.house)
}

// stepsFor are the wanted steps for servers of a setting.
func (b *bench) stepsFor(on setting) []step {
	return slices.DeleteFunc(b.steps(), func(st step) bool { return st.on != on })
}

// serve runs all steps on one server and stops it.
func (b *bench) serve(ctx context.Context, s server, round int) {
	defer func() {
		if err := s.stop(); err != nil {
			b.failed(s, "stop", err)
		}
	}()
	if err := b.prepare(ctx, s); err != nil {
		b.failed(s, "start", err)
		return
	}
	restarted := true
	for _, st := range b.stepsFor(s.on()) {
		if s.name() == limitName && !load.OnRelay(st.job.Workload) {
			continue
		}
		// A relay that was started for one step knows nothing of pairs of another.
		if st.fresh && !restarted || s.name() == limitName {
			if err := b.restart(ctx, s); err != nil {
				b.failed(s, st.name, err)
				return
			}
		}
		b.step(ctx, s, st, round)
		restarted = false
		if ctx.Err() != nil {
			return
		}
	}
}

// prepare starts a server and, the first time, makes its users and rosters.
func (b *bench) prepare(ctx context.Context, s server) error {
	b.say("%s starts%s", s.name(), s.on().says())
	if err := s.start(ctx); err != nil {
		return err
	}
	if !b.known[s] && s.name() != limitName {
		if err := b.makeUsers(ctx, s); err != nil {
			return err
		}
	}
	b.known[s] = true
	if err := b.introduce(s); err != nil {
		return err
	}
	return b.warm(ctx, s)
}

// introduce gives a server its column, unless it has one.
func (b *bench) introduce(s server) (err error) {
	if b.report.ran(s.name()) {
		return nil
	}
	c := column{Name: s.name(), Remark: s.remark()}
	if s.name() != limitName {
		if c.Version, err = load.Version(s.target(false)); err != nil {
			return err
		}
	}
	b.report.Servers = append(b.report.Servers, c)
	return nil
}

func (b *bench) makeUsers(ctx context.Context, s server) error {
	began := time.Now()
	steps := b.stepsFor(s.on())
	n := b.users(steps)
	if _, err := load.Run(ctx, load.Job{Workload: "register", Target: s.target(false), Sessions: n, Concurrent: 16}); err != nil {
		return err
	}
	b.say("%s has %d users, after %.1f s", s.name(), n, time.Since(began).Seconds())
	if slices.ContainsFunc(steps, func(st step) bool { return st.job.Contacts > 0 }) {
		j := load.Job{Workload: "befriend", Target: s.target(false), Sessions: b.ring, Contacts: b.contacts}
		if _, err := load.Run(ctx, j); err != nil {
			return err
		}
		b.say("%s has %d rosters of %d, after %.1f s", s.name(), b.ring, b.contacts, time.Since(began).Seconds())
	}
	return nil
}

// warm lets some users log in both ways, so that what is loaded once is not
// counted as a session's.
func (b *bench) warm(ctx context.Context, s server) error {
	for _, tls := range []bool{false, true} {
		if _, err := load.Run(ctx, load.Job{Workload: "login", Target: s.target(tls), First: b.ring, Sessions: b.warmers()}); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
	}
	return nil
}

func (b *bench) restart(ctx context.Context, s server) error {
	if err := s.stop(); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	return b.warm(ctx, s)
}

// step runs one step and takes note of what came of it.
func (b *bench) step(ctx context.Context, s server, st step, round int) {
	j := st.job
	j.Target = s.target(st.tls)
	if !st.across {
		j.Target.Addresses = j.Target.Addresses[:1]
	}
	r, err := load.Run(ctx, j)
	if err == nil && st.twice {
		b.pause(ctx)
		r, err = load.Run(ctx, j)
	}
	if err != nil {
		b.failed(s, st.name, err)
		return
	}
	if base, ok := b.report.cost(s.name(), st.base, round); ok {
		r.Figures["times"] = r.Figures["cpu_us"] / base
		if rate, ok := b.report.figureOf(s.name(), st.base, round, "per_s"); ok {
			r.Figures["share"] = r.Figures["per_s"] / rate
		}
	}
	e := entry{Server: s.name(), Step: st.name, Round: round, Result: r, Broken: r.Tally.Broken()}
	b.report.Entries = append(b.report.Entries, e)
	line := ""
	for _, w := range st.rows {
		v, ok := r.Figures[w.figure]
		line += fmt.Sprintf("  %s %s", w.figure, cell(v, ok, w.unit))
	}
	if e.Broken != nil {
		line += "  BROKEN: " + strings.Join(e.Broken, ", ")
	}
	b.say("%s %-10s %-22s%s", time.Now().Format("15:04:05"), s.name(), st.name, line)
	b.pause(ctx)
}

// pause lets the server tidy up behind a workload.
func (b *bench) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(min(time.Second, b.duration/2)):
	}
}

func (b *bench) failed(s server, step string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	b.say("%s %s: %v", s.name(), step, err)
	b.report.Entries = append(b.report.Entries, entry{Server: s.name(), Step: step, Error: err.Error()})
}
