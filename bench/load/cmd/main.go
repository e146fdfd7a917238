// Command cmd puts one workload on an XMPP server of this machine and prints
// what came of it as JSON. It ends with status 1 when stanzas were lost,
// doubled or reordered.
//
//	go run ./bench/load/cmd -workload chat -address 127.0.0.1:5222 -sessions 400 -rate 2000 -pids 1234
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gabberd/gabberd/bench/load"
)

func main() {
	load.Worker()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var j load.Job
	f := flag.NewFlagSet("load", flag.ExitOnError)
	f.StringVar(&j.Workload, "workload", "chat", strings.Join(load.Workloads(), ", "))
	target(f, &j.Target)
	f.IntVar(&j.First, "first", 0, "`number` of the first user")
	f.IntVar(&j.Sessions, "sessions", 100, "users that take part")
	f.IntVar(&j.Concurrent, "concurrent", 32, "logins under way at once")
	f.Float64Var(&j.Rate, "rate", 0, "stanzas a second in all; 0: as many as the window lets through")
	f.IntVar(&j.Window, "window", 2, "without a rate: stanzas under way for each sender")
	f.DurationVar(&j.Warm, "warm", time.Second, "the same load before measuring")
	f.DurationVar(&j.Duration, "duration", 5*time.Second, "how long new stanzas are sent")
	f.DurationVar(&j.Rest, "rest", 15*time.Second, "idle: how long sessions rest before memory is read")
	f.DurationVar(&j.Patience, "patience", 10*time.Second, "without any delivery, until those that are missing are called lost")
	f.IntVar(&j.Body, "body", 100, "bytes of a message's text")
	f.IntVar(&j.Contacts, "contacts", 0, "befriend, presence, roster: contacts of each user")
	f.IntVar(&j.Messages, "messages", 50, "offline, archive: messages for each user")
	f.IntVar(&j.Devices, "devices", 3, "carbons: of each user")
	f.IntVar(&j.Occupants, "occupants", 20, "rooms: of each room")
	f.Float64Var(&j.Visits, "visits", 20, "day: logins a second")
	f.IntVar(&j.Processes, "processes", 0, "worker processes; 0: as few as the limit on open files allows")
	raw := f.Bool("raw", false, "print histograms and samples too")
	if err := f.Parse(args); err != nil {
		return err
	}
	r, err := load.Run(ctx, j)
	if err != nil {
		return err
	}
	var out any = r.Figures
	if *raw {
		out = r
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	if broken := r.Tally.Broken(); broken != nil {
		return fmt.Errorf("broken: %s", strings.Join(broken, ", "))
	}
	return nil
}

// target declares the flags that say what is loaded.
func target(f *flag.FlagSet, t *load.Target) {
	t.Addresses = []string{"127.0.0.1:5222"}
	f.Func("address", "`host:port` of a server on this machine (default 127.0.0.1:5222); of several, with commas between, sessions take turns", func(s string) error {
		t.Addresses = strings.Split(s, ",")
		return nil
	})
	f.StringVar((*string)(&t.TLS), "tls", "none", "none, starttls or direct")
	f.StringVar(&t.Domain, "domain", "localhost", "virtual host")
	f.StringVar(&t.Prefix, "prefix", "user", "users are called prefix0, prefix1, …")
	f.StringVar(&t.Password, "password", "pw", "password of all of them")
	f.StringVar(&t.Mechanism, "mechanism", "", "SCRAM-SHA-256, SCRAM-SHA-1 or PLAIN; empty: the best that is offered")
	f.BoolVar(&t.Relay, "relay", false, "the server is bench/relay")
	f.StringVar(&t.Keys, "keys", "", "`file` that keeps derived passwords from run to run")
	f.Func("pids", "the server's `processes`, with commas between; their children are counted with them", func(s string) error {
		for one := range strings.SplitSeq(s, ",") {
			pid, err := strconv.Atoi(one)
			if err != nil {
				return err
			}
			t.PIDs = append(t.PIDs, pid)
		}
		return nil
	})
	f.Func("beside", "`name=pid` of a process that is reported apart, such as a database; may be repeated", func(s string) error {
		name, number, _ := strings.Cut(s, "=")
		pid, err := strconv.Atoi(number)
		if err != nil {
			return err
		}
		if t.Beside == nil {
			t.Beside = map[string][]int{}
		}
		t.Beside[name] = append(t.Beside[name], pid)
		return nil
	})
}
