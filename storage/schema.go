package storage

import (
	"fmt"
	"slices"
	"strings"
)

// A Version is what one version of a module's tables adds to the one before.
// Versions are only ever added to a module, never edited. For a module that
// ejabberd has, version n here is version n there.
type Version []Change

// A Change is a step of a Version: Table, AddColumn, DropColumn, AddIndex,
// DropIndex, PrimaryKey, OwnIndex or Words.
type Change interface {
	// apply makes the change in what is known of the tables.
	apply(*layout) error
}

// Table creates a table. Columns are separated by commas, each a name, a type
// and options, in lower case:
//
//	username text, server_host text, id bigserial, xml text null, created_at timestamp default,
//	list bigint references privacy_list(id)
//
// Types are text, bigint, integer, smallint, numeric, boolean, blob, timestamp,
// bigserial (counts by itself), char(n) and varchar(n). A column is NOT NULL unless it is
// followed by null; default gives it the empty value of its type, or the
// current time. The column server_host and its place in the indexes exist only
// in a multi-host database, unless the option always says otherwise.
//
// Indexes are separated by semicolons: unique(server_host, username);
// index(created_at). The first unique one becomes the primary key.
type Table struct {
	Name    string
	Columns string
	Indexes string
}

// AddColumn adds a column, written as in Table. Rows that are there get the
// empty value of its type, the current time, or NULL.
type AddColumn struct{ Table, Column string }

// DropColumn removes a column.
type DropColumn struct{ Table, Column string }

// AddIndex adds an index, written as in Table.
type AddIndex struct{ Table, Index string }

// DropIndex removes the index over the same columns, whatever its name is.
type DropIndex struct{ Table, Index string }

// PrimaryKey replaces the primary key, or the unique index that stands for it,
// by one over these columns, separated by commas.
type PrimaryKey struct{ Table, Columns string }

// column is a column as declared.
type column struct {
	name       string
	kind       string // text, char(1), …
	null       bool
	filled     bool // has a default
	always     bool // server_host in both flavours
	references string
}

type index struct {
	unique  bool
	columns []string
}

// table is what a table is at some version.
type table struct {
	name    string
	columns []column
	indexes []index
}

func (t *table) find(name string) int {
	return slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
}

// layout is all tables of a module at some version, in one flavour.
type layout struct {
	flavour flavour
	tables  []*table // in the order of their creation
	own     []own
}

