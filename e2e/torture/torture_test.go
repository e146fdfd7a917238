package main

import (
	"encoding/xml"
	"testing"
)

// TestCluster has every fault happen once. It fails by loss, disorder, repetition
// and ghosts, never by slowness.
func TestCluster(t *testing.T) {
	t.Parallel() // both wait most of the time
	o := defaults()
	o.seed, o.share, o.out = 1, 150, t.Output()
	if err := torture(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// TestAlone is the same for a server without a cluster, as far as it goes.
func TestAlone(t *testing.T) {
	t.Parallel()
	o := defaults()
	o.seed, o.share, o.out = 1, 150, t.Output()
	o.alone, o.faults = true, []string{"bind", "kick", "vanish", "cut", "resume-race", "kill", "roll"}
	if err := torture(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// attrs are names and values in turn.
func attrs(words ...string) []xml.Attr {
	var out []xml.Attr
	for i := 0; i+1 < len(words); i += 2 {
		out = append(out, xml.Attr{Name: xml.Name{Local: words[i]}, Value: words[i+1]})
	}
	return out
}
