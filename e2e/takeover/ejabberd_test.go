package takeover

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

const (
	startTime = 60 * time.Second // for ejabberd to begin to listen
	stopTime  = 30 * time.Second // for it to end after it was asked to
	interval  = 20 * time.Millisecond
)

// ejabberd is Debian's ejabberd as one scene of a takeover needs it: a virtual
// machine without distribution, so that it has no need of epmd.
type ejabberd struct {
	site *site
	out  bytes.Buffer
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// startEjabberd starts it on the site's configuration and waits until it
// answers. The test ends it if nobody else does.
func startEjabberd(t *testing.T, s *site) *ejabberd {
	t.Helper()
	libs, err := filepath.Glob("/usr/lib/*/ejabberd-*/ebin")
	if err != nil || len(libs) == 0 {
		t.Fatalf("this test needs ejabberd: apt-get install ejabberd erlang-p1-pgsql erlang-p1-sqlite3 (%v)", err)
	}
	e := &ejabberd{site: s, done: make(chan struct{})}
	e.cmd = exec.Command("erl", "-noinput", "+K", "true", "+sbwt", "none", "-mnesia", "dir", strconv.Quote(s.path("spool")), "-s", "ejabberd")
	e.cmd.Dir = s.path("spool")
	e.cmd.Env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + s.path("spool"), "LC_ALL=C.UTF-8",
		"ERL_LIBS=" + filepath.Dir(filepath.Dir(libs[0])), "ERL_CRASH_DUMP_BYTES=0",
		"EJABBERD_CONFIG_PATH=" + s.config(), "EJABBERD_LOG_PATH=" + s.path("log/ejabberd.log"),
	}
	e.cmd.Stdout, e.cmd.Stderr = &e.out, &e.out
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: s.owner.credential()}
	if err := e.cmd.Start(); err != nil {
		t.Fatalf("start ejabberd: %v", err)
	}
	go func() {
		defer close(e.done)
		_ = e.cmd.Wait() // how it ended is seen by what it said
	}()
	t.Cleanup(func() {
		e.kill()
		if t.Failed() {
			t.Logf("ejabberd said:\n%s", e.out.String())
		}
	})
	e.await(t)
	return e
}

// await waits until it answers a command and takes connections.
func (e *ejabberd) await(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	for {
		_, err := e.command(ctx, "status", nil)
		if err == nil {
			var conn net.Conn
			if conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", e.site.client()); err == nil {
				conn.Close()
				return
			}
		}
		select {
		case <-time.After(interval):
		case <-e.done:
			t.Fatalf("ejabberd ended at once:\n%s", e.out.String())
		case <-ctx.Done():
			e.kill()
			t.Fatalf("ejabberd does not answer: %v\n%s", err, e.out.String())
		}
	}
}

// stop ends it as an operator does and waits until it is gone.
func (e *ejabberd) stop(t *testing.T) {
	t.Helper()
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop ejabberd: %v", err)
	}
	select {
	case <-e.done:
	case <-time.After(stopTime):
		t.Fatalf("ejabberd does not end")
	}
}

// kill ends it and what it has started, however it is.
func (e *ejabberd) kill() {
	// It may have gone by itself.
	_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
	<-e.done
}

// command has ejabberd carry out a command and returns the answer.
func (e *ejabberd) command(ctx context.Context, name string, args map[string]string) (string, error) {
	if args == nil {
		args = map[string]string{}
	}
	body, err := json.Marshal(args)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+e.site.api()+"/api/"+name, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", name, resp.Status, text)
	}
	return string(text), nil
}

// register makes an account.
func (e *ejabberd) register(t *testing.T, name, domain, password string) {
	t.Helper()
	if _, err := e.command(t.Context(), "register", map[string]string{"user": name, "host": domain, "password": password}); err != nil {
		t.Errorf("ejabberd: %v", err)
	}
}

// owner is the user as whom ejabberd runs: that of its package, or, if we are
// not root, ourselves.
type owner struct {
	uid, gid uint32
	given    bool
}

func findOwner() (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	u, err := user.Lookup("ejabberd")
	if err != nil {
		return owner{}, fmt.Errorf("this test needs ejabberd's user: apt-get install ejabberd: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	return owner{uint32(uid), uint32(gid), true}, errors.Join(err1, err2)
}

func (o owner) credential() *syscall.Credential {
	if !o.given {
		return nil
	}
	return &syscall.Credential{Uid: o.uid, Gid: o.gid}
}

// own gives everything below dir to the user.
func (o owner) own(dir string) error {
	if !o.given {
		return nil
	}
	return filepath.Walk(dir, func(name string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, int(o.uid), int(o.gid))
	})
}
