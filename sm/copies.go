package sm

import (
	"context"

	"github.com/gabberd/gabberd/xmpp"
)

// nsCarbons is XEP-0280.
const nsCarbons = "urn:xmpp:carbons:2"

// A Copying is a message that was handed to some of a user's clients, and the
// others that want copies of such messages.
type Copying struct {
	Stanza *xmpp.Stanza
	For    []*Session // never empty; also on other nodes
}

// Copied reports whether the client wants copies of what the user's other clients
// send and are sent (XEP-0280). It is known of sessions on other nodes, too.
func (s *Session) Copied() bool { return s.copied.Load() }

// SetCopied says whether the client of s, which is on this node, wants copies, and
// makes that known to the other nodes. It may wait for another machine, for a
// bounded time.
func (ss *Sessions) SetCopied(ctx context.Context, s *Session, wanted bool) {
	s.mu.Lock()
	changed := !s.closed && s.copied.Swap(wanted) != wanted
	if changed {
		ss.countCopied(wanted)
	}
	s.mu.Unlock()
	if changed {
		ss.store.Changed(ctx, s)
	}
}

// countCopied counts those on this node who want copies.
func (ss *Sessions) countCopied(wanted bool) {
	if wanted {
		ss.copiers.Add(1)
	} else {
		ss.copiers.Add(-1)
	}
}

// Copying reports whether there may be clients that want copies, for callers that
// would otherwise look for them.
func (ss *Sessions) Copying() bool { return ss.copiers.Load() > 0 || ss.node != "" }

// Copy gives the session on whichever node a copy of a message: it comes from the
// user's own bare address. It goes the way of all stanzas, so that it overtakes
// nothing. Nobody waits for its acknowledgement, and where it cannot be delivered
// it is dropped: the message itself has found its way.
func (ss *Sessions) Copy(ctx context.Context, s *Session, copied *xmpp.Stanza) {
	ss.Reroute(WithReceipt(ctx, nil), copied.Readdressed(s.JID.Bare(), s.JID))
}

// IsCopy reports whether st is a copy made for a client of this server. Nobody else
// can make one: what a client sends comes from its full address.
func IsCopy(st *xmpp.Stanza) bool {
	return st.Kind == xmpp.Message && st.From.IsBare() && st.From == st.To.Bare() && !st.To.IsBare() &&
		(st.Has(nsCarbons, "received") || st.Has(nsCarbons, "sent"))
}

// copiesBeside has copies made of a message that was given to one client, by its full
// address. all is the sessions of the user, on this node at least.
func (ss *Sessions) copiesBeside(ctx context.Context, st *xmpp.Stanza, all []*Session) {
	if st.Type == "groupchat" || st.Type == "error" {
		return
	}
	if ss.node != "" && Copies.Heard(ss.hooks) {
		all = ss.User(st.To.Bare())
	}
	if wanted(all) {
		ss.copies(ctx, st, all, func(s *Session) bool { return s.JID == st.To })
	}
}

// copies has copies made of a message for a user, whose sessions are all. got tells
// whom it was given to. Whose rules keep the message from him gets no copy either;
// nor does the client that has sent it.
func (ss *Sessions) copies(ctx context.Context, st *xmpp.Stanza, all []*Session, got func(*Session) bool) {
	if !ss.Copying() || !Copies.Heard(ss.hooks) || IsCopy(st) {
		return
	}
	var list []*Session
	for _, s := range all {
		if s.Copied() && s.JID != st.From && !got(s) && ss.allowed(ctx, s.JID, st, In, s) {
			list = append(list, s)
		}
	}
	if len(list) > 0 {
		Copies.Run(ctx, ss.hooks, Copying{st, list})
	}
}

// wanted reports whether any of the sessions wants copies.
func wanted(all []*Session) bool {
	for _, s := range all {
		if s.Copied() {
			return true
		}
	}
	return false
}
