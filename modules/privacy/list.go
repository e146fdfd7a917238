package privacy

import (
	"cmp"
	"context"
	"slices"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Bounds on what a user can keep.
const (
	maxLists = 32
	maxItems = 2000 // of one list
	maxName  = 255  // bytes of a list's name
	maxValue = 3071 // bytes: the longest address
)

// kinds is which stanzas an item is about (XEP-0016 §2.1).
type kinds uint8

const (
	messages    kinds = 1 << iota // that come in
	iqs                           // that come in
	presenceIn                    // available and unavailable
	presenceOut                   // available and unavailable

	everything kinds = 0 // also subscriptions, probes, and what goes out
	fourKinds        = messages | iqs | presenceIn | presenceOut
)

// match is what an item compares, as ejabberd's table has it.
type match string

const (
	anybody        match = "n"
	byJID          match = "j"
	byGroup        match = "g"
	bySubscription match = "s"
)

// item is a rule of a list. Items are compared with ==.
type item struct {
	match match
	jid   xmpp.JID // byJID
	value string   // byGroup, bySubscription
	allow bool
	order int64
	kinds kinds
}

// blocks reports whether the item is one of a blocklist (XEP-0191 §5).
func (i *item) blocks() bool {
	return i.match == byJID && !i.allow && (i.kinds == everything || i.kinds == fourKinds)
}

// text is the value as it is stored and shown.
func (i *item) text() string {
	if i.match == byJID {
		return i.jid.String()
	}
	return i.value
}

// list is a privacy list that can be asked. It is never changed.
type list struct {
	name    string
	items   []item               // in the order in which they are asked
	jids    map[xmpp.JID][]int32 // where items byJID are in items
	others  []int32              // where the others are
	devices bool                 // some of jids are of a domain, with a resource
}

func newList(name string, items []item) *list {
	l := &list{name: name, items: slices.Clone(items), jids: map[xmpp.JID][]int32{}}
	// XEP-0191 §5: what is blocked comes first.
	slices.SortStableFunc(l.items, func(a, b item) int {
		first := func(i item) int {
			if i.blocks() {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(first(a), first(b)))
	})
	for i := range l.items {
		it := &l.items[i]
		if it.match != byJID {
			l.others = append(l.others, int32(i))
			continue
		}
		l.jids[it.jid] = append(l.jids[it.jid], int32(i))
		l.devices = l.devices || it.jid.Local() == "" && !it.jid.IsBare()
	}
	return l
}

// blocklist is the addresses that the list denies altogether.
func (l *list) blocklist() (out []xmpp.JID) {
	if l == nil {
		return nil
	}
	for i := range l.items {
		if l.items[i].blocks() && !slices.Contains(out, l.items[i].jid) {
			out = append(out, l.items[i].jid)
		}
	}
	return out
}

// allows reports whether the list lets something of kind k pass between user and
// peer. A list that says nothing does (XEP-0016 §2.2). A nil list allows all.
func (l *list) allows(ctx context.Context, t *hooks.Table, user, peer xmpp.JID, k kinds) bool {
	if l == nil || len(l.items) == 0 {
		return true
	}
	at := l.first(peer, k)
	var c sm.Contact
	asked := false
	for _, i := range l.others {
		if int(i) >= at {
			break
		}
		it := &l.items[i]
		if !it.about(k) {
			continue
		}
		if it.match != anybody && !asked {
			c, asked = sm.JIDInfo.Run(ctx, t, sm.Contact{}, sm.Pair{User: user, Other: peer}), true
		}
		if it.fits(c) {
			return it.allow
		}
	}
	return at == len(l.items) || l.items[at].allow
}

// first is where the first item about the address of peer is, the length of the
// list if there is none (XEP-0016 §2.1: user@domain/resource, user@domain,
// domain/resource, domain).
func (l *list) first(peer xmpp.JID, k kinds) int {
	at := len(l.items)
	look := func(j xmpp.JID) {
		for _, i := range l.jids[j] {
			if int(i) < at && l.items[i].about(k) {
				at = int(i)
			}
		}
	}
	look(peer)
	if !peer.IsBare() {
		look(peer.Bare())
		if l.devices {
			if j, err := peer.Host().WithResource(peer.Resource()); err == nil {
				look(j)
			}
		}
	}
	if peer.Local() != "" {
		look(peer.Host())
	}
	return at
}

// about reports whether the item is about stanzas of kind k.
func (i *item) about(k kinds) bool { return i.kinds == everything || i.kinds&k != 0 }

// fits reports whether an item that is not byJID is about the contact.
func (i *item) fits(c sm.Contact) bool {
	switch i.match {
	case byGroup:
		return slices.Contains(c.Groups, i.value)
	case bySubscription:
		return i.value == cmp.Or(c.Subscription, "none")
	}
	return true
}

// kindOf is what a list calls the stanza.
func kindOf(st *xmpp.Stanza, d sm.Direction) kinds {
	switch {
	case st.Kind == xmpp.Presence && st.Type != "" && st.Type != "unavailable":
		return everything
	case st.Kind == xmpp.Presence && d == sm.In:
		return presenceIn
	case st.Kind == xmpp.Presence:
		return presenceOut
	case d == sm.Out:
		return everything
	case st.Kind == xmpp.Message:
		return messages
	}
	return iqs
}

// rules is all lists of a user. It is never changed; nil: he has none.
type rules struct {
	lists  []*list // in order of name
	common *list   // the default list, nil if there is none
}

// find is the list called name, nil if there is none.
func (r *rules) find(name string) *list {
	if r == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(r.lists, name, func(l *list, name string) int { return cmp.Compare(l.name, name) })
	if !ok {
		return nil
	}
	return r.lists[i]
}

// standard is the default list, nil if there is none.
func (r *rules) standard() *list {
	if r == nil {
		return nil
	}
	return r.common
}

// of is the list for a session, whose active list may have this name (XEP-0016
// §2.2).
func (r *rules) of(active string) *list {
	if active != "" {
		if l := r.find(active); l != nil {
			return l
		}
	}
	return r.standard()
}

// weight is how many bytes the rules take, about.
func (r *rules) weight() int {
	n := 0
	if r == nil {
		return n
	}
	for _, l := range r.lists {
		n += 200 + len(l.name)
		for i := range l.items {
			n += 200 + len(l.items[i].text())
		}
	}
	return n
}
