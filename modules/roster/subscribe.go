package roster

import (
	"context"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// sent deals with a subscription stanza of one of our users.
func (m *roster) sent(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil {
		return nil, hooks.Next
	}
	user, contact := s.JID.Bare(), st.To.Bare()
	if user == contact {
		return nil, hooks.Stop // everybody gets his own presence (RFC 6121 §4.2.2)
	}
	if !m.allowed(ctx, s, st) {
		return st, hooks.Next // sm will say so, and nothing has changed
	}
	asks := st.Type == "subscribe" || st.Type == "subscribed"
	if asks && !m.Access.Allows(m.host.Rules, local.Subject(user)) {
		s.Send(ctx, st.Bounce(xmpp.Forbidden.WithText("Access denied by service policy")))
		return nil, hooks.Stop
	}
	route := false
	c, err := m.change(ctx, change{user: user, contact: contact}, func(old *Item) (*Item, error) {
		var next State
		next, route = outbound(old.state(), st.Type)
		return old.in(next, contact), nil
	})
	if err != nil {
		m.refuse(ctx, s, st, err)
		return nil, hooks.Stop
	}
	if !route {
		return nil, hooks.Stop
	}
	switch st.Type {
	case "subscribed":
		// The presence comes behind the approval (§3.1.5), so that goes out here.
		m.host.Send(ctx, st)
		m.announce(ctx, user, contact)
		return nil, hooks.Stop
	case "unsubscribed":
		if c.old.state().Has(From) {
			m.retire(ctx, user, contact) // before it (§3.2.2)
		}
	}
	return st, hooks.Next
}

func (m *roster) refuse(ctx context.Context, s *sm.Session, st *xmpp.Stanza, err error) {
	e := xmpp.AsError(err)
	if e == xmpp.InternalServerError {
		m.host.Log.Error("a subscription cannot be stored", "user", s.JID.Bare().String(), "error", err)
	}
	s.Send(ctx, st.Bounce(e))
}

// in is i with another state. i may be nil, and so may the result.
func (i *Item) in(next State, contact xmpp.JID) *Item {
	switch {
	case next == i.state():
		return i
	case i == nil:
		return &Item{JID: contact.Clone(), State: next}
	case next == None && i.hidden():
		return nil
	}
	n := *i
	n.State, n.kept = next, i.shown()
	if !next.Has(PendingIn) {
		n.request = ""
	}
	return &n
}

// received deals with a subscription stanza for one of our users.
func (m *roster) received(ctx context.Context, _ bool, st *xmpp.Stanza) (bool, hooks.Flow) {
	user, contact := st.To.Bare(), st.From.Bare()
	if user == contact {
		return false, hooks.Stop
	}
	deliver, answer := false, ""
	c, err := m.change(ctx, change{user: user, contact: contact}, func(old *Item) (*Item, error) {
		var next State
		next, deliver, answer = inbound(old.state(), st.Type)
		it := old.in(next, contact)
		if it != old && it.state().Has(PendingIn) && !old.state().Has(PendingIn) {
			it.request = storeRequest(st)
		}
		return it, nil
	})
	if err != nil {
		e := xmpp.AsError(err)
		if e == xmpp.InternalServerError {
			m.host.Log.Error("a subscription cannot be stored", "user", user.String(), "error", err)
		}
		m.host.Router.Bounce(ctx, st, e)
		return false, hooks.Stop
	}
	if answer != "" {
		m.host.Send(ctx, xmpp.NewPresence(answer, user, contact))
	}
	switch was, is := c.old.state().Has(From), c.new.state().Has(From); {
	case is && !was:
		m.announce(ctx, user, contact)
	case was && !is:
		m.retire(ctx, user, contact)
	}
	return deliver, hooks.Next
}

// waiting counts who waits for an answer.
func (m *roster) waiting(ctx context.Context, n int, user xmpp.JID) (int, hooks.Flow) {
	l, err := m.lists(ctx, user)
	if err != nil {
		m.host.Log.Error("requests cannot be counted: the roster cannot be read", "user", user.String(), "error", err)
		return n, hooks.Next
	}
	return n + l.waiting, hooks.Next
}

// showRequests shows a client that has become available who waits for an answer
// (RFC 6121 §3.1.3).
func (m *roster) showRequests(ctx context.Context, s *sm.Session) {
	if _, done := m.asked.Get(s); done {
		return
	}
	m.asked.Set(s, struct{}{})
	user := s.JID.Bare()
	l, err := m.lists(ctx, user)
	if err == nil && l.waiting == 0 {
		return
	}
	var waiting []Item
	if err == nil {
		waiting, err = m.store.requests(ctx, user)
	}
	if err != nil {
		m.asked.Delete(s)
		m.host.Log.Error("subscription requests cannot be read", "user", user.String(), "error", err)
		return
	}
	for i := range waiting {
		st := readRequest(waiting[i].request, waiting[i].JID, user)
		if m.host.Sessions.Allowed(ctx, user, st, sm.In) {
			s.Send(ctx, st)
		}
	}
}

// gone has the requests shown again when the client comes back.
func (m *roster) gone(_ context.Context, l sm.Leaving) { m.asked.Delete(l.Session) }
