package storagetest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/gabberd/gabberd/storage"
)

func TestPrivateComesBackAndLeavesNothing(t *testing.T) {
	p, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	db := Serve(t, map[string]storage.SQL{Host: p.SQL()}).Host(Host)
	if _, err := db.Exec(t.Context(), `CREATE TABLE t (a text)`); err != nil {
		t.Error(err)
	}
	if err := errors.Join(p.Pause(), p.Resume()); err != nil {
		t.Fatal(err)
	}
	for { // the old connections have gone, and the pool has to notice
		_, err := db.Exec(t.Context(), `INSERT INTO t VALUES ('x')`)
		if err == nil {
			break
		}
		if !errors.Is(err, storage.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(p.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestDatabasesAreFresh(t *testing.T) {
	for range 2 {
		Each(t, func(t *testing.T, db *storage.DB) {
			if _, err := db.Exec(t.Context(), `CREATE TABLE t (a text)`); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOptionsOpenTheSameDatabase(t *testing.T) {
	for _, v := range Variants() {
		o := v.SQL(t)
		for i, query := range []string{`CREATE TABLE t (a text)`, `INSERT INTO t VALUES ('x')`} {
			s := Serve(t, map[string]storage.SQL{Host: o})
			if _, err := s.Host(Host).Exec(t.Context(), query); err != nil {
				t.Errorf("%s, open %d: %v", v.Name, i, err)
			}
			if err := s.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
}
