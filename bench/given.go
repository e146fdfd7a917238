package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gabberd/gabberd/bench/load"
)

// A given server is one that somebody else has started: another version, or one
// with another database. It is not restarted, so its memory includes whatever
// earlier workloads have left, and its modules are not ours to choose.
type given struct {
	house     *house
	label     string
	plain     string
	secure    string // empty: STARTTLS on the plain port
	pid       int
	setting   setting
	mechanism string
}

// parseGiven reads HOST:PORT[:TLSPORT]:PID.
func parseGiven(h *house, label, text string) (*given, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 && len(parts) != 4 {
		return nil, fmt.Errorf("%s: %q is not HOST:PORT[:TLSPORT]:PID", label, text)
	}
	for _, n := range parts[1:] {
		if v, err := strconv.Atoi(n); err != nil || v < 1 {
			return nil, fmt.Errorf("%s: %q in %q is no number", label, n, text)
		}
	}
	g := &given{house: h, label: label, plain: parts[0] + ":" + parts[1]}
	if len(parts) == 4 {
		g.secure = parts[0] + ":" + parts[2]
	}
	g.pid, _ = strconv.Atoi(parts[len(parts)-1])
	return g, nil
}

func (g *given) name() string { return g.label }

func (g *given) on() setting { return g.setting }

func (g *given) remark() string {
	what := "started by hand"
	if g.mechanism != "SCRAM-SHA-256" {
		what += ", " + g.mechanism
	}
	return what
}

// start finds out how its users log in: they may have been made with other keys
// than SCRAM-SHA-256.
func (g *given) start(ctx context.Context) error {
	var failed error
	for _, m := range []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"} {
		g.mechanism = m
		j := load.Job{Workload: "register", Target: g.target(false), Sessions: 1}
		_, err := load.Run(ctx, j)
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, fmt.Errorf("%s: %s: %w", g.label, m, err))
	}
	return failed
}

func (g *given) stop() error { return nil }

func (g *given) target(tls bool) load.Target {
	t := g.house.target(g.label, g.plain, load.Plain)
	switch {
	case tls && g.secure != "":
		t.Addresses, t.TLS = []string{g.secure}, load.Direct
	case tls:
		t.TLS = load.StartTLS
	}
	t.Mechanism = g.mechanism
	t.PIDs = []int{g.pid}
	return t
}
