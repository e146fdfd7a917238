package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage/storagetest"
)

// When the database goes away people who are there go on chatting, and who comes
// is told to try again; when it is back everything is as before.
func TestDatabaseGoesAndComesBack(t *testing.T) {
	pg, err := storagetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	o := pg.SQL()
	r := up(t, strings.Replace(oneDoor, "mod_offline: {}", "mod_offline: {}\n  mod_last: {}", 1)+fmt.Sprintf(
		"default_db: sql\nauth_method: sql\nsql_type: pgsql\nsql_server: %q\nsql_port: %d\nsql_database: %s\nsql_username: %s\nuse_cache: false\n",
		o.Server, o.Port, o.Database, o.Username))
	r.register("romeo@localhost", "juliet@localhost")
	romeo, juliet := r.session("romeo@localhost/orchard"), r.session("juliet@localhost/balcony")
	juliet.send("<presence/>")
	juliet.until("<presence")
	romeo.says("before", "juliet@localhost", juliet)

	if err := pg.Pause(); err != nil {
		t.Fatal(err)
	}
	romeo.says("to a device, while it is away", "juliet@localhost/balcony", juliet)
	juliet.says("and back", "romeo@localhost/orchard", romeo)
	if _, answer := r.auth("romeo", "localhost"); !strings.Contains(answer, "temporary-auth-failure") {
		t.Errorf("who comes while the database is away hears %s", answer)
	}
	if out, exit := r.try("register", "paris", "localhost", "secret"); exit == 0 {
		t.Errorf("an account was made in a database that is away: %s", out)
	}
	if out, exit := r.try("connected_users_number"); exit != 0 || !strings.HasPrefix(out, "2") {
		t.Errorf("an operator does not hear who is there: %s", out)
	}

	if err := pg.Resume(); err != nil {
		t.Fatal(err)
	}
	for give := time.Now().Add(patience); ; {
		w, answer := r.auth("romeo", "localhost")
		w.conn.Close()
		if strings.Contains(answer, "<success") {
			break
		}
		if !strings.Contains(answer, "temporary-auth-failure") || time.Now().After(give) {
			t.Fatalf("after it has come back: %s", answer)
		}
	}
	again := r.session("romeo@localhost/tomb")
	again.says("after", "juliet@localhost", juliet)
	r.register("paris@localhost")
}
