package load

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fault is what a bad relay makes of the n-th stanza of a connection: what it
// passes on instead.
type fault func(n int, stanza string) []string

// A badRelay does what bench/relay does, and a fault.
type badRelay struct {
	fault fault
	mu    sync.Mutex
	pairs map[string]*pair
	ended chan struct{}
}

// A pair is two connections, the second of which closes met.
type pair struct {
	ends []net.Conn
	met  chan struct{}
}

// startBadRelay returns its address. It ends with the test.
func startBadRelay(t *testing.T, f fault) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &badRelay{fault: f, pairs: map[string]*pair{}, ended: make(chan struct{})}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			group.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		close(r.ended)
		group.Wait()
	})
	return ln.Addr().String()
}

func (r *badRelay) serve(conn net.Conn) {
	defer conn.Close()
	s := &session{wire: &wire{Conn: conn}}
	header, err := s.next()
	if err != nil {
		return
	}
	p := r.meet(string(attribute(header, "pair")), conn)
	if _, err := conn.Write([]byte("<stream:stream>")); err != nil {
		return
	}
	select {
	case <-p.met:
	case <-r.ended:
		return
	}
	to := p.ends[0]
	if to == conn {
		to = p.ends[1]
	}
	defer to.Close()
	for n := 0; ; n++ {
		e, err := s.next()
		if err != nil {
			return
		}
		for _, out := range r.fault(n, string(e)) {
			if _, err := to.Write([]byte(out)); err != nil {
				return
			}
		}
	}
}

func (r *badRelay) meet(name string, conn net.Conn) *pair {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pairs[name]
	if p == nil {
		p = &pair{met: make(chan struct{})}
		r.pairs[name] = p
	}
	if p.ends = append(p.ends, conn); len(p.ends) == 2 {
		close(p.met)
	}
	return p
}

func TestRunFindsFaults(t *testing.T) {
	held := map[string]string{}
	var mu sync.Mutex
	for _, c := range []struct {
		name string
		want string // of Broken; empty: nothing
		f    fault
	}{
		{"none", "", func(_ int, s string) []string { return []string{s} }},
		{"loss", " lost", func(n int, s string) []string {
			if n == 20 {
				return nil
			}
			return []string{s}
		}},
		{"doubles", " doubled", func(n int, s string) []string {
			if n == 20 {
				return []string{s, s}
			}
			return []string{s}
		}},
		{"disorder", " out of order", func(n int, s string) []string {
			mu.Lock()
			defer mu.Unlock()
			to := string(attribute([]byte(s), "to"))
			switch n {
			case 20:
				held[to] = s
				return nil
			case 21:
				return []string{s, held[to]}
			}
			return []string{s}
		}},
		{"errors", " errors", func(n int, s string) []string {
			if n == 20 {
				return []string{strings.Replace(s, "type='chat'", "type='error'", 1)}
			}
			return []string{s}
		}},
		{"end", " sessions ended", func(n int, s string) []string {
			if n == 20 {
				return []string{"</stream:stream>"}
			}
			return []string{s}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := Job{
				Workload: "chat", Sessions: 4, Window: 4, Processes: 2, Duration: 200 * time.Millisecond, Patience: 500 * time.Millisecond,
				Target: Target{Addresses: []string{startBadRelay(t, c.f)}, Relay: true, Prefix: "u", Domain: "localhost", PIDs: []int{os.Getpid()}},
			}
			r, err := Run(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			broken := strings.Join(r.Tally.Broken(), ",")
			if c.want == "" && broken != "" || !strings.Contains(broken, c.want) {
				t.Errorf("broken is %q, want %q", broken, c.want)
			}
			if c.want == "" && (r.Tally.Got < 16 || r.Tally.Got != r.Tally.Sent || r.Tally.Measured.Latency.Count() == 0) {
				t.Errorf("%d of %d came", r.Tally.Got, r.Tally.Sent)
			}
			if phases := len(r.Samples); phases != 3 {
				t.Errorf("%d samples", phases)
			}
		})
	}
}

func TestSessionsTakeTurnsWithAddresses(t *testing.T) {
	var mu sync.Mutex
	came := map[string][]string{} // by address, the pairs that said so
	var group sync.WaitGroup
	t.Cleanup(group.Wait)
	var addresses []string
	for range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		addresses = append(addresses, ln.Addr().String())
		group.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				header, err := (&session{wire: &wire{Conn: conn}}).next()
				if err == nil {
					mu.Lock()
					at := ln.Addr().String()
					came[at] = append(came[at], string(attribute(header, "pair")))
					mu.Unlock()
					_, err = conn.Write([]byte("<stream:stream>"))
				}
				group.Go(func() {
					io.Copy(io.Discard, conn) // until the client goes
					conn.Close()
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	j := Job{Workload: "login", Sessions: 6, Target: Target{Addresses: addresses, Relay: true, Prefix: "u", Domain: "localhost"}}
	if _, err := Run(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, want := range []string{"u0 u1", "u0 u2", "u1 u2"} { // users 0 and 3, 1 and 4, 2 and 5
		got := came[addresses[i]]
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("address %d had %v, want %s", i, got, want)
		}
	}
}

func TestRunAtARate(t *testing.T) {
	j := Job{
		Workload: "chat", Sessions: 4, Rate: 200, Duration: 500 * time.Millisecond,
		Target: Target{Addresses: []string{startBadRelay(t, func(_ int, s string) []string { return []string{s} })}, Relay: true, Prefix: "u", Domain: "localhost"},
	}
	r, err := Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	// The number does not depend on how fast the machine is.
	if m := r.Tally.Measured; m.Sent != 100 || m.Got != 100 || r.Tally.Broken() != nil {
		t.Errorf("%d sent, %d came, %v", m.Sent, m.Got, r.Tally.Broken())
	}
	for _, name := range []string{"p50_ms", "p99_ms", "p999_ms", "max_ms", "per_s", "behind_ms"} {
		if _, ok := r.Figures[name]; !ok {
			t.Errorf("no figure %s", name)
		}
	}
}

func TestRunSaysWhatFailed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	good := Job{Workload: "login", Sessions: 3, Target: Target{Addresses: []string{address}, Prefix: "u", Domain: "localhost"}}
	gone := good
	gone.Target.PIDs = []int{1 << 30}
	for want, j := range map[string]Job{"refused": good, "gone": gone, "workload": {}} {
		if _, err := Run(t.Context(), j); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

func TestEveryWorkloadIsNamed(t *testing.T) {
	if names := Workloads(); !slices.Contains(names, "chat") || !OnRelay("chat") || OnRelay("ping") {
		t.Error(names)
	}
}
