package load

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesAreNearTheTruth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	all := make([]time.Duration, 20000)
	for i := range all {
		all[i] = time.Duration(random.ExpFloat64() * 3e6)
		h.Add(all[i])
	}
	slices.Sort(all)
	for _, part := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(part*float64(len(all)))-1, 0)]
		got := h.Quantile(part)
		if got < want || float64(got) > float64(want)*1.02+1 {
			t.Errorf("quantile %g is %s, want %s", part, got, want)
		}
	}
	if h.Count() != 20000 || h.Max() != all[len(all)-1] {
		t.Errorf("%d, at most %s", h.Count(), h.Max())
	}
}

func TestSlotsFollowEachOther(t *testing.T) {
	for i := range 3000 {
		if slot(top(i)) != i || slot(top(i)+1) != i+1 {
			t.Fatalf("slot %d ends at %d, which is in slot %d; the next is in %d", i, top(i), slot(top(i)), slot(top(i)+1))
		}
	}
}

func TestHistogramTravels(t *testing.T) {
	var a, b, both Histogram
	for i := range 1000 {
		d := time.Duration(i * i * 1000)
		if both.Add(d); i%2 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	a.Add(-5)
	both.Add(0)
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	var got Histogram
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	got.Merge(&a)
	for _, part := range []float64{0, 0.3, 0.5, 0.999} {
		if got.Quantile(part) != both.Quantile(part) {
			t.Errorf("quantile %g is %s, want %s", part, got.Quantile(part), both.Quantile(part))
		}
	}
	if got.Count() != 1001 || got.Max() != both.Max() {
		t.Errorf("%d, at most %s", got.Count(), got.Max())
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Count() != 0 || h.Max() != 0 {
		t.Error("an empty histogram holds something")
	}
	for _, bad := range []string{`{"counts":{"-1":2}}`, `{"counts":7}`} {
		if json.Unmarshal([]byte(bad), &h) == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
