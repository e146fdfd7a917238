package privacy

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// activate makes a list the active one of a session; without a name none is
// (XEP-0016 §2.5).
func (m *privacy) activate(ctx context.Context, user xmpp.JID, s *sm.Session, name string) error {
	if s == nil || s.Remote() {
		return xmpp.NotAllowed.WithText("Only a client can have an active list")
	}
	r, err := m.of(ctx, user, s)
	if err != nil {
		return err
	}
	if name != "" && r.find(name) == nil {
		return errNoList
	}
	before := r.of(s.ActiveList())
	m.host.Sessions.SetActiveList(ctx, s, name)
	c := Change{User: user}
	c.Hidden, c.Shown = m.turned(ctx, user, before, r.of(name))
	m.present(ctx, s, c)
	return nil
}

// choose makes a list the default one; without a name none is (XEP-0016 §2.6).
func (m *privacy) choose(ctx context.Context, user xmpp.JID, name string) error {
	return m.change(ctx, Change{User: user}, func(before *rules) (draft, error) {
		if name != "" && before.find(name) == nil {
			return draft{}, errNoList
		}
		return draft{common: name, setCommon: true}, nil
	})
}

// replace sets a list (XEP-0016 §2.7) and tells the user's clients.
func (m *privacy) replace(ctx context.Context, user xmpp.JID, name string, items []item) error {
	err := m.change(ctx, Change{User: user}, func(before *rules) (draft, error) {
		if before != nil && before.find(name) == nil && len(before.lists) >= maxLists {
			return draft{}, xmpp.ResourceConstraint.WithText("There are too many privacy lists")
		}
		return draft{name: name, items: items}, nil
	})
	if err == nil {
		m.push(ctx, user, name)
	}
	return err
}

// drop removes a list that nobody uses (XEP-0016 §2.8).
func (m *privacy) drop(ctx context.Context, user xmpp.JID, s *sm.Session, name string) error {
	for _, o := range m.host.Sessions.User(user) {
		if o.ActiveList() == name && (s == nil || o.JID != s.JID) {
			return xmpp.Conflict.WithText("Another client uses this privacy list")
		}
	}
	err := m.change(ctx, Change{User: user}, func(before *rules) (draft, error) {
		switch l := before.find(name); {
		case l == nil:
			return draft{}, errNoList
		case l == before.standard():
			return draft{}, xmpp.Conflict.WithText("This is the default privacy list")
		}
		return draft{name: name}, nil
	})
	if err != nil {
		return err
	}
	if s != nil && s.ActiveList() == name {
		m.host.Sessions.SetActiveList(ctx, s, "")
	}
	m.push(ctx, user, name)
	return nil
}

// push tells all of the user's clients that a list is another one (XEP-0016
// §2.7).
func (m *privacy) push(ctx context.Context, user xmpp.JID, name string) {
	query := xmpp.Build(ns, "query").Open("", "list").Attr("name", name).Close().Done()
	id := "push-" + rand.Text()[:12]
	for _, s := range m.host.Sessions.User(user) {
		s.Send(ctx, xmpp.NewIQ("set", user, s.JID, id, query))
	}
}

// change stores what f makes of a user's lists and tells everybody.
func (m *privacy) change(ctx context.Context, c Change, f func(before *rules) (draft, error)) error {
	// A client may still be here whose account is gone.
	ok, err := m.host.Auth.Exists(ctx, c.User)
	if err != nil {
		return err
	}
	if !ok {
		return xmpp.Forbidden.WithText("There is no such account any more")
	}
	l := m.lock(c.User)
	l.Lock()
	defer l.Unlock()
	d, after, err := m.store.change(ctx, c.User, f)
	if err != nil {
		var refused *xmpp.Error
		if !errors.As(err, &refused) { // who knows what the database made of it
			Changed.Run(ctx, m.host.Hooks(), Change{User: c.User})
		}
		return err
	}
	was, is := d.before.standard(), after.standard()
	c.List, c.Default = d.name, d.setCommon || is != nil && is.name == d.name
	if !c.Default {
		was, is = d.before.find(d.name), after.find(d.name)
	}
	c.Hidden, c.Shown = m.turned(ctx, c.User, was, is)
	c.Hidden = append(c.Hidden, m.devices(ctx, c.User, d.blocked, is, false)...)
	c.Shown = append(c.Shown, m.devices(ctx, c.User, d.freed, is, true)...)
	Changed.Run(ctx, m.host.Hooks(), c)
	return nil
}

