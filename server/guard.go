package server

import (
	"context"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/xmpp"
)

// guard decides who may run commands: api_permissions, and passwords for those
// who name an account.
type guard struct{ s *Server }

// Permit asks api_permissions.
func (g guard) Permit(who admin.Caller, cmd admin.Description, host string) error {
	call := acl.Call{
		From: who.Door, Tag: who.Tag, Who: acl.Subject{JID: who.Account, IP: who.Addr},
		OAuth: who.Scopes != nil, Scopes: who.Scopes, Host: who.Account.Domain(),
		Command: cmd.Name, CommandTags: cmd.Tags,
	}
	if host != "" {
		call.Hosts = []string{host}
	}
	g.s.mu.RLock()
	perms := &g.s.conf.perms
	g.s.mu.RUnlock()
	if perms.Permits(g.s.book, call) {
		return nil
	}
	return admin.Denied
}

// Authenticate checks an account's password.
func (g guard) Authenticate(ctx context.Context, user, host, password string) (xmpp.JID, error) {
	j, err := xmpp.NewJID(user, host, "")
	if err != nil {
		return xmpp.JID{}, admin.Unauthenticated
	}
	h := g.s.Host(j.Domain())
	if h == nil || j.Local() == "" || h.Auth.Check(ctx, j, password) != nil {
		return xmpp.JID{}, admin.Unauthenticated
	}
	return j, nil
}
