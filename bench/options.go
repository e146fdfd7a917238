package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// options are what the command line says.
type options struct {
	size
	servers  []string
	only     *regexp.Regexp // steps; nil: all
	rounds   int
	out      string // folder; empty: nothing is written
	gabberd  string // the program to run; empty: made of the work tree
	prefix   string
	password string
}

// names of the servers, in the order of the table's columns.
func serverNames() []string { return []string{ours, "ejabberd", "prosody", limitName} }

// parse reads the command line.
func parse(args []string) (options, error) {
	o := options{size: fullSize(), servers: serverNames(), rounds: 1}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolFunc("smoke", "first flag: small, and only gabberd and the relay; fails when anything is lost, never for its speed", func(string) error {
		o.size, o.servers = smokeSize(), []string{ours, limitName}
		return nil
	})
	f.Func("servers", "which of "+strings.Join(serverNames(), ",")+" (default: those that are installed)", func(s string) error {
		o.servers = strings.Split(s, ",")
		return nil
	})
	f.Func("only", "`regexp` of the workloads to run, such as chat or idle", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	f.Func("idle", "`counts` of idle sessions, with commas between (default 2000)", counts(&o.idle))
	f.Func("growth", "`counts` of sessions among which messages go at the rate, with commas between: does a message cost more where there are more? (default none)", counts(&o.growth))
	f.Float64Var(&o.rate, "rate", o.rate, "messages a second for the chat at a fixed rate")
	f.DurationVar(&o.duration, "duration", o.duration, "how long each workload sends")
	f.IntVar(&o.rounds, "rounds", o.rounds, "how often all is run; the table has the medians")
	f.StringVar(&o.out, "out", filepath.Join("bench", "results"), "`folder` for bench.md, bench.svg and bench.json")
	f.StringVar(&o.gabberd, "gabberd", os.Getenv("BENCH_GABBERD"), "`program` to run as gabberd, instead of making it of the work tree; also BENCH_GABBERD")
	f.StringVar(&o.prefix, "prefix", "user", "users are called prefix0, prefix1, …")
	f.StringVar(&o.password, "password", "pw", "password of all of them")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag", f.Arg(0))
	}
	return o, o.check()
}

// counts reads numbers of sessions.
func counts(to *[]int) func(string) error {
	return func(text string) error {
		*to = nil
		for one := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(one)
			if err != nil || n < 2 || n%2 != 0 {
				return fmt.Errorf("%q is no even number of sessions", one)
			}
			*to = append(*to, n)
		}
		return nil
	}
}

func (o *options) check() error {
	for _, s := range o.servers {
		if !slices.Contains(serverNames(), s) {
			return fmt.Errorf("server %q: there are %s", s, strings.Join(serverNames(), ", "))
		}
	}
	switch {
	case o.rounds < 1:
		return fmt.Errorf("rounds: %d; at least one", o.rounds)
	case o.rate <= 0:
		return fmt.Errorf("rate: %g; must be positive", o.rate)
	case o.duration <= 0:
		return fmt.Errorf("duration: %s; must be positive", o.duration)
	}
	return nil
}

// steps are those of the plan that are wanted.
func (o *options) steps() []step {
	var some []step
	for _, s := range plan(o.size) {
		if o.only == nil || o.only.MatchString(s.name) {
			some = append(some, s)
		}
	}
	return some
}
