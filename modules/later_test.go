package modules

import (
	"slices"
	"testing"
	"testing/synctest"
)

func TestLaterKeepsOrder(t *testing.T) {
	var l Later
	var got []int
	for i := range 100 {
		if !l.Do(func() { got = append(got, i) }) {
			t.Fatal("there is no room")
		}
	}
	l.Close()
	if len(got) != 100 || !slices.IsSorted(got) {
		t.Errorf("done: %v", got)
	}
}

// TestLaterIsBounded: who is refused is told, and who has a place is not refused.
func TestLaterIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Later
		hold, done := make(chan struct{}), 0
		l.Do(func() { <-hold })
		synctest.Wait()
		for range 2 {
			if !l.Reserve() {
				t.Fatal("there is no place")
			}
		}
		accepted := 0
		for l.Do(func() { done++ }) {
			accepted++
		}
		if accepted != maxLater-2 || l.Reserve() {
			t.Errorf("%d are accepted besides two places", accepted)
		}
		if !l.Use(func() { done++ }) {
			t.Error("a place that was kept is gone")
		}
		if l.Do(func() {}) {
			t.Error("the other one was given away")
		}
		l.Free()
		if !l.Do(func() { done++ }) {
			t.Error("there is room again")
		}
		close(hold)
		l.Close()
		if done != maxLater {
			t.Errorf("%d were done of %d", done, maxLater)
		}
	})
}

func TestLaterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Later
		hold, apart := make(chan struct{}), false
		if !l.Apart(func() { <-hold; apart = true }) || !l.Reserve() {
			t.Fatal("nothing is taken")
		}
		closed := make(chan struct{})
		go func() { l.Close(); close(closed) }()
		synctest.Wait()
		if l.Do(func() {}) || l.Apart(func() {}) || l.Reserve() || l.Use(func() { t.Error("it is done") }) {
			t.Error("something is taken after the end")
		}
		select {
		case <-closed:
			t.Error("it does not wait for what is being done")
		default:
		}
		close(hold)
		<-closed
		if !apart {
			t.Error("it was not done")
		}
	})
}
