package clientstate

import (
	"bytes"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	nsStates  = "http://jabber.org/protocol/chatstates"
	nsEvent   = "http://jabber.org/protocol/pubsub#event"
	nsMUCUser = "http://jabber.org/protocol/muc#user"
)

// aside are namespaces that may stand beside a chat state and mean nothing without
// it: hints, delays, ids, XEP-0022.
var aside = [...]string{"urn:xmpp:hints", "urn:xmpp:delay", "urn:xmpp:sid:0", "urn:xmpp:occupant-id:0", "jabber:x:event"}

// What is held back.
const (
	presence = iota
	chatState
	event
)

// A key is what of two stanzas makes the later one replace the earlier.
type key struct {
	kind       uint8
	from       xmpp.JID // full
	node, item string   // of an event
}

// holdsPresence reports whether a presence only says how somebody is. What answers
// the client's own doing does not wait: its own presence, that it has entered a room.
func holdsPresence(st *xmpp.Stanza, s *sm.Session) bool {
	if st.Type != "" && st.Type != "unavailable" || st.From == s.JID {
		return false
	}
	if !bytes.Contains(st.Inner(), []byte(nsMUCUser)) {
		return true
	}
	for el := range st.Child(nsMUCUser, "x").Children() {
		if el.Is(nsMUCUser, "status") && el.Attr("code") == "110" { // XEP-0045 §7.2.2
			return false
		}
	}
	return true
}

// isChatState reports whether a message says what somebody does, and nothing else.
// What another device of the user does is told at once: by that they know who
// answers.
func isChatState(st *xmpp.Stanza, s *sm.Session) bool {
	if st.Type == "error" || st.From.Bare() == s.JID.Bare() || !bytes.Contains(st.Inner(), []byte(nsStates)) {
		return false
	}
	found := false
	for el := range st.Children() {
		switch {
		case el.NS == nsStates:
			found = true
		case el.Is(xmpp.NSClient, "thread"), isAside(el.NS):
		default:
			return false
		}
	}
	return found
}

func isAside(ns string) bool {
	for _, a := range aside {
		if ns == a {
			return true
		}
	}
	return false
}

// eventOf is the key of an event of a PEP node (XEP-0163 §4.3). Only one that brings
// a single item can be replaced: where a node has many, each is news of its own.
func eventOf(st *xmpp.Stanza) (key, bool) {
	if st.Type == "error" || !st.From.IsBare() || st.From.Local() == "" || !bytes.Contains(st.Inner(), []byte(nsEvent)) {
		return key{}, false
	}
	if st.Has(xmpp.NSClient, "body") {
		return key{}, false
	}
	items := st.Child(nsEvent, "event").Child(nsEvent, "items")
	k, n := key{kind: event, from: st.From, node: items.Attr("node")}, 0
	for el := range items.Children() {
		if n++; el.Name != "item" {
			return key{}, false
		}
		k.item = el.Attr("id")
	}
	return k, n == 1 && k.node != ""
}
