package cluster_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func TestMessagesGetAnID(t *testing.T) {
	w := newWorld(t)
	a := w.join("a")
	juliet := a.login("juliet@localhost/x")
	for _, c := range []struct {
		name, in string
		stamps   int  // by juliet
		keeps    bool // the one that was there
	}{
		{"a chat message", `<message type='chat' to='juliet@localhost/x'><body>hi</body></message>`, 1, false},
		{"a message without type", `<message to='juliet@localhost'><body>hi</body></message>`, 1, false},
		{"a receipt", `<message to='juliet@localhost/x' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>`, 1, false},
		{"somebody typing", `<message to='juliet@localhost/x' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/><thread>1</thread></message>`, 0, false},
		{"an error", `<message to='juliet@localhost/x' type='error'><body>hi</body></message>`, 0, false},
		{"a forged ID", `<message to='juliet@localhost/x'><body>hi</body><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='mine'/></message>`, 1, false},
		{"a forged ID in other letters", `<message to='juliet@localhost/x'><body>hi</body><stanza-id xmlns='urn:xmpp:sid:0' by='Juliet@LOCALHOST' id='mine'/></message>`, 1, false},
		{"a forged ID with a prefix", `<message to='juliet@localhost/x'><s:stanza-id xmlns:s='urn:xmpp:sid:0' by='juliet@localhost' id='mine'/><body>hi</body></message>`, 1, false},
		{"an ID of a room", `<message to='juliet@localhost/x'><body>hi</body><stanza-id xmlns='urn:xmpp:sid:0' by='room@muc.localhost' id='mine'/></message>`, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, err := xmpp.ParseXML([]byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			before := len(juliet.stanzas())
			a.router.Route(t.Context(), st.Readdressed(xmpp.MustParse("romeo@localhost/r"), st.To))
			all := juliet.stanzas()
			if len(all) != before+1 {
				t.Fatalf("%d stanzas came", len(all)-before)
			}
			got := all[before]
			n := 0
			for el := range got.Children() {
				if el.Is("urn:xmpp:sid:0", "stanza-id") && el.Attr("by") == "juliet@localhost" && el.Attr("id") != "mine" {
					n++
				}
			}
			if n != c.stamps || strings.Contains(got.String(), "mine") != c.keeps || strings.Contains(strings.ToLower(got.String()), "by='juliet@localhost' id='mine'") {
				t.Errorf("it became %s", got)
			}
		})
	}
}

func TestTheIDOfAnArchiveStays(t *testing.T) {
	w := newWorld(t)
	a := w.join("a")
	juliet := a.login("juliet@localhost/x")
	sm.Receive.Add(a, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
		return st.With(xmpp.Build("urn:xmpp:sid:0", "stanza-id").Attr("by", "juliet@localhost").Attr("id", "archived").Done()), hooks.Next
	})
	a.sender("romeo@localhost/r").send("juliet@localhost/x", "m")
	if got := juliet.stanzas()[0].String(); strings.Count(got, "stanza-id") != 1 || !strings.Contains(got, "archived") {
		t.Errorf("got %s", got)
	}
}

// A farewell that its successor has overtaken is not told to friends on the same node
// either.
func TestOvertakenFarewellOnTheSameNode(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	befriend(a, b, c)
	romeo := b.login("romeo@localhost/r")
	a.sees("romeo@localhost/r", "b")
	c.sees("romeo@localhost/r", "b")
	c.login("juliet@localhost/phone")
	b.sees("juliet@localhost/phone", "c")
	told := func() string { return romeo.told("juliet@localhost/") }
	await(t, "romeo is told", func() bool { return told() == "phone" })
	gone := xmpp.NewPresence("unavailable", xmpp.MustParse("juliet@localhost/phone"), xmpp.MustParse("romeo@localhost"))
	b.router.Route(t.Context(), gone)
	if got := told(); got != "phone" {
		t.Errorf("romeo was told: %s", got)
	}
}

// What is said in the name of a client that stays is no farewell: it reaches a friend
// on whichever node, although another node than the client's says it.
func TestGoneForOneOnly(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	befriend(a, b, c)
	friends := map[string]*client{"a": a.login("romeo@localhost/a"), "b": b.login("romeo@localhost/b"), "c": c.login("romeo@localhost/c")}
	for _, n := range []*node{a, b, c} {
		for on := range friends {
			n.sees("romeo@localhost/"+on, on)
		}
	}
	c.login("juliet@localhost/phone")
	b.sees("juliet@localhost/phone", "c")
	for on, romeo := range friends {
		await(t, "romeo is told on "+on, func() bool { return romeo.told("juliet@localhost/") == "phone" })
	}
	gone := xmpp.NewPresence("unavailable", xmpp.MustParse("juliet@localhost/phone"), xmpp.MustParse("romeo@localhost"))
	b.router.Route(sm.Staying(t.Context()), gone)
	for on, romeo := range friends {
		await(t, "she is gone on "+on, func() bool { return romeo.told("juliet@localhost/") != "phone" })
	}
}
