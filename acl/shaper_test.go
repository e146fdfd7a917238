package acl_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/acl"
)

func TestShaperRules(t *testing.T) {
	rs := rules(t, `acl: {admin: {user: alice}, vip: {user: bob}}
shaper: {normal: {rate: 3000, burst_size: 20000}, fast: 100000, free: infinity}
shaper_rules:
  max_user_sessions: 10
  c2s_shaper: [{none: admin}, {free: vip}, {normal: all}]
  s2s_shaper: fast
  messages: [{infinity: admin}, {5000: vip}, {100: {server: example.org}}]
  typo: [{fats: all}, {7: all}]
`)
	tests := []struct {
		rule, jid string
		rate      acl.Rate
		n         int
		infinite  bool
	}{
		{"c2s_shaper", "alice@example.org", acl.Rate{}, 0, false},
		{"c2s_shaper", "bob@example.org", acl.Rate{}, 0, false},
		{"c2s_shaper", "carol@example.org", acl.Rate{Bytes: 3000, Burst: 20000}, 0, false},
		{"s2s_shaper", "carol@example.org", acl.Rate{Bytes: 100000, Burst: 100000}, 0, false},
		{"max_user_sessions", "carol@example.org", acl.Rate{Bytes: 10, Burst: 10}, 10, false},
		{"messages", "alice@example.org", acl.Rate{}, 0, true},
		{"messages", "bob@example.org", acl.Rate{Bytes: 5000, Burst: 5000}, 5000, false},
		{"messages", "carol@example.org", acl.Rate{Bytes: 100, Burst: 100}, 100, false},
		{"messages", "carol@elsewhere.example", acl.Rate{}, 0, false},
		{"typo", "carol@example.org", acl.Rate{Bytes: 7, Burst: 7}, 7, false},
		{"nosuch", "carol@example.org", acl.Rate{}, 0, false},
		{"none", "carol@example.org", acl.Rate{}, 0, false},
		{"unlimited", "carol@example.org", acl.Rate{}, 0, true},
	}
	for _, tt := range tests {
		who := somebody(t, tt.jid, "")
		if got := acl.NewLimit(tt.rule).Rate(rs, who); got != tt.rate {
			t.Errorf("%s: %s has %+v, want %+v", tt.rule, tt.jid, got, tt.rate)
		}
		if n, infinite := rs.Number(tt.rule, who); n != tt.n || infinite != tt.infinite {
			t.Errorf("%s: %s has %d %v, want %d %v", tt.rule, tt.jid, n, infinite, tt.n, tt.infinite)
		}
		if got := rs.Shaper(tt.rule, who); (got != nil) != tt.rate.Limited() || got.Rate() != tt.rate {
			t.Errorf("%s: %s gets a shaper of %+v, want %+v", tt.rule, tt.jid, got.Rate(), tt.rate)
		}
	}
}

func TestShaperLetsTheBurstThroughAndThenTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := acl.NewShaper(acl.Rate{Bytes: 1000, Burst: 5000})
		if d := s.Take(5000); d != 0 {
			t.Errorf("the burst waits %v", d)
		}
		if d := s.Take(500); d != 500*time.Millisecond {
			t.Errorf("500 bytes over the burst wait %v, want 0.5s", d)
		}
		time.Sleep(500 * time.Millisecond)
		if d := s.Take(1000); d != time.Second {
			t.Errorf("1000 bytes from an empty bucket wait %v, want 1s", d)
		}
		time.Sleep(time.Hour)
		if d := s.Take(5000); d != 0 {
			t.Errorf("the burst after a silence waits %v", d)
		}
		if d := s.Take(1); d != time.Millisecond {
			t.Errorf("a silence fills the bucket beyond its size: %v", d)
		}
	})
}

func TestShaperSentenceIsNotForgottenAtReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := acl.NewShaper(acl.Rate{Bytes: 1000, Burst: 1000})
		s.Take(3000)
		s.SetRate(acl.Rate{Bytes: 4000, Burst: 4000})
		if d := s.Take(2000); d != time.Second {
			t.Errorf("a debt of 4000 at 4000 a second waits %v, want 1s", d)
		}
		s.SetRate(acl.Rate{})
		if d := s.Take(math.MaxInt32); d != 0 {
			t.Errorf("without a limit it waits %v", d)
		}
		s.SetRate(acl.Rate{Bytes: 10, Burst: 10})
		if d := s.Take(10); d != 0 {
			t.Errorf("what was sent without a limit is counted: %v", d)
		}
	})
}

func TestShaperOfNobody(t *testing.T) {
	var s *acl.Shaper
	if d := s.Take(1 << 30); d != 0 {
		t.Errorf("no shaper waits %v", d)
	}
	if d := acl.NewShaper(acl.Rate{Bytes: 1, Burst: 1}).Take(-5); d != 0 {
		t.Errorf("a negative size waits %v", d)
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	s := acl.NewShaper(acl.Rate{Bytes: 1000, Burst: 1000})
	if n := testing.AllocsPerRun(100, func() { s.Take(10) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
