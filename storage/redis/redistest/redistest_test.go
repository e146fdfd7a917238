package redistest_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/storage/redis/redistest"
)

// A process with this in its environment only starts a server, says where it
// is, and waits to be killed.
const alone = "REDISTEST_ALONE"

func TestMain(m *testing.M) {
	if os.Getenv(alone) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	s := redistest.Start(nobody{})
	fmt.Println(s.Socket())
	select {}
}

// nobody is a test that never ends.
type nobody struct{ testing.TB }

func (nobody) Helper()           {}
func (nobody) Cleanup(func())    {}
func (nobody) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func answers(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// A server does not outlive who started it, however that ended.
func TestEndsWithUs(t *testing.T) {
	us := exec.Command(os.Args[0])
	us.Env = append(os.Environ(), alone+"=1")
	us.Stderr = os.Stderr
	out, err := us.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := us.Start(); err != nil {
		t.Fatal(err)
	}
	socket, err := bufio.NewReader(out).ReadString('\n')
	socket = strings.TrimSpace(socket)
	if err != nil || !answers(socket) {
		t.Errorf("there is no server at %q: %v", socket, err)
	}
	if err := us.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = us.Wait() // it was killed
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(filepath.Dir(socket)); os.IsNotExist(err) && !answers(socket) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server or its directory is still there")
		}
	}
}

// What is written stays over a restart only where that was asked for.
func TestRestart(t *testing.T) {
	for setting, want := range map[string]any{"appendonly no": nil, "appendonly yes": "1"} {
		s := redistest.Start(t, setting, "appendfsync always")
		port := s.Port()
		s.Do("SET", "x", "1")
		for _, end := range []func(){s.Kill, s.Stop} {
			end()
			if answers(s.Socket()) {
				t.Error("it was ended and answers")
			}
			s.Resume()
			if got := s.Do("GET", "x"); got != want || s.Port() != port {
				t.Errorf("%s: got %v, want %v", setting, got, want)
			}
		}
		s.Freeze()
		s.Stop() // also a frozen one can be
		s.Resume()
		s.Flush()
		if got := s.Do("DBSIZE"); got != int64(0) {
			t.Errorf("%v keys are left", got)
		}
	}
}
