package e2e

import (
	"bufio"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/storage/redis/redistest"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// TestForwardingIsTakenOver has two nodes store messages in one database, of which one
// forwards them. It is killed: the other one forwards all that was committed by either,
// each conversation in its order. While both live nothing is sent twice.
func TestForwardingIsTakenOver(t *testing.T) {
	t.Parallel()
	r := &receiver{group: map[int64]string{}}
	web := httptest.NewServer(r)
	t.Cleanup(web.Close)
	v := storagetest.Variants()[2]
	file := killable(t, v, web.URL, options{"sm_db_type": "redis", "redis_server": redistest.Start(t).URL()})
	committed := new(stamps)
	one := startNode(t, file, "one", fmt.Sprintf("%d:%d", 1, 1_000_000), committed)
	await(t, "the first node forwards", func() bool { return r.len() > 100 })
	two := startNode(t, file, "two", fmt.Sprintf("%d:%d", writers, 2000), committed)
	await(t, "the first node forwards what the second one stores", func() bool { return r.of(1) > 500 })
	if n := r.repeated(); n > 0 {
		t.Errorf("%d messages were sent twice by nodes that live", n)
	}
	one.kill()
	if r.has(committed) {
		t.Log("nothing was left to be taken over") // the rows that were not reported yet may have been
	}
	await(t, "the second node forwards the rest", func() bool { return committed.from(writers) == 2000 && r.has(committed) })
	two.kill()
	stored := new(stamps)
	three := startNode(t, file, "three", "list", stored, "row %d")
	await(t, "all rows are listed and have arrived", func() bool { return stored.list()[theEnd] && r.has(stored) })
	three.kill()
	r.judge(t, committed, stored)
}

// A node is a server in a process of its own.
type node struct {
	t      *testing.T
	cmd    *exec.Cmd
	errOut strings.Builder
	heard  sync.WaitGroup
}

// startNode starts a node that does what writerEnv says, and notes the stamps that it
// says.
func startNode(t *testing.T, file, name, what string, into *stamps, form ...string) *node {
	t.Helper()
	n := &node{t: t, cmd: exec.Command(os.Args[0], "--config", file, "--data", t.TempDir(), "--node", name)}
	n.cmd.Env = append(os.Environ(), writerEnv+"="+what)
	n.cmd.Stderr = &n.errOut
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.kill()
		if t.Failed() {
			t.Logf("%s says: %s", name, &n.errOut)
		}
	})
	form = append(form, "committed %d")
	n.heard.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var stamp int64
			if _, err := fmt.Sscanf(lines.Text(), form[0], &stamp); err == nil {
				into.add(stamp)
			}
		}
	})
	return n
}

// kill ends it as a crash would (SIGKILL), unless it has ended.
func (n *node) kill() {
	if n.cmd.ProcessState != nil {
		return
	}
	_ = n.cmd.Process.Kill() // it may have ended by itself, which the test notices
	n.heard.Wait()
	_ = n.cmd.Wait() // it was killed
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func (r *receiver) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids)
}

// of is how many messages of a writer have arrived.
func (r *receiver) of(writer int64) (sum int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.group {
		if n/writers == writer {
			sum++
		}
	}
	return sum
}

// repeated is how many messages came again.
func (r *receiver) repeated() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids) - len(r.group)
}

// from is how many stamps there are from first on.
func (s *stamps) from(first int64) (sum int) {
	for n := range s.list() {
		if n >= first {
			sum++
		}
	}
	return sum
}
