package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/gabberd/gabberd"
	"github.com/gabberd/gabberd/modules"
)

// Exit codes of the program.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

const usage = `gabberd is an XMPP server that takes ejabberd's place.

  gabberd [--config FILE] [--data DIR]    run the server
  gabberd check [FILE]                    name every mistake in the configuration
  gabberd version                         say which version this is

FILE is otherwise $GABBERD_CONFIG, ./ejabberd.yml or /etc/gabberd/ejabberd.yml;
DIR is otherwise $GABBERD_DATA, ./data or /var/lib/gabberd.
`

// Main is the program: it reads the command line, runs a server with these
// modules and returns the exit code. A server with modules of somebody's own
// is a main package that calls it with append(all.Modules, theirs...).
func Main(known []modules.Module) int {
	return run(os.Args[1:], known, os.Stdout, os.Stderr)
}

func run(args []string, known []modules.Module, out, errOut io.Writer) int {
	fs := flag.NewFlagSet("gabberd", flag.ContinueOnError)
	fs.SetOutput(errOut)
	fs.Usage = func() { fmt.Fprint(errOut, usage) }
	file := fs.String("config", os.Getenv("GABBERD_CONFIG"), "")
	data := fs.String("data", os.Getenv("GABBERD_DATA"), "")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	}
	opt := Options{Config: *file, Data: defaultData(*data), Modules: known}
	switch fs.Arg(0) {
	case "":
		return start(opt, errOut)
	case "check":
		if fs.NArg() > 1 {
			opt.Config = fs.Arg(1)
		}
		return check(opt, out, errOut)
	case "version":
		fmt.Fprintf(out, "gabberd %s, for configurations, databases and clients of ejabberd %s\n", ownVersion, Version)
		return exitOK
	}
	fmt.Fprintf(errOut, "gabberd: there is no %q\n\n%s", fs.Arg(0), usage)
	return exitUsage
}

func check(opt Options, out, errOut io.Writer) int {
	opt.Config = findConfig(opt.Config)
	warnings, err := Check(opt)
	for _, w := range warnings {
		fmt.Fprintln(errOut, "warning:", w)
	}
	if err != nil {
		for _, m := range Mistakes(err) {
			fmt.Fprintln(errOut, m)
		}
		return exitError
	}
	fmt.Fprintln(out, opt.Config+": no mistakes")
	return exitOK
}

func start(opt Options, errOut io.Writer) int {
	level := new(slog.LevelVar)
	opt.Level, opt.Log = level, slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: level}))
	fresh := false
	if opt.Config == "" {
		opt.Config = findConfig("")
		var err error
		if fresh, err = writeFirst(opt.Config); err != nil {
			fmt.Fprintln(errOut, "gabberd:", err)
			return exitError
		}
	}
	tune()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	reload := make(chan struct{})
	go forward(ctx, hup, reload)
	opt.Reload = reload
	opt.Ready = func(Addresses) { hint(opt, fresh) }
	for {
		err := Run(ctx, opt)
		switch {
		case errors.Is(err, ErrRestart):
			continue
		case err != nil:
			for _, m := range Mistakes(err) {
				fmt.Fprintln(errOut, "gabberd:", m)
			}
			return exitError
		}
		return exitOK
	}
}

func forward(ctx context.Context, from <-chan os.Signal, to chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-from:
			select {
			case to <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// tune keeps the heap closer to what is alive than Go does by itself, unless
// the operator has said what he wants.
func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(75)
	}
}

// hint says what to type next.
func hint(opt Options, fresh bool) {
	if fresh {
		opt.Log.Info("a configuration was written; reading it is the tour", "file", opt.Config)
	}
	ctl := "gabberdctl"
	if _, err := os.Stat("cmd/gabberdctl"); err == nil {
		ctl = "go run ./cmd/gabberdctl"
	}
	opt.Log.Info("to make the first account, an administrator's, type: " + ctl + " --data " + opt.Data + " register admin localhost SECRET")
	opt.Log.Info("to connect, have a client log in as admin@localhost with that password, server 127.0.0.1, and trust the self-signed certificate")
}

// findConfig is the configuration file to use if none was named.
func findConfig(name string) string {
	if name != "" {
		return name
	}
	for _, f := range []string{"ejabberd.yml", "/etc/gabberd/ejabberd.yml"} {
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	return "ejabberd.yml"
}

// defaultData is the data directory to use if none was named.
func defaultData(name string) string {
	if name != "" {
		return name
	}
	if st, err := os.Stat("data"); err == nil && st.IsDir() {
		return "data"
	}
	if st, err := os.Stat("/var/lib/gabberd"); err == nil && st.IsDir() {
		return "/var/lib/gabberd"
	}
	return "data"
}

// writeFirst writes the configuration of a new server where there is none.
func writeFirst(name string) (written bool, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write a configuration to begin with: %w", err)
	}
	_, err = f.Write(gabberd.Configuration)
	return true, errors.Join(err, f.Close())
}
