package roster

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// ns is the namespace of rosters (RFC 6121 §2).
const ns = "jabber:iq:roster"

// Bounds on what one roster can hold. A client that passes them is refused, a
// stranger's request is not remembered.
const (
	maxItems    = 10_000 // contacts of a user
	maxRequests = 300    // of them: strangers' requests without an answer
	maxRequest  = 4096   // bytes of a request that are remembered
	maxText     = 1023   // bytes of a contact's name, and of a group's
	maxGroups   = 100    // of a contact
)

// An Item is a contact in a user's roster (RFC 6121 §2.1.2). Items that a hook
// hands out are shared and must not be changed.
type Item struct {
	JID    xmpp.JID
	Name   string
	Groups []string // in order, none twice
	State  State
	// Extra is what other protocols put into the item (XEP-0405 §6.4).
	Extra []*xmpp.Element

	request string // of the contact, as it is stored; see readRequest
	kept    bool   // put there by the user, although nothing in it shows that
}

// hidden reports whether the item only remembers a contact's request: the user
// has not put him into the roster (RFC 6121 §3.1.3, "None + Pending In").
func (i *Item) hidden() bool {
	return i.State == PendingIn && !i.kept && i.Name == "" && len(i.Groups) == 0
}

// shown reports whether the user's clients know of the item.
func (i *Item) shown() bool { return i != nil && !i.hidden() }

// contact is the item as sm asks for it.
func (i *Item) contact() sm.Contact {
	c := sm.Contact{Subscription: i.State.Subscription(), Groups: i.Groups}
	if i.State.Has(PendingOut) {
		c.Ask = "subscribe"
	}
	return c
}

// append writes the item into a roster query.
func (i *Item) append(b *xmpp.Builder) {
	b.Open("", "item").Attr("jid", i.JID.String()).OptAttr("name", i.Name).
		Attr("subscription", i.State.Subscription())
	if i.State.Has(PendingOut) {
		b.Attr("ask", "subscribe")
	}
	if i.State.Has(Approved) {
		b.Attr("approved", "true")
	}
	for _, g := range i.Groups {
		b.Open("", "group").Text(g).Close()
	}
	for _, el := range i.Extra {
		b.Add(el)
	}
	b.Close()
}

// size is how many bytes of text the item has.
func (i *Item) size() int {
	n := len(i.JID.String()) + len(i.Name) + len(i.request)
	for _, g := range i.Groups {
		n += len(g)
	}
	return n
}

// appendRemoved writes that j is not in the roster any more.
func appendRemoved(b *xmpp.Builder, j xmpp.JID) {
	b.Open("", "item").Attr("jid", j.String()).Attr("subscription", "remove").Close()
}

// sameShown reports whether the user's clients see no difference.
func sameShown(a, b *Item) bool {
	if !a.shown() || !b.shown() {
		return a.shown() == b.shown()
	}
	return a.Name == b.Name && slices.Equal(a.Groups, b.Groups) && a.State&^PendingIn == b.State&^PendingIn
}

// normal is groups in order, none twice.
func normal(groups []string) []string {
	groups = slices.Clone(groups)
	slices.Sort(groups)
	return slices.Compact(groups)
}

// digest is a version of the roster made of what is in it (RFC 6121 §2.6).
func digest(items []Item) string {
	texts := make([]string, len(items))
	for i := range items {
		b := xmpp.Build(ns, "query")
		items[i].append(b)
		texts[i] = b.Done().XML()
	}
	slices.Sort(texts)
	sum := sha1.Sum([]byte(strings.Join(texts, "\n")))
	return hex.EncodeToString(sum[:])
}
