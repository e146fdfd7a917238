package cluster

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Namespaces that decide whether a message gets an ID.
const (
	nsStanzaID   = "urn:xmpp:sid:0"
	nsChatStates = "http://jabber.org/protocol/chatstates"
	nsHints      = "urn:xmpp:hints"
)

// stampFor has messages for users of h carry an ID by which their clients can
// tell that they get one for the second time (XEP-0359). Forged ones are taken
// out before anybody sees the message; ours is set after everybody who may have
// a better one, such as an archive.
func (c *Cluster) stampFor(h *host) {
	sm.Receive.Add(owner{h}, hooks.First, func(_ context.Context, st *xmpp.Stanza, _ *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
		if st != nil && st.Kind == xmpp.Message && st.Has(nsStanzaID, "stanza-id") {
			return unforged(st), hooks.Next
		}
		return st, hooks.Next
	})
	sm.Receive.Add(owner{h}, hooks.Last, func(_ context.Context, st *xmpp.Stanza, _ *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
		if st == nil || !worthID(st) || stamped(st) {
			return st, hooks.Next
		}
		el := xmpp.Build(nsStanzaID, "stanza-id").Attr("by", st.To.Bare().String()).Attr("id", c.stamp.next()).Done()
		return st.With(el), hooks.Next
	})
}

// A stamp gives IDs that nobody gives a second time, and from which nobody learns
// anything but how many there were.
type stamp struct {
	front string
	n     atomic.Uint64
}

func (s *stamp) init() { s.front = strings.ToLower(rand.Text()[:16]) }

func (s *stamp) next() string { return s.front + strconv.FormatUint(s.n.Add(1), 36) }

// unforged is st without IDs that only the user's own server may give (XEP-0359
// §3.1).
func unforged(st *xmpp.Stanza) *xmpp.Stanza {
	forged := false
	for el := range st.Children() {
		forged = forged || isStamp(el, st.To)
	}
	if !forged {
		return st
	}
	return st.Filter(func(el *xmpp.Element) bool { return !isStamp(el, st.To) })
}

// isStamp reports whether el is an ID by the user. An address counts in whatever
// spelling.
func isStamp(el *xmpp.Element, user xmpp.JID) bool {
	if !el.Is(nsStanzaID, "stanza-id") {
		return false
	}
	by, err := xmpp.Parse(el.Attr("by"))
	return err == nil && by == user.Bare()
}

// stamped reports whether st has an ID by the user.
func stamped(st *xmpp.Stanza) bool {
	if !st.Has(nsStanzaID, "stanza-id") {
		return false
	}
	for el := range st.Children() {
		if isStamp(el, st.To) {
			return true
		}
	}
	return false
}

// worthID reports whether a repetition of the message would matter to somebody:
// of type chat or normal, and more than that somebody is typing.
func worthID(st *xmpp.Stanza) bool {
	if st.Kind != xmpp.Message || st.Type != "" && st.Type != "chat" && st.Type != "normal" {
		return false
	}
	for el := range st.Children() {
		switch {
		case el.NS == nsChatStates, el.NS == nsHints, el.NS == xmpp.NSClient && el.Name == "thread":
		default:
			return true
		}
	}
	return false
}
