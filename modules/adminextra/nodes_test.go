package adminextra_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/adminextra"
	"github.com/gabberd/gabberd/modules/last"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
)

// twoNodes has Romeo on the second node, and everybody knowing.
func twoNodes(t *testing.T) (c *modtest.Nodes, here *modtest.Server, romeo *modtest.Client) {
	t.Helper()
	c = modtest.StartNodes(t, 2, "", adminextra.Module, last.Module)
	here = c.List[0]
	romeo = c.List[1].Available("romeo@localhost/orchard")
	sees(c, here, romeo)
	return c, here, romeo
}

func sees(c *modtest.Nodes, s *modtest.Server, x *modtest.Client) {
	c.Await("the other node sees "+x.JID.String(), func() bool {
		f := s.Sessions.Find(x.JID)
		if f == nil {
			return false
		}
		_, ok := f.Priority()
		return ok
	})
}

func TestCommandsSeeTheWholeCluster(t *testing.T) {
	c, here, romeo := twoNodes(t)
	c.List[0].Available("juliet@localhost/balcony")
	romeo.Say(`<presence><show>dnd</show><status>fencing</status><priority>7</priority></presence>`)
	c.Await("the other node has the presence", func() bool {
		return strings.Contains(run(t, here, -1, "get_presence", "romeo", "localhost"), "fencing")
	})
	for _, x := range []struct{ words, want string }{
		{"num_resources romeo localhost", "1"},
		{"resource_num romeo localhost 1", "orchard"},
		{"connected_users_vhost localhost", "juliet@localhost/balcony\nromeo@localhost/orchard"},
		{"status_list dnd", "romeo@localhost/orchard\t7\tfencing"},
		{"status_num dnd", "1"},
		{"status_num all", "2"},
		{"stats onlineusers", "2"},
		{"stats onlineusersnode", "1"},
		{"get_presence romeo localhost", "romeo@localhost/orchard\tdnd\tfencing"},
	} {
		if got := strings.TrimSpace(run(t, here, -1, strings.Fields(x.words)...)); got != x.want {
			t.Errorf("%s: %q, want %q", x.words, got, x.want)
		}
	}
	if got := run(t, here, -1, "user_sessions_info", "romeo", "localhost"); !strings.Contains(got, "node2") || !strings.Contains(got, "c2s_tls\t127.0.0.1\t40000\t7") {
		t.Errorf("user_sessions_info: %q", got)
	}
	if got := run(t, here, -1, "connected_users_info"); !strings.Contains(got, "node1") || !strings.Contains(got, "node2") {
		t.Errorf("connected_users_info: %q", got)
	}
}

// TestOperatorSpeaksForClientOfAnotherNode: what its node knows of the session
// must be asked and changed there.
func TestOperatorSpeaksForClientOfAnotherNode(t *testing.T) {
	c, here, romeo := twoNodes(t)
	juliet := c.List[1].Available("juliet@localhost/balcony")
	run(t, here, -1, "set_presence", "romeo", "localhost", "orchard", "available", "away", "gone fishing", "3")
	c.Settle()
	if p, ok := romeo.Session.Priority(); p != 3 || !ok {
		t.Errorf("the session's own node has priority %d, %v", p, ok)
	}
	c.Await("this node knows", func() bool {
		return strings.Contains(run(t, here, -1, "get_presence", "romeo", "localhost"), "gone fishing")
	})
	run(t, here, -1, "send_stanza_c2s", "romeo", "localhost", "orchard", "<message to='juliet@localhost'><body>hi</body></message>")
	c.Settle()
	if in := juliet.Inbox(); len(in) != 1 || in[0].From != romeo.JID || in[0].Body() != "hi" {
		t.Errorf("juliet got %v", in)
	}
	run(t, here, -1, "send_stanza_c2s", "romeo", "localhost", "orchard", "<presence to='juliet@localhost'/>")
	run(t, here, -1, "set_presence", "romeo", "localhost", "orchard", "unavailable", "", "", "0")
	c.Settle()
	in := juliet.Inbox()
	if len(in) != 2 || in[0].Type != "" || in[1].Type != "unavailable" {
		t.Errorf("juliet, who has got directed presence, got %v", in)
	}
}

