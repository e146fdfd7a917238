package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// build makes a program of this repository.
func build(ctx context.Context, h *house, name, pkg string) (string, error) {
	path := filepath.Join(h.dir, name+".bin")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return path, nil
}

const gabberdConfig = `hosts: [localhost]
loglevel: warning
certfiles: [%[1]q]
listen:
  - {port: %[2]d, ip: "127.0.0.1", module: ejabberd_c2s, access: all, shaper: none, max_stanza_size: 262144, starttls: true}
  - {port: %[3]d, ip: "127.0.0.1", module: ejabberd_c2s, access: all, shaper: none, max_stanza_size: 262144, tls: true}
auth_password_format: scram
auth_scram_hash: sha256
registration_timeout: infinity
acl:
  loopback: {ip: [127.0.0.0/8]}
access_rules:
  trusted_network: {allow: loopback}
shaper_rules:
  max_user_sessions: 100
  max_user_offline_messages: 10000
modules:
  mod_disco: {}
  mod_last: {}
  mod_offline: {access_max_user_messages: max_user_offline_messages}
  mod_ping: {}
  mod_private: {}
  mod_register: {ip_access: trusted_network}
  mod_roster: {versioning: true}
  mod_time: {}
  mod_vcard: {}
  mod_version: {}
`

// newGabberd is the server of this repository, as it is in the work tree, or
// the program that the command line names.
func newGabberd(ctx context.Context, h *house) (server, error) {
	p, err := gabberdNode(ctx, h, ours, func() (string, error) { return "", nil })
	if err != nil {
		return nil, err
	}
	return p, nil
}

// newGabberdRedis makes nodes with their sessions in Redis. One node keeps all
// else as it does without; several have to share it.
func newGabberdRedis(nodes int) func(context.Context, *house) (server, error) {
	return func(ctx context.Context, h *house) (server, error) {
		return newCluster(h, cluster{column: ours, label: fmt.Sprintf("gabberd-redis-%d", nodes), size: nodes}, func(label, redis string) (*process, error) {
			return gabberdNode(ctx, h, label, func() (string, error) {
				if nodes == 1 {
					return redis, nil
				}
				sql, err := h.database()
				return redis + sql, err
			})
		})
	}
}

// gabberdNode is a process with options besides those that all have.
func gabberdNode(ctx context.Context, h *house, label string, more func() (string, error)) (*process, error) {
	program := h.gabberd
	if program == "" {
		var err error
		if program, err = build(ctx, h, "gabberd", "github.com/gabberd/gabberd/cmd/gabberd"); err != nil {
			return nil, err
		}
	}
	return newProcess(h, label, func(_ context.Context, p *process) (*exec.Cmd, error) {
		extra, err := more()
		if err != nil {
			return nil, err
		}
		config, err := p.write("ejabberd.yml", fmt.Sprintf(gabberdConfig, h.cert, p.plain, p.tls)+extra)
		if err != nil {
			return nil, err
		}
		return exec.Command(program, "--config", config, "--data", filepath.Join(p.dir, "data"), "--node", label+"@localhost"), nil
	})
}
