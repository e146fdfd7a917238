package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/storage"
)

// Plan writes the statements by which a start would make or change tables, for
// each virtual host, and changes none. An embedded database that is not there yet
// is not made: one that the wrong user has made could not be opened later. The error
// is a sentence for the operator.
func Plan(ctx context.Context, opt Options, out io.Writer) (err error) {
	conf, err := readConfiguration(opt)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "gabberd-plan")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	dry := &dryRun{dir: opt.Data, tmp: tmp, stands: map[string]string{}}
	o := storage.Options{Dir: opt.Data, Hosts: map[string]storage.SQL{}}
	if missing(filepath.Join(opt.Data, embeddedFile)) {
		o.Dir = tmp
		dry.stands[filepath.Join(opt.Data, embeddedFile)] = filepath.Join(tmp, embeddedFile)
	}
	for _, h := range conf.hosts {
		o.Hosts[h.domain] = dry.instead(h.sql, h.domain)
	}
	s, err := storage.Open(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(ctx)) }()
	for _, h := range conf.hosts {
		if err := h.plan(ctx, s, dry.in(out)); err != nil {
			return err
		}
	}
	return nil
}

// embeddedFile is the embedded database in the data directory.
const embeddedFile = "gabberd.db"

// A dryRun has other files stand in for those that are not there yet.
type dryRun struct {
	dir, tmp string
	stands   map[string]string // by what they stand in for
}

// instead is the options of a virtual host with another file in the place of one
// that would be made. Where the folder is missing too, nothing would be made: the
// start would fail, and so may this.
func (d *dryRun) instead(o storage.SQL, domain string) storage.SQL {
	if o.Type != "sqlite" || o.Database == "" {
		return o
	}
	file := strings.ReplaceAll(o.Database, "@HOST@", domain)
	if !filepath.IsAbs(file) {
		file = filepath.Join(d.dir, file)
	}
	folder := filepath.Dir(file)
	made := folder == filepath.Clean(d.dir) // by the start
	if o.Database = file; missing(file) && (made || !missing(folder)) {
		if d.stands[file] == "" {
			d.stands[file] = filepath.Join(d.tmp, fmt.Sprintf("%d.db", len(d.stands)))
		}
		o.Database = d.stands[file]
	}
	return o
}

// in returns a writer that calls files by their own names.
func (d *dryRun) in(out io.Writer) io.Writer {
	var pairs []string
	for name, stand := range d.stands {
		pairs = append(pairs, stand, name)
	}
	return renaming{strings.NewReplacer(pairs...), out}
}

type renaming struct {
	*strings.Replacer
	out io.Writer
}

// Write writes what is printed in one go, with names put in.
func (r renaming) Write(b []byte) (int, error) {
	if _, err := r.WriteString(r.out, string(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, os.ErrNotExist)
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
	shown := map[string]bool{} // several modules may make the same tables
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
		var list []string
		for _, t := range append([]modules.Tables{m.Tables}, m.Also...) {
			if made := db.String() + " " + t.Keeper; !shown[made] {
				shown[made] = true
				more, err := db.Plan(ctx, t.Keeper, t.Versions...)
				if err != nil {
					return err
				}
				list = append(list, more...)
			}
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
