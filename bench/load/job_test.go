package load

import (
	"strings"
	"testing"
)

func TestCheckNamesTheMistake(t *testing.T) {
	good := Job{Workload: "chat", Target: Target{Addresses: []string{"127.0.0.1:5222", "localhost:5222"}}, Sessions: 2}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Job){
		"workload":  func(j *Job) { j.Workload = "sing" },
		"loopback":  func(j *Job) { j.Target.Addresses = []string{"127.0.0.1:5222", "192.0.2.1:5222"} },
		"address":   func(j *Job) { j.Target.Addresses = []string{"localhost"} },
		"none":      func(j *Job) { j.Target.Addresses = nil },
		"tls":       func(j *Job) { j.Target.TLS = "maybe" },
		"sessions":  func(j *Job) { j.Sessions = 0 },
		"even":      func(j *Job) { j.Sessions = 3 },
		"contacts":  func(j *Job) { j.Workload, j.Contacts = "presence", 2 },
		"negative":  func(j *Job) { j.Rate = -1 },
		"contacts:": func(j *Job) { j.Workload = "befriend" },
	} {
		j := good
		change(&j)
		if err := j.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %s, got %v", want, err)
		}
	}
}

func TestDivideLosesNobody(t *testing.T) {
	for _, unit := range []int{1, 2} {
		for n := 2; n < 60; n += 2 {
			for processes := 1; processes < 9; processes++ {
				shares, err := divide(Job{First: 100, Sessions: n, Processes: processes, Rate: 1000, Concurrent: 32}, workload{unit: unit})
				if err != nil {
					t.Fatal(err)
				}
				next, rate := 100, 0.0
				for _, s := range shares {
					if s.First != next || s.Sessions < unit || s.Sessions%unit != 0 || s.Concurrent < 1 {
						t.Fatalf("%d in %d: %+v", n, processes, shares)
					}
					next += s.Sessions
					rate += s.Rate
				}
				if next != 100+n || rate < 999.9 || rate > 1000.1 {
					t.Fatalf("%d in %d: ends at %d, %g a second", n, processes, next, rate)
				}
			}
		}
	}
}

func TestRingStaysTogether(t *testing.T) {
	shares, err := divide(Job{Sessions: 100, Processes: 4}, workload{unit: 1, ring: true})
	if err != nil || len(shares) != 1 {
		t.Errorf("%d shares, %v", len(shares), err)
	}
}

func TestContactsAreMutual(t *testing.T) {
	w := &worker{Job: Job{Sessions: 11, Contacts: 6}}
	for user := range w.Sessions {
		seen := map[int]bool{}
		for i := range w.Contacts {
			c := w.contact(user, i)
			if c == user || seen[c] {
				t.Fatalf("contact %d of %d is %d", i, user, c)
			}
			seen[c] = true
			if j, ok := w.place(user, c); !ok || j != i {
				t.Fatalf("%d is contact %d of %d, found as %d", c, i, user, j)
			}
			if _, ok := w.place(c, user); !ok {
				t.Fatalf("%d is a contact of %d, but not the other way", c, user)
			}
		}
		for other := range w.Sessions {
			if _, ok := w.place(user, other); ok != seen[other] {
				t.Fatalf("%d of %d: %v", other, user, ok)
			}
		}
	}
}
