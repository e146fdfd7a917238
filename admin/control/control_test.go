package control

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv("CONTROL_TEST_STRANGER"); socket != "" {
		os.Exit(stranger(socket))
	}
	goleak.VerifyTestMain(m)
}

// handler makes a Handler of a function.
type handler func(context.Context, Request, *Answer) int

func (h handler) Control(ctx context.Context, r Request, a *Answer) int { return h(ctx, r, a) }

// serve starts a server for the test and returns its socket and how to stop it.
// It also stops when the test ends.
func serve(t *testing.T, h handler, change ...func(*Listener)) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), SocketName)
	l, err := Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- l.Serve(ctx, h) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return path, stop
}

func echo(_ context.Context, r Request, a *Answer) int {
	a.Print("out " + r.Command + "\n")
	a.Complain("err\n")
	a.Print(strings.Join(r.Args, " ") + "\n")
	return 7
}

func TestRoundTrip(t *testing.T) {
	path, _ := serve(t, echo)
	var out, errOut bytes.Buffer
	exit, err := Call(t.Context(), path, Request{Command: "register", Args: []string{"a", "<ü\u2028>"}}, &out, &errOut)
	if exit != 7 || err != nil || out.String() != "out register\na <ü\u2028>\n" || errOut.String() != "err\n" {
		t.Errorf("exit %d, %v, out %q, err %q", exit, err, &out, &errOut)
	}
}

func TestRequestArrivesWhole(t *testing.T) {
	three := 3
	sent := Request{Command: "c", Args: []string{"", "x\ny"}, Version: &three, JSON: true,
		Auth: &Auth{"u", "h", "p"}, Program: "ejabberdctl", Width: 80}
	path, _ := serve(t, func(_ context.Context, r Request, a *Answer) int {
		if r.Version == nil || *r.Version != 3 || r.Auth == nil || *r.Auth != *sent.Auth ||
			fmt.Sprint(r.Command, r.Args, r.JSON, r.Program, r.Width) != fmt.Sprint(sent.Command, sent.Args, sent.JSON, sent.Program, sent.Width) {
			a.Complain(fmt.Sprintf("%+v", r))
		}
		return 0
	})
	var errOut bytes.Buffer
	if exit, err := Call(t.Context(), path, sent, io.Discard, &errOut); exit != 0 || err != nil || errOut.Len() > 0 {
		t.Errorf("exit %d, %v, server got %s", exit, err, &errOut)
	}
}

func TestLargeAnswersAndArguments(t *testing.T) {
	text := strings.Repeat("ä€𝄞<", 100_000)
	path, _ := serve(t, func(_ context.Context, r Request, a *Answer) int {
		a.Print(r.Args[0])
		return 0
	})
	var out bytes.Buffer
	if _, err := Call(t.Context(), path, Request{Args: []string{text}}, &out, io.Discard); err != nil || out.String() != text {
		t.Errorf("%v, got %d bytes of %d, equal: %v", err, out.Len(), len(text), out.String() == text)
	}
	_, err := Call(t.Context(), path, Request{Args: []string{strings.Repeat("x", maxRequest)}}, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "arguments are too large") {
		t.Errorf("arguments over the limit: %v", err)
	}
}

// raw opens a connection by hand and reads the greeting.
func raw(t *testing.T, path string) (*net.UnixConn, *bufio.Reader) {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || line != "{\"gabberd\":1}\n" {
		t.Fatalf("greeting %q, %v", line, err)
	}
	return conn, in
}

