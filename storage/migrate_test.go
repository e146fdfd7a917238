package storage_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// raw runs statements in a database without storage, as ejabberd or an operator
// would.
func raw(t testing.TB, o storage.SQL, script string) {
	t.Helper()
	if o.Type == "sqlite" {
		db, err := sql.Open("sqlite", o.Database)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), script); err != nil {
			t.Fatal(err)
		}
		return
	}
	conn, err := pgx.Connect(t.Context(), fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable",
		strings.TrimPrefix(o.Server, "unix:"), o.Port, o.Username, o.Password, o.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.PgConn().Exec(t.Context(), script).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

// shape is everything about the tables of a database, as text.
func shape(t testing.TB, db *storage.DB, v storagetest.Variant) []string {
	t.Helper()
	query := `SELECT coalesce(sql, name) FROM sqlite_master WHERE tbl_name <> 'schema_version' ORDER BY 1`
	if v.PostgreSQL {
		query = `SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
				FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'schema_version'
			UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'schema_version'
			UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
				WHERE conrelid <> 0 AND conrelid::regclass::text <> 'schema_version' AND contype <> 'n' ORDER BY 1`
	}
	return texts(t, db, query)
}

func texts(t testing.TB, db *storage.DB, query string) []string {
	t.Helper()
	var out []string
	err := db.Each(t.Context(), query, nil, func(r storage.Row) error {
		var s string
		err := r.Scan(&s)
		out = append(out, s)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return out
}

func migrateAll(t testing.TB, db *storage.DB) {
	t.Helper()
	for _, m := range ejabberd {
		if err := db.Migrate(t.Context(), m.module, m.versions...); err != nil {
			t.Error(err)
		}
	}
}

// usable writes into the tables that have every kind of key, through the
// markers, and reads back.
func usable(t *testing.T, db *storage.DB) {
	t.Helper()
	user := `INSERT INTO users ({server_host,} username, type, password) VALUES ({?host,} 'juliet', 1, ?)
		ON CONFLICT ({server_host,} username, type) DO UPDATE SET password = excluded.password`
	exec(t, db, user, "old")
	exec(t, db, user, "r0m30")
	exec(t, db, set, "juliet", "1", "")
	exec(t, db, set, "juliet", "2", "")
	for range 2 {
		exec(t, db, `INSERT INTO rosterusers ({server_host,} username, jid, nick, subscription, approved, ask, askmessage, server, subscribe, type)
			VALUES ({?host,} 'juliet', 'romeo@example.net', '', 'B', ?, 'N', '', 'N', '', 'item')
			ON CONFLICT ({server_host,} username, jid) DO UPDATE SET nick = 'Romeo'`, true)
		exec(t, db, `INSERT INTO archive ({server_host,} username, timestamp, peer, bare_peer, xml, txt, kind, nick, origin_id)
			VALUES ({?host,} 'juliet', ?, 'a', 'a', '<message/>', '', 'chat', '', '')`, int64(1)<<50)
		exec(t, db, `INSERT INTO mqtt_pub (username{,server_host}, resource, topic, qos, payload, payload_format, content_type, response_topic,
				correlation_data, user_properties, expiry) VALUES ('j'{,?host}, '', 'a/b', 1, ?, 0, '', '', ?, ?, 4294967295)
			ON CONFLICT (topic{,server_host}) DO UPDATE SET payload = excluded.payload`, []byte{0, 1}, []byte{}, []byte{})
		exec(t, db, `INSERT INTO route (domain, server_host, node, pid, local_hint) VALUES ('d', {?host}, 'n', 'p', '')
			ON CONFLICT (domain, server_host, node, pid) DO NOTHING`)
	}
	var list int64
	if err := db.Get(t.Context(), []any{&list}, `INSERT INTO privacy_list ({server_host,} username, name) VALUES ({?host,} 'juliet', 'work') RETURNING id`); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `INSERT INTO privacy_list_data (id, t, value, action, ord, match_all, match_iq, match_message, match_presence_in, match_presence_out)
		VALUES (?, 'n', 'none', 'a', ?, ?, ?, ?, ?, ?)`, list, 7, true, false, false, false, false)
	var password, nick string
	var approved bool
	var payload, rest []byte
	var archived, order int
	for _, q := range []struct {
		dest []any
		text string
	}{
		{[]any{&password}, `SELECT password FROM users WHERE {host} AND username = 'juliet'`},
		{[]any{&nick, &approved}, `SELECT nick, approved FROM rosterusers WHERE {host} AND username = 'juliet'`},
		{[]any{&archived}, `SELECT count(*) FROM archive WHERE {host} AND timestamp > 0`},
		{[]any{&payload, &rest}, `SELECT payload, user_properties FROM mqtt_pub WHERE {host}`},
		{[]any{&order}, `SELECT ord FROM privacy_list_data WHERE match_all`},
	} {
		if err := db.Get(t.Context(), q.dest, q.text); err != nil {
			t.Errorf("%s: %v", q.text, err)
		}
	}
	if password != "r0m30" || nick != "Romeo" || !approved || archived != 2 || len(payload) != 2 || len(rest) != 0 || order != 7 {
		t.Errorf("got %q %q %v %d %v %v %d", password, nick, approved, archived, payload, rest, order)
	}
	exec(t, db, `DELETE FROM privacy_list WHERE id = ?`, list)
	if n := count(t, db, "privacy_list_data"); n != 0 {
		t.Errorf("%d rows of a deleted list are left", n)
	}
}

func file(v storagetest.Variant) string {
	name := "lite"
	if v.PostgreSQL {
		name = "pg"
	}
	if v.Flavour == storage.MultiHost {
		name += ".new"
	}
	return "testdata/" + name + ".sql"
}

// TestDatabasesOfEjabberd opens what ejabberd's SQL files make. The flavour is
// not configured: it has to be seen.
func TestDatabasesOfEjabberd(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			script, err := os.ReadFile(file(v))
			if err != nil {
				t.Fatal(err)
			}
			o := v.SQL(t)
			raw(t, o, string(script))
			o.MultiHost = storage.AsFound
			db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
			if db.MultiHost() != (v.Flavour == storage.MultiHost) {
				t.Fatal("the flavour was not seen")
			}
			before := shape(t, db, v)
			migrateAll(t, db)
			after := slices.DeleteFunc(shape(t, db, v), func(s string) bool { return strings.Contains(s, "auth_fast_tokens") })
			if !slices.Equal(before, after) {
				t.Errorf("the tables were changed from\n%s\nto\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
			}
			marked(t, db)
			usable(t, db)
		})
	}
}

