package storagetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gabberd/gabberd/storage"
)

// url is where PostgreSQL is.
func url(t testing.TB) string {
	t.Helper()
	if given := os.Getenv("GABBERD_TEST_PG"); given != "" {
		return given
	}
	started, err := private()
	if err != nil {
		t.Fatal(err)
	}
	return started.URL
}

// private is the PostgreSQL of this test process, started once. It must be kept:
// the server would end with its Private.
var private = sync.OnceValues(func() (*Private, error) { return Start() })

// A Private is a PostgreSQL server for tests, on a socket in a temporary
// directory. It never writes through to the disk.
type Private struct {
	URL  string // of its superuser, who needs no password on the socket
	Port int    // where it listens on 127.0.0.1, if told to

	dir      string
	settings []string
	bin      string
	owner    *syscall.SysProcAttr
	life     *os.File // the server lives as long as this is open
	shell    *exec.Cmd
}

// Start starts a server. Without Stop it ends with the process that started it,
// and so does its directory. Settings, name=value, are for its configuration;
// with listen_addresses=127.0.0.1 it also listens on Port, and wants a password
// there.
func Start(settings ...string) (*Private, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gabberd-pg")
	if err != nil {
		return nil, err
	}
	p := &Private{dir: dir, settings: settings, bin: bin, owner: &syscall.SysProcAttr{}}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p.URL = fmt.Sprintf("postgres://postgres@/postgres?host=%s&port=%d", dir, p.Port)
	if err := p.Resume(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// programs finds where PostgreSQL's programs are.
func programs() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	if found, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(found), nil
	}
	return "", errors.New("this test needs PostgreSQL: install it (apt-get install postgresql, or put initdb and postgres into PATH), or name a server in GABBERD_TEST_PG")
}

// version is the number in /usr/lib/postgresql/15/bin.
func version(dir string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	if err != nil {
		return 0
	}
	return n
}

// prepare makes the files of a new server. It belongs to another user when we
// are root, whom PostgreSQL refuses.
func (p *Private) prepare() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.Port = l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			if u, err = user.Lookup("nobody"); err != nil {
				return err
			}
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(p.dir, int(uid), int(gid))); err != nil {
			return err
		}
		p.owner.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	cmd := exec.Command(filepath.Join(p.bin, "initdb"), "--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "--username=postgres", "--encoding=UTF8", "--locale=C", p.dir+"/data")
	cmd.Dir, cmd.SysProcAttr = p.dir, p.owner
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// The shell notices the end of the test process, however that ends, by the end
// of its input. Then it stops the server and, if it was told nothing, removes
// the directory.
const keeper = `dir=$1
shift
"$0" -D "$dir/data" -k "$dir" -F "$@" >"$dir/log" 2>&1 &
pid=$!
read -r keep
kill -INT $pid
wait $pid
[ -n "$keep" ] || rm -rf "$dir" 2>/dev/null || :`

// Resume starts a server again that was stopped with Pause.
func (p *Private) Resume() error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	p.shell = exec.Command("/bin/sh", "-c", keeper, filepath.Join(p.bin, "postgres"), p.dir)
	for _, s := range append([]string{"listen_addresses=", fmt.Sprintf("port=%d", p.Port), "max_connections=200", "full_page_writes=off", "shared_buffers=32MB"}, p.settings...) {
		p.shell.Args = append(p.shell.Args, "-c", s)
	}
	attr := *p.owner
	attr.Setsid = true // a signal for the tests is not for the server
	p.shell.Dir, p.shell.Stdin, p.shell.SysProcAttr = p.dir, in, &attr
	p.life = out
	err = p.shell.Start()
	if err := errors.Join(err, in.Close()); err != nil {
		return errors.Join(err, out.Close())
	}
	return p.answers()
}

// answers waits until the server takes connections.
func (p *Private) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, p.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(p.dir + "/log") // only to say more
			return fmt.Errorf("PostgreSQL did not start: %w\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Pause stops the server and keeps its files.
func (p *Private) Pause() error {
	_, err := p.life.WriteString("keep\n")
	return errors.Join(err, p.life.Close(), p.shell.Wait())
}

// Stop ends the server and removes its files.
func (p *Private) Stop() error {
	err := errors.Join(p.life.Close(), p.shell.Wait())
	// The server's user may not remove what lies in a directory of ours.
	return errors.Join(err, os.RemoveAll(p.dir))
}

// PID is the server's first process, whose children do the work.
func (p *Private) PID() (int, error) {
	text, err := os.ReadFile(filepath.Join(p.dir, "data", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

// SQL is the options of the server's own database, for tests that stop it.
func (p *Private) SQL() storage.SQL {
	o := storage.Defaults()
	o.Type, o.Server, o.Database, o.Username = "pgsql", "unix:"+p.dir, "postgres", "postgres"
	o.Port = p.Port
	return o
}