func TestKickAcrossNodes(t *testing.T) {
	c, here, romeo := twoNodes(t)
	other := c.List[1].Available("romeo@localhost/street")
	sees(c, here, other)
	run(t, here, -1, "kick_session", "romeo", "localhost", "orchard", "enough")
	c.Await("romeo is kicked", func() bool { return romeo.Closed() == "policy-violation" })
	if other.Closed() != "" {
		t.Errorf("the other session ended, too: %q", other.Closed())
	}
}

func TestBanAcrossNodes(t *testing.T) {
	c, here, romeo := twoNodes(t)
	if got := run(t, here, -1, "ban_account", "romeo", "localhost", "enough"); got != "" {
		t.Errorf("ban_account: %q", got)
	}
	c.Settle()
	if romeo.Closed() != "policy-violation" {
		t.Errorf("romeo's session on the other node: %q", romeo.Closed())
	}
	// Who was just logging in there when the ban came is ended as well.
	if late := c.List[1].Login("romeo@localhost/late"); late.Closed() != "policy-violation" {
		t.Errorf("a session that opens on the other node: %q", late.Closed())
	}
	run(t, here, -1, "unban_account", "romeo", "localhost")
	c.Settle()
	if back := c.List[1].Login("romeo@localhost/back"); back.Closed() != "" {
		t.Errorf("after the ban is lifted: %q", back.Closed())
	}
}

// TestLiftedBanThatWasNotHeard: a node that has lost the others' words must not
// keep somebody out who is not banned any more.
func TestLiftedBanThatWasNotHeard(t *testing.T) {
	s := modtest.Start(t, "", adminextra.Module)
	s.Register("romeo@localhost", "secret")
	if err := hooks.Hear(t.Context(), s.Parts.Hooks, "ban_changed", []byte(`{"user":"romeo@localhost","banned":true}`)); err != nil {
		t.Fatal(err)
	}
	if romeo := s.Login("romeo@localhost/orchard"); romeo.Closed() != "" {
		t.Errorf("closed with %q", romeo.Closed())
	}
}

// TestUsersOfAnotherNodeAreNotOld: who is connected anywhere is not away, and
// while it cannot be told who is, nobody is removed.
func TestUsersOfAnotherNodeAreNotOld(t *testing.T) {
	c, here, romeo := twoNodes(t)
	here.Register("oldman@localhost", "secret")
	for _, user := range []string{"romeo", "oldman"} {
		if _, err := here.Command("set_last", user, "localhost", "1000000000", "long ago"); err != nil {
			t.Fatal(err)
		}
	}
	c.Redis.Stop()
	if _, err := here.Command("delete_old_users", "30"); err == nil {
		t.Error("users were removed although it cannot be told who is connected")
	}
	there := func(name string) bool {
		ok, err := here.Auth.Exists(context.Background(), xmpp.MustParse(name))
		return err != nil || ok
	}
	if !there("oldman@localhost") {
		t.Error("the first one is gone")
	}
	c.Redis.Resume()
	c.Await("Redis is back", func() bool { _, err := here.Sessions.Fresh(romeo.JID.Bare()); return err == nil })
}

// TestForgedSubmissions: an event is no way to speak for a client that is not
// there, or was there before.
func TestForgedSubmissions(t *testing.T) {
	s := modtest.Start(t, "", adminextra.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	stanza := `"stanza":"<message to='juliet@localhost' from='romeo@localhost/orchard'><body>hi</body></message>"`
	for _, payload := range []string{`{}`, `{"session":"romeo@localhost/orchard","id":"` + romeo.Session.ID.String() + `","stanza":"<message"}`, `[]`} {
		if err := hooks.Hear(t.Context(), s.Parts.Hooks, "admin_submit", []byte(payload)); err == nil {
			t.Errorf("%s was heard", payload)
		}
	}
	for _, payload := range []string{
		`{"session":"romeo@localhost/orchard","id":"1-1",` + stanza + `}`,
		`{"session":"romeo@localhost/tomb","id":"` + romeo.Session.ID.String() + `",` + stanza + `}`,
	} {
		if err := hooks.Hear(t.Context(), s.Parts.Hooks, "admin_submit", []byte(payload)); err != nil {
			t.Error(err)
		}
	}
	if in := juliet.Inbox(); len(in) != 0 {
		t.Errorf("juliet got %v", in)
	}
}
