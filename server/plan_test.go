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
	"github.com/gabberd/gabberd/modules/last"
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
