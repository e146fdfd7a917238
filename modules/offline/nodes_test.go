package offline_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// startNodes starts two nodes; juliet has an account and nobody is there.
func startNodes(t *testing.T) *modtest.Nodes {
	t.Helper()
	c := modtest.StartNodes(t, 2, "", disco.Module, offline.Module)
	c.List[0].Register("juliet@localhost", "secret")
	return c
}

// missed has a node keep a message for juliet because it has found nobody, whoever
// may have come in the meantime.
func missed(t *testing.T, s *modtest.Server, body string) {
	t.Helper()
	st := xmpp.NewMessage("chat", xmpp.MustParse("romeo@localhost/orchard"), xmpp.MustParse("juliet@localhost"), xmpp.TextEl(xmpp.NSClient, "body", body))
	if fate := sm.Offline.Run(t.Context(), s.Parts.Hooks, sm.Bounce, st); fate != sm.Stored {
		t.Fatalf("%s is %s", body, fate)
	}
}

// waits is how many messages wait for juliet.
func waits(t *testing.T, s *modtest.Server) (n int64) {
	t.Helper()
	db := sharedDB(t, s)
	if err := db.Get(t.Context(), []any{&n}, `SELECT COUNT(*) FROM spool WHERE {host} AND username = 'juliet'`); err != nil {
		t.Fatal(err)
	}
	return n
}