func TestBadRequestsAreAnsweredAndReachNobody(t *testing.T) {
	never := func(context.Context, Request, *Answer) int {
		t.Error("the handler was called")
		return 0
	}
	patient, _ := serve(t, never)
	hasty, _ := serve(t, never, func(l *Listener) { l.patience = 100 * time.Millisecond })
	huge := `{"command":"` + strings.Repeat("x", maxRequest) + `"}` + "\n"
	for name, c := range map[string]struct {
		send string
		end  bool // the client says that no more comes
		want string
	}{
		"not JSON":        {"register a b c\n", false, "bad request: invalid character"},
		"another type":    {"[]\n", false, "bad request: json"},
		"wrong field":     {`{"command":["x"]}` + "\n", false, "bad request: json"},
		"empty line":      {"\n", false, "bad request: unexpected end"},
		"nothing":         {"", true, "bad request: EOF"},
		"ends too early":  {`{"command":"stop"}`, true, "bad request: unexpected EOF"},
		"too long":        {huge, false, "bad request: the line is too long"},
		"never ends":      {`{"command":"st`, false, "bad request: it did not arrive in time"},
		"never ends, big": {strings.Repeat("x", maxRequest+2*chunk), false, "bad request: the line is too long"},
		"deep":            {strings.Repeat("[", 100_000) + "\n", false, "bad request: "},
	} {
		path := patient
		if name == "never ends" {
			path = hasty
		}
		conn, in := raw(t, path)
		_, _ = io.WriteString(conn, c.send) // fails when the server has seen enough
		if c.end {
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		line, err := in.ReadString('\n')
		if err != nil || !strings.Contains(line, c.want) {
			t.Errorf("%s: got %q, %v; want %q", name, line, err, c.want)
		}
		if line, err := in.ReadString('\n'); err != nil || line != "{\"exit\":1}\n" {
			t.Errorf("%s: then %q, %v; want exit 1", name, line, err)
		}
	}
}

func TestClientThatGoesCancels(t *testing.T) {
	began, ended := make(chan struct{}), make(chan error)
	path, _ := serve(t, func(ctx context.Context, _ Request, _ *Answer) int {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return 0
	})
	conn, _ := raw(t, path)
	if _, err := io.WriteString(conn, "{}\n"); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestCallerThatGivesUpCancels(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	path, _ := serve(t, func(ctx context.Context, _ Request, a *Answer) int {
		a.Print("line\n")
		a.Flush()
		close(began)
		<-ctx.Done()
		close(ended)
		return 0
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if _, err := Call(ctx, path, Request{}, io.Discard, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-ended
}

func TestClientThatDoesNotReadCancels(t *testing.T) {
	ended := make(chan int, 1)
	path, _ := serve(t, func(ctx context.Context, _ Request, a *Answer) int {
		n := 0
		for ; ctx.Err() == nil; n++ {
			a.Print(strings.Repeat("x", chunk))
		}
		ended <- n
		return 0
	}, func(l *Listener) { l.patience = 50 * time.Millisecond })
	conn, _ := raw(t, path)
	if _, err := io.WriteString(conn, "{}\n"); err != nil {
		t.Fatal(err)
	}
	if n := <-ended; n > 1000 {
		t.Errorf("%d lines were taken for a client that reads none", n)
	}
}

func TestStreamedLinesArriveAtOnce(t *testing.T) {
	next := make(chan struct{})
	path, _ := serve(t, func(ctx context.Context, _ Request, a *Answer) int {
		for i := range 3 {
			a.Print(fmt.Sprintln("line", i))
			a.Flush()
			select { // the client has to see the line before there is another
			case <-next:
			case <-ctx.Done():
			}
		}
		return 0
	})
	var got strings.Builder
	exit, err := Call(t.Context(), path, Request{}, writer(func(p []byte) {
		if len(p) > 0 {
			got.Write(p)
			next <- struct{}{}
		}
	}), io.Discard)
	if exit != 0 || err != nil || got.String() != "line 0\nline 1\nline 2\n" {
		t.Errorf("%d, %v, %q", exit, err, got.String())
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestManyAtOnceAndOneTooMany(t *testing.T) {
	var inside sync.WaitGroup
	inside.Add(maxClients)
	release := make(chan struct{})
	path, _ := serve(t, func(_ context.Context, r Request, a *Answer) int {
		if r.Command == "hold" {
			inside.Done()
			<-release
		}
		a.Print(r.Args[0])
		return 0
	})
	var calls sync.WaitGroup
	for i := range maxClients {
		calls.Go(func() {
			var out bytes.Buffer
			want := fmt.Sprint(i)
			exit, err := Call(t.Context(), path, Request{Command: "hold", Args: []string{want}}, &out, io.Discard)
			if exit != 0 || err != nil || out.String() != want {
				t.Errorf("%d: exit %d, %v, %q", i, exit, err, &out)
			}
		})
	}
	inside.Wait()
	var errOut bytes.Buffer
	exit, err := Call(t.Context(), path, Request{Command: "x", Args: []string{"x"}}, io.Discard, &errOut)
	if exit != 1 || err != nil || !strings.Contains(errOut.String(), "too many commands at once") {
		t.Errorf("one too many: exit %d, %v, %q", exit, err, &errOut)
	}
	close(release)
	calls.Wait()
	for exit != 0 { // a slot is free again soon after its client has its answer
		if exit, err = Call(t.Context(), path, Request{Args: []string{"x"}}, io.Discard, io.Discard); err != nil {
			t.Fatalf("afterwards: %v", err)
		}
	}
}

func TestPanicIsAnswered(t *testing.T) {
	path, _ := serve(t, func(context.Context, Request, *Answer) int { panic("secret") })
	var errOut bytes.Buffer
	exit, err := Call(t.Context(), path, Request{}, io.Discard, &errOut)
	if exit != 1 || err != nil || !strings.HasPrefix(errOut.String(), "Error: ") || strings.Contains(errOut.String(), "secret") {
		t.Errorf("exit %d, %v, %q", exit, err, &errOut)
	}
}

func TestStopEndsRequestsAndTakesTheSocketAway(t *testing.T) {
	began := make(chan struct{})
	path, stop := serve(t, func(ctx context.Context, _ Request, a *Answer) int {
		close(began)
		<-ctx.Done()
		a.Print("goodbye\n")
		return 4
	})
	idle, _ := raw(t, path) // has connected and says nothing
	var out bytes.Buffer
	done := make(chan error)
	go func() {
		exit, err := Call(context.Background(), path, Request{}, &out, io.Discard)
		if exit != 4 {
			err = errors.Join(err, fmt.Errorf("exit %d", exit))
		}
		done <- err
	}()
	<-began
	stop()
	if err := <-done; err != nil || out.String() != "goodbye\n" {
		t.Errorf("%v, %q", err, &out)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if err := idle.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Call(t.Context(), path, Request{}, &out, &out); !errors.Is(err, ErrUnreachable) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSocketIsForTheOwnerOnly(t *testing.T) {
	path, _ := serve(t, echo)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the socket: %v, %v", entries, err)
	}
}

func TestSecondServerIsRefusedAndDeadOneReplaced(t *testing.T) {
	path, stop := serve(t, echo)
	if _, err := Listen(path, slog.Default()); err == nil || !strings.Contains(err.Error(), "another server answers") {
		t.Errorf("second server: %v", err)
	}
	stop()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Call(t.Context(), path, Request{}, io.Discard, io.Discard); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("call to a dead server: %v", err)
	}
	l, err := Listen(path, slog.Default())
	if err != nil {
		t.Fatalf("after a dead server: %v", err)
	}
	// A successor that took the place keeps it when we go.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the successor's socket is gone: %v", err)
	}
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing", SocketName)
	if _, err := Listen(missing, slog.Default()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "open control socket") {
		t.Errorf("no directory: %v", err)
	}
}

func TestLongPathsWork(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, SocketName)
	ctx, cancel := context.WithCancel(t.Context())
	l, err := Listen(path, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- l.Serve(ctx, handler(echo)) }()
	if exit, err := Call(ctx, path, Request{}, io.Discard, io.Discard); exit != 7 || err != nil {
		t.Errorf("exit %d, %v", exit, err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestPeersThatMayCommand(t *testing.T) {
	for _, c := range []struct {
		peer, own uint32
		ok        bool
	}{{0, 1000, true}, {1000, 1000, true}, {0, 0, true}, {1001, 1000, false}, {1000, 0, false}} {
		if err := allowed(c.peer, c.own); (err == nil) != c.ok {
			t.Errorf("user %d at a server of %d: %v", c.peer, c.own, err)
		}
	}
}

// stranger is the part of TestStrangerIsRefused that runs as another user.
func stranger(socket string) int {
	_, err := Call(context.Background(), socket, Request{}, io.Discard, io.Discard)
	fmt.Println(err)
	if err == nil || errors.Is(err, syscall.EACCES) {
		return 1
	}
	return 0
}

// Another user does not get in even if somebody opened up the socket's mode.
// Only root can become another user; without root, the test is that a call as
// oneself gets in where the table above has a stranger refused.
func TestStrangerIsRefused(t *testing.T) {
	called := make(chan struct{}, 1)
	path, _ := serve(t, func(context.Context, Request, *Answer) int {
		called <- struct{}{}
		return 0
	})
	if os.Geteuid() != 0 {
		if _, err := Call(t.Context(), path, Request{}, io.Discard, io.Discard); err != nil {
			t.Error(err)
		}
		return
	}
	dir := filepath.Dir(path)
	for _, open := range []string{path, dir, filepath.Dir(dir)} {
		if err := os.Chmod(open, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	exe, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "stranger")
	if err := os.WriteFile(program, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Env = append(os.Environ(), "CONTROL_TEST_STRANGER="+path, "GOCOVERDIR="+dir)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the stranger got in or never arrived: %v: %s", err, out)
	}
	select {
	case <-called:
		t.Error("the stranger's request was done")
	default:
	}
}
