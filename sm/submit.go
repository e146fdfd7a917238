package sm

import (
	"context"

	"github.com/gabberd/gabberd/xmpp"
)

// Blocked is what a user is told who sends something to an address that his own
// rules deny (XEP-0191 §3.3).
var Blocked = &xmpp.Error{
	Type: xmpp.NotAllowed.Type, Condition: xmpp.NotAcceptable.Condition, Text: "You have blocked this address",
	App: xmpp.El("urn:xmpp:blocking:errors", "blocked"),
}

// forbid tells the client of s that its own rules do not let st out.
func (ss *Sessions) forbid(ctx context.Context, s *Session, st *xmpp.Stanza) {
	if st.Bounces() {
		s.Send(ctx, st.Bounce(Blocked))
	}
}

// Submit deals with a stanza that the client of s has sent, checked and stamped
// with its address: it asks the hooks, keeps what concerns the session's own
// presence, and routes the rest. It runs on the goroutine that reads the
// client's stream.
func (ss *Sessions) Submit(ctx context.Context, s *Session, st *xmpp.Stanza) {
	if st = UserSend.Run(ctx, ss.hooks, st, s); st == nil {
		return
	}
	switch {
	case st.Kind != xmpp.Presence && !ss.allowed(ctx, s.JID, st, Out, s):
		ss.forbid(ctx, s, st)
	case st.Kind != xmpp.Presence:
		ss.router.Route(ctx, st)
	case st.To.IsZero(), st.To == s.JID.Bare() && (st.Type == "" || st.Type == "unavailable"):
		ss.OwnPresence(ctx, s, st)
	default:
		ss.SentPresence(ctx, s, st)
	}
}
