package local

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// joinNodes does what a virtual host needs when it lives on several nodes.
func (h *Host) joinNodes() {
	p := part{h.Hooks}
	h.Hooks.HeardIn(h.ByHand)
	if h.Auth != nil {
		ClearCache.AddElsewhere(p, hooks.First, func(context.Context, *Host) { h.Auth.Forget() })
		auth.Known.Add(p, hooks.Normal, h.anonymousKnown)
		auth.Elsewhere.Add(p, hooks.Normal, h.anonymousElsewhere)
		sm.Opened.Add(p, hooks.First, h.oneAnonymous)
	}
}

// ofHost is the wire of events about a virtual host: it is that of the table in
// which they are heard.
func ofHost() hooks.Wire[*Host] {
	return hooks.Wire[*Host]{
		Write: func(*Host) ([]byte, error) { return []byte("{}"), nil },
		Read: func(ctx context.Context, _ []byte) (*Host, error) {
			h, ok := ctx.Value(hostKey{}).(*Host)
			if !ok {
				return nil, errors.New("it is about a virtual host and was heard in another table")
			}
			return h, nil
		},
	}
}

// anonymousKnown adds the anonymous users of other nodes to those who exist.
func (h *Host) anonymousKnown(_ context.Context, known bool, user xmpp.JID) (bool, hooks.Flow) {
	return known || anonymousAmong(h.Sessions.User(user.Bare())), hooks.Next
}

// anonymousElsewhere asks for them anew. While that cannot be told it is what was
// known last.
func (h *Host) anonymousElsewhere(_ context.Context, there bool, user xmpp.JID) (bool, hooks.Flow) {
	if there {
		return true, hooks.Next
	}
	return anonymousAmong(h.Sessions.UserNow(user.Bare())), hooks.Next
}

func anonymousAmong(all []*sm.Session) bool {
	for _, s := range all {
		if s.Remote() && s.Anonymous {
			return true
		}
	}
	return false
}

// oneAnonymous ends the later one of two anonymous sessions that have taken the
// same name on two nodes at the same moment. Whoever is written second sees the
// other, and both nodes would choose the same one.
func (h *Host) oneAnonymous(_ context.Context, s *sm.Session) {
	if !s.Anonymous || h.Auth.ShareNames() {
		return
	}
	for _, o := range h.Sessions.User(s.JID.Bare()) {
		if !o.Remote() || !o.Anonymous {
			continue
		}
		late := s
		if o.ID.After(s.ID) {
			late = o
		}
		late.Close(stream.Conflict.With("This anonymous user is here already"))
	}
}
