package takeover

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // database/sql's driver "sqlite"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// schemas is where Debian's ejabberd has its SQL files.
const schemas = "/usr/share/ejabberd/sql"

// A database is one that ejabberd's own SQL file has made.
type database struct {
	sql storage.SQL
}

// makeDatabase makes one with the file's tables.
func makeDatabase(t *testing.T, v storagetest.Variant, file string) *database {
	t.Helper()
	d := &database{sql: v.SQL(t)}
	if v.PostgreSQL {
		d.sql.Server, d.sql.Port = reachable(t, d.sql)
	} else {
		d.sql.Database = file
	}
	kind := map[bool]string{true: "pg", false: "lite"}[v.PostgreSQL]
	if v.Flavour == storage.MultiHost {
		kind += ".new"
	}
	text, err := os.ReadFile(filepath.Join(schemas, kind+".sql"))
	if err != nil {
		t.Fatalf("this test needs ejabberd: apt-get install ejabberd: %v", err)
	}
	db := d.open(t)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), string(text)); err != nil {
		t.Fatalf("%s.sql: %v", kind, err)
	}
	return d
}

// open opens it beside the servers.
func (d *database) open(t *testing.T) *sql.DB {
	t.Helper()
	if d.sql.Type == "sqlite" {
		db, err := sql.Open("sqlite", "file:"+d.sql.Database)
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		return db
	}
	o, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d dbname=%s user=%s sslmode=disable", d.sql.Server, d.sql.Port, d.sql.Database, d.sql.Username))
	if err != nil {
		t.Fatal(err)
	}
	o.Password = d.sql.Password
	o.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol // takes a whole file of statements
	return stdlib.OpenDB(*o)
}

// options are the lines of ejabberd.yml that name it.
func (d *database) options() map[string]any {
	if d.sql.Type == "sqlite" {
		return map[string]any{"sql_type": "sqlite", "sql_database": d.sql.Database}
	}
	return map[string]any{
		"sql_type": "pgsql", "sql_server": d.sql.Server, "sql_port": d.sql.Port, "sql_database": d.sql.Database,
		"sql_username": d.sql.Username, "sql_password": d.sql.Password, "sql_pool_size": 2,
	}
}

// reachable is where everybody on this machine can reach the PostgreSQL server,
// whose socket may lie in a directory that is closed to others.
func reachable(t *testing.T, o storage.SQL) (host string, port int) {
	t.Helper()
	dir, local := strings.CutPrefix(o.Server, "unix:")
	if !local {
		return o.Server, o.Port
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // the test is over
			}
			conns.Go(func() { forward(conn, fmt.Sprintf("%s/.s.PGSQL.%d", dir, o.Port)) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		conns.Wait()
	})
	return "127.0.0.1", ln.Addr().(*net.TCPAddr).Port
}

// forward joins a connection with the socket until either ends.
func forward(conn net.Conn, socket string) {
	defer conn.Close()
	to, err := net.Dial("unix", socket)
	if err != nil {
		return // whoever connected sees the end of it
	}
	defer to.Close()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(to, conn) // an end is an end
		to.Close()
	})
	_, _ = io.Copy(conn, to)
	conn.Close()
	both.Wait()
}

// kept are the tables whose rows must be the same under either server, with the
// columns that both have.
var kept = []struct{ table, columns string }{
	{"users", "username, password, serverkey, salt, iterationcount"},
	{"last", "username, seconds, state"},
	{"rosterusers", "username, jid, nick, subscription, ask, askmessage, server, subscribe, type"},
	{"rostergroups", "username, jid, grp"},
	{"spool", "username, xml"},
	{"vcard", "username, vcard"},
	{"vcard_search", "username, lusername, fn, lfn, family, lfamily, given, lgiven, nickname, lnickname, email, lemail"},
	{"private_storage", "username, namespace, data"},
}

// rows reads what is kept, by table, each row as one text, in order.
func (d *database) rows(t *testing.T, multiHost bool) map[string][]string {
	t.Helper()
	db := d.open(t)
	defer db.Close()
	out := map[string][]string{}
	for _, k := range kept {
		columns := k.columns
		if multiHost {
			columns = "server_host, " + columns
		}
		rows, err := db.QueryContext(t.Context(), "SELECT "+columns+" FROM "+k.table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values := make([]sql.NullString, strings.Count(columns, ",")+1)
			to := make([]any, len(values))
			for i := range values {
				to[i] = &values[i]
			}
			if err := rows.Scan(to...); err != nil {
				t.Fatal(err)
			}
			out[k.table] = append(out[k.table], text(values))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
		slices.Sort(out[k.table])
	}
	return out
}

// text is a row for people to read.
func text(values []sql.NullString) string {
	var out []string
	for _, v := range values {
		if !v.Valid {
			out = append(out, "NULL")
			continue
		}
		out = append(out, strconv.Quote(v.String))
	}
	return strings.Join(out, ", ")
}
