package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/storage"
)

// Plan writes the statements by which a start would make or change tables, for
// each virtual host, and changes none. An embedded database that is not there yet
// is not made: one that the wrong user has made could not be opened later. The error is a sentence for the operator.
func Plan(ctx context.Context, opt Options, out io.Writer) (err error) {
	conf, err := readConfiguration(opt)
	if err != nil {
		return err
	}
	dir := opt.Data
	if !conf.namesFile() && missing(filepath.Join(dir, "gabberd.db")) {
		if dir, err = os.MkdirTemp("", "gabberd-plan"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	o := storage.Options{Dir: dir, Hosts: map[string]storage.SQL{}}
	for _, h := range conf.hosts {
		o.Hosts[h.domain] = h.sql
	}
	s, err := storage.Open(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	for _, h := range conf.hosts {
		if err := h.plan(ctx, s, out); err != nil {
			return err
		}
	}
	return nil
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, os.ErrNotExist)
}

// namesFile reports whether a host has an SQLite file of its own.
func (c *configuration) namesFile() bool {
	return slices.ContainsFunc(c.hosts, func(h *hostConfig) bool { return h.sql.Type == "sqlite" && h.sql.Database != "" })
}

// plan writes the statements for one virtual host.
func (h *hostConfig) plan(ctx context.Context, s *storage.Server, out io.Writer) error {
	for _, method := range h.auth.Methods {
		if method == "anonymous" {
			continue
		}
		db, err := h.database(ctx, s, method)
		if err != nil {
			return err
		}
		list, err := auth.Plan(ctx, db, h.auth)
		if err != nil {
			return err
		}
		show(out, h.domain, "accounts", db, list)
	}
	for _, m := range h.modules {
		if m.Tables.Keeper == "" {
			continue
		}
		where := ""
		if b, ok := m.Config.(interface{ Where() string }); ok {
			where = b.Where()
		}
		db, err := h.database(ctx, s, where)
		if err != nil {
			return err
		}
		list, err := db.Plan(ctx, m.Tables.Keeper, m.Tables.Versions...)
		if err != nil {
			return err
		}
		show(out, h.domain, m.Name, db, list)
	}
	return nil
}

// database is that of a db_type or auth_method.
func (h *hostConfig) database(ctx context.Context, s *storage.Server, where string) (*storage.DB, error) {
	if where == "" {
		where = h.options.DefaultDB
	}
	if where == "sql" {
		return s.Host(h.domain), nil
	}
	return s.Embedded(ctx, h.domain)
}

func show(out io.Writer, domain, part string, db *storage.DB, statements []string) {
	if len(statements) == 0 {
		fmt.Fprintf(out, "-- %s, %s: nothing to do in %s\n", domain, part, db)
		return
	}
	fmt.Fprintf(out, "-- %s, %s: in %s\n", domain, part, db)
	for _, s := range statements {
		fmt.Fprintf(out, "%s;\n", s)
	}
}