// marked compares schema_version with what ejabberd would have written.
func marked(t *testing.T, db *storage.DB) {
	t.Helper()
	got := texts(t, db, `SELECT module || ' ' || version FROM schema_version ORDER BY module`)
	var want []string
	for _, m := range ejabberd {
		want = append(want, fmt.Sprintf("%s %d", m.module, len(m.versions)))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("schema_version says %v, want %v", got, want)
	}
}

func TestNewDatabases(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		migrateAll(t, db)
		marked(t, db)
		usable(t, db)
		for _, m := range ejabberd {
			if p, err := db.Plan(t.Context(), m.module, m.versions...); err != nil || len(p) > 0 {
				t.Errorf("%s: there is still to do %v, %v", m.module, p, err)
			}
		}
	})
}

// TestUpgrades makes every version of every module's tables and goes on from
// there: the result must be that of a new database.
func TestUpgrades(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			fresh := v.Open(t)
			migrateAll(t, fresh)
			want := names(t, fresh, v)
			for _, forget := range []string{"", "DROP TABLE schema_version"} {
				o := v.SQL(t)
				db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
				for _, m := range ejabberd {
					if err := db.Migrate(t.Context(), m.module, m.versions[0]); err != nil {
						t.Fatal(err)
					}
				}
				exec(t, db, `INSERT INTO users ({server_host,} username, password) VALUES ({?host,} 'romeo', 'x')`)
				if forget != "" {
					raw(t, o, forget)
				}
				db = storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost") // a new start
				migrateAll(t, db)
				marked(t, db)
				usable(t, db)
				if n := count(t, db, "users WHERE type = 0 AND username = 'romeo'"); n != 1 {
					t.Errorf("%d accounts are left", n)
				}
				if got := names(t, db, v); !slices.Equal(got, want) {
					t.Errorf("upgraded tables differ from new ones (%q):\n%s\nand\n%s", forget, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}

// names are the columns and indexes, without their order.
func names(t *testing.T, db *storage.DB, v storagetest.Variant) []string {
	t.Helper()
	query := `SELECT m.name || '.' || p.name || ' ' || p.type || ' ' || p."notnull" || ' ' || (p.pk > 0) FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = 'table'
		UNION ALL SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1`
	if v.PostgreSQL {
		return shape(t, db, v)
	}
	return texts(t, db, query)
}

// open opens a database whose tables the script makes.
func open(t *testing.T, o storage.SQL, script string) *storage.DB {
	t.Helper()
	raw(t, o, script)
	return storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
}

func TestMigrateRefuses(t *testing.T) {
	marks := `CREATE TABLE schema_version (module text NOT NULL, version bigint NOT NULL, PRIMARY KEY (module)); `
	for _, c := range []struct{ name, script, want string }{
		{"a newer version", marks + `INSERT INTO schema_version VALUES ('mod_last_sql', 2);
			CREATE TABLE last (username text, server_host text, seconds text, state text, more text)`, "of version 2 and this gabberd knows only up to 1"},
		{"tables that do not fit", `CREATE TABLE last (username text, server_host text, seconds text)`, "table last has no column state"},
		{"a mark without tables", marks + `INSERT INTO schema_version VALUES ('mod_last_sql', 1)`, "there is no table last"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, v := range []storagetest.Variant{storagetest.Variants()[0], storagetest.Variants()[2]} {
				db := open(t, v.SQL(t), c.script)
				before := shape(t, db, v)
				err := db.Migrate(t.Context(), "mod_last_sql", last)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "mod_last_sql") {
					t.Errorf("%s: got %v, want %q", v.Name, err, c.want)
				}
				if after := shape(t, db, v); !slices.Equal(before, after) {
					t.Errorf("%s: the tables were changed", v.Name)
				}
			}
		})
	}
}

func TestMigrateRefusesBadDeclarations(t *testing.T) {
	db := storagetest.Open(t)
	for _, c := range []struct {
		versions []storage.Version
		want     string
	}{
		{[]storage.Version{{storage.Table{Name: "t", Columns: "a"}}}, "is not a column"},
		{[]storage.Version{{storage.Table{Name: "t", Columns: "a varchar"}}}, "unknown type"},
		{[]storage.Version{{storage.Table{Name: "t", Columns: "a char(x)"}}}, "unknown type"},
		{[]storage.Version{{storage.Table{Name: "t", Columns: "a text not"}}}, "unknown option"},
		{[]storage.Version{{storage.Table{Name: "t", Columns: "a text, a text"}}}, "two columns a"},
		{[]storage.Version{{storage.Table{Name: "t", Columns: "a bigint references"}}}, "references nothing"},
		{[]storage.Version{{storage.Table{Name: "t", Columns: "a text", Indexes: "unique(b)"}}}, "no column b"},
		{[]storage.Version{{storage.Table{Name: "t", Columns: "a text", Indexes: "key(a)"}}}, "is not an index"},
		{[]storage.Version{{storage.Table{Name: "t; drop", Columns: "a text"}}}, "no name for a table"},
		{[]storage.Version{{storage.Table{Name: "t", Columns: "a text"}, storage.Table{Name: "t", Columns: "a text"}}}, "declared twice"},
		{[]storage.Version{{storage.AddColumn{Table: "u", Column: "a text"}}}, "table u is not declared"},
	} {
		if err := db.Migrate(t.Context(), "gabberd_bad", c.versions...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v gave %v, want %q", c.versions, err, c.want)
		}
	}
	if err := db.Migrate(t.Context(), "x'; DROP TABLE users", last); err == nil {
		t.Error("a module's name may be anything")
	}
}

func TestPlanChangesNothing(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		p, err := db.Plan(t.Context(), "mod_last_sql", last)
		if err != nil || len(p) != 4 || !strings.HasPrefix(p[0], "CREATE TABLE last") {
			t.Fatalf("the plan is %q, %v", p, err)
		}
		if err := db.Get(t.Context(), nil, `SELECT 1 FROM last`); err == nil || errors.Is(err, storage.ErrNotFound) {
			t.Error("the plan was carried out")
		}
		for _, text := range p {
			exec(t, db, text) // and it is what it says
		}
		exec(t, db, set, "juliet", "1", "")
		if p, err := db.Plan(t.Context(), "mod_last_sql", last); err != nil || len(p) > 0 {
			t.Errorf("there is still to do %q, %v", p, err)
		}
	})
}

