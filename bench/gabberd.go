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
%[4]s  mod_carboncopy: {}
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
	p, err := gabberdNode(ctx, h, ours, gabberdExtra{})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// tokensToo is the module for tokens, of ejabberd, too.
const tokensToo = "  mod_auth_fast: {}\n"

// newGabberdFast gives clients tokens.
func newGabberdFast(ctx context.Context, h *house) (server, error) {
	p, err := gabberdNode(ctx, h, "gabberd-fast", gabberdExtra{modules: tokensToo})
	if err != nil {
		return nil, err
	}
	return settled{p, ours, fasting, nil}, nil
}

// gabberdArchives is the module for the archive.
const gabberdArchives = "  mod_mam: {default: always}\n"

// newGabberdArchive keeps an archive, in the database that it has by default.
func newGabberdArchive(ctx context.Context, h *house) (server, error) {
	p, err := gabberdNode(ctx, h, "gabberd-archive", gabberdExtra{modules: gabberdArchives})
	if err != nil {
		return nil, err
	}
	return settled{p, ours, archiving, nil}, nil
}

// newGabberdPostgres keeps an archive, and all else, in PostgreSQL.
func newGabberdPostgres(ctx context.Context, h *house) (server, error) {
	p, err := gabberdNode(ctx, h, "gabberd-archive-postgresql", gabberdExtra{modules: gabberdArchives, top: func() (string, error) {
		return h.database("gabberd_archive", "")
	}})
	if err != nil {
		return nil, err
	}
	return settled{p, ours, archivePG, h}, nil
}

// gabberdExtra is options besides those that all gabberds have.
type gabberdExtra struct {
	modules string
	top     func() (string, error) // at the top; asked at each start; may be nil
}

// newGabberdRedis makes nodes with their sessions in Redis. One node keeps all
// else as it does without; several have to share it.
func newGabberdRedis(nodes int) func(context.Context, *house) (server, error) {
	return func(ctx context.Context, h *house) (server, error) {
		return newCluster(h, cluster{column: ours, label: fmt.Sprintf("gabberd-redis-%d", nodes), size: nodes}, func(label, redis string) (*process, error) {
			return gabberdNode(ctx, h, label, gabberdExtra{top: func() (string, error) {
				if nodes == 1 {
					return redis, nil
				}
				sql, err := h.database("gabberd_nodes", "")
				return redis + sql, err
			}})
		})
	}
}

// gabberdNode is a process with options besides those that all have.
func gabberdNode(ctx context.Context, h *house, label string, extra gabberdExtra) (*process, error) {
	program := h.gabberd
	if program == "" {
		var err error
		if program, err = build(ctx, h, "gabberd", "github.com/gabberd/gabberd/cmd/gabberd"); err != nil {
			return nil, err
		}
	}
	return newProcess(h, label, func(_ context.Context, p *process) (*exec.Cmd, error) {
		top := ""
		if extra.top != nil {
			var err error
			if top, err = extra.top(); err != nil {
				return nil, err
			}
		}
		config, err := p.write("ejabberd.yml", fmt.Sprintf(gabberdConfig, h.cert, p.plain, p.tls, extra.modules)+top)
		if err != nil {
			return nil, err
		}
		return exec.Command(program, "--config", config, "--data", filepath.Join(p.dir, "data"), "--node", label+"@localhost"), nil
	})
}
