package storage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// found is what a database really has.
type found struct {
	tables map[string]*foundTable
}

type foundTable struct {
	columns []foundColumn
	indexes []foundIndex
}

type foundColumn struct{ name, kind string }

// foundIndex is an index; what it is called differs between databases that
// ejabberd's files made and those that ejabberd or we made at run time.
type foundIndex struct {
	name    string
	columns []string
	unique  bool
	primary bool
	bound   bool   // belongs to a constraint and cannot be dropped by itself
	text    string // SQLite: how to make it again
}

func (t *foundTable) has(column string) bool {
	return slices.ContainsFunc(t.columns, func(c foundColumn) bool { return c.name == column })
}

// index finds an index by its columns, or -1.
func (t *foundTable) index(columns []string) int {
	return slices.IndexFunc(t.indexes, func(ix foundIndex) bool { return slices.Equal(ix.columns, columns) })
}

// key finds the primary key, or -1.
func (t *foundTable) key() int {
	return slices.IndexFunc(t.indexes, func(ix foundIndex) bool { return ix.primary })
}

// The questions give, for each column and for each index in order: table, name,
// and what foundColumn and foundIndex hold.
var columnsOf = [...]string{
	lite: `SELECT m.name, p.name, p.type FROM sqlite_master m, pragma_table_info(m.name) p
		WHERE m.type = 'table' ORDER BY m.name, p.cid`,
	postgres: `SELECT t.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
		FROM pg_attribute a
		JOIN pg_class t ON t.oid = a.attrelid
		JOIN pg_namespace n ON n.oid = t.relnamespace
		WHERE n.nspname = current_schema() AND t.relkind IN ('r', 'p', 'v', 'f') AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY t.relname, a.attnum`,
}

var indexesOf = [...]string{
	lite: `SELECT m.name, i.name,
			(SELECT group_concat(name) FROM (SELECT c.name FROM pragma_index_info(i.name) c ORDER BY c.seqno)),
			i."unique" = 1, i.origin = 'pk', i.origin <> 'c', coalesce(s.sql, '')
		FROM sqlite_master m, pragma_index_list(m.name) i
		LEFT JOIN sqlite_master s ON s.type = 'index' AND s.name = i.name
		WHERE m.type = 'table' AND i.partial = 0 ORDER BY m.name, i.seq`,
	postgres: `SELECT t.relname::text, i.relname::text,
			array_to_string(ARRAY(SELECT a.attname::text FROM unnest(x.indkey) WITH ORDINALITY k(n, o)
				JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.n ORDER BY k.o), ','),
			x.indisunique, x.indisprimary, c.oid IS NOT NULL, ''
		FROM pg_index x
		JOIN pg_class i ON i.oid = x.indexrelid
		JOIN pg_class t ON t.oid = x.indrelid
		JOIN pg_namespace n ON n.oid = t.relnamespace
		LEFT JOIN pg_constraint c ON c.conindid = i.oid AND c.contype IN ('p', 'u')
		WHERE n.nspname = current_schema() AND x.indpred IS NULL AND x.indexprs IS NULL
		ORDER BY t.relname, i.oid`,
}

// inspect looks at the tables of the database.
func inspect(ctx context.Context, s session, d dialect) (*found, error) {
	out := &found{tables: map[string]*foundTable{}}
	err := walk(ctx, s, columnsOf[d], func(r Row) error {
		var in string
		var c foundColumn
		if err := r.Scan(&in, &c.name, &c.kind); err != nil {
			return err
		}
		if out.tables[in] == nil {
			out.tables[in] = &foundTable{}
		}
		out.tables[in].columns = append(out.tables[in].columns, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the tables: %w", err)
	}
	err = walk(ctx, s, indexesOf[d], func(r Row) error {
		var in, columns string
		var ix foundIndex
		if err := r.Scan(&in, &ix.name, &columns, &ix.unique, &ix.primary, &ix.bound, &ix.text); err != nil {
			return err
		}
		ix.columns = strings.Split(columns, ",")
		if t := out.tables[in]; t != nil {
			t.indexes = append(t.indexes, ix)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the indexes: %w", err)
	}
	return out, nil
}

// walk runs a query of our own.
func walk(ctx context.Context, s session, text string, scan func(Row) error, args ...any) error {
	r, err := s.query(ctx, &query{text: text}, args)
	if err != nil {
		return err
	}
	defer r.close()
	for r.Next() {
		if err := scan(r); err != nil {
			return err
		}
	}
	return r.Err()
}

// telling are the tables of ejabberd that have a column server_host in a
// multi-host database only; route has it always, the others never.
const telling = `users last rosterusers rostergroups sr_group sr_user spool archive archive_prefs vcard vcard_search
	privacy_default_list privacy_list private_storage roster_version muc_room muc_registered muc_online_room
	muc_online_users motd sm push_session mix_pam mqtt_pub invite_token auth_fast_tokens`

// detect finds which flavour the database has. A new one gets the flavour of
// the configuration.
func (b *base) detect(ctx context.Context) (flavour, error) {
	ctx, cancel := b.bound(ctx)
	defer cancel()
	f, err := inspect(ctx, b.engine, b.engine.dialect())
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", b.name, b.failure(ctx, err))
	}
	var with, without string // a table of either kind
	names := strings.Fields(telling)
	for _, name := range slices.Sorted(maps.Keys(f.tables)) {
		switch {
		case !slices.Contains(names, name):
		case f.tables[name].has(hostColumn):
			with = name
		default:
			without = name
		}
	}
	want := b.options.MultiHost
	switch {
	case with != "" && without != "":
		return 0, fmt.Errorf("%s is half converted: table %s has a column server_host and table %s has none; finish the conversion (ejabberd's command update_sql)", b.name, with, without)
	case with != "" && want == SingleHost:
		return 0, fmt.Errorf("%s has multi-host tables (%s has a column server_host): remove sql_schema_multihost: false, or name another sql_database", b.name, with)
	case without != "" && want == MultiHost:
		return 0, fmt.Errorf("%s has single-host tables (%s has no column server_host): remove sql_schema_multihost: true, or convert them with ejabberd's command update_sql", b.name, without)
	case without != "", with == "" && want == SingleHost:
		return singleHost, nil
	}
	return multiHost, nil
}
