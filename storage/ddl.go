package storage

import (
	"fmt"
	"slices"
	"strings"
)

// typeName is how a database calls a type.
func typeName(kind string, d dialect) string {
	switch {
	case kind == "blob" && d == postgres:
		return "bytea"
	case kind == "bigserial" && d == lite:
		return "integer PRIMARY KEY AUTOINCREMENT"
	case strings.HasPrefix(kind, "char("):
		return "character" + kind[len("char"):]
	case strings.HasPrefix(kind, "varchar("):
		return "text"
	}
	return kind
}

// empty is what a column gets when a row says nothing.
func empty(kind string, d dialect) string {
	switch kind {
	case "bigint", "integer", "smallint", "numeric":
		return "0"
	case "boolean":
		return "false"
	case "timestamp":
		return "CURRENT_TIMESTAMP"
	case "blob":
		if d == lite {
			return "x''"
		}
	}
	return "''"
}

// declaration is a column in CREATE TABLE.
func (c column) declaration(d dialect) string {
	text := c.name + " " + typeName(c.kind, d)
	if !c.null && c.kind != "bigserial" {
		text += " NOT NULL"
	}
	if c.filled {
		text += " DEFAULT " + empty(c.kind, d)
	}
	if c.references != "" {
		text += " REFERENCES " + c.references + " ON DELETE CASCADE"
	}
	return text
}

// primary is which index is the table's primary key. In SQLite a column that
// counts by itself takes its place.
func (t *table) primary(d dialect) int {
	if d == lite && t.serial() >= 0 {
		return -1
	}
	return t.key()
}

// body is what is between the parentheses of CREATE TABLE.
func (t *table) body(d dialect, more []string) string {
	var lines []string
	for _, c := range t.columns {
		lines = append(lines, c.declaration(d))
	}
	lines = append(lines, more...)
	if i := t.primary(d); i >= 0 {
		lines = append(lines, "PRIMARY KEY ("+strings.Join(t.indexes[i].columns, ", ")+")")
	}
	return "(\n\t" + strings.Join(lines, ",\n\t") + "\n)"
}

// create makes the table and its indexes.
func (t *table) create(d dialect) []string {
	out := []string{"CREATE TABLE " + t.name + " " + t.body(d, nil)}
	for i, ix := range t.indexes {
		if i != t.primary(d) && !t.counted(d, ix) {
			out = append(out, ix.create(t.name))
		}
	}
	return out
}

// counted reports whether SQLite needs no index because its columns are the
// one that counts by itself.
func (t *table) counted(d dialect, ix index) bool {
	i := t.serial()
	return d == lite && i >= 0 && len(ix.columns) == 1 && ix.columns[0] == t.columns[i].name
}

func (ix index) create(table string) string {
	kind := "INDEX"
	if ix.unique {
		kind = "UNIQUE INDEX"
	}
	return fmt.Sprintf("CREATE %s i_%s_%s ON %s (%s)", kind, table, strings.Join(ix.columns, "_"), table, strings.Join(ix.columns, ", "))
}

// alteration turns changes into statements and keeps what was found up to date,
// so that the next change starts from where this one ends.
type alteration struct {
	dialect dialect
	found   *found
	out     []string
}

func (a *alteration) say(text ...string) { a.out = append(a.out, text...) }

// change makes one change; before and after are the tables as declared.
func (a *alteration) change(c Change, before, after *layout) error {
	switch c := c.(type) {
	case Table:
		t, err := after.table(c.Name)
		if err != nil {
			return err
		}
		if a.found.tables[c.Name] == nil {
			a.say(t.create(a.dialect)...)
			a.found.tables[c.Name] = t.made(a.dialect)
		}
		return nil
	case AddColumn:
		return a.addColumn(c, after)
	case DropColumn:
		a.say("ALTER TABLE " + c.Table + " DROP COLUMN " + c.Column)
		t := a.found.tables[c.Table]
		t.columns = slices.DeleteFunc(t.columns, func(f foundColumn) bool { return f.name == c.Column })
		return nil
	case AddIndex:
		return a.addIndex(c, after)
	case DropIndex:
		return a.dropIndex(c, before, after)
	case PrimaryKey:
		return a.primaryKey(c, after)
	case own:
		a.say(c.statement(a.dialect, after.flavour))
		return nil
	}
	return fmt.Errorf("%T is no change this package makes", c)
}

// made is a table as it is found after create.
func (t *table) made(d dialect) *foundTable {
	out := &foundTable{}
	for _, c := range t.columns {
		out.columns = append(out.columns, foundColumn{c.name, c.kind})
	}
	for i, ix := range t.indexes {
		primary := i == t.primary(d)
		f := foundIndex{columns: ix.columns, unique: ix.unique, primary: primary, bound: primary}
		if primary {
			f.name = t.name + "_pkey"
		} else {
			f.name = "i_" + t.name + "_" + strings.Join(ix.columns, "_")
			f.text = ix.create(t.name)
		}
		out.indexes = append(out.indexes, f)
	}
	return out
}

