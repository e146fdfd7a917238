package register

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestMemoryIsBounded(t *testing.T) {
	r := newRecent()
	never := func() bool { return false }
	for i := range 3 * maxTried {
		done, err := r.reserve(fmt.Sprint(i), time.Minute, never)
		if err != nil {
			t.Fatal(err)
		}
		done(false)
	}
	if n := len(r.tried.byKey); n != maxTried || r.tried.order.Len() != n || len(r.made.byKey) != 0 {
		t.Errorf("%d tries are remembered, %d accounts", n, len(r.made.byKey))
	}
	for i := range maxMade {
		done, err := r.reserve(fmt.Sprint("m", i), time.Minute, never)
		if err != nil {
			t.Fatal(err)
		}
		done(true)
	}
	if _, err := r.reserve("one more", time.Minute, never); err == nil {
		t.Error("there is no end to accounts")
	}
	if n := len(r.made.byKey); n != maxMade {
		t.Errorf("%d accounts are remembered", n)
	}
}

func TestTwoAtOnceFromOneAddress(t *testing.T) {
	r := newRecent()
	never := func() bool { return false }
	done, err := r.reserve("a", time.Minute, never)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.reserve("a", time.Minute, never); err == nil {
		t.Error("two may make an account at the same time")
	}
	done(false)
	if _, err := r.reserve("a", time.Minute, never); err != nil {
		t.Errorf("after the first has failed: %v", err)
	}
}

func TestEntropyIsEjabberds(t *testing.T) {
	for p, kinds := range map[string]float64{"a": 26, "aB": 52, "abc123": 35, "P4$s": 94, "é": 128, "a b": 154} {
		if got, want := entropy(p), float64(len(p))*math.Log2(kinds); math.Abs(got-want) > 1e-9 {
			t.Errorf("%q: %f, want %f", p, got, want)
		}
	}
	if entropy("") != 0 {
		t.Error("nothing has some")
	}
}
