package roster

import (
	"context"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/xmpp"
)

// befriended is s when the user lets the contact see him, and sees him too or has
// asked to.
func befriended(s State, mutual bool) State {
	s = s&^(PendingIn|Approved) | From
	switch {
	case mutual:
		return s&^PendingOut | To
	case !s.Has(To):
		return s | PendingOut
	}
	return s
}

// befriend does what another module has arranged (RFC 6121 §3.1.5, §3.1.6).
func (m *roster) befriend(ctx context.Context, _ Befriended, f Friendship) (Befriended, hooks.Flow) {
	if f.User == f.Contact || !m.Access.Allows(m.host.Rules, local.Subject(f.User)) {
		return Befriended{Err: xmpp.Forbidden}, hooks.Stop
	}
	c, err := m.change(ctx, change{user: f.User, contact: f.Contact}, func(old *Item) (*Item, error) {
		return old.in(befriended(old.state(), f.Mutual), f.Contact), nil
	})
	if err != nil {
		return Befriended{Err: err}, hooks.Stop
	}
	was := c.old.state()
	if !f.Mutual {
		m.host.Send(ctx, xmpp.NewPresence("subscribed", f.User, f.Contact))
		if !was.Has(To) {
			m.host.Send(ctx, xmpp.NewPresence("subscribe", f.User, f.Contact))
		}
	}
	if !was.Has(From) {
		m.announce(ctx, f.User, f.Contact) // behind the approval
	}
	if f.Mutual && !was.Has(To) {
		m.probe(ctx, f.User, f.Contact)
	}
	return Befriended{Done: true}, hooks.Next
}
