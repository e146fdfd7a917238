package offline

import (
	"bytes"
	"strconv"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

const (
	nsOffline = "http://jabber.org/protocol/offline"
	nsHints   = "urn:xmpp:hints"
	nsExpire  = "jabber:x:expire"
	nsEvent   = "jabber:x:event"
	nsDelay   = "urn:xmpp:delay"
	nsStates  = "http://jabber.org/protocol/chatstates"
	nsPubSub  = "http://jabber.org/protocol/pubsub#event"
	nsRoom    = "urn:xmpp:mucsub:nodes:"
	nsClient  = xmpp.NSClient
)

// wants reports whether a message is of the kind that is kept.
func (m *offline) wants(st *xmpp.Stanza) bool {
	if st.Type == "error" || st.Has(nsOffline, "offline") || composing(st) {
		return false
	}
	inner := inRoom(st)
	if inner == nil {
		inner = st
	}
	switch hint(inner) {
	case "store":
		return true
	case "no-store":
		return false
	}
	switch {
	case inner == st && (st.Type == "headline" || st.Type == "groupchat" && !m.StoreGroupchat):
		return false
	case roomNode(st) == nsRoom+"presence": // who was there meanwhile is not worth knowing
		return false
	case hasBody(inner), m.StoreEmptyBody == "true":
		return true
	}
	return m.StoreEmptyBody == "unless_chat_state" && !onlyState(inner)
}

// hint is what the sender asks for (XEP-0334): store, no-store or nothing. Who
// asks for both gets the first.
func hint(st *xmpp.Stanza) string {
	if !bytes.Contains(st.Inner(), []byte(nsHints)) {
		return ""
	}
	if st.Has(nsHints, "store") {
		return "store"
	}
	if st.Has(nsHints, "no-store") || st.Has(nsHints, "no-storage") {
		return "no-store"
	}
	return ""
}

func hasBody(st *xmpp.Stanza) bool { return st.Has(nsClient, "body") }

// onlyState reports whether a message says nothing, or nothing but that somebody
// is typing or has stopped (XEP-0085 §5.6).
func onlyState(st *xmpp.Stanza) bool {
	for c := range st.Children() {
		switch c.NS {
		case nsStates, nsDelay, nsEvent, nsHints, "urn:xmpp:sid:0":
		default:
			if !c.Is(nsClient, "thread") {
				return false
			}
		}
	}
	return true
}

// composing reports whether a message only says that somebody is typing, or has
// stopped (XEP-0022 §3).
func composing(st *xmpp.Stanza) bool {
	x := st.Child(nsEvent, "x")
	if x == nil || x.Child(nsEvent, "id") == nil {
		return false
	}
	for _, kept := range []string{"delivered", "displayed", "offline"} {
		if x.Child(nsEvent, kept) != nil {
			return x.Child(nsEvent, "composing") != nil
		}
	}
	return true
}

// inRoom is the message of a room that a notification of the room's nodes
// carries, nil if there is none.
func inRoom(st *xmpp.Stanza) *xmpp.Stanza {
	if roomNode(st) != nsRoom+"messages" {
		return nil
	}
	inner := st.Child(nsPubSub, "event").Child(nsPubSub, "items").Child(nsPubSub, "item").Child(nsClient, "message")
	if inner == nil {
		return nil
	}
	room, err := xmpp.ParseXML([]byte(inner.XML()))
	if err != nil {
		return nil
	}
	return room
}

// roomNode is the node of a room that the message is a notification of, if it is one.
func roomNode(st *xmpp.Stanza) string {
	if !bytes.Contains(st.Inner(), []byte(nsRoom)) {
		return ""
	}
	return st.Child(nsPubSub, "event").Child(nsPubSub, "items").Attr("node")
}

// stamped is the message as it is stored: with the time when it came (XEP-0203),
// unless it has been here before.
func stamped(st *xmpp.Stanza, host xmpp.JID, now time.Time) *xmpp.Stanza {
	for c := range st.Children() {
		if c.Is(nsDelay, "delay") && c.Attr("from") == host.String() {
			return st
		}
	}
	return st.With(xmpp.Build(nsDelay, "delay").Attr("from", host.String()).
		Attr("stamp", now.UTC().Format("2006-01-02T15:04:05.000000Z")).Text("Offline Storage").Done())
}

// expired reports whether the sender does not want the message to be read any
// more (XEP-0023): it is good for some seconds from the time in its stamp.
func expired(st *xmpp.Stanza, host xmpp.JID, now time.Time) bool {
	x := st.Child(nsExpire, "x")
	if x == nil {
		return false
	}
	seconds, err := strconv.ParseUint(x.Attr("seconds"), 10, 31)
	if err != nil {
		return false
	}
	for c := range st.Children() {
		if c.Is(nsDelay, "delay") && c.Attr("from") == host.String() {
			at, err := time.Parse(time.RFC3339Nano, c.Attr("stamp"))
			return err == nil && now.After(at.Add(time.Duration(seconds)*time.Second))
		}
	}
	return false
}
