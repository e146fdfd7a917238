package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"

	"github.com/gabberd/gabberd/bench/load"
)

// A cluster is nodes of a server with a Redis of their own.
type cluster struct {
	column string
	label  string
	size   int

	redis   *process
	members []*process
}

// newCluster completes a cluster; nil without Redis. node makes its nodes: the
// options that name the Redis are the same in ejabberd's and gabberd's files.
func newCluster(h *house, c cluster, node func(label, options string) (*process, error)) (server, error) {
	if !installed("redis-server") {
		return nil, nil
	}
	var err error
	if c.redis, err = newRedis(h, c.label+"-redis"); err != nil {
		return nil, err
	}
	options := fmt.Sprintf("sm_db_type: redis\nredis_server: 127.0.0.1\nredis_port: %d\n", c.redis.plain)
	for i := range c.size {
		p, err := node(fmt.Sprintf("%s-%d", c.label, i+1), options)
		if err != nil {
			return nil, err
		}
		c.members = append(c.members, p)
	}
	return &c, nil
}

// newRedis is a Redis that writes nothing to the disk.
func newRedis(h *house, label string) (*process, error) {
	p, err := newProcess(h, label, func(_ context.Context, p *process) (*exec.Cmd, error) {
		return exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(p.plain), "--dir", p.dir, "--save", "", "--appendonly", "no"), nil
	})
	if err != nil {
		return nil, err
	}
	p.tls = 0
	return p, nil
}

func (c *cluster) name() string { return c.column }
func (c *cluster) on() setting {
	if c.size > 1 {
		return redisTwo
	}
	return redisOne
}
func (c *cluster) remark() string { return "" }

// processes are in the order in which they start.
func (c *cluster) processes() []*process { return append([]*process{c.redis}, c.members...) }

func (c *cluster) start(ctx context.Context) error {
	for _, p := range c.processes() {
		if err := p.start(ctx); err != nil {
			return errors.Join(err, c.stop())
		}
	}
	return nil
}

func (c *cluster) stop() error {
	var failed error
	for _, p := range slices.Backward(c.processes()) {
		failed = errors.Join(failed, p.stop())
	}
	return failed
}

func (c *cluster) target(tls bool) load.Target {
	t := c.members[0].target(tls)
	for _, p := range c.members[1:] {
		one := p.target(tls)
		t.Addresses, t.PIDs = append(t.Addresses, one.Addresses...), append(t.PIDs, one.PIDs...)
	}
	t.Beside = map[string][]int{"redis": {c.redis.cmd.Process.Pid}}
	return t
}
