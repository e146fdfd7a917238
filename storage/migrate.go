package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// migrations are the modules whose tables were brought up to date.
type migrations struct {
	mu   sync.Mutex
	done map[string]int
}

// Migrate makes the tables of a module, or brings those that are there up to
// the last of versions, in one transaction with its mark in ejabberd's table
// schema_version. module is the name ejabberd uses there (mod_last_sql); tables
// that ejabberd does not have are marked with a name that begins with gabberd_.
//
// Tables without a mark, as ejabberd's SQL files make them, are taken for the
// last version whose columns they have, as ejabberd does, and otherwise left as
// they are. A mark newer than versions, tables that fit no version, and changes
// where update_sql_schema forbids them are errors that say what to do; nothing
// is changed then. Hosts with the same database need not agree on who is first.
func (db *DB) Migrate(ctx context.Context, module string, versions ...Version) error {
	b := db.base
	b.migrated.mu.Lock()
	defer b.migrated.mu.Unlock()
	if b.migrated.done[module] == len(versions) {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.options.UpdateTimeout, errUpdateTimeout)
	defer cancel()
	var err error
	if b.options.UpdateSchema {
		err = b.engine.reshape(ctx, func(s session) error { return b.upgrade(ctx, s, module, versions) })
	} else {
		err = b.compare(ctx, module, versions)
	}
	if context.Cause(ctx) == errUpdateTimeout {
		err = fmt.Errorf("%w (%v)", errUpdateTimeout, b.options.UpdateTimeout)
	}
	if err != nil {
		return fmt.Errorf("tables of %s in %s: %w", module, b.name, b.failure(ctx, err))
	}
	if b.migrated.done == nil {
		b.migrated.done = map[string]int{}
	}
	b.migrated.done[module] = len(versions)
	if module == JobsKeeper {
		b.jobs.keep()
	}
	return nil
}

var errUpdateTimeout = errors.New("not done within update_sql_schema_timeout, nothing was changed")

// Keep is Migrate for tables with which the older ejabberd that made them shall
// be able to go on: those of an earlier version stay as they are. It returns
// which version they have, counted from 1.
func (db *DB) Keep(ctx context.Context, module string, versions ...Version) (int, error) {
	bound, cancel := db.base.bound(ctx)
	defer cancel()
	p, err := db.base.plan(bound, db.base.engine, module, versions)
	if err != nil {
		return 0, fmt.Errorf("tables of %s in %s: %w", module, db.base.name, db.base.failure(bound, err))
	}
	if 0 < p.from && p.from < len(versions) {
		return p.from, nil
	}
	return len(versions), db.Migrate(ctx, module, versions...)
}

// Plan returns the statements that Migrate would run, and changes nothing.
func (db *DB) Plan(ctx context.Context, module string, versions ...Version) ([]string, error) {
	ctx, cancel := db.base.bound(ctx)
	defer cancel()
	p, err := db.base.plan(ctx, db.base.engine, module, versions)
	if err != nil {
		return nil, fmt.Errorf("tables of %s in %s: %w", module, db.base.name, db.base.failure(ctx, err))
	}
	return append(p.changes, p.marks...), nil
}

// PlanKeep returns the statements that Keep would run, and changes nothing.
func (db *DB) PlanKeep(ctx context.Context, module string, versions ...Version) ([]string, error) {
	ctx, cancel := db.base.bound(ctx)
	defer cancel()
	p, err := db.base.plan(ctx, db.base.engine, module, versions)
	switch {
	case err != nil:
		return nil, fmt.Errorf("tables of %s in %s: %w", module, db.base.name, db.base.failure(ctx, err))
	case 0 < p.from && p.from < len(versions):
		return nil, nil
	}
	return append(p.changes, p.marks...), nil
}

// plan is what Migrate does.
type plan struct {
	from    int      // the version that is there; 0: no tables
	changes []string // of the module's tables
	marks   []string // in schema_version
}

// upgrade runs the plan.
func (b *base) upgrade(ctx context.Context, s session, module string, versions []Version) error {
	p, err := b.plan(ctx, s, module, versions)
	if err != nil {
		return err
	}
	for _, text := range append(p.changes, p.marks...) {
		if _, err := s.exec(ctx, &query{text: text}, nil); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(strings.Fields(text), " "), err)
		}
	}
	return nil
}

// compare refuses tables that would have to be changed.
func (b *base) compare(ctx context.Context, module string, versions []Version) error {
	p, err := b.plan(ctx, b.engine, module, versions)
	if err != nil || len(p.changes) == 0 {
		return err
	}
	return fmt.Errorf("they need changes and update_sql_schema is false: set it to true, or run this yourself: %s", strings.Join(p.changes, "; "))
}