func (l *layout) table(name string) (*table, error) {
	for _, t := range l.tables {
		if t.name == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("table %s is not declared by this module", name)
}

// clone is a copy that can be changed.
func (l *layout) clone() *layout {
	out := &layout{flavour: l.flavour, own: slices.Clone(l.own)}
	for _, t := range l.tables {
		out.tables = append(out.tables, &table{t.name, slices.Clone(t.columns), slices.Clone(t.indexes)})
	}
	return out
}

// layouts are the tables after each of the versions; layouts[0] has none.
func layouts(f flavour, versions []Version) ([]*layout, error) {
	all := []*layout{{flavour: f}}
	for i, v := range versions {
		next := all[i].clone()
		for _, c := range v {
			if err := c.apply(next); err != nil {
				return nil, fmt.Errorf("version %d: %w", i+1, err)
			}
		}
		all = append(all, next)
	}
	return all, nil
}

func (c Table) apply(l *layout) error {
	if _, err := l.table(c.Name); err == nil {
		return fmt.Errorf("table %s is declared twice", c.Name)
	}
	if !identifier(c.Name) {
		return fmt.Errorf("%q is no name for a table", c.Name)
	}
	t := &table{name: c.Name}
	for _, text := range fields(c.Columns, ',') {
		if err := t.add(l.flavour, text); err != nil {
			return err
		}
	}
	for _, text := range fields(c.Indexes, ';') {
		ix, err := t.index(l.flavour, text)
		if err != nil {
			return err
		}
		t.indexes = append(t.indexes, ix)
	}
	l.tables = append(l.tables, t)
	return nil
}

func (c AddColumn) apply(l *layout) error {
	t, err := l.table(c.Table)
	if err != nil {
		return err
	}
	return t.add(l.flavour, c.Column)
}

func (c DropColumn) apply(l *layout) error {
	t, err := l.table(c.Table)
	if err != nil {
		return err
	}
	i := t.find(c.Column)
	if i < 0 {
		return fmt.Errorf("table %s has no column %s", c.Table, c.Column)
	}
	t.columns = slices.Delete(t.columns, i, i+1)
	return nil
}

func (c AddIndex) apply(l *layout) error {
	t, err := l.table(c.Table)
	if err != nil {
		return err
	}
	ix, err := t.index(l.flavour, c.Index)
	if err == nil {
		t.indexes = append(t.indexes, ix)
	}
	return err
}

func (c DropIndex) apply(l *layout) error {
	t, err := l.table(c.Table)
	if err != nil {
		return err
	}
	ix, err := t.index(l.flavour, c.Index)
	if err != nil {
		return err
	}
	n := len(t.indexes)
	t.indexes = slices.DeleteFunc(t.indexes, func(o index) bool { return slices.Equal(o.columns, ix.columns) })
	if len(t.indexes) == n {
		return fmt.Errorf("table %s has no %s", c.Table, c.Index)
	}
	return nil
}

func (c PrimaryKey) apply(l *layout) error {
	t, err := l.table(c.Table)
	if err != nil {
		return err
	}
	ix, err := t.index(l.flavour, "unique("+c.Columns+")")
	if err != nil {
		return err
	}
	if i := t.key(); i >= 0 {
		t.indexes = slices.Delete(t.indexes, i, i+1)
	}
	t.indexes = slices.Insert(t.indexes, 0, ix)
	return nil
}

// key is which index is the primary key: the first unique one, or -1.
func (t *table) key() int {
	return slices.IndexFunc(t.indexes, func(ix index) bool { return ix.unique })
}

// serial is the column that counts by itself, or -1.
func (t *table) serial() int {
	return slices.IndexFunc(t.columns, func(c column) bool { return c.kind == "bigserial" })
}

// add puts the column that text declares into the table.
func (t *table) add(f flavour, text string) error {
	words := strings.Fields(text)
	if len(words) < 2 || !identifier(words[0]) {
		return fmt.Errorf("table %s: %q is not a column: a name and a type are wanted", t.name, text)
	}
	c := column{name: words[0], kind: words[1]}
	if !known(c.kind) {
		return fmt.Errorf("table %s: column %s has the unknown type %q", t.name, c.name, c.kind)
	}
	for i := 2; i < len(words); i++ {
		switch words[i] {
		case "null":
			c.null = true
		case "default":
			c.filled = true
		case "always":
			c.always = true
		case "references":
			if i++; i == len(words) {
				return fmt.Errorf("table %s: column %s references nothing", t.name, c.name)
			}
			c.references = words[i]
		default:
			return fmt.Errorf("table %s: column %s has the unknown option %q", t.name, c.name, words[i])
		}
	}
	if t.find(c.name) >= 0 {
		return fmt.Errorf("table %s has two columns %s", t.name, c.name)
	}
	if c.name == hostColumn && f == singleHost && !c.always {
		return nil
	}
	t.columns = append(t.columns, c)
	return nil
}

// hostColumn tells the two flavours apart.
const hostColumn = "server_host"

// known reports whether kind is a type of this package.
func known(kind string) bool {
	switch kind {
	case "text", "bigint", "integer", "smallint", "numeric", "boolean", "blob", "timestamp", "bigserial":
		return true
	}
	inner, ok := strings.CutPrefix(kind, "char(")
	if !ok {
		inner, ok = strings.CutPrefix(kind, "varchar(")
	}
	length, closed := strings.CutSuffix(inner, ")")
	return ok && closed && length != "" && strings.Trim(length, "0123456789") == ""
}

// index reads a declaration like unique(server_host, username).
func (t *table) index(f flavour, text string) (index, error) {
	kind, rest, _ := strings.Cut(text, "(")
	inner, ok := strings.CutSuffix(strings.TrimSpace(rest), ")")
	if !ok || kind != "unique" && kind != "index" {
		return index{}, fmt.Errorf("table %s: %q is not an index: unique(…) or index(…) is wanted", t.name, text)
	}
	ix := index{unique: kind == "unique"}
	for _, name := range fields(inner, ',') {
		if t.find(name) < 0 {
			if name == hostColumn && f == singleHost {
				continue
			}
			return index{}, fmt.Errorf("table %s: there is no column %s for %s", t.name, name, text)
		}
		ix.columns = append(ix.columns, name)
	}
	if len(ix.columns) == 0 {
		return index{}, fmt.Errorf("table %s: %s is over no column", t.name, text)
	}
	return ix, nil
}

// fields cuts text at sep, outside of parentheses, and trims the pieces.
func fields(text string, sep byte) []string {
	var out []string
	depth, from := 0, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text), text[i] == sep && depth == 0:
			if piece := strings.TrimSpace(text[from:i]); piece != "" {
				out = append(out, piece)
			}
			from = i + 1
		case text[i] == '(':
			depth++
		case text[i] == ')':
			depth--
		}
	}
	return out
}
