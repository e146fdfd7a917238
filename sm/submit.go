package sm

import (
	"context"

	"github.com/gabberd/gabberd/xmpp"
)

// Submit deals with a stanza that the client of s has sent, checked and stamped
// with its address: it asks the hooks, keeps what concerns the session's own
// presence, and routes the rest. It runs on the goroutine that reads the
// client's stream.
func (ss *Sessions) Submit(ctx context.Context, s *Session, st *xmpp.Stanza) {
	if st = UserSend.Run(ctx, ss.hooks, st, s); st == nil {
		return
	}
	switch {
	case st.Kind != xmpp.Presence:
		ss.router.Route(ctx, st)
	case st.To.IsZero(), st.To == s.JID.Bare() && (st.Type == "" || st.Type == "unavailable"):
		ss.OwnPresence(ctx, s, st)
	default:
		ss.SentPresence(ctx, s, st)
	}
}
