package adminextra

import (
	"context"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// submit has a stanza dealt with on the node that has its session.
func (m *module) submit(ctx context.Context, s *sm.Session, sub Submission) {
	if s.Remote() {
		Submitted.Run(ctx, m.host.Hooks(), sub)
		return
	}
	if sub.Sets {
		m.host.Sessions.OwnPresence(ctx, s, sub.Stanza)
		return
	}
	m.host.Sessions.Submit(ctx, s, sub.Stanza)
}

// submitHere deals with a stanza if the session is on this node.
func (m *module) submitHere(ctx context.Context, sub Submission) {
	for _, s := range m.host.Sessions.Local(sub.Session.Bare()) {
		if s.JID == sub.Session && s.ID.String() == sub.ID {
			m.submit(ctx, s, sub)
		}
	}
}

// remember notes who is banned, for those who are just logging in.
func (m *module) remember(user xmpp.JID, banned bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if banned {
		m.banned[user] = true
		return
	}
	delete(m.banned, user)
}

// banElsewhere takes note of a ban that another node has stored or lifted.
func (m *module) banElsewhere(_ context.Context, b BanChange) {
	m.remember(b.User, b.Banned)
	if b.Banned {
		kick(m.host.Sessions.Local(b.User), b.Reason)
	}
}
