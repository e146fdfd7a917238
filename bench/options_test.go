package main

import (
	"context"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/bench/load"
)

func TestOptions(t *testing.T) {
	o, err := parse([]string{"--smoke", "--idle", "10,20", "--servers", "gabberd,prosody", "--only", "^idle"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range o.steps() {
		names = append(names, s.name)
	}
	if got := strings.Join(names, " "); got != "idle-tls-10 idle-plain-10 idle-tls-20 idle-plain-20" {
		t.Error(got)
	}
	if n := o.users(o.steps()); len(o.servers) != 2 || n != o.ring+40 {
		t.Errorf("%v, %d users", o.servers, n)
	}
	o.idle = []int{300}
	if n := o.users(o.steps()); n != o.ring+300 {
		t.Errorf("%d users for 300 sessions", n)
	}
}

func TestStepsGoToTheServersTheyAreFor(t *testing.T) {
	o, err := parse([]string{"--smoke", "--only", "redis|^chat$"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: o}
	for on, want := range map[setting]string{
		alone: "chat", redisOne: "login-redis", redisTwo: "chat-redis-within chat-redis-across chat-redis-within-rate chat-redis-across-rate", archiving: "",
	} {
		var names []string
		seen := map[string]bool{"": true}
		for _, s := range b.stepsFor(on) {
			names = append(names, s.name)
			seen[s.name] = true
			if !seen[s.base] {
				t.Errorf("%s is compared with %s, which has not run by then", s.name, s.base)
			}
			if s.across != strings.Contains(s.name, "across") {
				t.Errorf("%s: across is %v", s.name, s.across)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("servers %q: %s; want %s", on, got, want)
		}
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	stderr := os.Stderr
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	os.Stderr = null // package flag writes its usage there
	defer func() { os.Stderr = stderr }()
	for args, want := range map[string]string{
		"--servers jabberd": "jabberd",
		"--idle 3":          "even",
		"--idle x":          "even",
		"--rounds 0":        "rounds",
		"--rate 0":          "rate",
		"--duration -1s":    "duration",
		"--only (":          "missing",
		"now":               "no flag",
	} {
		if _, err := parse(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", args, want, err)
		}
	}
	if _, err := parse([]string{"-h"}); err != flag.ErrHelp {
		t.Errorf("-h: %v", err)
	}
}

func TestGivenServers(t *testing.T) {
	h := &house{dir: "/nowhere", prefix: "user", password: "pw"}
	for text, want := range map[string]struct {
		plain, secure load.Target
	}{
		"127.0.0.1:1:3":   {load.Target{Addresses: []string{"127.0.0.1:1"}, TLS: load.Plain}, load.Target{Addresses: []string{"127.0.0.1:1"}, TLS: load.StartTLS}},
		"127.0.0.1:1:2:3": {load.Target{Addresses: []string{"127.0.0.1:1"}, TLS: load.Plain}, load.Target{Addresses: []string{"127.0.0.1:2"}, TLS: load.Direct}},
	} {
		s, err := parseGiven(h, "ejabberd", text)
		if err != nil {
			t.Fatal(err)
		}
		for tls, w := range map[bool]load.Target{false: want.plain, true: want.secure} {
			got := s.target(tls)
			if !slices.Equal(got.Addresses, w.Addresses) || got.TLS != w.TLS || len(got.PIDs) != 1 || got.PIDs[0] != 3 {
				t.Errorf("%s, tls %v: %+v", text, tls, got)
			}
		}
	}
	for _, bad := range []string{"", "127.0.0.1:1", "127.0.0.1:1:x", "127.0.0.1:0:3", "a:1:2:3:4"} {
		if _, err := parseGiven(h, "ejabberd", bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestServerThatDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	b := &bench{options: options{size: smokeSize(), servers: []string{ours}, rounds: 1, only: regexp.MustCompile("^login"), gabberd: "/bin/false"}, say: func(string, ...any) {}}
	t.Setenv("TMPDIR", dir)
	r, err := b.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(r.trouble(), ";")
	for _, want := range []string{"gabberd did not start", "gabberd-redis-1-1 did not start"} {
		if !strings.Contains(got, want) {
			t.Errorf("trouble is %q", got)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