// turned is which contacts lose the user's presence when one list takes the place
// of another, and which get it again.
func (m *privacy) turned(ctx context.Context, user xmpp.JID, before, after *list) (hidden, shown []xmpp.JID) {
	t := m.host.Hooks()
	for _, j := range sm.Subscriptions.Run(ctx, t, sm.Contacts{}, user).From {
		was, is := before.allows(ctx, t, user, j, presenceOut), after.allows(ctx, t, user, j, presenceOut)
		switch {
		case was && !is:
			hidden = append(hidden, j)
		case is && !was:
			shown = append(shown, j)
		}
	}
	return hidden, shown
}

// devices is which of jids are single devices of contacts that may see the user,
// and for which l now says verdict.
func (m *privacy) devices(ctx context.Context, user xmpp.JID, jids []xmpp.JID, l *list, verdict bool) (out []xmpp.JID) {
	t := m.host.Hooks()
	for _, j := range jids {
		if !j.IsBare() && sm.JIDInfo.Run(ctx, t, sm.Contact{}, sm.Pair{User: user, Other: j}).SeesUser() &&
			l.allows(ctx, t, user, j, presenceOut) == verdict {
			out = append(out, j)
		}
	}
	return out
}

// changed forgets what was read before a change, and has the sessions of this node
// tell whom it concerns.
func (m *privacy) changed(ctx context.Context, c Change) {
	m.forget(c.User)
	for _, s := range m.host.Sessions.Local(c.User) {
		active := s.ActiveList()
		if c.List != "" && active == c.List || c.Default && active == "" {
			m.present(ctx, s, c)
		}
	}
}

// present takes the presence of a session from those who are not to have it, and
// gives it to those who are (XEP-0191 §3.3, §3.4).
func (m *privacy) present(ctx context.Context, s *sm.Session, c Change) {
	m.host.Sessions.Recall(ctx, s)
	p, _ := s.Presence()
	if p == nil {
		return
	}
	for _, j := range c.Hidden {
		m.host.Send(ctx, xmpp.NewPresence("unavailable", s.JID, j))
	}
	for _, j := range c.Shown {
		m.host.Send(ctx, p.Readdressed(s.JID, j))
		if sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: c.User, Other: j}).SeenByUser() {
			m.host.Send(ctx, xmpp.NewPresence("probe", s.JID, j))
		}
	}
}

// blocklist is what a new default list is called that mod_blocking makes:
// ejabberd's name for it.
const blocklist = "Blocked contacts"

// blocked answers mod_blocking.
func (m *privacy) blocked(ctx context.Context, acc Blocklist, user xmpp.JID) (Blocklist, hooks.Flow) {
	r, err := m.of(ctx, user, nil)
	if err != nil {
		return Blocklist{Err: err}, hooks.Stop
	}
	return Blocklist{JIDs: append(acc.JIDs, r.standard().blocklist()...)}, hooks.Next
}

// block does what mod_blocking is asked for.
func (m *privacy) block(ctx context.Context, acc Outcome, e Edit) (Outcome, hooks.Flow) {
	if acc.Err != nil {
		return acc, hooks.Stop
	}
	c := Change{User: e.User, Blocked: e.Block, Freed: e.Unblock, All: e.All}
	err := m.change(ctx, c, func(before *rules) (draft, error) {
		d := e.draft(before.standard())
		if len(d.items) > maxItems {
			return draft{}, xmpp.ResourceConstraint.WithText("Too many addresses are blocked")
		}
		return d, nil
	})
	return Outcome{err}, hooks.Next
}

// draft is what e makes of the default list, which may be nil.
func (e *Edit) draft(common *list) draft {
	d := draft{name: blocklist, items: []item{}, common: blocklist, setCommon: true}
	switch {
	case common != nil:
		d = draft{name: common.name, items: slices.Clone(common.items)}
	case len(e.Block) == 0:
		return draft{} // nothing is blocked
	}
	gone, has := map[xmpp.JID]bool{}, map[xmpp.JID]bool{}
	for _, j := range e.Unblock {
		gone[j] = true
	}
	d.items = slices.DeleteFunc(d.items, func(it item) bool {
		if it.blocks() && (e.All || gone[it.jid]) {
			d.freed = append(d.freed, it.jid)
			return true
		}
		has[it.jid] = has[it.jid] || it.blocks()
		return false
	})
	for _, j := range e.Block {
		if !has[j] {
			has[j] = true
			d.items, d.blocked = append(d.items, item{match: byJID, jid: j.Clone()}), append(d.blocked, j)
		}
	}
	return d
}
