package sm

import (
	"context"
	"slices"

	"github.com/gabberd/gabberd/xmpp"
)

// Route hands a stanza for a user to those of his clients that shall have it
// (RFC 6121 §8.5). It runs hooks on the caller's goroutine and waits for no
// client.
func (ss *Sessions) Route(ctx context.Context, st *xmpp.Stanza) {
	if st = Receive.Run(ctx, ss.hooks, st, ss); st != nil {
		ss.route(ctx, st, true)
	}
}

// Reroute is Route for a stanza that has been here before: whoever it was given to
// could not deliver it. Those who hook Receive have seen it, and whoever wants
// copies has them.
func (ss *Sessions) Reroute(ctx context.Context, st *xmpp.Stanza) { ss.route(ctx, st, false) }

// route is Route behind its hook. first says that the stanza was given to nobody
// yet.
func (ss *Sessions) route(ctx context.Context, st *xmpp.Stanza, first bool) {
	if ss.waits(ctx, waiting{st: st, first: first}) {
		return
	}
	switch st.Kind {
	case xmpp.Presence:
		ss.routePresence(ctx, st)
	case xmpp.Message:
		ss.routeMessage(ctx, st, first)
	case xmpp.IQ:
		ss.routeIQ(ctx, st)
	}
}

// Arrive takes a stanza that another node, of that name, has routed to the session
// with the full address to. An empty name: it cannot be told which. If the session is
// gone, a message is routed once more, by what is known now; a request is answered
// with an error, and presence dropped.
func (ss *Sessions) Arrive(ctx context.Context, node string, to xmpp.JID, st *xmpp.Stanza) {
	s := newest(ss.store.Local(to.Bare()), to)
	switch {
	case ss.waits(ctx, waiting{st: st, to: to}):
	case s != nil && st.Kind == xmpp.Presence && ss.overtaken(ctx, node, st):
	case s != nil && st.Kind == xmpp.Presence:
		if st = PresenceIn.Run(ctx, ss.hooks, st, s); st != nil {
			s.way().Send(ctx, st)
		}
	case s != nil:
		s.way().Send(ctx, st)
	case st.Kind == xmpp.Presence:
	default:
		// Whoever sent it has looked into his cache; look again.
		if _, err := ss.store.Fresh(to.Bare()); err != nil {
			ss.park(ctx, st, false)
			return
		}
		ss.Reroute(ctx, st)
	}
}

// find is the session with the full address j. ok is false if it cannot be told
// now whether there is one.
//
// all is the sessions of the user as far as they had to be looked at.
func (ss *Sessions) find(j xmpp.JID) (s *Session, all []*Session, ok bool) {
	all = ss.store.Local(j.Bare())
	if s := newest(all, j); s != nil {
		return s, all, true
	}
	all, err := ss.store.User(j.Bare())
	s = newest(all, j)
	return s, all, s != nil || err == nil
}

func (ss *Sessions) routePresence(ctx context.Context, st *xmpp.Stanza) {
	switch st.Type {
	case "unavailable":
		// Whoever says goodbye has looked for a successor before, who may have come since.
		if ss.node != "" && ss.overtaken(ctx, ss.node, st) {
			return
		}
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		ss.routeSubscription(ctx, st)
		return
	case "probe":
		ss.probed(ctx, st)
		return
	}
	if !st.To.IsBare() {
		if s := ss.Find(st.To); s != nil {
			ss.deliver(ctx, s, st)
		}
		return
	}
	for _, s := range ss.User(st.To) {
		if _, ok := s.Priority(); ok {
			ss.deliver(ctx, s, st)
		}
	}
}

// routeSubscription asks the roster what to do (RFC 6121 §3). The resource in to
// means nothing.
func (ss *Sessions) routeSubscription(ctx context.Context, st *xmpp.Stanza) {
	user := st.To.Bare()
	if ok, err := ss.accounts.Exists(ctx, user); err != nil || !ok {
		return // §8.5.1: nobody learns who has an account
	}
	if !ss.allowed(ctx, user, st, In, nil) || !InSubscribe.Run(ctx, ss.hooks, false, st) {
		return
	}
	for _, s := range ss.User(user) {
		if _, ok := s.Priority(); ok {
			ss.deliver(ctx, s, st)
		}
	}
}

func (ss *Sessions) routeMessage(ctx context.Context, st *xmpp.Stanza, first bool) {
	if !st.To.IsBare() {
		s, all, ok := ss.find(st.To)
		switch {
		case s != nil:
			if ss.deliver(ctx, s, st) && first {
				ss.copiesBeside(ctx, st, all)
			}
			return
		case !ok:
			ss.park(ctx, st, first)
			return
		case IsCopy(st):
			return // it was for that client alone
		}
	}
	switch st.Type {
	case "groupchat":
		ss.bounced(ctx, Bounce, st)
	case "error":
		ss.bounced(ctx, Pass, st)
	case "headline":
		if !st.To.IsBare() {
			ss.bounced(ctx, Pass, st)
			return
		}
		ss.spread(ctx, st, first)
	default:
		ss.spread(ctx, st, first)
	}
}

