package offline

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// drained is how long a client may take to read a page before it gets the next
// one all the same.
const drained = 10 * time.Second

// atOnce is how many pages a client is given without having read the first: what
// comes new overtakes the rest, so that there should be none.
const atOnce = 4

// before gives a client that is about to become available what waits for the
// user, so that it comes before anything that is sent from then on.
func (m *offline) before(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Type != "" || priority(st) < 0 {
		return st, hooks.Next
	}
	if x := m.state(s); !x.chooses.Load() && !x.served.Load() {
		m.handAll(ctx, s)
	}
	return st, hooks.Next
}

// came looks once more: what arrived until the client was available was stored.
func (m *offline) came(ctx context.Context, s *sm.Session) {
	x := m.state(s)
	p, _ := s.Priority()
	switch {
	case p < 0:
		x.served.Store(false)
	case !x.chooses.Load() && !x.served.Swap(true) && !m.emptied(s):
		m.serve(ctx, s)
	}
}

// emptied reports whether nothing waited for the user of s when it was last given
// what does, and nothing has been stored since. Whoever stores counts first and
// then looks who is served (settled), so that one of the two sees the other.
func (m *offline) emptied(s *sm.Session) bool {
	if m.host.Hooks().Spreads() {
		return false // others store, too
	}
	return m.state(s).empty.Load() == m.stored[m.locks.shard(s.JID.Bare())].Load()+1
}

// left has the client served again when it comes back.
func (m *offline) left(_ context.Context, l sm.Leaving) {
	m.state(l.Session).served.Store(false)
}

// behind has a message for a user who is there wait for what is on its way to the disk
// for that user: sent before he came, it would be overtaken.
func (m *offline) behind(_ context.Context, st *xmpp.Stanza, ss *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
	if st != nil && st.Kind == xmpp.Message && m.flying.any.Load() > 0 && m.flying.has(st.To.Bare()) && gets(ss, st.To) {
		m.flying.behind(st.To.Bare(), ss)
	}
	return st, hooks.Next
}

// gets reports whether somebody with that address is given what waits, on whichever
// node.
func gets(ss *sm.Sessions, to xmpp.JID) bool {
	return slices.ContainsFunc(ss.User(to.Bare()), func(s *sm.Session) bool {
		return getsAny(s) && (to.IsBare() || s.JID == to)
	})
}

// getsAny reports whether s gets messages for the bare address.
func getsAny(s *sm.Session) bool {
	p, ok := s.Priority()
	return ok && p >= 0
}

// present is the client of user on this node that gets what waits, nil if none
// does. It may be about to look itself (came).
func (m *offline) present(user xmpp.JID) (best *sm.Session) {
	most := -1
	for _, s := range m.host.Sessions.Local(user) {
		x := m.state(s)
		if p, ok := s.Priority(); ok && p > most && !x.chooses.Load() {
			best, most = s, p
		}
	}
	return best
}

// handAll gives the client of s what waits for its user, up to atOnce pages of it.
func (m *offline) handAll(ctx context.Context, s *sm.Session) (last int64, more bool) {
	last, more = m.hand(ctx, s, 0)
	for n := 1; more && n < atOnce; n++ {
		last, more = m.hand(ctx, s, last)
	}
	return last, more
}

// serve gives the client of s what waits for its user. Where that is very much the
// rest comes in pages: the next one when the client has read the last.
func (m *offline) serve(ctx context.Context, s *sm.Session) {
	last, more := m.handAll(ctx, s)
	x := m.state(s)
	if !more || x.feeding.Swap(true) {
		return
	}
	m.later.Apart(func() {
		defer x.feeding.Store(false)
		for more && m.read(s) {
			last, more = m.hand(m.ctx, s, last)
		}
	})
}

// read waits until the client has read everything it was sent so far: then it
// answers a question that came behind. It reports whether the client is there.
func (m *offline) read(s *sm.Session) bool {
	ctx, cancel := context.WithTimeout(m.ctx, drained)
	defer cancel()
	// Any answer will do, even an error, and so will none: the page is small.
	_, _ = m.host.Ask(ctx, s.JID, xmpp.El("urn:xmpp:ping", "ping"), "get")
	return !over(s) && m.ctx.Err() == nil
}