func sharedDB(t *testing.T, s *modtest.Server) *storage.DB {
	t.Helper()
	db, err := s.DB(t.Context(), "sql")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// TestMessageFindsWhoHasComeToAnotherNode: the one node has seen nobody and keeps
// it; on the other one juliet is there and has been given what waited before.
func TestMessageFindsWhoHasComeToAnotherNode(t *testing.T) {
	c := startNodes(t)
	juliet := c.List[1].Available("juliet@localhost/balcony")
	var got []string
	for i := range 20 {
		missed(t, c.List[0], fmt.Sprint(i))
	}
	c.Await("juliet has all of them", func() bool {
		got = append(got, strings.Fields(heard(juliet))...)
		return len(got) >= 20
	})
	for i, body := range got {
		if body != fmt.Sprint(i) {
			t.Fatalf("juliet got %q", got)
		}
	}
	c.Await("nothing waits any more", func() bool { return waits(t, c.List[0]) == 0 })
}

// TestWhatIsKeptIsNotOvertaken by what the same node sends to the client at once,
// because it has seen it by now. A node with a client that gets nothing says nothing.
func TestWhatIsKeptIsNotOvertaken(t *testing.T) {
	c := modtest.StartNodes(t, 3, "", disco.Module, offline.Module)
	c.List[0].Register("juliet@localhost", "secret")
	juliet := c.List[1].Available("juliet@localhost/balcony")
	c.List[2].Login("juliet@localhost/hidden").Say(`<presence><priority>-1</priority></presence>`)
	c.Settle()
	var got []string
	for i := range 20 {
		missed(t, c.List[0], fmt.Sprint(2*i))
		to := juliet.JID
		if i%2 == 0 {
			to = to.Bare()
		}
		st := xmpp.NewMessage("chat", xmpp.MustParse("romeo@localhost/orchard"), to, xmpp.TextEl(xmpp.NSClient, "body", fmt.Sprint(2*i+1)))
		c.List[0].Sessions.Route(t.Context(), st)
		c.Await("juliet has both", func() bool {
			got = append(got, strings.Fields(heard(juliet))...)
			return len(got) >= 2*i+2
		})
	}
	for i, body := range got {
		if body != fmt.Sprint(i) {
			t.Fatalf("juliet got %q", got)
		}
	}
}

// TestMessageFindsHerWhenRedisIsBack: while it cannot be told who is where, nobody
// gives up.
func TestMessageFindsHerWhenRedisIsBack(t *testing.T) {
	c := startNodes(t)
	juliet := c.List[1].Available("juliet@localhost/balcony")
	c.Redis.Freeze()
	missed(t, c.List[0], "hi")
	if _, err := c.List[0].Sessions.Fresh(juliet.JID.Bare()); err == nil {
		t.Error("Redis answers")
	}
	c.Redis.Thaw()
	c.Await("juliet has it", func() bool { return heard(juliet) == "hi" })
}

// TestClientThatChoosesIsLeftAlone also when the message is kept elsewhere.
func TestClientThatChoosesIsLeftAlone(t *testing.T) {
	c := startNodes(t)
	chooser := c.List[1].Login("juliet@localhost/chooser")
	chooser.Ask(`<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/offline'/></iq>`)
	chooser.Say(`<presence/>`)
	chooser.Inbox()
	other := c.List[1].Available("juliet@localhost/hidden")
	other.Say(`<presence><priority>-1</priority></presence>`)
	other.Inbox()
	missed(t, c.List[0], "hi")
	c.Await("it is kept", func() bool { return waits(t, c.List[0]) == 1 })
	// What is looked for after it was found shows that the first has been dealt with.
	c.List[1].Register("tybalt@localhost", "secret")
	tybalt := c.List[1].Available("tybalt@localhost/street")
	st := xmpp.NewMessage("chat", chooser.JID, tybalt.JID.Bare(), xmpp.TextEl(xmpp.NSClient, "body", "later"))
	sm.Offline.Run(t.Context(), c.List[0].Parts.Hooks, sm.Bounce, st)
	c.Await("tybalt has his", func() bool { return heard(tybalt) == "later" })
	if got := heard(chooser) + heard(other); got != "" || waits(t, c.List[0]) != 1 {
		t.Errorf("clients that do not want it got %q", got)
	}
}

// TestTwoNodesServeAUserAtOnce: two devices come at the same moment. Each message
// goes to one of them, in order, and none is left.
func TestTwoNodesServeAUserAtOnce(t *testing.T) {
	c := startNodes(t)
	const most = 300 // some pages
	for i := range most {
		missed(t, c.List[0], fmt.Sprintf("%03d", i))
	}
	c.Await("all are kept", func() bool { return waits(t, c.List[0]) == most })
	clients := []*modtest.Client{c.List[0].Login("juliet@localhost/1"), c.List[1].Login("juliet@localhost/2")}
	var all sync.WaitGroup
	for _, x := range clients {
		all.Go(func() { x.Say(`<presence/>`) })
	}
	all.Wait()
	got := make([][]string, len(clients))
	c.Await("nothing waits any more", func() bool {
		for i, x := range clients {
			for _, st := range x.Inbox() {
				switch {
				case st.Body() != "":
					got[i] = append(got[i], st.Body())
				case st.IsRequest(): // whether it has read so far
					x.Say(fmt.Sprintf(`<iq type='result' id='%s' to='localhost'/>`, st.ID))
				}
			}
		}
		return waits(t, c.List[0]) == 0 && len(got[0])+len(got[1]) >= most
	})
	for i := range got {
		if !slices.IsSorted(got[i]) {
			t.Errorf("client %d got them in another order: %q", i, got[i])
		}
	}
	both := slices.Concat(got...)
	slices.Sort(both)
	if n := len(slices.Compact(slices.Clone(both))); n != most || len(both) != most {
		t.Errorf("%d messages were handed over, %d different ones, of %d", len(both), n, most)
	}
}

// TestClientThatDiesLeavesAllToTheOther: what was on its way to it comes again,
// to the device on the other node that has waited for its turn.
func TestClientThatDiesLeavesAllToTheOther(t *testing.T) {
	c := startNodes(t)
	for i := range 10 {
		missed(t, c.List[0], fmt.Sprint(i))
	}
	c.Await("all are kept", func() bool { return waits(t, c.List[0]) == 10 })
	dying, other := c.List[0].Login("juliet@localhost/dying"), c.List[1].Login("juliet@localhost/other")
	var served sync.WaitGroup
	n := 0
	sm.UserReceive.Add(owner{c.List[0]}, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if s == dying.Session && st.Body() != "" {
			if n++; n == 3 {
				served.Go(func() { other.Say(`<presence/>`) }) // waits, or comes too late to matter
				dying.Logout()
			}
		}
		return st, hooks.Next
	})
	dying.Say(`<presence/>`)
	served.Wait()
	if got := heard(other); got != "0 1 2 3 4 5 6 7 8 9" {
		t.Errorf("the other device got %q", got)
	}
	if n := waits(t, c.List[0]); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// TestArchivedMessagesOnTwoNodes: kept on the one, they come on the other, each once,
// also where the one goes on keeping.
func TestArchivedMessagesOnTwoNodes(t *testing.T) {
	c := modtest.StartNodes(t, 2, fromArchive, disco.Module, mam.Module, offline.Module)
	c.List[0].Register("juliet@localhost", "secret")
	romeo := c.List[0].Available("romeo@localhost/orchard")
	for round := range 3 {
		for i := range 10 {
			say(romeo, fmt.Sprintf("%d-%d", round, i))
		}
		c.Await("all are kept", func() bool { return waits(t, c.List[0]) == 10 })
		juliet := c.List[1].Login(fmt.Sprintf("juliet@localhost/%d", round))
		juliet.Say(`<presence/>`)
		if got := strings.Fields(heard(juliet)); len(got) != 10 || got[0] != fmt.Sprintf("%d-0", round) || !slices.IsSorted(got) {
			t.Errorf("round %d: juliet got %q", round, got)
		}
		c.Await("nothing waits any more", func() bool { return waits(t, c.List[0]) == 0 })
		juliet.Logout()
		c.Await("she is gone", func() bool {
			all, err := c.List[0].Sessions.Fresh(juliet.JID.Bare())
			return err == nil && len(all) == 0
		})
	}
}
