package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/admin/control"
	"github.com/gabberd/gabberd/config"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// programs builds gabberdctl with a link named ejabberdctl beside it and
// returns their directory.
func programs(t testing.TB) string {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "gabberdctl"), ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	if err := os.Symlink("gabberdctl", filepath.Join(bin, "ejabberdctl")); err != nil {
		t.Fatal(err)
	}
	return bin
}

type account struct {
	admin.OfUser
	Password string
}

func (a *account) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.Secret(&a.Password, "password", "", "Password.")
}

type session struct {
	JID      string   `json:"jid"`
	Priority int      `json:"priority"`
	Flags    []string `json:"flags"`
}

// registry has a few of ejabberd's commands, with fixed answers.
func registry() *admin.Registry {
	r := admin.NewRegistry(admin.Options{Log: slog.New(slog.DiscardHandler)})
	r.Add(admin.New("register", "Register a user", func(_ context.Context, in account) (admin.Restuple, error) {
		if in.User == "romeo" {
			return admin.Restuple{}, admin.Conflict.With("User romeo@%s already registered", in.Host)
		}
		return admin.Restuple{Text: "User " + in.User + "@" + in.Host + " successfully registered"}, nil
	}).Tags("accounts"))
	r.Add(admin.New("check_account", "Check an account", func(_ context.Context, in admin.OfUser) (admin.Rescode, error) {
		return admin.Whether(in.User == "romeo"), nil
	}).Tags("accounts"))
	r.Add(admin.New("status_list", "List sessions", func(context.Context, admin.NoArgs) ([]session, error) {
		return []session{{"b@h", 1, []string{"x", "y"}}, {"a@h", -1, nil}}, nil
	}).Tags("session").Result("users", "userstatus"))
	r.Add(admin.New("push_explain", "Explain", func(_ context.Context, in admin.OfUser) (string, error) {
		return in.User + " at " + in.Host, nil
	}))
	r.Add(admin.New("status", "Get status", func(context.Context, admin.NoArgs) (admin.Restuple, error) {
		return admin.Restuple{Text: "The node is started.\nejabberd is running in that node"}, nil
	}).Tags("server"))
	r.Add(admin.New("trace", "Trace", func(ctx context.Context, _ admin.NoArgs) (admin.Stream, error) {
		return func(yield func(string, error) bool) {
			for i := 0; yield(fmt.Sprint("line ", i), nil) && ctx.Err() == nil; i++ {
			}
		}, nil
	}))
	return r
}