func TestUpdateSchemaFalse(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			o := v.SQL(t)
			o.UpdateSchema = false
			db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
			err := db.Migrate(t.Context(), "mod_last_sql", last)
			if err == nil || !strings.Contains(err.Error(), "update_sql_schema is false") || !strings.Contains(err.Error(), "CREATE TABLE last") {
				t.Fatalf("got %v", err)
			}
			script, err := os.ReadFile(file(v))
			if err != nil {
				t.Fatal(err)
			}
			db = open(t, o, string(script))
			for _, m := range ejabberd {
				if err := db.Migrate(t.Context(), m.module, m.versions...); err != nil && m.module != "mod_auth_fast_sql" {
					t.Error(err)
				}
			}
			if err := db.Get(t.Context(), nil, `SELECT 1 FROM schema_version`); err == nil || errors.Is(err, storage.ErrNotFound) {
				t.Error("a table was made")
			}
			usable(t, db)
		})
	}
}

// TestEveryChange walks through all kinds of changes, with rows in the tables.
func TestEveryChange(t *testing.T) {
	first := storage.Version{
		storage.Table{Name: "gabberd_a", Columns: "id bigserial, name text, gone text default", Indexes: "unique(id); unique(name); index(gone)"},
		storage.Table{Name: "gabberd_b", Columns: "a bigint references gabberd_a(id), server_host text, x text", Indexes: "unique(server_host, a)"},
	}
	second := storage.Version{
		storage.AddColumn{Table: "gabberd_a", Column: "at timestamp default"},
		storage.AddColumn{Table: "gabberd_a", Column: "n integer"},
		storage.AddColumn{Table: "gabberd_a", Column: "b blob default"},
		storage.AddColumn{Table: "gabberd_a", Column: "maybe boolean null"},
		storage.DropIndex{Table: "gabberd_a", Index: "index(gone)"},
		storage.DropColumn{Table: "gabberd_a", Column: "gone"},
		storage.AddIndex{Table: "gabberd_a", Index: "index(name, n)"},
		storage.DropIndex{Table: "gabberd_a", Index: "unique(name)"},
		storage.PrimaryKey{Table: "gabberd_b", Columns: "server_host, a, x"},
		storage.Table{Name: "gabberd_c", Columns: "server_host text, y text", Indexes: "unique(server_host, y)"},
	}
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			o := v.SQL(t)
			db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
			if err := db.Migrate(t.Context(), "gabberd_x", first); err != nil {
				t.Fatal(err)
			}
			exec(t, db, `INSERT INTO gabberd_a (name) VALUES ('one'), ('two')`)
			exec(t, db, `INSERT INTO gabberd_b (a, {server_host,} x) VALUES (1, {?host,} 'x'), (2, {?host,} 'x')`)
			raw(t, o, `ALTER TABLE gabberd_a ADD COLUMN foreign_to_us text; UPDATE gabberd_a SET foreign_to_us = 'kept'`)
			if err := db.Migrate(t.Context(), "gabberd_x", first, second); err != nil {
				t.Fatal(err)
			}
			if n := count(t, db, `gabberd_a WHERE n = 0 AND maybe IS NULL AND at IS NOT NULL AND foreign_to_us = 'kept'`); n != 2 {
				t.Errorf("%d rows are as they should be, want 2", n)
			}
			if n := count(t, db, "gabberd_b"); n != 2 {
				t.Errorf("%d of 2 rows that refer to a rebuilt table are left", n)
			}
			exec(t, db, `INSERT INTO gabberd_a (name, n) VALUES ('two', 3)`) // name is no longer unique
			exec(t, db, `INSERT INTO gabberd_b (a, {server_host,} x) VALUES (1, {?host,} 'y')`)
			if _, err := db.Exec(t.Context(), `INSERT INTO gabberd_b (a, {server_host,} x) VALUES (1, {?host,} 'y')`); !errors.Is(err, storage.ErrExists) {
				t.Errorf("the new key is not one: %v", err)
			}
			exec(t, db, `DELETE FROM gabberd_a WHERE id = 1`)
			if n := count(t, db, "gabberd_b"); n != 1 {
				t.Errorf("%d rows are left, want 1: foreign keys are off", n)
			}
		})
	}
}

// TestNodesMigrateTogether has several servers start on one empty database.
func TestNodesMigrateTogether(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			o := v.SQL(t)
			done := make(chan error)
			for range 4 {
				db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost")
				go func() { done <- db.Migrate(t.Context(), "gabberd_things", things) }()
			}
			for range 4 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		})
	}
}
