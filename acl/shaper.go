package acl

import (
	"sync"
	"time"
)

// A Rate is how fast somebody may send. The zero Rate has no limit.
type Rate struct {
	Bytes int // bytes per second
	Burst int // how many bytes may come at once after a silence
}

// Limited reports whether r is a limit at all.
func (r Rate) Limited() bool { return r.Bytes > 0 }

// A Shaper holds one sender to a Rate: a bucket of Burst tokens that is filled
// at Bytes tokens per second. A nil Shaper lets everything through. Its methods
// may be called from anywhere.
type Shaper struct {
	mu     sync.Mutex
	rate   Rate
	tokens float64 // negative: what has been sent too early
	last   time.Time
}

// NewShaper returns a full bucket. A Rate without a limit gives a Shaper that
// never asks to wait but can be changed later.
func NewShaper(r Rate) *Shaper {
	return &Shaper{rate: r, tokens: float64(r.Burst), last: time.Now()}
}

// Take says how long to wait after n bytes were received before the next are
// read. It does not wait itself, and it allocates nothing.
func (s *Shaper) Take(n int) time.Duration {
	if s == nil || n <= 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rate.Limited() {
		return 0
	}
	s.fill(time.Now())
	s.tokens -= float64(n)
	if s.tokens >= 0 {
		return 0
	}
	return time.Duration(-s.tokens / float64(s.rate.Bytes) * float64(time.Second))
}

// SetRate changes how fast the sender may be. What it owes stays owed, at the
// new rate.
func (s *Shaper) SetRate(r Rate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.rate
	s.fill(time.Now())
	s.rate = r
	if !was.Limited() {
		s.tokens = float64(r.Burst)
	}
	s.tokens = min(s.tokens, float64(r.Burst))
}

// Rate returns the rate that s holds its sender to.
func (s *Shaper) Rate() Rate {
	if s == nil {
		return Rate{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rate
}

func (s *Shaper) fill(now time.Time) {
	s.tokens = min(float64(s.rate.Burst), s.tokens+now.Sub(s.last).Seconds()*float64(s.rate.Bytes))
	s.last = now
}
