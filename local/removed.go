package local

import (
	"context"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// part is the session manager as the owner of a handler. It lives as long as
// its table.
type part struct{ t *hooks.Table }

func (part) Name() string          { return "ejabberd_sm" }
func (p part) Hooks() *hooks.Table { return p.t }
func (part) OnStop(func())         {}

// endRemoved ends the sessions of an account that is removed, after everybody
// else has dealt with the removal: nobody goes on chatting without an account.
// Every node ends its own, so that there, too, it comes last.
func endRemoved(t *hooks.Table, ss *sm.Sessions) {
	auth.Removed.AddEverywhere(part{t}, hooks.Last, func(_ context.Context, user xmpp.JID) {
		for _, s := range ss.Local(user.Bare()) {
			s.Close(stream.Conflict.With("User removed"))
		}
	})
}
