package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/admin/control"
)

// door opens the control socket of r for the test and returns how to type a
// command there.
func door(t *testing.T, r *admin.Registry) func(control.Request) (exit int, out, errOut string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), control.SocketName)
	l, err := control.Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Serve(ctx, r) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(req control.Request) (int, string, string) {
		var out, errOut bytes.Buffer
		exit, err := control.Call(t.Context(), path, req, &out, &errOut)
		if err != nil {
			t.Errorf("%+v: %v", req, err)
		}
		return exit, out.String(), errOut.String()
	}
}

func TestDoorPrintsAsEjabberdctl(t *testing.T) {
	call := door(t, house(t, admin.Options{}))
	zero := 0
	for _, c := range []struct {
		words   string
		version *int
		json    bool
		exit    int
		out     string
		err     string
	}{
		{"register bob localhost pw", nil, false, 0, "User bob@localhost successfully registered\n", ""},
		{"register romeo localhost pw", nil, false, 1, "", "Error: conflict: User romeo@localhost already registered\n"},
		{"register romeo localhost pw", nil, true, 1, "", `{"status":"error","code":10090,"message":"User romeo@localhost already registered"}` + "\n"},
		{"check_account romeo localhost", nil, false, 0, "", ""},
		{"check-account tybalt localhost", nil, false, 1, "", "Error: false\n"},
		{"check_account tybalt localhost", nil, true, 1, "1\n", ""},
		{"registered_vhosts", nil, false, 0, "", ""},
		{"registered_vhosts", nil, true, 0, "[]\n", ""},
		{"connected_users", nil, false, 0, "romeo@localhost/b\njuliet@localhost/a\n", ""},
		{"get_roster romeo localhost", &zero, false, 0, "tybalt@localhost\tTy\t\njuliet@localhost\tJ\tLovers;Capulets\n", ""},
		{"connected_users_number", &zero, true, 0, "{\"num_sessions\":2}\n", ""},
		{"bad_weather", nil, false, 1, "", "Error: the sky is down\n"},
		{"conected-users", nil, false, 1, "", "Error: unknown command 'conected-users'. Did you mean 'connected_users'?\n"},
		{"double x", nil, false, 2, "", "Error: double.n: expected a whole number, not \"x\"\nUsage: gabberdctl double n\n"},
		{"echo", nil, false, 1, "", "Error: access_rules_unauthorized: echo is for the web pages only\n"},
		{"ping", nil, false, 0, "pong\n", ""},
		{"status", nil, false, 0, "The server is running.\n", ""},
	} {
		words := strings.Fields(c.words)
		exit, out, errOut := call(control.Request{Command: words[0], Args: words[1:], Version: c.version, JSON: c.json})
		if exit != c.exit || out != c.out || errOut != c.err {
			t.Errorf("%s: exit %d, out %q, err %q; want %d, %q, %q", c.words, exit, out, errOut, c.exit, c.out, c.err)
		}
	}
}

func TestWrongNumberOfArgumentsPrintsTheHelpOfTheCommand(t *testing.T) {
	call := door(t, house(t, admin.Options{}))
	exit, out, errOut := call(control.Request{Command: "register", Args: []string{"bob"}, Program: "ejabberdctl"})
	want := `  Command Name: register

  Arguments: user::string : Name of the account, the part before the @.
             host::string : Virtual host of the account.
             password::string : Password.

  Result: res::restuple

  Example: ejabberdctl register bob example.com 'SomEPass 44'
           User bob@example.com successfully registered

  Tags: accounts

  Description: Register a user

Error: the command 'register' requires 2 more arguments.
`
	if exit != 2 || out != "" || errOut != want {
		t.Errorf("exit %d, out %q, err:\n%s", exit, out, errOut)
	}
}

func TestHelp(t *testing.T) {
	call := door(t, house(t, admin.Options{}))
	for _, c := range []struct {
		words string
		has   []string
		lacks []string
	}{
		{"", []string{"help WHAT", "COM?*"}, nil},
		{"tags", []string{"  accounts\n    check_account get_ban_details register\n", "\n  v2\n    get_ban_details\n"}, []string{"echo"}},
		{"--tags", []string{"  accounts\n    check_account"}, nil},
		{"commands", []string{"  roster\n    add_rosteritem localuser localhost user host nick groups subs\n", "run_hook hook [host] [args …]"}, []string{"echo"}},
		{"accounts", []string{"commands with tag accounts", "  register user host password\n            Register a user\n"}, []string{"get_roster"}},
		{"--tags accounts", []string{"  register user host password\n"}, nil},
		{"get-roster", []string{"Command Name: get_roster", "Note: improved in 23.10"}, []string{"register"}},
		{"connected*", []string{"  connected_users\n", "  connected_users_number\n"}, []string{"register"}},
		{"registere?*", []string{"Command Name: registered_vhosts"}, nil},
		{"registr", []string{"No tag or command matches 'registr'. Did you mean 'register'?"}, nil},
		{"[", []string{"No tag or command matches '['."}, nil},
		{"add_rosteritem", []string{"groups::[group::string]", "Tags: roster v1", "Commas separate"}, nil},
		{"create_room_with_opts", []string{"options::[{name::string, value::string}]", "Colons separate"}, nil},
	} {
		exit, out, errOut := call(control.Request{Command: "help", Args: strings.Fields(c.words)})
		if exit != 0 || errOut != "" {
			t.Errorf("help %s: exit %d, %q", c.words, exit, errOut)
		}
		for _, w := range c.has {
			if !strings.Contains(out, w) {
				t.Errorf("help %s lacks %q:\n%s", c.words, w, out)
			}
		}
		for _, w := range c.lacks {
			if strings.Contains(out, w) {
				t.Errorf("help %s has %q:\n%s", c.words, w, out)
			}
		}
	}
}

