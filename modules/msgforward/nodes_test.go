package msgforward_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/msgforward"
)

// TestTwoNodesShareAQueue has both nodes store messages: one of them delivers all,
// once, and when it goes the other goes on.
func TestTwoNodesShareAQueue(t *testing.T) {
	r := receive(t)
	c := modtest.StartNodes(t, 2, `modules: {mod_msg_forward: {url: "`+r.URL+`"}}`, keeper, msgforward.Module)
	say := func(n int, from, to int) {
		for i, s := range c.List {
			if s == nil {
				continue
			}
			who := s.Available(fmt.Sprintf("romeo@localhost/at%dfrom%d", i, from))
			for k := from; k < to; k++ {
				who.Say(fmt.Sprintf("<message to='juliet%d@localhost' type='chat'><body>%d of %d</body></message>", k%5, k, i))
			}
		}
	}
	say(2, 0, 100)
	r.wait(t, 200)
	working := func() (sum int) {
		for _, s := range c.List {
			if s == nil {
				continue
			}
			if out, err := s.Command("forward_status"); err == nil && strings.Contains(out, "\twell\t") {
				sum++
			}
		}
		return sum
	}
	c.Await("one node works", func() bool { return working() == 1 })
	// The one that works goes.
	for i, s := range c.List {
		if out, err := s.Command("forward_status"); err == nil && strings.Contains(out, "\twell\t") {
			s.Stop()
			c.List[i] = nil
			break
		}
	}
	say(1, 100, 150)
	seen := map[string]int{}
	for _, b := range r.wait(t, 250) {
		var m struct{ Body string }
		if err := json.Unmarshal([]byte(b), &m); err != nil {
			t.Fatal(err)
		}
		seen[m.Body]++
	}
	if len(seen) != 250 {
		t.Errorf("%d different messages, want 250", len(seen))
	}
	for b, n := range seen {
		if n != 1 {
			t.Errorf("%q came %d times", b, n)
		}
	}
}
