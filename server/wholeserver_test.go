package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/admin/control"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/all"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// eventually asks again and again whether something holds, and fails the test if
// it never does.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("%s: never", what)
		}
		select { // not to keep the processor from those who are waited for
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
			t.FailNow()
		}
	}
}

// Where a server finds its configuration and its data can be said by the
// environment, and the command line has the last word.
func TestEnvironmentSaysWhereThingsAre(t *testing.T) {
	t.Chdir(t.TempDir())
	other := t.TempDir()
	for _, tt := range []struct {
		name string
		args []string
		data string
	}{
		{"the environment alone", nil, "said"},
		{"the command line too", []string{"--data", filepath.Join(other, "told")}, filepath.Join(other, "told")},
	} {
		t.Setenv("GABBERD_CONFIG", filepath.Join(other, "there.yml"))
		t.Setenv("GABBERD_DATA", "said")
		write(t, filepath.Join(other, "there.yml"), []byte("hosts: [there.example]\n"))
		said, ended := &log{}, make(chan int, 1)
		go func() { ended <- run(tt.args, all.Modules, said, said) }()
		var hosts, complaint bytes.Buffer
		ask := func(command string) bool {
			hosts.Reset()
			code, err := control.Call(t.Context(), controlPath(tt.data), control.Request{Command: command}, &hosts, &complaint)
			return err == nil && code == 0
		}
		eventually(t, tt.name, func() bool { return ask("registered_vhosts") })
		if got := strings.TrimSpace(hosts.String()); got != "there.example" {
			t.Errorf("%s: the server has %q", tt.name, got)
		}
		ask("stop")
		if code := <-ended; code != exitOK {
			t.Errorf("%s: exit code %d\n%s", tt.name, code, said)
		}
		if err := os.RemoveAll("said"); err != nil {
			t.Error(err)
		}
	}
	if made, err := os.ReadDir("."); err != nil || len(made) > 0 {
		t.Errorf("left in the folder: %v, %v", made, err)
	}
}

type nothing struct{}

func (*nothing) Fields(*config.Fields) {}

// A handler that panics is named in the log; the stanza goes on, and so does
// everybody else.
func TestAHandlerThatPanics(t *testing.T) {
	broken := modules.Define("mod_ping", modules.Spec[nothing]{Doc: "Panics.", Start: func(h *modules.Host, _ nothing) error {
		sm.UserSend.Add(h, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ *sm.Session) (*xmpp.Stanza, hooks.Flow) {
			if st.Body() == "panic" {
				panic("out of luck")
			}
			return st, hooks.Next
		})
		h.IQ("urn:xmpp:ping", func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { panic("no answer either") })
		return nil
	}})
	o := prepareFiles(t, strings.Replace(oneDoor, "  mod_disco: {}\n  mod_offline: {}\n  mod_ping: {}\n  mod_roster: {}\n", "  mod_ping: {}\n", 1))
	o.Modules = []modules.Module{broken}
	r := launch(t, o)
	r.register("romeo@localhost", "juliet@localhost")
	romeo, juliet := r.session("romeo@localhost/orchard"), r.session("juliet@localhost/balcony")
	romeo.says("panic", "juliet@localhost/balcony", juliet)
	romeo.send("<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
	if got := romeo.until("</iq>"); !strings.Contains(got, "internal-server-error") {
		t.Errorf("a request that nobody could answer is answered with %s", got)
	}
	juliet.says("I am well", "romeo@localhost/orchard", romeo)
	got := r.log.String()
	for _, want := range []string{"mod_ping", "user_send_packet", "out of luck", "no answer either", "wholeserver_test.go"} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q:\n%s", want, got)
		}
	}
}

// withStore is a server with modules that store what they are given.
const withStore = `
hosts: [localhost]
listen:
  - {port: 0, ip: 127.0.0.1, module: ejabberd_c2s, tls: true}
auth_password_format: plain
modules:
  mod_disco: {}
  mod_offline: {}
  mod_private: {}
  mod_roster: {}
  mod_vcard: {}
`

