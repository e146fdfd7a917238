package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/gabberd/gabberd/bench/load"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// archived are the steps with an archive of messages, kept by default and in
// PostgreSQL.
func (z size) archived() (steps []step) {
	job := load.Job{First: z.ring, Warm: z.warm, Duration: z.duration}
	chat, pages := job, job
	chat.Workload, chat.Sessions, chat.Window = "chat", z.sessions, 2
	pages.Workload, pages.Sessions, pages.Messages = "archive", z.readers, z.archive
	paced := chat
	paced.Rate = z.rate
	for _, on := range []setting{archiving, archivePG} {
		name := func(title string) string { return title }
		with := func(_ string, rows ...row) []row { return rows }
		if on == archivePG {
			name = func(title string) string { return title + ", PostgreSQL" }
			with = func(title string, rows ...row) []row {
				return append(rows, row{title + " besides", "postgresql_cpu_us", "µs", none}, row{title + " included", "total_cpu_us", "µs", less})
			}
		}
		rate := "chat, archived, at " + thousands(z.rate) + " a second"
		steps = append(steps,
			step{name: "chat-" + string(on), title: name("chat, archived"), on: on, job: chat,
				rows: with(name("chat, archived, saturated, per message"),
					row{name("chat, archived, saturated, per message"), "cpu_us", "µs", less},
					row{name("chat, archived, messages a second"), "per_s", "/s", more})},
			step{name: "chat-rate-" + string(on), title: name(rate), on: on, job: paced,
				rows: with(name(rate+", per message"),
					row{name(rate + ", per message"), "cpu_us", "µs", less},
					row{name(rate + ", p50"), "p50_ms", "ms", none},
					row{name(rate + ", p99"), "p99_ms", "ms", less})},
			step{name: "pages-" + string(on), title: name("archive page"), on: on, job: pages,
				rows: with(name("page of 50 from the archive"),
					row{name("page of 50 from the archive"), "cpu_us", "µs", less},
					row{name("page of 50 from the archive, p99"), "p99_ms", "ms", less})},
		)
	}
	return steps
}

// A settled server is a process with a setting.
type settled struct {
	*process
	column  string
	setting setting
	house   *house // whose PostgreSQL it uses; nil: none
}

func (s settled) name() string { return s.column }
func (s settled) on() setting  { return s.setting }

func (s settled) target(tls bool) load.Target {
	t := s.process.target(tls)
	if s.house != nil {
		t.Beside = map[string][]int{"postgresql": {s.house.postmaster}}
	}
	return t
}

// databasePassword is of a server that listens on this machine alone, for the time of a run.
const databasePassword = "bench"

// database is the options that name a database in a PostgreSQL of our own. It is
// started when it is wanted first, and stays for the rest of the run. A database
// that is not there yet is made, with the tables of the script, if there is one.
func (h *house) database(name, script string) (string, error) {
	if h.postgres == nil {
		p, err := storagetest.Start("listen_addresses=127.0.0.1", "shared_buffers=128MB") // as it comes
		if err != nil {
			return "", fmt.Errorf("PostgreSQL: %w", err)
		}
		h.postgres = p
		if h.postmaster, err = p.PID(); err != nil {
			return "", err
		}
	}
	if !slices.Contains(h.databases, name) {
		if err := h.makeDatabase(context.Background(), name, script); err != nil {
			return "", fmt.Errorf("PostgreSQL: %w", err)
		}
		h.databases = append(h.databases, name)
	}
	return fmt.Sprintf("default_db: sql\nauth_method: [sql]\nsql_type: pgsql\nsql_server: 127.0.0.1\nsql_port: %d\nsql_database: %s\nsql_username: postgres\nsql_password: %s\n",
		h.postgres.Port, name, databasePassword), nil
}

func (h *house) makeDatabase(ctx context.Context, name, script string) error {
	conn, err := pgx.Connect(ctx, h.postgres.URL)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, q := range []string{"ALTER USER postgres PASSWORD '" + databasePassword + "'", "CREATE DATABASE " + name} {
		if _, err := conn.Exec(ctx, q); err != nil {
			return err
		}
	}
	if script == "" {
		return nil
	}
	text, err := os.ReadFile(script)
	if err != nil {
		return err
	}
	o := conn.Config().Copy()
	o.Database = name
	made, err := pgx.ConnectConfig(ctx, o)
	if err != nil {
		return err
	}
	defer made.Close(ctx)
	_, err = made.PgConn().Exec(ctx, string(text)).ReadAll()
	return err
}
