// Command bench compares gabberd with the servers that it wants to replace, on
// this machine, one after the other in one run: what a login, a message, a
// presence, an idle session costs each. It writes a table, a chart and the raw
// figures. README.md says how to read them.
//
//	go run ./bench            the whole table
//	go run ./bench --smoke    gabberd alone, small: only whether nothing is lost
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gabberd/gabberd/bench/load"
)

func main() {
	load.Worker()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := compare(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// compare runs what the command line asks for.
func compare(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	b := &bench{options: o, say: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	r, err := b.run(ctx)
	if err != nil {
		return err
	}
	steps := b.steps()
	fmt.Print(r.table(steps))
	if o.out != "" {
		if err := r.save(o.out, steps); err != nil {
			return err
		}
		b.say("written: bench.md, bench.svg and bench.json in %s", o.out)
	}
	if bad := r.trouble(); bad != nil {
		return errors.New("broken: " + strings.Join(bad, "; "))
	}
	return nil
}