// spread gives a message for a bare address to the clients with the highest
// priority, a headline to all whose priority is not negative (RFC 6121 §8.5.2.1).
func (ss *Sessions) spread(ctx context.Context, st *xmpp.Stanza, first bool) {
	all, err := ss.store.User(st.To.Bare())
	all = current(all) // or one that has gone would take what nobody gets
	best := -1
	for _, s := range all {
		if p, ok := s.Priority(); ok {
			best = max(best, p)
		}
	}
	switch {
	case best < 0 && err != nil:
		ss.park(ctx, st, first)
		return
	case best < 0:
		ss.offline(ctx, st)
		return
	}
	taken, refused := false, false
	for _, s := range all {
		p, ok := s.Priority()
		if !ok || p != best && (p < 0 || st.Type != "headline") {
			continue
		}
		if ss.allowed(ctx, s.JID, st, In, s) {
			taken = true
			s.way().Send(ctx, st)
		} else {
			refused = true
		}
	}
	if refused && !taken {
		ss.refuse(ctx, st) // once, however many clients there are
	}
	if taken && first {
		ss.copies(ctx, st, all, func(s *Session) bool {
			p, ok := s.Priority()
			return ok && (p == best || p >= 0 && st.Type == "headline")
		})
	}
}

// current is all without those whose address another session has, which is who gets
// what is sent there: for a moment there are two of one that moves to another node, or
// whose address was bound again.
func current(all []*Session) []*Session {
	if !slices.ContainsFunc(all, func(s *Session) bool { return superseded(all, s) }) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(s *Session) bool { return superseded(all, s) })
}

func superseded(all []*Session, s *Session) bool {
	for _, o := range all {
		switch {
		case o == s || o.JID != s.JID:
		case o.remote != s.remote:
			if s.remote {
				return true // as when the address itself is asked for
			}
		case o.ID.After(s.ID):
			return true
		}
	}
	return false
}

// offline asks who wants to keep a message that has found nobody.
func (ss *Sessions) offline(ctx context.Context, st *xmpp.Stanza) {
	user := st.To.Bare()
	ok, err := ss.accounts.Exists(ctx, user)
	switch {
	case err != nil:
		ss.log.Error("cannot tell whether a user exists", "user", user.String(), "error", err)
		ss.router.Bounce(ctx, st, xmpp.ResourceConstraint.WithText("The server cannot store messages at the moment"))
		return
	case !ok || !ss.allowed(ctx, user, st, In, nil):
		if st.Type != "headline" {
			ss.router.Bounce(ctx, st, xmpp.ServiceUnavailable)
		}
		return
	}
	if fate := Offline.Run(ctx, ss.hooks, Bounce, st); fate == Bounce && st.Type != "headline" {
		ss.router.Bounce(ctx, st, xmpp.ServiceUnavailable)
	}
}

func (ss *Sessions) routeIQ(ctx context.Context, st *xmpp.Stanza) {
	switch {
	case st.To.IsBare() && st.Type != "result" && st.Type != "error":
		if !ss.allowed(ctx, st.To, st, In, nil) {
			ss.router.Bounce(ctx, st, xmpp.ServiceUnavailable)
			return
		}
		ss.router.Answer(ctx, &ss.UserIQ, st)
	case st.To.IsBare():
		ss.bounced(ctx, Pass, st)
	default:
		s, _, ok := ss.find(st.To)
		switch {
		case s != nil:
			ss.deliver(ctx, s, st)
		case ok:
			ss.bounced(ctx, Bounce, st)
		default:
			ss.park(ctx, st, true)
		}
	}
}

// bounced asks what becomes of a stanza that has found no session.
func (ss *Sessions) bounced(ctx context.Context, f Fate, st *xmpp.Stanza) {
	if BounceUser.Run(ctx, ss.hooks, f, st) == Bounce {
		ss.router.Bounce(ctx, st, xmpp.ServiceUnavailable.WithText("User session not found"))
	}
}

// deliver gives a stanza to one client, if the user's rules let it pass. It reports
// whether they do.
func (ss *Sessions) deliver(ctx context.Context, s *Session, st *xmpp.Stanza) bool {
	if !ss.allowed(ctx, s.JID, st, In, s) {
		ss.refuse(ctx, st)
		return false
	}
	if st.Kind == xmpp.Presence && !s.remote { // there it is asked when it arrives
		if st = PresenceIn.Run(ctx, ss.hooks, st, s); st == nil {
			return true
		}
	}
	s.way().Send(ctx, st)
	return true
}

// refuse tells the sender of a blocked stanza what it is told for somebody who
// is not there (XEP-0016 §2.14, XEP-0191 §3).
func (ss *Sessions) refuse(ctx context.Context, st *xmpp.Stanza) {
	switch {
	case st.Kind == xmpp.Presence, st.Type == "groupchat", st.Type == "headline":
	case st.Kind == xmpp.Message && st.Has("http://jabber.org/protocol/muc#user", "x"):
	default:
		ss.router.Bounce(ctx, st, xmpp.ServiceUnavailable)
	}
}

// allowed asks the user's privacy rules.
func (ss *Sessions) allowed(ctx context.Context, user xmpp.JID, st *xmpp.Stanza, d Direction, s *Session) bool {
	if !Privacy.Heard(ss.hooks) {
		return true
	}
	return Privacy.Run(ctx, ss.hooks, true, PrivacyCheck{user, st, d, s})
}

// Allowed asks the rules of user whether st may come in or go out, for parts
// that answer on a user's behalf.
func (ss *Sessions) Allowed(ctx context.Context, user xmpp.JID, st *xmpp.Stanza, d Direction) bool {
	return ss.allowed(ctx, user, st, d, nil)
}
