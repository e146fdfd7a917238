package storage_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// refusal opens databases that must not open and returns the error and the log.
func refusal(t *testing.T, hosts map[string]storage.SQL) (string, string) {
	t.Helper()
	var log bytes.Buffer
	s, err := storage.Open(t.Context(), storage.Options{Dir: t.TempDir(), Hosts: hosts}, slog.New(slog.NewTextHandler(&log, nil)))
	if err == nil {
		t.Errorf("opened; close: %v", s.Close(t.Context()))
		return "", ""
	}
	return err.Error(), log.String()
}

func TestHostsShareADatabase(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			o := v.SQL(t)
			hosts := map[string]storage.SQL{"a.example": o, "b.example": o}
			if v.Flavour == storage.SingleHost {
				got, _ := refusal(t, hosts)
				if !strings.Contains(got, "cannot tell a.example and b.example apart") {
					t.Errorf("got %q", got)
				}
				return
			}
			s := storagetest.Serve(t, hosts)
			a, b := s.Host("a.example"), s.Host("b.example")
			migrate(t, a)
			migrate(t, b)
			exec(t, a, set, "juliet", "1", "")
			exec(t, b, set, "juliet", "2", "")
			for db, want := range map[*storage.DB]string{a: "1", b: "2"} {
				var got string
				if err := db.Get(t.Context(), []any{&got}, `SELECT seconds FROM last WHERE {host} AND username = 'juliet'`); err != nil || got != want {
					t.Errorf("%s sees %q, %v", db.Host(), got, err)
				}
			}
			exec(t, a, `DELETE FROM last WHERE {host}`)
			if n := count(t, b, "last"); n != 1 {
				t.Errorf("%d rows are left: one host has reached into another", n)
			}
		})
	}
}

