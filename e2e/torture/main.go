// Torture proves the cluster: it runs three servers beside one Redis and one
// PostgreSQL, has clients on all of them talk to each other, and meanwhile kills,
// freezes and restarts what it can. A ledger holds what every client sent, what
// was acknowledged to it and what it received, and in the end nothing may be
// missing, out of order or repeated without need.
//
//	go run ./e2e/torture --for 10m --faults kill,freeze --seed 7
//
// The exit code is 1 if a law was broken; the history of every message concerned
// and the directory with the servers' logs are printed then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	o := defaults()
	o.out = os.Stdout
	flag.DurationVar(&o.lasting, "for", time.Minute, "go on with rounds until so much time has passed; every fault has at least one")
	flag.Int64Var(&o.seed, "seed", time.Now().UnixNano()%100000, "of everything that is left to chance")
	flag.IntVar(&o.users, "users", o.users, "how many users there are; every third has two devices")
	flag.IntVar(&o.friends, "friends", o.friends, "how many of them see each other's presence")
	flag.Float64Var(&o.rate, "rate", o.rate, "messages that each device sends a second")
	flag.IntVar(&o.share, "share", o.share, "messages that must pass before and after each fault")
	flag.BoolVar(&o.alone, "alone", false, "one server with its sessions in memory instead of a cluster")
	flag.BoolVar(&o.race, "race", false, "build the servers with the race detector")
	flag.StringVar(&o.programs, "programs", "", "a directory with gabberd and gabberdctl, instead of building them")
	flag.StringVar(&o.level, "loglevel", o.level, "of the servers; at debug they log every Redis command")
	flag.StringVar(&o.keep, "keep", "", "leave the servers' files in this directory, whatever the outcome")
	flag.DurationVar(&o.idle, "patience", o.idle, "give up when nothing has changed for so long although something must")
	list := flag.String("faults", strings.Join(o.faults, ","), "what happens, in this order")
	flag.Parse()
	o.faults = strings.Split(*list, ",")
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "torture: there is no %q; --help lists what there is\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := torture(ctx, o)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintf(os.Stderr, "torture (seed %d): %v\n", o.seed, err)
	}
	if err != nil {
		os.Exit(1)
	}
}
