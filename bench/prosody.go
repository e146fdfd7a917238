package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const prosodyConfig = `run_as_root = %[5]t
interfaces = { "127.0.0.1" }
c2s_ports = { %[2]d }
c2s_direct_tls_ports = { %[3]d }
s2s_ports = { }
network_backend = "epoll"
network_settings = { tcp_backlog = 4096 }
modules_enabled = {
	"saslauth"; "tls"; "roster"; "disco"; "lastactivity"; "offline"; "ping"; "private"; "register_ibr"; "time"; "vcard"; "version"; "posix"; "carbons"; %[6]s
}
modules_disabled = { "s2s", "s2s_auth_certs" }
allow_registration = true
archive_store = "archive"
default_archive_policy = true
archive_expires_after = "never"
c2s_require_encryption = false
authentication = "internal_hashed"
password_hash = "SHA-256"
default_iteration_count = 4096
storage = "internal"
data_path = %[4]q
log = { warn = "*console" }
ssl = { key = %[1]q; certificate = %[1]q }
c2s_direct_tls_ssl = { key = %[1]q; certificate = %[1]q }
VirtualHost "localhost"
`

// newProsody is the installed Prosody; nil when there is none.
func newProsody(_ context.Context, h *house) (server, error) {
	if !installed("prosody") {
		return nil, nil
	}
	p, err := prosodyNode(h, "prosody", "")
	if err != nil {
		return nil, err
	}
	return p, nil
}

// newProsodyArchive keeps an archive, in files as it does by default.
func newProsodyArchive(_ context.Context, h *house) (server, error) {
	if !installed("prosody") {
		return nil, nil
	}
	p, err := prosodyNode(h, "prosody-archive", `"mam";`)
	if err != nil {
		return nil, err
	}
	return settled{p, "prosody", archiving, nil}, nil
}

// prosodyNode is a process with modules besides those that all have.
func prosodyNode(h *house, label, modules string) (*process, error) {
	return newProcess(h, label, func(_ context.Context, p *process) (*exec.Cmd, error) {
		data := filepath.Join(p.dir, "data")
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, err
		}
		config, err := p.write("prosody.cfg.lua", fmt.Sprintf(prosodyConfig, h.cert, p.plain, p.tls, data, os.Getuid() == 0, modules))
		if err != nil {
			return nil, err
		}
		cmd := exec.Command("prosody", "-F", "--config", config)
		cmd.Dir = p.dir
		cmd.Env = append(os.Environ(), "HOME="+p.dir)
		return cmd, nil
	})
}