// hand gives the client of s a page of messages, from behind the one numbered
// after, and deletes those that are safe with it. more says that others wait behind last.
// Clients of one node take their turns here; those of several nodes ask the
// database for theirs (claim.go).
func (m *offline) hand(ctx context.Context, s *sm.Session, after int64) (last int64, more bool) {
	user := s.JID.Bare()
	stored := m.stored[m.locks.shard(user)].Load()
	m.flying.wait(ctx, user)
	l := m.locks.of(user)
	l.Lock()
	defer l.Unlock()
	page, more, err := m.next(ctx, user, after)
	if err != nil {
		m.host.Log.Error("waiting messages cannot be read", "user", user.String(), "error", err)
		return after, false
	}
	if len(page) == 0 {
		m.state(s).empty.Store(stored + 1)
		return after, false
	}
	last = slices.MaxFunc(page, func(a, b message) int { return cmp.Compare(a.seq, b.seq) }).seq
	if m.host.Hooks().Spreads() {
		err = m.handClaimed(ctx, s, after, last, page)
	} else {
		err = m.handPage(ctx, s, page)
	}
	m.counts.changed(user)
	if err != nil {
		m.host.Log.Error("waiting messages were not handed over, or not deleted and will come again", "user", user.String(), "error", err)
		return last, false
	}
	return last, more && !over(s)
}

// next reads a page of what waits for user, with what references stand for.
func (m *offline) next(ctx context.Context, user xmpp.JID, after int64) (page []message, more bool, err error) {
	if after == 0 {
		if err := m.trim(ctx, user); err != nil {
			return nil, false, err
		}
	}
	page, more, err = m.store.page(ctx, user, after)
	if err == nil {
		var taken bool
		if taken, err = m.takeOver(ctx, user, page); taken && err == nil {
			page, more, err = m.store.page(ctx, user, after)
		}
	}
	n := 0
	if err == nil {
		n, err = m.fill(ctx, user, page)
	}
	if err != nil {
		return nil, false, err
	}
	page, more = page[:n], more || n < len(page)
	if m.UseMAMForStorage {
		m.inOrder(page)
	}
	return page, more, nil
}

// handPage gives the client of s all messages of a page.
func (m *offline) handPage(ctx context.Context, s *sm.Session, page []message) error {
	var done []int64
	for _, w := range page {
		v := m.judge(ctx, s, w)
		if v == drop || v == hand && m.send(ctx, s, w) {
			done = append(done, w.seq)
		}
	}
	if len(done) == 0 || over(s) {
		return nil // who knows what arrived: it comes again
	}
	// Also when the client or the module is about to go: they were handed over.
	return m.store.remove(context.WithoutCancel(ctx), s.JID.Bare(), done)
}

// over reports whether the session has ended.
func over(s *sm.Session) bool {
	select {
	case <-s.Done():
		return true
	default:
		return false
	}
}

// A verdict is what becomes of a message that waits.
type verdict uint8

const (
	leave verdict = iota // it cannot be read, or not yet
	drop                 // its time is over, it is nowhere, or the user does not want it
	hand
)

// judge decides about one message for the client of s.
func (m *offline) judge(ctx context.Context, s *sm.Session, w message) verdict {
	switch {
	case w.stanza == nil:
		m.host.Log.Error("a waiting message cannot be read and stays where it is", "user", s.JID.Bare().String(), "seq", w.seq)
		return leave
	case w.absent:
		if at, ok := m.cameAt(w.stanza); ok && time.Since(at) < lost {
			return leave
		}
		return drop
	case expired(w.stanza, m.host.JID, time.Now()):
		return drop
	case sm.Privacy.Run(ctx, m.host.Hooks(), true, sm.PrivacyCheck{User: s.JID, Stanza: w.stanza, Direction: sm.In, Session: s}):
		return hand
	}
	return drop
}
