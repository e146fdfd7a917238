package push_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/modules/push"
	"github.com/gabberd/gabberd/modules/roster"
)

// TestTargetsAreSeenOnAllNodes: each node remembers what it has read.
func TestTargetsAreSeenOnAllNodes(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", disco.Module, offline.Module, roster.Module, push.Module)
	one, two := c.List[0], c.List[1]
	service := &app{s: one}
	t.Cleanup(one.Router.Register("push.localhost", "localhost", service))
	romeo, juliet := one.Available("romeo@localhost/orchard"), two.Login("juliet@localhost/phone")
	romeo.Say(`<message to='juliet@localhost' type='chat' id='m1'><body>x</body></message>`)
	steps := func() string {
		text, err := one.Command("push_explain", "juliet", "localhost")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	c.Await("it is remembered that there is none", func() bool { return strings.Contains(steps(), "no client of the user has enabled") })
	if got := juliet.Ask(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n1'/></iq>`); got.Type != "result" {
		t.Fatal(got)
	}
	c.Settle()
	romeo.Say(`<message to='juliet@localhost' type='chat' id='m2'><body>x</body></message>`)
	c.Await("the service was told", func() bool { return strings.Contains(steps(), "has taken it") })
	if got := juliet.Ask(`<iq type='set' id='e'><disable xmlns='urn:xmpp:push:0' jid='push.localhost'/></iq>`); got.Type != "result" {
		t.Fatal(got)
	}
	c.Settle()
	if text := steps(); !strings.Contains(text, "no client has enabled notifications") {
		t.Errorf("explained:\n%s", text)
	}
}