func TestDatabasePerHost(t *testing.T) {
	one, two := storagetest.Variants()[1].SQL(t), storagetest.Variants()[3].SQL(t)
	s := storagetest.Serve(t, map[string]storage.SQL{"a.example": one, "b.example": two})
	a, b := s.Host("a.example"), s.Host("b.example")
	migrate(t, a)
	migrate(t, b)
	exec(t, a, set, "juliet", "1", "")
	if n := count(t, b, "last"); n != 0 {
		t.Errorf("%s has %d rows of %s", b, n, a)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestHostInTheNameOfADatabase(t *testing.T) {
	dir := t.TempDir()
	o := storage.Defaults()
	o.Type, o.Database, o.MultiHost = "sqlite", dir+"/@HOST@ 100%?.db", storage.SingleHost
	s := storagetest.Serve(t, map[string]storage.SQL{"a.example": o, "b.example": o})
	migrate(t, s.Host("b.example"))
	for _, name := range []string{"a.example 100%?.db", "b.example 100%?.db"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: passwords are in there", name, info.Mode())
		}
	}
}

func TestEmbedded(t *testing.T) {
	dir := t.TempDir()
	pg := storagetest.Variants()[2].SQL(t)
	s, err := storage.Open(t.Context(), storage.Options{Dir: dir + "/new", Hosts: map[string]storage.SQL{"a": storage.Defaults(), "b": pg}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a, errA := s.Embedded(t.Context(), "a")
	b, errB := s.Embedded(t.Context(), "b")
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	migrate(t, s.Host("a"))
	exec(t, a, set, "juliet", "1", "")
	exec(t, b, set, "romeo", "1", "")
	if n := count(t, s.Host("a"), "last"); n != 2 {
		t.Errorf("%d rows, want 2: %s and %s are not the same", n, s.Host("a"), b)
	}
	if _, err := s.Embedded(t.Context(), "c"); err == nil {
		t.Error("a host that is not served has a database")
	}
	if s.Host("c") != nil {
		t.Error("a host that is not served has a database")
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/new/gabberd.db"); err != nil {
		t.Error(err)
	}
	if _, err := s.Attach(t.Context(), "d", storage.Defaults()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("attached to a closed server: %v", err)
	}
}

func TestFlavourThatContradicts(t *testing.T) {
	for _, v := range storagetest.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			o := v.SQL(t)
			migrateAll(t, storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost"))
			want := "single-host tables"
			if v.Flavour == storage.MultiHost {
				o.MultiHost, want = storage.SingleHost, "multi-host tables"
			} else {
				o.MultiHost = storage.MultiHost
			}
			if got, _ := refusal(t, map[string]storage.SQL{"localhost": o}); !strings.Contains(got, want) || !strings.Contains(got, "sql_schema_multihost") {
				t.Errorf("got %q", got)
			}
			o.MultiHost = storage.AsFound
			if v.Flavour == storage.MultiHost {
				raw(t, o, `ALTER TABLE motd RENAME TO x; CREATE TABLE motd (username text)`)
			} else {
				raw(t, o, `ALTER TABLE motd ADD COLUMN server_host text`)
			}
			if got, _ := refusal(t, map[string]storage.SQL{"localhost": o}); !strings.Contains(got, "half converted") {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestNewDatabaseIsMultiHost(t *testing.T) {
	for _, v := range storagetest.Variants() {
		o := v.SQL(t)
		o.MultiHost = storage.AsFound
		if db := storagetest.Serve(t, map[string]storage.SQL{"localhost": o}).Host("localhost"); !db.MultiHost() {
			t.Errorf("a new %s is not", db)
		}
	}
}

// silent is the address of a server that takes connections and says nothing.
func silent(t *testing.T) (string, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	at := l.Addr().(*net.TCPAddr)
	return at.IP.String(), at.Port
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	const secret = "hunter2-very-secret"
	pg := storagetest.Variants()[2].SQL(t)
	real := pg.Password
	pg.Password, pg.StartInterval = secret, 100*time.Millisecond
	host, port := silent(t)
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("no database"), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*storage.SQL)
		want   string
	}{
		{"mysql", func(o *storage.SQL) { o.Type = "mysql" }, "sql_type mysql is not supported: use pgsql or sqlite"},
		{"odbc", func(o *storage.SQL) { o.Type = "odbc" }, "sql_type odbc is not supported"},
		{"mssql", func(o *storage.SQL) { o.Type = "mssql" }, "sql_type mssql is not supported"},
		{"pool", func(o *storage.SQL) { o.PoolSize = -1 }, "sql_pool_size is -1"},
		{"no such database", func(o *storage.SQL) { o.Database, o.Password = "no_such", real }, "does not exist: create it (createdb -O " + pg.Username + " no_such)"},
		{"no such user", func(o *storage.SQL) { o.Username = "nobody-we-know" }, `refuses user "nobody-we-know": check sql_username`},
		{"nobody there", func(o *storage.SQL) { o.Server, o.Port = "127.0.0.1", 1 }, "did not answer for 100ms (sql_start_interval): is it running"},
		{"no socket", func(o *storage.SQL) { o.Server = "unix:/nonexistent/socket" }, "did not answer"},
		{"silence", func(o *storage.SQL) { o.Server, o.Port, o.ConnectTimeout = host, port, 50*time.Millisecond }, "did not answer"},
		{"no such CA file", func(o *storage.SQL) { o.Server, o.SSL, o.CAFile = "127.0.0.1", true, "/nonexistent" }, "sql_ssl_cafile"},
		{"no such directory", func(o *storage.SQL) { o.Type, o.Database = "sqlite", "/nonexistent/x.db" }, "check sql_database"},
		{"not a database", func(o *storage.SQL) { o.Type, o.Database = "sqlite", garbage }, "is not a SQLite database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := pg
			c.change(&o)
			got, log := refusal(t, map[string]storage.SQL{"a.example": o})
			if !strings.Contains(got, c.want) || !strings.Contains(got, "a.example") {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if strings.Contains(got+log, secret) {
				t.Errorf("the password is told: %s %s", got, log)
			}
		})
	}
}

func TestStartWaitsForADatabaseThatIsAway(t *testing.T) {
	p, err := storagetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	o := p.SQL()
	o.StartInterval = time.Minute
	log := &waiting{seen: make(chan struct{})}
	type result struct {
		s   *storage.Server
		err error
	}
	opened := make(chan result)
	go func() {
		s, err := storage.Open(context.Background(), storage.Options{Dir: t.TempDir(), Hosts: map[string]storage.SQL{"localhost": o}}, slog.New(slog.NewTextHandler(log, nil)))
		opened <- result{s, err}
	}()
	<-log.seen
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	r := <-opened
	if r.err != nil {
		t.Fatal(r.err)
	}
	migrate(t, r.s.Host("localhost"))
	if err := r.s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// waiting is a log in which somebody waits for a line.
type waiting struct{ seen chan struct{} }

func (w *waiting) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "waiting for it") {
		close(w.seen)
	}
	return len(b), nil
}

func TestOptions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ejabberd.yml")
	text := `
hosts: [a.example, b.example]
sql_type: pgsql
sql_server: "unix:/run/postgresql"
sql_username: xmpp
sql_password: "12345"
sql_pool_size: 3
sql_connect_timeout: 7
sql_query_timeout: 2 minutes
sql_keepalive_interval: 60
sql_flags: mysql_alternative_upsert
new_sql_schema: false
update_sql_schema_timeout: infinity
host_config:
  b.example:
    sql_database: other
    sql_port: 5433
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := config.Load(file, config.LoadOptions{Env: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	var a, b storage.SQL
	tree.DecodeHost("a.example", &a)
	tree.DecodeHost("b.example", &b)
	if err := tree.Finish(); err != nil {
		t.Fatal(err)
	}
	want := storage.Defaults()
	want.Type, want.Server, want.Username, want.Password = "pgsql", "unix:/run/postgresql", "xmpp", "12345"
	want.PoolSize, want.ConnectTimeout, want.QueryTimeout = 3, 7*time.Second, 2*time.Minute
	want.KeepaliveInterval, want.Flags = time.Minute, []string{"mysql_alternative_upsert"}
	want.MultiHost, want.UpdateTimeout = storage.SingleHost, config.Infinity
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("a.example (-want +got):\n%s", diff)
	}
	want.Database, want.Port = "other", 5433
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("b.example (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ejabberd.yml")
	if err := os.WriteFile(file, []byte("hosts: [a.example]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := config.Load(file, config.LoadOptions{Env: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	var got storage.SQL
	tree.DecodeHost("a.example", &got)
	if diff := cmp.Diff(storage.Defaults(), got); diff != "" {
		t.Errorf("Defaults differ from those declared (-Defaults +declared):\n%s", diff)
	}
}
