package configure

import (
	"context"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/xmpp"
)

// A branch is a node of the server that administrators find with service
// discovery (XEP-0030), with what is below it.
type branch struct {
	node, name string
	list       func(*module, context.Context, disco.Query) ([]disco.Item, error)
}

// branches are there under ejabberd's names.
func branches() []branch {
	return []branch{
		{"user", "User Management", (*module).commandItems},
		{"online users", "Online Users", (*module).onlineItems},
		{"all users", "All Users", (*module).userItems},
	}
}

// grow adds the branches to the server.
func (m *module) grow() {
	disco.LocalItems.Add(m.host, hooks.Normal, m.below)
	disco.LocalFeatures.Add(m.host, hooks.Normal, m.features)
	disco.LocalIdentity.Add(m.host, hooks.Normal, m.identity)
}

func find(node string) (branch, bool) {
	for _, b := range branches() {
		if b.node == node {
			return b, true
		}
	}
	return branch{}, false
}

// below lists the branches of the server, or what a branch has. Only those see
// them who may use the commands.
func (m *module) below(ctx context.Context, a disco.Items, q disco.Query) (disco.Items, hooks.Flow) {
	b, known := find(q.Node)
	allowed := (known || q.Node == "") && m.allowed(ctx, q)
	switch {
	case allowed && known:
		items, err := b.list(m, ctx, q)
		if err != nil {
			m.host.Log.Error("users cannot be listed", "error", err)
			return disco.Refuse[disco.Item](xmpp.InternalServerError), hooks.Stop
		}
		a = a.With(items...)
	case allowed:
		for _, b := range branches() {
			a = a.With(disco.Item{JID: m.host.JID, Node: b.node, Name: b.name})
		}
	case known:
		return disco.Refuse[disco.Item](xmpp.Forbidden), hooks.Stop
	}
	return a, hooks.Next
}

func (m *module) features(ctx context.Context, a disco.Features, q disco.Query) (disco.Features, hooks.Flow) {
	switch _, known := find(q.Node); {
	case !known:
		return a, hooks.Next
	case !m.allowed(ctx, q):
		return disco.Refuse[string](xmpp.Forbidden), hooks.Stop
	}
	return a.With("http://jabber.org/protocol/disco#items"), hooks.Next
}

func (m *module) identity(ctx context.Context, l []disco.Identity, q disco.Query) ([]disco.Identity, hooks.Flow) {
	if b, known := find(q.Node); known && m.allowed(ctx, q) {
		l = append(l, disco.Identity{Category: "hierarchy", Type: "branch", Name: b.name})
	}
	return l, hooks.Next
}

// commandItems is the commands about users.
func (m *module) commandItems(context.Context, disco.Query) (all []disco.Item, err error) {
	for _, t := range m.tasks() {
		all = append(all, disco.Item{JID: m.host.JID, Node: ns + "#" + t.name, Name: t.title})
	}
	return all, nil
}

// onlineItems is every session, as far as they fit into an answer.
func (m *module) onlineItems(context.Context, disco.Query) (all []disco.Item, err error) {
	for _, s := range m.host.Sessions.All() {
		if len(all) == mostItems {
			break
		}
		all = append(all, disco.Item{JID: s.JID, Name: s.JID.Bare().String()})
	}
	return all, nil
}

// userItems is every account, as far as they fit into an answer.
func (m *module) userItems(ctx context.Context, _ disco.Query) (all []disco.Item, err error) {
	for j, err := range m.host.Auth.Users(ctx, "") {
		if err != nil {
			return nil, err
		}
		if len(all) == mostItems {
			break
		}
		all = append(all, disco.Item{JID: j, Name: j.String()})
	}
	return all, nil
}
