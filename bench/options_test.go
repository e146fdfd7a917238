package main

import (
	"context"
	"flag"
	"os"
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
		"127.0.0.1:1:3":   {load.Target{Address: "127.0.0.1:1", TLS: load.Plain}, load.Target{Address: "127.0.0.1:1", TLS: load.StartTLS}},
		"127.0.0.1:1:2:3": {load.Target{Address: "127.0.0.1:1", TLS: load.Plain}, load.Target{Address: "127.0.0.1:2", TLS: load.Direct}},
	} {
		s, err := parseGiven(h, "ejabberd", text)
		if err != nil {
			t.Fatal(err)
		}
		for tls, w := range map[bool]load.Target{false: want.plain, true: want.secure} {
			got := s.target(tls)
			if got.Address != w.Address || got.TLS != w.TLS || len(got.PIDs) != 1 || got.PIDs[0] != 3 {
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
	b := &bench{options: options{size: smokeSize(), servers: []string{ours}, rounds: 1, gabberd: "/bin/false"}, say: func(string, ...any) {}}
	t.Setenv("TMPDIR", dir)
	r, err := b.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.trouble(), ";"); !strings.Contains(got, "gabberd did not start") {
		t.Errorf("trouble is %q", got)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
