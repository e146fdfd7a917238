package mam

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// sent archives what a client of ours sends, for its user. Until everybody has
// seen it the message carries the ID that it has there, for the user's other
// clients (XEP-0280).
func (m *mam) sent(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Kind != xmpp.Message {
		return st, hooks.Next
	}
	user := s.JID.Bare()
	st = unmarked(st, user)
	if !worth(st) {
		return st, hooks.Next
	}
	in := Storing{User: user, Peer: st.To, Direction: sm.Out}
	if !m.wants(ctx, in) {
		return st, hooks.Next
	}
	st = m.host.Sessions.Stamped(st)
	if !m.archive(ctx, st, in) {
		return st, hooks.Next
	}
	return marked(st, user), hooks.Next
}

// unmark takes the sender's ID out of what goes to others.
func (m *mam) unmark(_ context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Kind != xmpp.Message || st.Stamp == 0 {
		return st, hooks.Next
	}
	return unmarked(st, s.JID.Bare()), hooks.Next
}

// received archives what arrives for a user, unless he has blocked it, and gives it
// the ID that it has there.
func (m *mam) received(ctx context.Context, st *xmpp.Stanza, _ *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Kind != xmpp.Message {
		return st, hooks.Next
	}
	user := st.To.Bare()
	st = unmarked(st, user)
	if !worth(st) {
		return st, hooks.Next
	}
	in := Storing{User: user, Peer: st.From, Direction: sm.In}
	if !m.wants(ctx, in) || !m.isOurs(ctx, user) || !m.host.Sessions.Allowed(ctx, user, st, sm.In) {
		return st, hooks.Next
	}
	if st.Stamp != 0 && st.From.Bare() == user {
		return marked(st, user), hooks.Next // he has sent it to himself: it is there
	}
	st = m.host.Sessions.Stamped(st)
	if !m.archive(ctx, st, in) {
		return st, hooks.Next
	}
	return marked(st, user), hooks.Next
}

// isOurs reports whether there is such a user: nobody can fill the archive of one
// who does not exist.
func (m *mam) isOurs(ctx context.Context, user xmpp.JID) bool {
	if len(m.host.Sessions.Local(user)) > 0 {
		return true
	}
	ok, err := m.host.Auth.Exists(ctx, user)
	return ok && err == nil // who asks next says what is wrong
}

// homeless says of a message that has found nobody at home that it is kept.
func (m *mam) homeless(_ context.Context, fate sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
	if fate == sm.Bounce && archived(st, st.To.Bare()) {
		return sm.Archived, hooks.Next
	}
	return fate, hooks.Next
}

// archive queues a message for the database and does not wait for it. It reports
// whether it could.
func (m *mam) archive(ctx context.Context, st *xmpp.Stanza, in Storing) bool {
	keep := st
	if StoreMessage.Heard(m.host.Hooks()) {
		if keep = StoreMessage.Run(ctx, m.host.Hooks(), st, in); keep == nil {
			return false
		}
		if keep.Stamp != st.Stamp { // a handler has made a new one
			keep = keep.WithStamp(st.Stamp)
		}
	}
	var jobs []storage.Job
	if sm.Storing.Heard(m.host.Hooks()) {
		jobs = sm.Storing.Run(ctx, m.host.Hooks(), nil, sm.Storage{Table: "archive", User: in.User, Peer: in.Peer, Direction: in.Direction, Stanza: keep})
	}
	var stone []storage.Statement
	late := false
	if keep.Has(nsRetract, "retract") {
		stone, late = m.retract(ctx, in, keep)
	}
	ticket, err := m.store.add(in, keep, st.Stamp, jobs, stone...)
	if err != nil {
		m.failed(in.User, err)
		return false
	}
	if m.full.Load() {
		m.full.Store(false)
	}
	if m.store.Busy() {
		sm.BurstOf(ctx).Pause(ticket.Done())
	}
	receipt := sm.ReceiptOf(ctx)
	receipt.Hold()
	m.flight.start(in.User, st.Stamp, ticket)
	ticket.Then(func(err error) {
		m.written(in, st.Stamp, receipt, err)
		if err == nil && late {
			if m.later.Do(func() { m.retractLate(in, keep); m.flight.land(in.User, ticket) }) {
				return
			}
			m.host.Log.Warn("a retraction was not carried out in the archive", "user", in.User.String())
		}
		m.flight.land(in.User, ticket)
	})
	return true
}

// written is called when it is known whether a message is in the archive. The
// recipient's copy makes it safe. That the sender has one helps nobody who was to get
// it; but his client must not take it for archived before it is.
func (m *mam) written(in Storing, stamp int64, receipt *sm.Receipt, err error) {
	if err == nil && in.Direction == sm.In {
		receipt.Secure()
		return
	}
	if err != nil {
		m.host.Log.Error("a message was not archived", "user", in.User.String(), "error", err)
		if in.Direction == sm.In || in.Peer.Bare() == in.User {
			m.flight.fail(stamp)
		}
	}
	receipt.Release()
}

// failed says once that messages cannot be queued, until one can be again.
func (m *mam) failed(user xmpp.JID, err error) {
	switch {
	case !errors.Is(err, storage.ErrFull):
		m.host.Log.Error("a message cannot be archived", "user", user.String(), "error", err)
	case !m.full.Swap(true):
		m.host.Log.Error("messages are not archived: the database does not keep up", "error", err)
	}
}
