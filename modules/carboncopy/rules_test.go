package carboncopy

import (
	"testing"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// TestWhatIsCopied goes through the rules of XEP-0280 §6.1.
func TestWhatIsCopied(t *testing.T) {
	const (
		body    = `<body>It is the east</body>`
		states  = `<composing xmlns='http://jabber.org/protocol/chatstates'/>`
		receipt = `<received xmlns='urn:xmpp:receipts' id='1'/>`
		marker  = `<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>`
		room    = `<x xmlns='http://jabber.org/protocol/muc#user'/>`
		invite  = `<x xmlns='http://jabber.org/protocol/muc#user'><invite to='juliet@localhost'/></x>`
		direct  = `<x xmlns='jabber:x:conference' jid='tomb@rooms.localhost'/>`
		hint    = `<no-copy xmlns='urn:xmpp:hints'/>`
		store   = `<store xmlns='urn:xmpp:hints'/>`
		private = `<private xmlns='urn:xmpp:carbons:2'/>`
		nested  = `<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/></received>`
		event   = `<event xmlns='http://jabber.org/protocol/pubsub#event'/>`
	)
	for _, x := range []struct {
		name, from, typ, payload string
		in, out                  bool
	}{
		{"chat", "romeo@localhost/x", "chat", body, true, true},
		{"chat with a chat state", "romeo@localhost/x", "chat", states, true, true},
		{"empty chat", "romeo@localhost/x", "chat", "", true, true},
		{"normal with a text", "romeo@localhost/x", "", body, true, true},
		{"of a type that nobody knows", "romeo@localhost/x", "strange", body, true, true},
		{"normal without", "romeo@localhost/x", "normal", event, false, false},
		{"normal receipt", "romeo@localhost/x", "", receipt, true, true},
		{"normal chat state", "romeo@localhost/x", "normal", states, true, true},
		{"normal marker", "romeo@localhost/x", "normal", marker, true, true},
		{"headline with a text", "romeo@localhost/x", "headline", body, false, false},
		{"groupchat", "tomb@rooms.localhost/r", "groupchat", body, false, false},
		{"error", "romeo@localhost/x", "error", body, false, false},
		{"private", "romeo@localhost/x", "chat", body + private, false, false},
		{"no-copy", "romeo@localhost/x", "chat", body + hint, false, false},
		{"another hint", "romeo@localhost/x", "chat", body + store, true, true},
		{"normal and private", "romeo@localhost/x", "", private + body, false, false},
		{"a forged copy", "romeo@localhost/x", "chat", body + nested, false, false},
		{"a text that names all of this", "romeo@localhost/x", "chat", `<body>urn:xmpp:carbons:2 urn:xmpp:hints no-copy private</body>`, true, true},
		{"occupant in private", "tomb@rooms.localhost/r", "chat", body + room, false, true},
		{"occupant in private, normal", "tomb@rooms.localhost/r", "", body + room, false, true},
		{"invitation by a room", "tomb@rooms.localhost", "", invite, true, true},
		{"invitation by a room's occupant", "tomb@rooms.localhost/r", "", invite, true, true},
		{"direct invitation", "romeo@localhost/x", "", direct, true, true},
		{"what a room says of itself", "tomb@rooms.localhost", "", room, false, false},
	} {
		st, err := xmpp.ParseXML([]byte(`<message xmlns='jabber:client' from='` + x.from + `' to='juliet@localhost' type='` + x.typ + `'>` + x.payload + `</message>`))
		if err != nil {
			t.Fatal(err)
		}
		if in, out := eligible(st, sm.In), eligible(st, sm.Out); in != x.in || out != x.out {
			t.Errorf("%s: received %v, sent %v; want %v, %v", x.name, in, out, x.in, x.out)
		}
	}
}
