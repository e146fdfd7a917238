// Gabberdctl has a running server do something: it sends a command over the
// control socket in the server's data directory and prints the answer. `help`
// lists the commands.
//
// Called through a link named ejabberdctl it is a drop-in replacement for that
// program: the same commands, arguments, output and exit codes (0 done,
// 1 failed, 2 wrong usage, 3 no server answers); errors go to standard output
// there, as ejabberdctl's do, and to standard error otherwise.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gabberd/gabberd/admin/control"
)

// Exit codes, ejabberdctl's.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitUnreachable = 3
)

func main() {
	t := tool{
		program: filepath.Base(os.Args[0]),
		data:    os.Getenv("GABBERD_DATA"),
		out:     os.Stdout,
		err:     os.Stderr,
		width:   columns(os.Stdout),
	}
	if t.program == "ejabberdctl" {
		t.err = t.out
	} else {
		t.program = "gabberdctl"
	}
	os.Exit(t.run(context.Background(), os.Args[1:]))
}

// columns is how wide the terminal at f is, 0 if there is none.
func columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// tool is the program with its surroundings.
type tool struct {
	program  string // what it was called as
	data     string // the data directory, "" for the usual ones
	out, err io.Writer
	width    int // of the terminal
	request  control.Request
}

// run does what the words of the command line say and returns the exit code.
func (t *tool) run(ctx context.Context, words []string) int {
	words, err := t.options(words)
	if err != nil {
		return t.complain(exitUsage, "Error: %v\n%s", err, t.usage())
	}
	if len(words) == 0 {
		return t.complain(exitUsage, "%s", t.usage())
	}
	t.request.Command, t.request.Args = words[0], words[1:]
	t.request.Program, t.request.Width = t.program, t.width
	if f, ok := verbs()[words[0]]; ok {
		return f(t, ctx)
	}
	return t.send(ctx)
}

// send has the server do the request.
func (t *tool) send(ctx context.Context) int {
	exit, err := t.call(ctx, t.out, t.err)
	switch {
	case err == nil:
		return exit
	case errors.Is(err, fs.ErrPermission):
		return t.complain(exitUnreachable, "Error: %v\nThe server belongs to another user; give its commands as that user or as root: sudo %s …\n", err, t.program)
	case errors.Is(err, control.ErrUnreachable):
		return t.complain(exitUnreachable, "Error: %v\n%s", err, t.advice())
	}
	return t.complain(exitError, "Error: %v\n", err)
}

func (t *tool) call(ctx context.Context, out, errOut io.Writer) (int, error) {
	socket, err := t.socket()
	if err != nil {
		return 0, err
	}
	return control.Call(ctx, socket, t.request, out, errOut)
}

// complain prints where errors go and returns exit.
func (t *tool) complain(exit int, format string, args ...any) int {
	if _, err := fmt.Fprintf(t.err, format, args...); err != nil {
		return exitError
	}
	return exit
}

func (t *tool) usage() string {
	return fmt.Sprintf(`Usage: %[1]s [--data DIR] [--json] [--version N] [--auth USER HOST PASSWORD] COMMAND [ARGUMENTS]

  --data DIR      the server's data directory; also GABBERD_DATA
                  (without: ./data if it is yours, then %[2]s)
  --json          print what the HTTP API would answer
  --version N     as in version N of the API (without: the newest)
  --auth …        act as that account

The server knows the commands: %[1]s help. These need none:

  ping            is a server there? pong or pang
  started [SECS]  wait until the server has started
  stopped [SECS]  wait until it has stopped
`, t.program, systemData)
}

// advice says what to do when no server answers.
func (t *tool) advice() string {
	if t.data != "" {
		return "Start it with: gabberd --data " + quoted(t.data) + "\n"
	}
	return "Start it with `gabberd`, or say where its data is: --data DIR or GABBERD_DATA.\n"
}

func quoted(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\n'\"\\$`!*?[]{}()<>|&;#~") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
