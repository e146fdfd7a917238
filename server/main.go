package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
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

  gabberd [--config FILE] [--data DIR] [--node NAME]
                                          run the server
  gabberd check [FILE]                    name every mistake in the configuration
  gabberd check --sql [FILE]              also print what a start would change
                                          in the databases, and change nothing
  gabberd version                         say which version this is

FILE is otherwise $GABBERD_CONFIG, ./ejabberd.yml or /etc/gabberd/ejabberd.yml;
where there is none, ./ejabberd.yml is written. DIR is otherwise $GABBERD_DATA,
./data or /var/lib/gabberd. NAME, $GABBERD_NODE or gabberd@ and the name of the
machine, tells apart the nodes of a cluster. What the server logs goes to
standard error.
`

// Main is the program: it reads the command line, runs a server with these
// modules and returns the exit code. A server with modules of somebody's own
// is a main package that calls it with append(all.Modules, theirs...).
func Main(known []modules.Module) int {
	return run(os.Args[1:], known, os.Stdout, os.Stderr)
}

func run(args []string, known []modules.Module, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("gabberd", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() { fmt.Fprint(errOut, usage) }
	file := flags.String("config", os.Getenv("GABBERD_CONFIG"), "")
	data := flags.String("data", os.Getenv("GABBERD_DATA"), "")
	node := flags.String("node", os.Getenv("GABBERD_NODE"), "")
	sql := flags.Bool("sql", false, "")
	words, code, ok := parse(flags, args)
	if !ok {
		return code
	}
	opt := Options{Config: *file, Modules: known, Node: *node}
	if err := checkNode(opt.Node); err != nil {
		fmt.Fprintln(errOut, "gabberd:", err)
		return exitUsage
	}
	verb, rest := words[0], words[1:]
	switch {
	case verb == "" && len(rest) == 0:
		opt.Data = defaultData(*data, opt.Config)
		return start(opt, errOut)
	case verb == "check" && len(rest) <= 1:
		opt.Data = defaultData(*data, opt.Config)
		if len(rest) == 1 {
			opt.Config = rest[0]
		}
		if code := check(opt, out, errOut); code != exitOK || !*sql {
			return code
		}
		return planned(opt, out, errOut)
	case verb == "version" && len(rest) == 0:
		fmt.Fprintf(out, "gabberd %s, for configurations, databases and clients of ejabberd %s\n", ownVersion, Version)
		return exitOK
	case verb == "help":
		fmt.Fprint(out, usage)
		return exitOK
	case verb == "check", verb == "version":
		fmt.Fprintf(errOut, "gabberd: %q is one word too many\n\n%s", rest[len(rest)-1], usage)
	case verb == "start":
		fmt.Fprintf(errOut, "gabberd: to start a server leave the word away\n\n%s", usage)
	case verb == "stop", verb == "restart", verb == "status":
		fmt.Fprintf(errOut, "gabberd: there is no %q; to a server that runs, say gabberdctl %s\n\n%s", verb, verb, usage)
	default:
		fmt.Fprintf(errOut, "gabberd: there is no %q\n\n%s", verb, usage)
	}
	return exitUsage
}

// parse reads options, which may stand before and behind the verb, and returns
// the verb, empty without one, and what follows it. When it is not ok there is
// nothing to do but to end with code.
func parse(flags *flag.FlagSet, args []string) (words []string, code int, ok bool) {
	for {
		switch err := flags.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, exitOK, false
		case err != nil:
			return nil, exitUsage, false
		}
		if flags.NArg() == 0 {
			break
		}
		words = append(words, flags.Arg(0))
		args = flags.Args()[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	return words, exitOK, true
}

func check(opt Options, out, errOut io.Writer) int {
	opt.Config = findConfig(opt.Config)
	warnings, err := Check(opt)
	for _, w := range warnings {
		fmt.Fprintln(errOut, "warning:", w)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Fprintf(errOut, "%v; name the file (gabberd check FILE), or start gabberd once to have one written\n", err)
		return exitError
	case err != nil:
		for _, m := range Mistakes(err) {
			fmt.Fprintln(errOut, m)
		}
		return exitError
	}
	fmt.Fprintln(out, opt.Config+": no mistakes")
	return exitOK
}

// planned prints what a start would change in the databases.
func planned(opt Options, out, errOut io.Writer) int {
	opt.Config = findConfig(opt.Config)
	if err := Plan(context.Background(), opt, out); err != nil {
		fmt.Fprintln(errOut, "gabberd:", err)
		return exitError
	}
	return exitOK
}

func start(opt Options, errOut io.Writer) int {
	level := new(slog.LevelVar)
	opt.Level, opt.Log = level, slog.New(newLogHandler(errOut, level))
	opt.Tool = "gabberdctl"
	if _, err := os.Stat("cmd/gabberdctl"); err == nil {
		opt.Tool = "go run ./cmd/gabberdctl"
	}
	if opt.Config == "" {
		opt.Config = findConfig("")
		written, err := writeFirst(opt.Config)
		if err != nil {
			fmt.Fprintln(errOut, "gabberd:", err)
			return exitError
		}
		if written {
			opt.Log.Info("a configuration was written; reading it is the tour", "file", opt.Config)
		}
	}
	tune()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	// Whoever sends the signal again does not want to wait.
	context.AfterFunc(ctx, cancel)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	reload := make(chan struct{})
	go forward(ctx, hup, reload)
	opt.Reload = reload
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

// Where things are when nobody says so: beside each other in the folder where the
// server is started, or where a system keeps them.
const (
	localConfig  = "ejabberd.yml"
	systemConfig = "/etc/gabberd/ejabberd.yml"
	localData    = "data"
	systemData   = "/var/lib/gabberd"
)

// findConfig is the configuration file to use if none was named.
func findConfig(name string) string {
	if name != "" {
		return name
	}
	for _, f := range []string{localConfig, systemConfig} {
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	return localConfig
}

// defaultData is the data directory to use if none was named. It goes with the
// configuration: what is tried out in a folder must not touch the system's data,
// nor a folder that only happens to have that name become the system's.
func defaultData(name, config string) string {
	switch {
	case name != "":
		return name
	case config == "":
		config = findConfig("")
		if config == localConfig {
			return localData
		}
	}
	if config == systemConfig {
		return systemData
	}
	for _, dir := range []string{localData, systemData} {
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			return dir
		}
	}
	return localData
}

// writeFirst writes the configuration of a new server where there is none.
func writeFirst(name string) (written bool, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if errors.Is(err, os.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write a configuration to begin with: %w; start the server in a folder of your own, or name a file with --config", err)
	}
	_, err = f.Write(gabberd.Configuration)
	return true, errors.Join(err, f.Close())
}
