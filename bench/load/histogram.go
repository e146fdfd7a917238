package load

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
)

// steps is into how many parts each doubling is divided: 1.6 % of precision.
const steps = 64

// Histogram counts durations in steps that grow with them. The zero value is
// empty and ready. It is not safe for use by several goroutines.
type Histogram struct {
	counts []uint64
	total  uint64
	max    time.Duration
}

// Add counts one duration; a negative one as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	i := slot(uint64(d))
	for i >= len(h.counts) {
		h.counts = append(h.counts, make([]uint64, steps)...)
	}
	h.counts[i]++
	h.total++
	h.max = max(h.max, d)
}

// slot is where a number is counted: exactly below 2*steps, then by its
// leading bits.
func slot(v uint64) int {
	if v < 2*steps {
		return int(v)
	}
	shift := bits.Len64(v) - bits.Len64(steps)
	return shift*steps + int(v>>shift)
}

// top is the greatest number that is counted in a slot.
func top(i int) uint64 {
	if i < 2*steps {
		return uint64(i)
	}
	shift := i/steps - 1
	return (uint64(i-shift*steps)+1)<<shift - 1
}

// Merge adds what another one has counted.
func (h *Histogram) Merge(o *Histogram) {
	for len(h.counts) < len(o.counts) {
		h.counts = append(h.counts, 0)
	}
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest of them.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is the duration that the given part of all (0.5, 0.99, …) do not
// exceed; zero when there are none.
func (h *Histogram) Quantile(part float64) time.Duration {
	want := uint64(part*float64(h.total) + 0.999999)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= want {
			return min(time.Duration(top(i)), h.max)
		}
	}
	return h.max
}

// stored is a histogram as it goes between processes and into result files.
type stored struct {
	Max    time.Duration  `json:"max_ns"`
	Counts map[int]uint64 `json:"counts"` // by the greatest nanosecond of the slot
}

// MarshalJSON writes the slots that are not empty.
func (h Histogram) MarshalJSON() ([]byte, error) {
	s := stored{h.max, map[int]uint64{}}
	for i, n := range h.counts {
		if n > 0 {
			s.Counts[int(top(i))] = n
		}
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads what MarshalJSON has written.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("histogram: %w", err)
	}
	*h = Histogram{max: s.Max}
	for ns, n := range s.Counts {
		if ns < 0 {
			return fmt.Errorf("histogram: %d ns", ns)
		}
		i := slot(uint64(ns))
		for i >= len(h.counts) {
			h.counts = append(h.counts, make([]uint64, steps)...)
		}
		h.counts[i] += n
		h.total += n
	}
	return nil
}