// serve runs a registry's control socket in dir until the returned func is
// called.
func serve(t testing.TB, dir string) (stop func()) {
	t.Helper()
	l, err := control.Listen(filepath.Join(dir, control.SocketName), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Serve(ctx, registry()) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// typed runs a program as in a shell in the directory dir.
func typed(t testing.TB, dir string, env []string, words ...string) (exit int, out, errOut string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	var o, e bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &o, &e
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), o.String(), e.String()
}

func TestPrograms(t *testing.T) {
	bin, home := programs(t), t.TempDir()
	data := filepath.Join(home, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	defer serve(t, data)()
	const help = "  Command Name: check_account\n"
	for _, c := range []struct {
		line string
		exit int
		out  string // all of it, or what it begins with before a "…"
		err  string // of gabberdctl; ejabberdctl prints it behind out
	}{
		{"register bob h pw", 0, "User bob@h successfully registered\n", ""},
		{"--json register bob h pw", 0, "\"User bob@h successfully registered\"\n", ""},
		{"register romeo h pw", 1, "", "Error: conflict: User romeo@h already registered\n"},
		{"check_account romeo h", 0, "", ""},
		{"check-account romeo h", 0, "", ""},
		{"check_account tybalt h", 1, "", "Error: false\n"},
		{"check_account romeo", 2, "", help + "…"},
		{"check_account romeo h --json", 2, "", help + "…"},
		{"status_list", 0, "b@h\t1\tx,y\na@h\t-1\t\n", ""},
		{"--version 0 status_list", 0, "b@h\t1\tx;y\na@h\t-1\t\n", ""},
		{"--version=0 --json status_list", 0, `[{"jid":"a@h","priority":-1,"flags":[]},{"jid":"b@h","priority":1,"flags":["x","y"]}]` + "\n", ""},
		{"--version x status_list", 2, "", "Error: --version takes the number of an API version, not \"x\"\n…"},
		{"--no-timeout status", 0, "The node is started.\nejabberd is running in that node\n", ""},
		{"--node ejabberd@localhost check_account romeo h", 0, "", "Note: --node has no meaning for gabberd and is ignored.\n"},
		{"-- status", 0, "The node is started.\nejabberd is running in that node\n", ""},
		{"chek_account romeo h", 1, "", "Error: unknown command 'chek_account'. Did you mean 'check_account'?\n"},
		{"--auth romeo h pw check_account romeo h", 1, "", "Error: invalid_account_data: this server checks no passwords of accounts\n"},
		{"help check_account", 0, help + "…", ""},
		{"help tags", 0, "Available tags and list of commands:\n…", ""},
		{"ping", 0, "pong\n", ""},
		{"started", 0, "", ""},
		{"stopped 0", 1, "", "Error: the server has not stopped within 0s\n"},
		{"started soon", 2, "", "Error: started takes a number of seconds\n"},
		{"push explain romeo@h", 0, "romeo at h\n", ""},
		{"push explain romeo h", 0, "romeo at h\n", ""},
		{"push_explain romeo h", 0, "romeo at h\n", ""},
		{"push explain romeo", 2, "", "Error: write …"},
		{"push", 2, "", "Error: write …"},
		{"push harder romeo@h", 2, "", "Error: write …"},
		{"start", 1, "", "This program does not start servers. In this terminal: gabberd --data DIR. As a service: systemctl start gabberd.\n"},
		{"live", 1, "", "This program does not start servers.…"},
		{"debug", 1, "", "There is no Erlang shell.…"},
		{"--wrong x", 2, "", "Error: no such option: --wrong\n…"},
		{"--data", 2, "", "Error: --data takes 1 more on the command line, not 0\n…"},
		{"--json=yes status", 2, "", "Error: --json takes no value\n…"},
		{"", 2, "", "Usage: …"},
	} {
		words := strings.Fields(c.line)
		exit, out, errOut := typed(t, home, nil, append([]string{filepath.Join(bin, "gabberdctl")}, words...)...)
		if exit != c.exit || !like(out, c.out) || !like(errOut, c.err) {
			t.Errorf("gabberdctl %s: exit %d, out %q, err %q; want %d, %q, %q", c.line, exit, out, errOut, c.exit, c.out, c.err)
		}
		exit, out, errOut = typed(t, home, nil, append([]string{filepath.Join(bin, "ejabberdctl")}, words...)...)
		if exit != c.exit || !like(out, c.err+c.out) && !like(out, c.out+c.err) || errOut != "" {
			t.Errorf("ejabberdctl %s: exit %d, out %q, err %q; want %d, %q", c.line, exit, out, errOut, c.exit, c.out+c.err)
		}
	}
}

func like(got, want string) bool {
	if begin, ok := strings.CutSuffix(want, "…"); ok {
		return strings.HasPrefix(got, begin)
	}
	return got == want
}

func TestWithoutAServer(t *testing.T) {
	bin, home := programs(t), t.TempDir()
	for _, c := range []struct {
		words string
		exit  int
		out   string
	}{
		{"--data nowhere status", 3, "Error: no server answers at nowhere/gabberd.sock: connect: no such file or directory\nStart it with: gabberd --data nowhere\n"},
		{"--spool nowhere status", 3, "Error: no server answers at nowhere/gabberd.sock…"},
		{"--data nowhere ping", 1, "pang\n"},
		{"--data nowhere stopped", 0, ""},
		{"--data nowhere started 0", 1, "Error: the server has not started within 0s\n"},
	} {
		exit, out, errOut := typed(t, home, nil, append([]string{filepath.Join(bin, "ejabberdctl")}, strings.Fields(c.words)...)...)
		if exit != c.exit || !like(out, c.out) || errOut != "" {
			t.Errorf("%s: exit %d, %q, %q", c.words, exit, out, errOut)
		}
	}
}

func TestWhereTheDataIs(t *testing.T) {
	bin, home := programs(t), t.TempDir()
	dirs := map[string]string{}
	for _, name := range []string{"data", "other"} {
		dirs[name] = filepath.Join(home, name)
		if err := os.Mkdir(dirs[name], 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ctl := filepath.Join(bin, "gabberdctl")
	stop := serve(t, dirs["other"])
	for _, c := range []struct {
		env   []string
		words []string
		exit  int
	}{
		{[]string{"GABBERD_DATA=" + dirs["other"]}, []string{ctl, "ping"}, 0},
		{nil, []string{ctl, "--data", "other", "ping"}, 0},
		{[]string{"GABBERD_DATA=" + dirs["data"]}, []string{ctl, "ping"}, 1},
		{[]string{"GABBERD_DATA=" + dirs["data"]}, []string{ctl, "--data=other", "ping"}, 0},
	} {
		if exit, out, errOut := typed(t, home, c.env, c.words...); exit != c.exit {
			t.Errorf("%v %v: exit %d, %q, %q", c.env, c.words, exit, out, errOut)
		}
	}
	stop()
	defer serve(t, dirs["data"])()
	if exit, out, errOut := typed(t, home, nil, ctl, "ping"); exit != 0 {
		t.Errorf("./data: exit %d, %q, %q", exit, out, errOut)
	}
	if os.Geteuid() != 0 {
		return // only root can give a directory away
	}
	if err := os.Chown(dirs["data"], 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if exit, out, errOut := typed(t, home, nil, ctl, "register", "bob", "h", "secret"); exit != 3 {
		t.Errorf("a ./data of somebody else's was used: exit %d, %q, %q", exit, out, errOut)
	}
}

func TestStoppedAndStartedWait(t *testing.T) {
	bin, home := programs(t), t.TempDir()
	ctl := filepath.Join(bin, "gabberdctl")
	stop := serve(t, home)
	waiting := make(chan int)
	wait := func(verb string) {
		exit, _, _ := typed(t, home, nil, ctl, "--data", home, verb)
		waiting <- exit
	}
	go wait("stopped")
	stop()
	if exit := <-waiting; exit != 0 {
		t.Errorf("stopped: exit %d", exit)
	}
	go wait("started")
	defer serve(t, home)()
	if exit := <-waiting; exit != 0 {
		t.Errorf("started: exit %d", exit)
	}
}

func TestTraceEndsWhenTheClientIsInterrupted(t *testing.T) {
	bin, home := programs(t), t.TempDir()
	stop := serve(t, home)
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "gabberdctl"), "--data", home, "trace")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("line 0\nline 1\n"))
	if _, err := out.Read(first); err != nil || !strings.HasPrefix(string(first), "line 0\n") {
		t.Errorf("got %q, %v", first, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was interrupted but reports success")
	}
	stop() // returns only when the trace in the server has ended
}

func BenchmarkProgram(b *testing.B) {
	bin, home := programs(b), b.TempDir()
	defer serve(b, home)()
	for b.Loop() {
		if exit, _, errOut := typed(b, home, nil, filepath.Join(bin, "gabberdctl"), "--data", home, "status"); exit != 0 {
			b.Fatal(exit, errOut)
		}
	}
}
