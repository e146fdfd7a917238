package carboncopy

import (
	"bytes"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	nsHints      = "urn:xmpp:hints"
	nsMUCUser    = "http://jabber.org/protocol/muc#user"
	nsConference = "jabber:x:conference"
)

// Namespaces of what people's clients say to each other beside texts: XEP-0184,
// XEP-0085, XEP-0333.
var chatter = [...]string{"urn:xmpp:receipts", "http://jabber.org/protocol/chatstates", "urn:xmpp:chat-markers:0"}

// eligible reports whether copies are made of a message that a user is sent (In) or
// sends (Out): the rules of XEP-0280 §6.1, for all but errors. A message that holds
// what looks like a copy is not copied, so that none is ever inside another.
func eligible(st *xmpp.Stanza, d sm.Direction) bool {
	if st.Type == "groupchat" || st.Type == "error" {
		return false
	}
	if mayExclude(st) && excluded(st) {
		return false
	}
	if st.Type == "chat" {
		return !(d == sm.In && fromRoom(st))
	}
	body, talk, room, invited := false, false, false, false
	for el := range st.Children() {
		switch {
		case el.Is(xmpp.NSClient, "body"):
			body = st.Type != "headline"
		case el.Is(nsConference, "x"):
			invited = true
		case el.Is(nsMUCUser, "x"):
			room = true
			invited = invited || el.Child(nsMUCUser, "invite") != nil
		case isChatter(el.NS):
			talk = true
		}
	}
	if room && !invited && d == sm.In && !st.From.IsBare() {
		return false // the room sends it to all who are there
	}
	return body || talk || invited
}

func isChatter(ns string) bool {
	for _, c := range chatter {
		if ns == c {
			return true
		}
	}
	return false
}

// fromRoom reports whether an occupant of a room speaks to the user in private.
func fromRoom(st *xmpp.Stanza) bool {
	if st.From.IsBare() || !st.Has(nsMUCUser, "x") {
		return false
	}
	return st.Child(nsMUCUser, "x").Child(nsMUCUser, "invite") == nil && !st.Has(nsConference, "x")
}

// mayExclude is a quick look for what excluded looks for.
func mayExclude(st *xmpp.Stanza) bool {
	return bytes.Contains(st.Inner(), []byte(ns)) || bytes.Contains(st.Inner(), []byte(nsHints))
}

// excluded reports whether the sender wants no copies (XEP-0280 §9), or there is a
// copy in it already.
func excluded(st *xmpp.Stanza) bool {
	for el := range st.Children() {
		switch {
		case el.NS == ns && (el.Name == "private" || el.Name == "sent" || el.Name == "received"):
			return true
		case el.Is(nsHints, "no-copy"):
			return true
		}
	}
	return false
}
