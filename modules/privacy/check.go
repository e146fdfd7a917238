package privacy

import (
	"context"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// check asks the user's list about a stanza. Where the lists cannot be read,
// nothing passes: who is blocked must not come through because a database is away.
func (m *privacy) check(ctx context.Context, ok bool, p sm.PrivacyCheck) (bool, hooks.Flow) {
	if !ok {
		return false, hooks.Next
	}
	user := p.User.Bare()
	r, err := m.of(ctx, user, p.Session)
	if err == nil && r == nil {
		return true, hooks.Next
	}
	peer := p.Stanza.From
	if p.Direction == sm.Out {
		peer = p.Stanza.To
	}
	if exempt(user, peer) {
		return true, hooks.Next
	}
	if err != nil {
		m.host.Log.Error("a stanza is stopped: the user's privacy lists cannot be read", "user", user.String(), "error", err)
		return false, hooks.Next
	}
	active := ""
	if p.Session != nil {
		active = p.Session.ActiveList()
	}
	return r.of(active).allows(ctx, m.host.Hooks(), user, peer, kindOf(p.Stanza, p.Direction)), hooks.Next
}

// exempt reports whether no list is asked: between the user's own devices
// (XEP-0191 §5), and between the user and the server.
func exempt(user, peer xmpp.JID) bool {
	return peer.IsZero() || peer.Domain() == user.Domain() && (peer.Local() == "" || peer.Bare() == user)
}
