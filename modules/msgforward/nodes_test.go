package msgforward_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/msgforward"
	"github.com/gabberd/gabberd/modules/offline"
)

// TestEveryDatabaseWithMessages has modules keep messages elsewhere than where the
// host keeps the rest, and start before mod_msg_forward or after it: messages are
// forwarded from there.
func TestEveryDatabaseWithMessages(t *testing.T) {
	r := receive(t)
	const archive, spool = "mod_mam: {default: always, db_type: mnesia}", "mod_offline: {db_type: mnesia}"
	for _, kept := range []string{archive, spool, archive + ", " + spool, "mod_mam: {default: always}, " + spool} {
		before := len(r.all())
		c := modtest.StartNodes(t, 1, `modules: {`+kept+`, mod_msg_forward: {url: "`+r.URL+`"}}`, mam.Module, offline.Module, msgforward.Module)
		s := c.List[0]
		s.Register("juliet@localhost", "secret")
		romeo := s.Available("romeo@localhost/orchard")
		romeo.Say("<message to='juliet@localhost' type='chat'><body>one</body></message>")
		got := r.wait(t, before+1)[before:]
		if !strings.Contains(got[0], `"body":"one"`) {
			t.Errorf("%s: forwarded %s", kept, got[0])
		}
		awaitOutput(t, s, "localhost\tdefault\twell\t", "forward_status")
		s.Stop()
	}
}

// TestOnlyWhereMessagesAreKept: with all messages in the shared database one node
// works, and no other one because of its own database.
func TestOnlyWhereMessagesAreKept(t *testing.T) {
	r := receive(t)
	c := modtest.StartNodes(t, 2, `modules: {mod_mam: {db_type: sql}, mod_msg_forward: {url: "`+r.URL+`"}}`, mam.Module, msgforward.Module)
	c.Await("one node works", func() bool { return working(c) == 1 })
}

// working is how many nodes work on queues.
func working(c *modtest.Nodes) (sum int) {
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
	c.Await("one node works", func() bool { return working(c) == 1 })
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
