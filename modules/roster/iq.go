package roster

import (
	"context"
	"slices"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/xmpp"
)

// answer answers requests to users' bare addresses: each may see and change
// only his own roster (RFC 6121 §2.1.5, §2.3.3).
func (m *roster) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	query := iq.Payload()
	if query.Name != "query" {
		return nil, xmpp.BadRequest.WithText("A roster request is a <query/>")
	}
	user := iq.To.Bare()
	if iq.From.Bare() != user && !RemoteAccess.Run(ctx, m.host.Hooks(), false, iq) {
		return nil, xmpp.Forbidden.WithText("A roster is for its owner")
	}
	if iq.Type == "get" {
		return m.get(ctx, iq, query)
	}
	if !m.Access.Allows(m.host.Rules, local.Subject(user)) {
		return nil, xmpp.NotAllowed.WithText("Access denied by service policy")
	}
	return nil, m.set(ctx, user, query)
}

// get answers with the roster, or with nothing if the client has it already
// (RFC 6121 §2.1.4, §2.6.3).
func (m *roster) get(ctx context.Context, iq *xmpp.Stanza, query *xmpp.Element) (*xmpp.Element, error) {
	if query.Child("", "") != nil {
		return nil, xmpp.BadRequest.WithText("A request for the roster is empty")
	}
	user := iq.To.Bare()
	// First, so that no change falls between the answer and the first push.
	if s := m.host.Sessions.Find(iq.From); s != nil && s.JID.Bare() == user {
		m.interested.Set(s, struct{}{})
	}
	has, versioned := query.LookupAttr("ver")
	versioned = versioned && m.Versioning
	version := ""
	if versioned && m.StoreCurrentID {
		// Before the items: a change in between makes them newer than the
		// version says, which costs the client a full answer and no contact.
		var err error
		if version, err = m.store.version(ctx, user); err != nil {
			return nil, err
		}
		if version == has {
			return nil, nil
		}
		// What is in memory may be older than that.
		m.cache.forget(user)
	}
	all := Get.Run(ctx, m.host.Hooks(), Contents{}, user)
	switch {
	case all.Err != nil:
		return nil, all.Err
	case version != "":
		return newQuery(all.Items, version), nil
	case !versioned:
		return all.plain(), nil
	}
	a := all.versioned()
	if a.version == has {
		return nil, nil
	}
	return a.query, nil
}

// set adds, changes or removes one contact (RFC 6121 §2.3–2.5). What a client
// says about subscriptions other than remove is ignored (§2.1.2.5).
func (m *roster) set(ctx context.Context, user xmpp.JID, query *xmpp.Element) error {
	var el *xmpp.Element
	for c := range query.Children() {
		if el != nil || !c.Is(ns, "item") {
			return xmpp.BadRequest.WithText("A change of the roster has exactly one <item/>")
		}
		el = c
	}
	contact, err := xmpp.Parse(el.Attr("jid"))
	if err != nil {
		return xmpp.BadRequest.WithText("The item has no valid jid")
	}
	if el.Attr("subscription") == "remove" {
		return m.remove(ctx, user, contact)
	}
	want, err := readSet(el, contact)
	if err != nil {
		return err
	}
	if ProcessItem.Heard(m.host.Hooks()) {
		before, err := m.store.item(ctx, m.store, user, contact)
		if err != nil {
			return err
		}
		want.State = before.state()
		want = ProcessItem.Run(ctx, m.host.Hooks(), want, user)
	}
	_, err = m.change(ctx, change{user: user, contact: contact, always: true}, func(old *Item) (*Item, error) {
		n := Item{JID: contact.Clone()}
		if old != nil {
			n = *old
		}
		n.Name, n.Groups, n.kept = want.Name, normal(want.Groups), true
		return &n, nil
	})
	return err
}

// readSet reads what a client wants to know a contact by (RFC 6121 §2.3.3).
func readSet(el *xmpp.Element, contact xmpp.JID) (Item, error) {
	it := Item{JID: contact, Name: el.Attr("name")}
	if len(it.Name) > maxText {
		return it, xmpp.NotAcceptable.WithText("The name is too long")
	}
	for c := range el.Children() {
		if !c.Is(ns, "group") {
			continue
		}
		group := c.Text()
		switch {
		case group == "":
			return it, xmpp.NotAcceptable.WithText("A group has no name")
		case len(group) > maxText:
			return it, xmpp.NotAcceptable.WithText("The name of a group is too long")
		case slices.Contains(it.Groups, group):
			return it, xmpp.BadRequest.WithText("A group is there twice")
		case len(it.Groups) == maxGroups:
			return it, xmpp.NotAcceptable.WithText("The contact is in too many groups")
		}
		it.Groups = append(it.Groups, group)
	}
	return it, nil
}

// remove takes a contact out of the roster and ends what there was between the
// two (RFC 6121 §2.5).
func (m *roster) remove(ctx context.Context, user, contact xmpp.JID) error {
	c, err := m.change(ctx, change{user: user, contact: contact}, func(old *Item) (*Item, error) {
		if !old.shown() {
			return nil, xmpp.ItemNotFound.WithText("There is no such contact")
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	if user != contact.Bare() {
		m.part(ctx, user, c.old)
	}
	return nil
}