// plan compares the database with the versions.
func (b *base) plan(ctx context.Context, s session, module string, versions []Version) (plan, error) {
	d := b.engine.dialect()
	if module == "" || strings.Trim(module, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return plan{}, fmt.Errorf("%q is no name for a module", module)
	}
	states, err := layouts(b.flavour, versions)
	if err != nil {
		return plan{}, err
	}
	f, err := inspect(ctx, s, d)
	if err != nil {
		return plan{}, err
	}
	stored, err := mark(ctx, s, f, d, module)
	if err != nil {
		return plan{}, err
	}
	from := stored
	if stored < 1 {
		if from, err = guess(states, f); err != nil {
			return plan{}, err
		}
	} else if err := states[min(stored, len(versions))].missing(f); err != nil && stored <= len(versions) {
		return plan{}, fmt.Errorf("table schema_version says version %d, but %w: restore the tables from a backup, or delete the row of %s there", stored, err, module)
	}
	if from > len(versions) {
		return plan{}, fmt.Errorf("they are of version %d and this gabberd knows only up to %d: run a newer gabberd", from, len(versions))
	}
	p := plan{from: from}
	if p.changes, err = steps(d, f, states[from], versions[from:]); err != nil {
		return plan{}, err
	}
	if stored != len(versions) {
		p.marks = marks(f, d, module, len(versions))
	}
	return p, nil
}

// steps are the statements that lead from a state through the versions. Where
// there is nothing yet, the tables are made as the last version wants them.
func steps(d dialect, f *found, state *layout, versions []Version) ([]string, error) {
	a := &alteration{dialect: d, found: f}
	now := state.clone()
	if len(state.tables) == 0 {
		for _, v := range versions {
			for _, c := range v {
				if err := c.apply(now); err != nil {
					return nil, err
				}
			}
		}
		for _, t := range now.tables {
			a.say(t.create(d)...)
		}
		for _, ix := range now.own[len(state.own):] {
			if text := ix.statement(d, now.flavour); text != "" {
				a.say(text)
			}
		}
		return a.out, nil
	}
	for _, v := range versions {
		for _, c := range v {
			before := now.clone()
			if err := c.apply(now); err != nil {
				return nil, err
			}
			if err := a.change(c, before, now); err != nil {
				return nil, err
			}
		}
	}
	return a.out, nil
}

// guess finds which version tables without a mark are: 0 if there is none of
// them, else the last one all of whose columns are there.
func guess(states []*layout, f *found) (int, error) {
	last := states[len(states)-1]
	if !slices.ContainsFunc(last.tables, func(t *table) bool { return f.tables[t.name] != nil }) {
		return 0, nil
	}
	for v := len(states) - 1; v > 0; v-- {
		if len(states[v].tables) > 0 && states[v].missing(f) == nil {
			return v, nil
		}
	}
	return 0, fmt.Errorf("they are older than anything this gabberd knows, or not ejabberd's: %w; upgrade them with ejabberd first", last.missing(f))
}

// missing says which table or column is not there, or, in the other flavour,
// should not be.
func (l *layout) missing(f *found) error {
	for _, t := range l.tables {
		have := f.tables[t.name]
		if have == nil {
			return fmt.Errorf("there is no table %s", t.name)
		}
		for _, c := range t.columns {
			if !have.has(c.name) {
				return fmt.Errorf("table %s has no column %s", t.name, c.name)
			}
		}
		if have.has(hostColumn) && t.find(hostColumn) < 0 {
			return fmt.Errorf("table %s has a column server_host, which a single-host database has not", t.name)
		}
	}
	return nil
}

// mark reads the stored version of a module; 0 if there is none.
func mark(ctx context.Context, s session, f *found, d dialect, module string) (int, error) {
	if f.tables["schema_version"] == nil {
		return 0, nil
	}
	text := `SELECT version FROM schema_version WHERE module = ?`
	if d == postgres {
		text = `SELECT version FROM schema_version WHERE module = $1`
	}
	version := 0
	err := walk(ctx, s, text, func(r Row) error { return r.Scan(&version) }, module)
	return version, err
}

// marks are the statements that store a version. module is checked: it cannot
// break out of its quotes.
func marks(f *found, d dialect, module string, version int) []string {
	var out []string
	if f.tables["schema_version"] == nil {
		t := &table{name: "schema_version",
			columns: []column{{name: "module", kind: "text"}, {name: "version", kind: "bigint"}},
			indexes: []index{{unique: true, columns: []string{"module"}}}}
		out = t.create(d)
	}
	return append(out, fmt.Sprintf("DELETE FROM schema_version WHERE module = '%s'", module),
		fmt.Sprintf("INSERT INTO schema_version (module, version) VALUES ('%s', %d)", module, version))
}
