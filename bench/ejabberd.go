package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

const ejabberdConfig = `loglevel: 2
hosts: [localhost]
certfiles: [%[1]q]
listen:
  - {port: %[2]d, ip: "127.0.0.1", module: ejabberd_c2s, access: all, shaper: none, max_stanza_size: 262144, backlog: 4096, starttls: true}
  - {port: %[3]d, ip: "127.0.0.1", module: ejabberd_c2s, access: all, shaper: none, max_stanza_size: 262144, backlog: 4096, tls: true}
auth_password_format: scram
auth_scram_hash: sha256
registration_timeout: infinity
disable_sasl_mechanisms: [digest-md5, X-OAUTH2]
acl:
  loopback: {ip: [127.0.0.0/8]}
access_rules:
  trusted_network: {allow: loopback}
  register: {allow: all}
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
  mod_vcard: {search: false}
  mod_version: {}
`

// newEjabberd is the installed ejabberd; nil when there is none. It runs as
// whoever we are, with its state in our folder and with the flags of the Erlang
// machine that ejabberdctl sets by default, but not as a node that others reach.
func newEjabberd(_ context.Context, h *house) (server, error) {
	libs, err := ejabberdLibraries()
	if err != nil || libs == "" {
		return nil, err
	}
	p, err := ejabberdNode(h, "ejabberd", libs, ejabberdExtra{})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// newEjabberdFast gives clients tokens; nil also when it is too old for that.
func newEjabberdFast(ctx context.Context, h *house) (server, error) {
	libs, err := ejabberdLibraries()
	if err != nil || libs == "" || !ejabberdHas(ctx, h, libs, "mod_auth_fast") {
		return nil, err
	}
	p, err := ejabberdNode(h, "ejabberd-fast", libs, ejabberdExtra{modules: tokensToo})
	if err != nil {
		return nil, err
	}
	return settled{p, "ejabberd", fasting, nil}, nil
}

// ejabberdArchives is the module for the archive.
const ejabberdArchives = "  mod_mam: {default: always}\n"

// newEjabberdArchive keeps an archive, in the database that it has by default.
func newEjabberdArchive(_ context.Context, h *house) (server, error) {
	libs, err := ejabberdLibraries()
	if err != nil || libs == "" {
		return nil, err
	}
	p, err := ejabberdNode(h, "ejabberd-archive", libs, ejabberdExtra{modules: ejabberdArchives})
	if err != nil {
		return nil, err
	}
	return settled{p, "ejabberd", archiving, nil}, nil
}

// newEjabberdPostgres keeps an archive, and all else, in PostgreSQL; nil also when
// its library for that is not installed.
func newEjabberdPostgres(ctx context.Context, h *house) (server, error) {
	libs, err := ejabberdLibraries()
	if err != nil || libs == "" || !ejabberdHas(ctx, h, libs, "pgsql") {
		return nil, err
	}
	top := func() (string, error) { return h.database("ejabberd_archive", "/usr/share/ejabberd/sql/pg.sql") }
	p, err := ejabberdNode(h, "ejabberd-archive-postgresql", libs, ejabberdExtra{modules: ejabberdArchives, top: top})
	if err != nil {
		return nil, err
	}
	return settled{p, "ejabberd", archivePG, h}, nil
}

// ejabberdExtra is options besides those that all ejabberds have.
type ejabberdExtra struct {
	modules string
	top     func() (string, error) // at the top; asked at each start; may be nil
}

// newEjabberdRedis is the same with its sessions in Redis; nil also when its
// library for Redis is not installed.
func newEjabberdRedis(ctx context.Context, h *house) (server, error) {
	libs, err := ejabberdLibraries()
	if err != nil || libs == "" {
		return nil, err
	}
	if !ejabberdHas(ctx, h, libs, "eredis") {
		return nil, nil
	}
	return newCluster(h, cluster{column: "ejabberd", label: "ejabberd-redis", size: 1}, func(label, redis string) (*process, error) {
		return ejabberdNode(h, label, libs, ejabberdExtra{top: func() (string, error) { return redis, nil }})
	})
}

// ejabberdHas says whether it has a module, its own or one of a library.
func ejabberdHas(ctx context.Context, h *house, libs, module string) bool {
	ask := exec.CommandContext(ctx, "erl", "-noinput", "-eval", "case code:which("+module+") of non_existing -> halt(1); _ -> halt(0) end.")
	ask.Env = append(os.Environ(), "HOME="+h.dir, "ERL_LIBS="+libs)
	return ask.Run() == nil
}

// ejabberdLibraries is where its libraries are; empty when it is not installed.
func ejabberdLibraries() (string, error) {
	script, err := exec.LookPath("ejabberdctl")
	if err != nil || !installed("erl") {
		return "", nil
	}
	text, err := os.ReadFile(script)
	if err != nil {
		return "", fmt.Errorf("ejabberd: %w", err)
	}
	libs := regexp.MustCompile(`(?m)^ERL_LIBS='([^']+)'`).FindSubmatch(text)
	if libs == nil {
		return "", fmt.Errorf("ejabberd: %s does not say where its libraries are; start it yourself and set BENCH_EJABBERD and BENCH_EJABBERD_REDIS", script)
	}
	return string(libs[1]), nil
}

// ejabberdNode is a process with options besides those that all have.
func ejabberdNode(h *house, label, libs string, extra ejabberdExtra) (*process, error) {
	return newProcess(h, label, func(_ context.Context, p *process) (*exec.Cmd, error) {
		top := ""
		if extra.top != nil {
			var err error
			if top, err = extra.top(); err != nil {
				return nil, err
			}
		}
		config, err := p.write("ejabberd.yml", fmt.Sprintf(ejabberdConfig, h.cert, p.plain, p.tls, extra.modules)+top)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command("erl", "-noinput", "+K", "true", "+P", "250000",
			"-mnesia", "dir", fmt.Sprintf("%q", filepath.Join(p.dir, "spool")), "-ejabberd", "log_rotate_count", "0", "-s", "ejabberd")
		cmd.Dir = p.dir
		cmd.Env = append(os.Environ(), "HOME="+p.dir, "ERL_LIBS="+libs, "ERL_CRASH_DUMP_BYTES=0", "ERL_MAX_PORTS=65536",
			"EJABBERD_CONFIG_PATH="+config, "EJABBERD_LOG_PATH="+filepath.Join(p.dir, "ejabberd.log"))
		return cmd, nil
	})
}