func (a *alteration) addColumn(c AddColumn, after *layout) error {
	t, err := after.table(c.Table)
	if err != nil {
		return err
	}
	f := a.found.tables[c.Table]
	col := t.columns[len(t.columns)-1]
	if !strings.HasPrefix(strings.TrimSpace(c.Column), col.name+" ") || f.has(col.name) {
		return nil // server_host in a single-host database, or it is there
	}
	switch {
	case col.kind == "bigserial" && a.dialect == lite:
		return fmt.Errorf("table %s: SQLite cannot add a bigserial", t.name)
	case a.dialect == lite && col.kind == "timestamp" && !col.null:
		return a.rebuild(t) // SQLite adds no column with a computed default
	case col.null, col.filled, col.kind == "bigserial":
		a.say("ALTER TABLE " + t.name + " ADD COLUMN " + col.declaration(a.dialect))
	default:
		a.say("ALTER TABLE " + t.name + " ADD COLUMN " + col.declaration(a.dialect) + " DEFAULT " + empty(col.kind, a.dialect))
		if a.dialect == postgres {
			a.say("ALTER TABLE " + t.name + " ALTER COLUMN " + col.name + " DROP DEFAULT")
		}
	}
	f.columns = append(f.columns, foundColumn{col.name, col.kind})
	return nil
}

func (a *alteration) addIndex(c AddIndex, after *layout) error {
	t, err := after.table(c.Table)
	if err != nil {
		return err
	}
	ix := t.indexes[len(t.indexes)-1]
	f := a.found.tables[c.Table]
	if i := f.index(ix.columns); i >= 0 && (f.indexes[i].unique || !ix.unique) {
		return nil
	}
	a.say(ix.create(t.name))
	f.indexes = append(f.indexes, foundIndex{
		name: "i_" + t.name + "_" + strings.Join(ix.columns, "_"), columns: ix.columns, unique: ix.unique, text: ix.create(t.name)})
	return nil
}

func (a *alteration) dropIndex(c DropIndex, before, after *layout) error {
	was, err := before.table(c.Table)
	if err != nil {
		return err
	}
	ix, err := was.index(before.flavour, c.Index)
	if err != nil {
		return err
	}
	f := a.found.tables[c.Table]
	i := f.index(ix.columns)
	if i < 0 {
		return nil
	}
	if a.dialect == lite && f.indexes[i].bound {
		t, err := after.table(c.Table)
		if err != nil {
			return err
		}
		return a.rebuild(t)
	}
	a.drop(c.Table, i)
	return nil
}

// drop removes index i of a table.
func (a *alteration) drop(table string, i int) {
	f := a.found.tables[table]
	if f.indexes[i].bound {
		a.say("ALTER TABLE " + table + " DROP CONSTRAINT " + f.indexes[i].name)
	} else {
		a.say("DROP INDEX " + f.indexes[i].name)
	}
	f.indexes = slices.Delete(f.indexes, i, i+1)
}

func (a *alteration) primaryKey(c PrimaryKey, after *layout) error {
	t, err := after.table(c.Table)
	if err != nil {
		return err
	}
	f := a.found.tables[c.Table]
	key := t.indexes[t.key()]
	if i := f.index(key.columns); i >= 0 && f.indexes[i].unique {
		return nil
	}
	if a.dialect == lite {
		return a.rebuild(t)
	}
	// The key of a table out of one of ejabberd's files may be a mere unique index.
	i := f.key()
	if i < 0 {
		i = slices.IndexFunc(f.indexes, func(ix foundIndex) bool { return ix.unique })
	}
	if i >= 0 {
		a.drop(c.Table, i)
	}
	a.say("ALTER TABLE " + t.name + " ADD PRIMARY KEY (" + strings.Join(key.columns, ", ") + ")")
	f.indexes = append(f.indexes, foundIndex{name: t.name + "_pkey", columns: key.columns, unique: true, primary: true, bound: true})
	return nil
}

// rebuild makes a SQLite table anew as it is declared, with its rows, its other
// indexes and with columns somebody else has added.
func (a *alteration) rebuild(t *table) error {
	f := a.found.tables[t.name]
	var copied, more []string
	for _, c := range f.columns {
		if t.find(c.name) < 0 {
			more = append(more, strings.TrimSpace(c.name+" "+c.kind))
		}
		copied = append(copied, c.name)
	}
	names := strings.Join(copied, ", ")
	fresh := "gabberd_new_" + t.name
	a.say("CREATE TABLE "+fresh+" "+t.body(lite, more),
		fmt.Sprintf("INSERT INTO %s (%s%s) SELECT %s%s FROM %s", fresh, names, t.lacking(f, false), names, t.lacking(f, true), t.name),
		"DROP TABLE "+t.name,
		"ALTER TABLE "+fresh+" RENAME TO "+t.name)
	now := t.made(lite)
	for _, c := range more {
		name, kind, _ := strings.Cut(c, " ")
		now.columns = append(now.columns, foundColumn{name, kind})
	}
	now.indexes = slices.DeleteFunc(now.indexes, func(ix foundIndex) bool { return !ix.primary })
	for _, ix := range f.indexes {
		if ix.text != "" && now.index(ix.columns) < 0 {
			a.say(ix.text)
			now.indexes = append(now.indexes, ix)
		}
	}
	for i, ix := range t.indexes {
		if i != t.primary(lite) && !t.counted(lite, ix) && now.index(ix.columns) < 0 {
			a.say(ix.create(t.name))
			now.indexes = append(now.indexes, foundIndex{columns: ix.columns, unique: ix.unique, text: ix.create(t.name)})
		}
	}
	a.found.tables[t.name] = now
	return nil
}

// lacking lists the declared columns that are not there yet, each after a
// comma: their names or their first values.
func (t *table) lacking(f *foundTable, values bool) string {
	var out strings.Builder
	for _, c := range t.columns {
		switch {
		case f.has(c.name):
		case !values:
			out.WriteString(", " + c.name)
		case c.null:
			out.WriteString(", NULL")
		default:
			out.WriteString(", " + empty(c.kind, lite))
		}
	}
	return out.String()
}
