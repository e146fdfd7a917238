package announce_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/announce"
	"github.com/gabberd/gabberd/modules/modtest"
)

func startNodes(t *testing.T) *modtest.Nodes {
	t.Helper()
	return modtest.StartNodes(t, 2, "modules: {mod_announce: {access: all}}", adhoc.Module, announce.Module)
}

// hears waits until the client has been told exactly that.
func hears(c *modtest.Nodes, who *modtest.Client, want string) {
	var got []string
	c.Await(who.JID.String()+" is told "+want, func() bool {
		for _, st := range who.Inbox() {
			if st.Body() != "" {
				got = append(got, st.Body())
			}
		}
		return strings.Join(got, ", ") == want
	})
}

// comes logs somebody in who keeps whatever is said to him from the first moment on:
// greetings are said on a goroutine of their own.
func comes(s *modtest.Server, full string) *modtest.Client {
	c := s.Login(full)
	c.Say("<presence/>")
	return c
}

// TestMessageOfTheDayOnTwoNodes: whichever node sets it, who logs in on the other
// one sees it, once however many nodes he visits, and not when it is gone.
func TestMessageOfTheDayOnTwoNodes(t *testing.T) {
	c := startNodes(t)
	here, there := c.List[0], c.List[1]
	motd := func(s *modtest.Server, words ...string) string {
		t.Helper()
		out, err := s.Command(words[0], words[1:]...)
		if err != nil {
			t.Errorf("%q: %v", words, err)
		}
		c.Settle()
		return out
	}
	motd(here, "announce_motd_update", "localhost", "", "one")
	c.Await("the other node knows it", func() bool { return strings.Contains(motd(there, "announce_motd_get", "localhost"), "one") })
	romeo := comes(there, "romeo@localhost/orchard")
	hears(c, romeo, "one")
	motd(there, "announce_motd_set_online", "localhost", "", "two")
	hears(c, romeo, "two")
	c.Await("this node knows it", func() bool { return strings.Contains(motd(here, "announce_motd_get", "localhost"), "two") })
	// Both nodes greet one after the other: when tybalt has been told, so was romeo, if he was.
	again := comes(here, "romeo@localhost/street")
	hears(c, comes(here, "tybalt@localhost/street"), "two")
	hears(c, again, "")
	motd(here, "announce_motd_delete", "localhost")
	c.Await("the other node has forgotten it", func() bool { return !strings.Contains(motd(there, "announce_motd_get", "localhost"), "two") })
}

// TestOnlineUsersOfAllNodesAreTold by whichever node is asked to.
func TestOnlineUsersOfAllNodesAreTold(t *testing.T) {
	c := startNodes(t)
	romeo, juliet := c.List[0].Available("romeo@localhost/orchard"), c.List[1].Available("juliet@localhost/balcony")
	c.Await("node 1 knows both", func() bool { return len(c.List[0].Sessions.All()) == 2 })
	if _, err := c.List[0].Command("announce_send_online", "localhost", "", "hear, hear"); err != nil {
		t.Fatal(err)
	}
	hears(c, romeo, "hear, hear")
	hears(c, juliet, "hear, hear")
}
