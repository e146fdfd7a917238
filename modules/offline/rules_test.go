package offline

import (
	"testing"

	"github.com/gabberd/gabberd/xmpp"
)

const (
	body   = `<body>hi</body>`
	typing = `<composing xmlns='http://jabber.org/protocol/chatstates'/>`
	wish   = `<store xmlns='urn:xmpp:hints'/>`
	no     = `<no-store xmlns='urn:xmpp:hints'/>`
	room   = `<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:mucsub:nodes:messages'><item id='1'>`
	moor   = `</item></items></event>`
)

func TestWhichMessagesAreKept(t *testing.T) {
	usual := options{StoreEmptyBody: "unless_chat_state"}
	always, never := options{StoreEmptyBody: "true"}, options{StoreEmptyBody: "false"}
	rooms := options{StoreEmptyBody: "unless_chat_state", StoreGroupchat: true}
	for _, x := range []struct {
		name, typ, inner string
		o                options
		want             bool
	}{
		{"text", "chat", body, usual, true},
		{"text of no type", "", body, usual, true},
		{"text of an unknown type", "strange", body, usual, true},
		{"headline", "headline", body, usual, false},
		{"error", "error", body, usual, false},
		{"error that asks for it", "error", body + wish, usual, false},
		{"headline that asks for it", "headline", body + wish, usual, true},
		{"text that asks not to", "chat", body + no, usual, false},
		{"text with the old hint", "chat", body + `<no-storage xmlns='urn:xmpp:hints'/>`, usual, false},
		{"both hints", "chat", body + no + wish, usual, true},
		{"text that is not to be archived", "chat", body + `<no-permanent-store xmlns='urn:xmpp:hints'/>`, usual, true},
		{"text that is not to be copied", "chat", body + `<no-copy xmlns='urn:xmpp:hints'/>`, usual, true},
		{"typing that asks for it", "chat", typing + wish, usual, true},
		{"nothing that asks for it", "chat", wish, never, true},
		{"a hint of another namespace", "chat", body + `<no-store xmlns='urn:example'/>`, usual, true},
		{"a body that names the hint", "chat", `<body>no-store urn:xmpp:hints</body>`, usual, true},
		{"groupchat", "groupchat", body, usual, false},
		{"groupchat, wanted", "groupchat", body, rooms, true},
		{"typing", "chat", typing, usual, false},
		{"typing in a thread", "chat", typing + `<thread>1</thread>`, usual, false},
		{"typing, always", "chat", typing, always, true},
		{"typing and more", "chat", typing + `<x xmlns='jabber:x:oob'/>`, usual, true},
		{"receipt", "chat", `<received xmlns='urn:xmpp:receipts' id='1'/>`, usual, true},
		{"receipt, never", "chat", `<received xmlns='urn:xmpp:receipts' id='1'/>`, never, false},
		{"text, never", "chat", body, never, true},
		{"nothing at all", "chat", ``, usual, false},
		{"looked at before", "chat", body + `<offline xmlns='http://jabber.org/protocol/offline'/>`, usual, false},
		{"old typing", "", `<x xmlns='jabber:x:event'><composing/><id>1</id></x>`, always, false},
		{"old stopped typing", "", `<x xmlns='jabber:x:event'><id>1</id></x>`, always, false},
		{"old receipt", "", `<x xmlns='jabber:x:event'><delivered/><id>1</id></x>`, always, true},
		{"old request for events", "", body + `<x xmlns='jabber:x:event'><composing/></x>`, usual, true},
		{"room by subscription", "", room + `<message xmlns='jabber:client' type='groupchat'>` + body + `</message>` + moor, usual, true},
		{"who is in a room", "", `<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='urn:xmpp:mucsub:nodes:presence'><item id='1'/></items></event>`, always, false},
		{"typing in a room", "", room + `<message xmlns='jabber:client' type='groupchat'>` + typing + `</message>` + moor, usual, false},
	} {
		st, err := xmpp.ParseXML([]byte(`<message type='` + x.typ + `' from='a@b' to='c@d'>` + x.inner + `</message>`))
		if err != nil {
			t.Fatal(x.name, err)
		}
		m := &offline{options: x.o}
		if got := m.wants(st); got != x.want {
			t.Errorf("%s: kept %v, want %v", x.name, got, x.want)
		}
	}
}
