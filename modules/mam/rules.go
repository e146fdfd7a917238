package mam

import (
	"bytes"
	"strconv"

	"github.com/gabberd/gabberd/xmpp"
)

const (
	ns          = "urn:xmpp:mam:2"
	nsStanzaID  = "urn:xmpp:sid:0"
	nsHints     = "urn:xmpp:hints"
	nsRetract   = "urn:xmpp:message-retract:1"
	nsTombstone = nsRetract + "#tombstone"
	nsReactions = "urn:xmpp:reactions:0"
	nsMarkers   = "urn:xmpp:chat-markers:0"
	nsOMEMO     = "urn:xmpp:omemo:2"
	nsFullText  = "urn:xmpp:fulltext:0"
	nsDelay     = "urn:xmpp:delay"
	nsForward   = "urn:xmpp:forward:0"
	nsData      = "jabber:x:data"
	nsRSM       = "http://jabber.org/protocol/rsm"
	nsClient    = xmpp.NSClient
)

// worth reports whether a message is of the kind that is archived (XEP-0313
// §5.1.1): part of a conversation, or something about one of its messages. Hints
// go before everything but the type (XEP-0334).
func worth(st *xmpp.Stanza) bool {
	switch st.Type {
	case "error", "groupchat":
		return false
	}
	inner := st.Inner()
	if bytes.Contains(inner, []byte(nsHints)) {
		switch {
		case st.Has(nsHints, "store"):
			return true
		case st.Has(nsHints, "no-store"), st.Has(nsHints, "no-storage"),
			st.Has(nsHints, "no-permanent-store"), st.Has(nsHints, "no-permanent-storage"):
			return false
		}
	}
	if st.Type == "headline" {
		return false
	}
	for el := range st.Children() {
		switch {
		case el.Is(nsClient, "body"):
			if len(el.Inner()) > 0 {
				return true
			}
		case el.Is(nsRetract, "retract"), el.Is(nsReactions, "reactions"), el.Is(nsMarkers, "displayed"), el.Is(nsOMEMO, "encrypted"):
			return true
		}
	}
	return false
}

// idOf is the ID of a stamped message in archives.
func idOf(st *xmpp.Stanza) string { return strconv.FormatInt(st.Stamp, 10) }

// marked is the message with its ID in the archive of user (XEP-0359 §3.1).
func marked(st *xmpp.Stanza, user xmpp.JID) *xmpp.Stanza {
	return st.With(xmpp.Build(nsStanzaID, "stanza-id").Attr("by", user.String()).Attr("id", idOf(st)).Done())
}

// archived reports whether this server has put the message into user's archive. It
// is for messages that have arrived: IDs that others have forged are out. The stamp
// says nothing: it is lost where a message is read again.
func archived(st *xmpp.Stanza, user xmpp.JID) bool {
	if !st.Has(nsStanzaID, "stanza-id") {
		return false
	}
	for el := range st.Children() {
		if by(el, user) {
			_, err := parseID(el.Attr("id"))
			return err == nil
		}
	}
	return false
}

// unmarked is the message without IDs by user, which only his own server may give.
func unmarked(st *xmpp.Stanza, user xmpp.JID) *xmpp.Stanza {
	if !st.Has(nsStanzaID, "stanza-id") {
		return st
	}
	found := false
	for el := range st.Children() {
		found = found || by(el, user)
	}
	if !found {
		return st
	}
	return st.Filter(func(el *xmpp.Element) bool { return !by(el, user) })
}

// by reports whether el is an ID by the user. An address counts in whatever
// spelling.
func by(el *xmpp.Element, user xmpp.JID) bool {
	if !el.Is(nsStanzaID, "stanza-id") {
		return false
	}
	j, err := xmpp.Parse(el.Attr("by"))
	return err == nil && j == user
}

// originOf is how the sender calls the message: by its <origin-id/> (XEP-0359) or
// the stanza's ID.
func originOf(st *xmpp.Stanza) string {
	if id := st.Child(nsStanzaID, "origin-id").Attr("id"); id != "" {
		return id
	}
	return st.ID
}
