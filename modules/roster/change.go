package roster

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// change is an item of a user's roster, before and after. Nil: not there.
type change struct {
	user, contact xmpp.JID
	old, new      *Item
	always        bool // tell the clients even if they see no difference
	version       string
}

// visible reports whether the user's clients are to hear of c.
func (c *change) visible() bool { return c.always || !sameShown(c.old, c.new) }

// state is that of i, None where there is no item.
func (i *Item) state() State {
	if i == nil {
		return None
	}
	return i.State
}

// change edits an item, stores it and tells the user's clients.
func (m *roster) change(ctx context.Context, c change, f edit) (change, error) {
	l := m.locks.of(c.user)
	l.Lock()
	defer l.Unlock()
	c, err := m.store.change(ctx, c, f)
	if err != nil {
		var refused *xmpp.Error
		switch {
		case errors.Is(err, errManyItems), errors.Is(err, errManyRequests):
			return c, xmpp.ResourceConstraint.WithText(err.Error())
		case !errors.As(err, &refused): // who knows what the database made of it
			m.cache.forget(c.user)
			Changed.Run(ctx, m.host.Hooks(), Change{User: c.user, Contact: c.contact})
		}
		return c, err
	}
	if c.old != c.new {
		m.cache.forget(c.user)
		m.publish(ctx, c)
	}
	return c, nil
}

// publish tells everybody who is to hear of c, which is stored: clients, and the
// other nodes.
func (m *roster) publish(ctx context.Context, c change) {
	told := Change{User: c.user, Contact: c.contact, Visible: c.visible()}
	if told.Visible {
		to := m.listeners(c.user)
		if m.Versioning && (len(to) > 0 || m.host.Hooks().Spreads()) {
			told.Version = m.versionAfter(ctx, c)
		}
		push(ctx, to, told, c.new)
	}
	Changed.Run(ctx, m.host.Hooks(), told)
}

// listeners is the clients of a user on this node that are told of changes: those
// that have asked for the roster (RFC 6121 §2.1.6).
func (m *roster) listeners(user xmpp.JID) (to []*sm.Session) {
	for _, s := range m.host.Sessions.Local(user) {
		if _, ok := m.interested.Get(s); ok {
			to = append(to, s)
		}
	}
	return to
}

// push tells clients what a contact is now; nil or hidden: it is not there any
// more.
func push(ctx context.Context, to []*sm.Session, c Change, now *Item) {
	if len(to) == 0 {
		return
	}
	b := xmpp.Build(ns, "query").OptAttr("ver", c.Version)
	if now.shown() {
		now.append(b)
	} else {
		appendRemoved(b, c.Contact)
	}
	query := b.Done()
	id := "push-" + rand.Text()[:12]
	for _, s := range to {
		s.Send(ctx, xmpp.NewIQ("set", c.User, s.JID, id, query))
	}
}

// versionAfter is the roster's version after c, empty if it cannot be told: the
// client then asks for the whole roster next time.
func (m *roster) versionAfter(ctx context.Context, c change) string {
	if m.StoreCurrentID {
		return c.version
	}
	items, err := m.whole(ctx, c.user)
	if err != nil {
		m.host.Log.Error("a roster push goes out without its version", "user", c.user.String(), "error", err)
		return ""
	}
	return digest(items)
}

// announce sends contact the presence of all of the user's clients (RFC 6121
// §3.1.5).
func (m *roster) announce(ctx context.Context, user, contact xmpp.JID) {
	for _, s := range m.host.Sessions.Available(user) {
		if p, _ := s.Presence(); p != nil {
			m.present(ctx, s, p.Readdressed(s.JID, contact))
		}
	}
}

// retire tells contact that all of the user's clients are gone (RFC 6121
// §3.2.2, §3.3.3).
func (m *roster) retire(ctx context.Context, user, contact xmpp.JID) {
	ctx = sm.Staying(ctx)
	for _, s := range m.host.Sessions.Available(user) {
		m.present(ctx, s, xmpp.NewPresence("unavailable", s.JID, contact))
	}
}

// probe asks for contact's presence for all of the user's clients.
func (m *roster) probe(ctx context.Context, user, contact xmpp.JID) {
	for _, s := range m.host.Sessions.Available(user) {
		m.present(ctx, s, xmpp.NewPresence("probe", s.JID, contact))
	}
}

func (m *roster) present(ctx context.Context, s *sm.Session, st *xmpp.Stanza) {
	if m.allowed(ctx, s, st) {
		m.host.Send(ctx, st)
	}
}

// allowed asks the user's own rules whether st may go out.
func (m *roster) allowed(ctx context.Context, s *sm.Session, st *xmpp.Stanza) bool {
	return sm.Privacy.Run(ctx, m.host.Hooks(), true, sm.PrivacyCheck{User: s.JID, Stanza: st, Direction: sm.Out, Session: s})
}

// part ends subscriptions and requests in both directions (RFC 6121 §2.5.2).
func (m *roster) part(ctx context.Context, user xmpp.JID, it *Item) {
	to := it.JID.Bare()
	if it.State&(To|PendingOut) != 0 {
		m.host.Send(ctx, xmpp.NewPresence("unsubscribe", user, to))
	}
	if it.State.Has(From) {
		m.retire(ctx, user, to)
	}
	if it.State&(From|PendingIn) != 0 {
		m.host.Send(ctx, xmpp.NewPresence("unsubscribed", user, to))
	}
}