func TestHelpKeepsToTheTerminal(t *testing.T) {
	call := door(t, house(t, admin.Options{}))
	for _, width := range []int{1, 60, 132} {
		_, out, _ := call(control.Request{Command: "help", Args: []string{"tags"}, Width: width})
		if !strings.Contains(out, "\x1b[1maccounts\x1b[22m") {
			t.Errorf("width %d: a terminal gets no bold type: %q", width, out)
		}
		for line := range strings.Lines(out) {
			if n := len(strings.TrimSpace(line)) + 4; n > max(width, 42) && !strings.Contains(line, "\x1b") {
				t.Errorf("width %d: %d columns in %q", width, n, line)
			}
		}
	}
}

func TestAuthActsAsTheAccount(t *testing.T) {
	g := &guard{}
	call := door(t, house(t, admin.Options{Guard: g}))
	auth := func(user, password string) *control.Auth {
		return &control.Auth{User: user, Host: "localhost", Password: password}
	}
	for _, c := range []struct {
		auth *control.Auth
		exit int
		err  string
	}{
		{auth("alice", "wonderland"), 0, ""},
		{auth("alice", "guess"), 1, "Error: invalid_account_data: wrong password\n"},
		{auth("bob", "wonderland"), 1, "Error: access_rules_unauthorized: not for bob@localhost\n"},
		{nil, 1, "Error: access_rules_unauthorized: not for console\n"},
	} {
		exit, out, errOut := call(control.Request{Command: "check_account", Args: []string{"romeo", "localhost"}, Auth: c.auth})
		if exit != c.exit || errOut != c.err || out != "" {
			t.Errorf("%+v: exit %d, %q, %q", c.auth, exit, out, errOut)
		}
	}
	noGuard := door(t, house(t, admin.Options{}))
	if exit, _, errOut := noGuard(control.Request{Command: "stop", Auth: auth("alice", "wonderland")}); exit != 1 {
		t.Errorf("without a guard: exit %d, %q", exit, errOut)
	}
}

func TestStreams(t *testing.T) {
	r := house(t, admin.Options{})
	lines := func(n int, end error) admin.Stream {
		return func(yield func(string, error) bool) {
			for i := range n {
				if !yield(fmt.Sprintf("line \"%d\"", i), nil) {
					return
				}
			}
			if end != nil {
				yield("", end)
			}
		}
	}
	r.Add(admin.New("trace", "Trace", give(lines(3, nil))))
	r.Add(admin.New("trace_fails", "Trace", give(lines(1, errors.New("gone")))))
	r.Add(admin.New("trace_panics", "Trace", give(admin.Stream(func(func(string, error) bool) { panic("secret") }))))
	call := door(t, r)
	for _, c := range []struct {
		command string
		json    bool
		exit    int
		out     string
		err     string
	}{
		{"trace", false, 0, "line \"0\"\nline \"1\"\nline \"2\"\n", ""},
		{"trace", true, 0, "\"line \\\"0\\\"\"\n\"line \\\"1\\\"\"\n\"line \\\"2\\\"\"\n", ""},
		{"trace_fails", false, 1, "line \"0\"\n", "Error: gone\n"},
		{"trace_panics", false, 1, "", "Error: the command failed inside; the log of the server says more\n"},
	} {
		exit, out, errOut := call(control.Request{Command: c.command, JSON: c.json})
		if exit != c.exit || out != c.out || errOut != c.err {
			t.Errorf("%s: exit %d, out %q, err %q", c.command, exit, out, errOut)
		}
	}
	res, err := r.Call(t.Context(), console, "trace", 0, admin.Words())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := res.JSON(); !errors.Is(err, admin.Usage) {
		t.Errorf("JSON of a stream: %v", err)
	}
}

func TestEndlessStreamEndsWithItsClient(t *testing.T) {
	r := house(t, admin.Options{})
	ended := make(chan struct{})
	r.Add(admin.New("watch", "Watch", func(ctx context.Context, _ admin.NoArgs) (admin.Stream, error) {
		return func(yield func(string, error) bool) {
			defer close(ended)
			yield("first", nil)
			<-ctx.Done()
		}, nil
	}))
	path := filepath.Join(t.TempDir(), control.SocketName)
	l, err := control.Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- l.Serve(ctx, r) }()
	client, leave := context.WithCancel(t.Context())
	if _, err := control.Call(client, path, control.Request{Command: "watch"}, onWrite(leave), onWrite(func() {})); !errors.Is(err, context.Canceled) {
		t.Errorf("client: %v", err)
	}
	<-ended
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

type onWrite func()

func (f onWrite) Write(p []byte) (int, error) {
	if len(p) > 0 {
		f()
	}
	return len(p), nil
}

func BenchmarkCommandRoundTrip(b *testing.B) {
	r := admin.NewRegistry(admin.Options{Log: slog.New(slog.DiscardHandler)})
	r.Add(admin.New("double", "Twice as much", func(_ context.Context, in number) (int, error) { return 2 * in.N, nil }))
	b.Run("call", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if res, err := r.Call(b.Context(), console, "double", admin.Latest, admin.Words("21")); err != nil || res.Text() != "42" {
				b.Fatal(err)
			}
		}
	})
	b.Run("socket", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), control.SocketName)
		ctx, cancel := context.WithCancel(b.Context())
		l, err := control.Listen(path, slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- l.Serve(ctx, r) }()
		for b.Loop() {
			var out bytes.Buffer
			if _, err := control.Call(ctx, path, control.Request{Command: "double", Args: []string{"21"}}, &out, &out); err != nil || out.String() != "42\n" {
				b.Fatal(err, out.String())
			}
		}
		cancel()
		<-done
	})
}
