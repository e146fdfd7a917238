package main

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/gabberd/gabberd/bench/load"
)

// A limit is the bare relay: what no server of this kind can go below.
type limit struct{ *process }

func newLimit(ctx context.Context, h *house) (server, error) {
	program, err := build(ctx, h, "relay", "github.com/gabberd/gabberd/bench/relay")
	if err != nil {
		return nil, err
	}
	p, err := newProcess(h, limitName, func(_ context.Context, p *process) (*exec.Cmd, error) {
		address := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
		return exec.Command(program, "-plain", address(p.plain), "-tls", address(p.tls), "-cert", h.cert), nil
	})
	if err != nil {
		return nil, err
	}
	return limit{p}, nil
}

func (l limit) remark() string { return "bench/relay" }

func (l limit) target(tls bool) load.Target {
	t := l.process.target(tls)
	t.Relay = true
	return t
}
