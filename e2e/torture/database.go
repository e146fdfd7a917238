package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/gabberd/gabberd/storage/storagetest"
)

// A database is one of PostgreSQL that all servers share.
type database struct {
	url     string // of who may create databases
	name    string
	options map[string]any
	private *storagetest.Private // nil if the server is that of GABBERD_TEST_PG
}

// newDatabase makes one in the PostgreSQL of GABBERD_TEST_PG, or in one of our own.
func newDatabase(ctx context.Context) (*database, error) {
	d := &database{url: os.Getenv("GABBERD_TEST_PG"), name: "gabberd_torture_" + strings.ToLower(rand.Text()[:16])}
	if d.url == "" {
		var err error
		if d.private, err = storagetest.Start(); err != nil {
			return nil, err
		}
		d.url = d.private.URL
	}
	config, err := pgx.ParseConfig(d.url)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("GABBERD_TEST_PG: %w", err), d.close(ctx))
	}
	server := config.Host
	if strings.HasPrefix(server, "/") {
		server = "unix:" + server
	}
	d.options = map[string]any{
		"default_db": "sql", "auth_method": "sql",
		"sql_type": "pgsql", "sql_server": server, "sql_port": int(config.Port), "sql_database": d.name,
		"sql_username": config.User, "sql_password": config.Password, "sql_pool_size": 4,
	}
	if err := d.admin(ctx, "CREATE DATABASE "+d.name+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		return nil, errors.Join(err, d.close(ctx))
	}
	return d, nil
}

// configure adds the options that name it.
func (d *database) configure(options map[string]any) { maps.Copy(options, d.options) }

func (d *database) admin(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// close drops it.
func (d *database) close(ctx context.Context) error {
	if d.private != nil {
		return d.private.Stop()
	}
	return d.admin(ctx, "DROP DATABASE IF EXISTS "+d.name+" WITH (FORCE)")
}