// A full disk: what must be on the disk before it is answered is refused, messages
// wait as long as there is room in memory, chat goes on, and when there is space
// again everything works.
func TestFullDisk(t *testing.T) {
	s, log := builtWith(t, withStore, all.Modules)
	if err := s.listen(); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"romeo", "juliet", "paris"} {
		s.newest(t, "register|"+user+"|localhost|secret")
	}
	r := &running{t: t, at: Addresses{{Addr: s.listeners[0].ln.Addr()}}, log: log}
	romeo, juliet := r.session("romeo@localhost/orchard"), r.session("juliet@localhost/balcony")
	db, err := s.storage.Embedded(t.Context(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	pages := 0
	if err := db.Get(t.Context(), []any{&pages}, `PRAGMA page_count`); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		t.Helper()
		if err := db.Get(t.Context(), []any{&pages}, fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages)
	long := strings.Repeat("It is the east. ", 4000)
	keep := func(answer string) {
		t.Helper()
		for _, what := range []string{"<query xmlns='jabber:iq:private'><x xmlns='urn:x'>" + long + "</x></query>", "<vCard xmlns='vcard-temp'><DESC>" + long + "</DESC></vCard>"} {
			romeo.send("<iq type='set' id='keep'>" + what + "</iq>")
			if got := romeo.until("type='result'/>", "</iq>"); !strings.Contains(got, answer) {
				t.Errorf("storing is answered with %s, not with %s", strings.ReplaceAll(got, long, "…"), answer)
			}
		}
	}
	later := "<message type='chat' id='later' to='paris@localhost'><body>" + long + "</body></message>"
	keep("type='wait'")
	romeo.send(later)
	romeo.says("that was for later", "juliet@localhost/balcony", juliet)
	// It waits for space, in a queue that has bounds. What comes later is refused.
	for huge := strings.Repeat("x", 1<<20); err == nil; {
		_, err = db.Queue(`DELETE FROM private_storage WHERE namespace = ?`, huge)
	}
	if !errors.Is(err, storage.ErrFull) {
		t.Fatal(err)
	}
	for err = nil; err == nil; { // to the last corner
		_, err = db.Queue(`DELETE FROM private_storage WHERE namespace = ?`, long)
	}
	romeo.send("<message type='chat' id='refused' to='paris@localhost'><body>" + long + "</body></message>")
	if got := romeo.until("</error>"); !strings.Contains(got, "id='refused'") || !strings.Contains(got, "resource-constraint") {
		t.Errorf("a message too many is answered with %s", strings.ReplaceAll(got, long, "…"))
	}
	romeo.says("chat goes on", "juliet@localhost/balcony", juliet)
	r.session("juliet@localhost/nurse").conn.Close()
	keep("type='wait'")
	eventually(t, "the log says what is wrong", func() bool {
		got := log.String()
		return strings.Contains(got, "queued writes wait for the database") && strings.Contains(got, "no space left for "+filepath.Join(s.opt.Data, "gabberd.db"))
	})
	limit(1 << 30)
	keep("type='result'")
	paris := r.session("paris@localhost/hall")
	paris.send("<presence/>")
	paris.until(long)
}

// The database goes away and comes back: who is connected goes on talking, who
// wants to log in is told that it is not the password, and all heals by itself.
func TestDatabaseGoesAwayAndComesBack(t *testing.T) {
	p, err := storagetest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}()
	db := p.SQL()
	r := up(t, withStore+fmt.Sprintf("default_db: sql\nauth_method: [sql]\nsql_type: pgsql\nsql_server: %q\nsql_port: %d\nsql_username: %q\nsql_database: %q\nsql_pool_size: 2\n",
		db.Server, db.Port, db.Username, db.Database))
	r.register("romeo@localhost", "juliet@localhost", "paris@localhost")
	romeo, juliet := r.session("romeo@localhost/orchard"), r.session("juliet@localhost/balcony")
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, answer := r.auth("paris", "localhost"); !strings.Contains(answer, "temporary-auth-failure") {
			t.Errorf("a login without the database ends with %s", answer)
		}
		romeo.says("are you there?", "juliet@localhost/balcony", juliet)
		juliet.says("I am", "romeo@localhost/orchard", romeo)
	}
	romeo.send("<message type='chat' to='paris@localhost'><body>for later</body></message>")
	if got := romeo.until("</error>"); !strings.Contains(got, "for later") || !strings.Contains(got, "resource-constraint") {
		t.Errorf("a message that cannot be stored is answered with %s", got)
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "paris logs in again", func() bool {
		_, answer := r.auth("paris", "localhost")
		return strings.Contains(answer, "<success")
	})
	romeo.send("<message type='chat' to='paris@localhost'><body>now at last</body></message>")
	paris := r.session("paris@localhost/hall")
	paris.send("<presence/>")
	paris.until("now at last")
	paris.says("and I am back", "juliet@localhost/balcony", juliet)
}
