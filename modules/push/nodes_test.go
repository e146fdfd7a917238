package push_test

import (
	"strings"
	"testing"
	"time"

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

// TestARoundLeavesSessionsOfOtherNodesAlone: though they wait for their clients.
func TestARoundLeavesSessionsOfOtherNodesAlone(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", disco.Module, offline.Module, roster.Module, push.Module)
	one, two := c.List[0], c.List[1]
	service := &app{s: one}
	t.Cleanup(one.Router.Register("push.localhost", "localhost", service))
	enable := func(client *modtest.Client, node string) {
		if got := client.Ask(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='` + node + `'/></iq>`); got.Type != "result" {
			t.Fatal(got)
		}
	}
	for _, name := range []string{"juliet", "nurse", "romeo", "tybalt"} {
		client := two.Login(name + "@localhost/phone")
		enable(client, name)
		switch name {
		case "nurse":
			client.Break(time.Hour)
		case "romeo", "tybalt":
			client.Logout()
		}
	}
	c.Settle()
	push.WakeAll.Run(t.Context(), one.Parts.Hooks, one.JID)
	c.Await("whom it concerns was told", func() bool {
		service.mu.Lock()
		defer service.mu.Unlock()
		return len(service.got) >= 2
	})
	service.mu.Lock()
	defer service.mu.Unlock()
	for _, iq := range service.got {
		if node := iq.Payload().Child("", "publish").Attr("node"); node != "romeo" && node != "tybalt" {
			t.Errorf("%s was told", node)
		}
	}
	text, err := one.Command("push_explain", "nurse", "localhost")
	if err != nil || !strings.Contains(text, "2 nodes of clients without a session were told, 2 of clients with one were not") {
		t.Errorf("explained: %v\n%s", err, text)
	}
}
