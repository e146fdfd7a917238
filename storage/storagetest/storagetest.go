// Package storagetest gives tests fresh databases: every kind that storage
// supports, in both flavours of ejabberd's tables.
//
// PostgreSQL is the one that GABBERD_TEST_PG names, the URL of a superuser, or
// else a private one that is started when first asked for and gone with the
// test process. A machine without PostgreSQL fails the tests: a store that was
// never tried on PostgreSQL is not tested.
package storagetest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gabberd/gabberd/storage"
)

// Host is the virtual host whose rows the databases of this package show.
const Host = "localhost"

// A Variant is a kind of database with a flavour of tables.
type Variant struct {
	Name       string // sqlite-multi, …
	PostgreSQL bool
	Flavour    storage.Flavour
}

// Variants are all there are.
func Variants() []Variant {
	return []Variant{
		{"sqlite-multi", false, storage.MultiHost},
		{"sqlite-single", false, storage.SingleHost},
		{"pgsql-multi", true, storage.MultiHost},
		{"pgsql-single", true, storage.SingleHost},
	}
}

// Each runs f as a subtest on every variant, with a fresh database each.
func Each(t *testing.T, f func(t *testing.T, db *storage.DB)) {
	t.Helper()
	for _, v := range Variants() {
		t.Run(v.Name, func(t *testing.T) { f(t, v.Open(t)) })
	}
}

// Open opens a fresh multi-host SQLite database, for tests that need a database
// and do not care which. It takes milliseconds and is closed with the test.
func Open(t testing.TB) *storage.DB {
	t.Helper()
	return Variants()[0].Open(t)
}

// Open opens a fresh database, which is closed and removed with the test.
func (v Variant) Open(t testing.TB) *storage.DB {
	t.Helper()
	return Serve(t, map[string]storage.SQL{Host: v.SQL(t)}).Host(Host)
}

// SQL is the options of a fresh and empty database, which is removed with the
// test. They can be opened more than once.
func (v Variant) SQL(t testing.TB) storage.SQL {
	t.Helper()
	o := storage.Defaults()
	if v.PostgreSQL {
		o = server(t)
		o.Database = create(t)
	} else {
		o.Type, o.Database = "sqlite", t.TempDir()+"/test.db"
	}
	o.MultiHost = v.Flavour
	return o
}

// Serve opens the databases of several virtual hosts, which are closed with the
// test. The data directory is a temporary one.
func Serve(t testing.TB, hosts map[string]storage.SQL) *storage.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := storage.Open(ctx, storage.Options{Dir: t.TempDir(), Hosts: hosts}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatalf("open databases: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close databases: %v", err)
		}
	})
	return s
}

// server is the options of the PostgreSQL of this test process.
func server(t testing.TB) storage.SQL {
	t.Helper()
	config, err := pgx.ParseConfig(url(t))
	if err != nil {
		t.Fatalf("the address of PostgreSQL: %v", err)
	}
	o := storage.Defaults()
	o.Type, o.Server, o.Port = "pgsql", config.Host, int(config.Port)
	if strings.HasPrefix(config.Host, "/") {
		o.Server = "unix:" + config.Host
	}
	o.Username, o.Password = config.User, config.Password
	o.PoolSize = 4
	return o
}

// create makes a database and has it dropped with the test.
func create(t testing.TB) string {
	t.Helper()
	name := "gabberd_test_" + strings.ToLower(rand.Text()[:16])
	admin(t, `CREATE DATABASE `+name+` TEMPLATE template0 ENCODING 'UTF8'`)
	t.Cleanup(func() { admin(t, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`) })
	return name
}

// admin runs a statement as the superuser.
func admin(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url(t))
	if err != nil {
		t.Fatalf("connect to PostgreSQL (GABBERD_TEST_PG): %v", err)
	}
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
	if err := conn.Close(ctx); err != nil {
		t.Errorf("leave PostgreSQL: %v", err)
	}
}
