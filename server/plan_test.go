package server

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/authfast"
	"github.com/gabberd/gabberd/modules/last"
	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/offline"
)

// A dry run shows what a start does and does none of it; after the start there
// is nothing left to do.
func TestPlanChangesNothing(t *testing.T) {
	o := prepareFiles(t, "hosts: [localhost]\nmodules:\n  mod_last: {}\n")
	o.Modules = []modules.Module{last.Module}
	plan := func() string {
		t.Helper()
		var out bytes.Buffer
		if err := Plan(context.Background(), o, &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	first := plan()
	for _, want := range []string{"-- localhost, accounts: in", "CREATE TABLE users", "-- localhost, mod_last: in", "CREATE TABLE last"} {
		if !strings.Contains(first, want) {
			t.Errorf("the plan lacks %q:\n%s", want, first)
		}
	}
	if _, err := os.Stat(filepath.Join(o.Data, "gabberd.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dry run has made a database: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	o.Ready = func(Addresses) { stop() }
	if err := Run(ctx, o); err != nil {
		t.Fatal(err)
	}
	if again := plan(); strings.Contains(again, "CREATE") || !strings.Contains(again, "nothing to do") {
		t.Errorf("after the start there is still something to do:\n%s", again)
	}
}

// A module's tables of several keepers are all shown, those that two modules share
// once.
func TestPlanShowsAllKeepers(t *testing.T) {
	o := prepareFiles(t, "hosts: [localhost]\nmodules:\n  mod_mam: {}\n  mod_offline: {}\n  mod_auth_fast: {}\n")
	o.Modules = []modules.Module{mam.Module, offline.Module, authfast.Module}
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Plan(context.Background(), o, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CREATE TABLE archive ", "gabberd_archive_bare_peer", "gabberd_archive_words", "CREATE TABLE gabberd_jobs ", "CREATE TABLE gabberd_fast_count "} {
		if n := strings.Count(out.String(), want); n != 1 {
			t.Errorf("the plan has %q %d times:\n%s", want, n, &out)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	o.Ready = func(Addresses) { stop() }
	if err := Run(ctx, o); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := Plan(context.Background(), o, &out); err != nil || strings.Contains(out.String(), "CREATE") {
		t.Errorf("after the start there is still something to do: %v\n%s", err, &out)
	}
}

// A virtual host with a file of its own: that is not made either, nor is the data
// directory, and the plan names it as it will be called.
func TestPlanMakesNoFiles(t *testing.T) {
	far := filepath.Join(t.TempDir(), "far.db")
	o := prepareFiles(t, `
hosts: [localhost, example.org, example.net, example.com]
default_db: sql
host_config:
  localhost: {sql_type: sqlite, sql_database: "@HOST@.db"}
  example.org: {sql_type: sqlite, sql_database: "`+far+`"}
  example.net: {sql_type: sqlite, sql_database: "`+far+`"}
modules:
  mod_last: {}
`)
	o.Modules = []modules.Module{last.Module}
	plan := func() (string, error) {
		var out bytes.Buffer
		err := Plan(context.Background(), o, &out)
		return out.String(), err
	}
	first, err := plan()
	if err != nil {
		t.Fatal(err)
	}
	for host, file := range map[string]string{"localhost": filepath.Join(o.Data, "localhost.db"), "example.org": far, "example.net": far, "example.com": filepath.Join(o.Data, "gabberd.db")} {
		if want := "-- " + host + ", mod_last: in SQLite database " + file + "\n"; !strings.Contains(first, want) {
			t.Errorf("the plan lacks %q:\n%s", want, first)
		}
	}
	for _, name := range []string{o.Data, far} {
		if !missing(name) {
			t.Errorf("the dry run has made %s", name)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	o.Ready = func(Addresses) { stop() }
	if err := Run(ctx, o); err != nil {
		t.Fatal(err)
	}
	if again, err := plan(); err != nil || strings.Contains(again, "CREATE") || missing(far) {
		t.Errorf("after the start: %v\n%s", err, again)
	}
	nowhere := filepath.Join(t.TempDir(), "missing", "far.db")
	write(t, o.Config, []byte("hosts: [localhost]\nsql_type: sqlite\nsql_database: \""+nowhere+"\"\n"))
	if out, err := plan(); err == nil || !strings.Contains(err.Error(), "sql_database") {
		t.Errorf("a folder that is missing: %v\n%s", err, out)
	}
}
