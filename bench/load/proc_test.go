package load

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const line = "42 (a) b (c)) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 5 0 12345 1000 200"
	p, err := parseStat(line)
	if err != nil || p.parent != 7 || p.cpu != 1100*time.Millisecond {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, bad := range []string{"", "42 (x)", "42 (x) S 1 2 3", "42 (x) S y 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0"} {
		if p, err := parseStat(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, p)
		}
	}
}

func TestReadCountsChildren(t *testing.T) {
	// A shell that works for a moment, with a child that stays.
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo; cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	u, err := Read([]int{cmd.Process.Pid}, true)
	if err != nil || u.CPU <= 0 || u.Pss <= 0 || u.Rss < u.Pss {
		t.Errorf("got %+v, %v", u, err)
	}
	with, err := Read([]int{os.Getpid()}, true)
	if err != nil || with.Rss <= u.Rss {
		t.Errorf("we use %+v, our child %+v, %v", with, u, err)
	}
}

func TestReadOfNobodyFails(t *testing.T) {
	if u, err := Read([]int{1 << 30}, false); err == nil {
		t.Errorf("got %+v", u)
	}
}
