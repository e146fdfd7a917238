package sm

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// maxDirected bounds the addresses a client may have sent directed presence to.
const maxDirected = 1000

// OwnPresence deals with presence that s sends to nobody in particular (RFC 6121
// §4.2, §4.4, §4.5): available or unavailable. Other types are answered with an
// error.
func (ss *Sessions) OwnPresence(ctx context.Context, s *Session, st *xmpp.Stanza) {
	switch st.Type {
	case "":
		ss.arrive(ctx, s, st)
	case "unavailable":
		ss.withdraw(ctx, s, st)
	case "error", "probe":
		// Nobody is asked and nobody told.
	default:
		s.Send(ctx, st.Bounce(xmpp.BadRequest.WithText("This presence needs an address")))
	}
}

// arrive makes s available, or changes its presence.
func (ss *Sessions) arrive(ctx context.Context, s *Session, st *xmpp.Stanza) {
	prio, err := priorityOf(st)
	if err != nil {
		s.Send(ctx, st.Bounce(xmpp.AsError(err)))
		return
	}
	if st = SelfPresent.Run(ctx, ss.hooks, st, s); st == nil {
		return
	}
	s.mu.Lock()
	first := s.presence == nil
	s.mu.Unlock()
	if first && prio >= 0 {
		// What comes from now on must not overtake what has waited.
		defer ss.Detain(s.JID.Bare())(ctx, nil)
	}
	s.mu.Lock()
	s.presence, s.since = st, time.Now()
	s.priority.Store(int32(prio))
	s.available.Store(true)
	s.mu.Unlock()
	// First: what waits for the user, and is kept for him from now on, must find
	// him here.
	ss.store.Changed(ctx, s)
	Present.Run(ctx, ss.hooks, s)

	contacts := Subscriptions.Run(ctx, ss.hooks, Contacts{}, s.JID.Bare())
	self := s.JID.Bare()
	ss.tell(ctx, s, st, contacts.From, self)
	if first {
		probe := xmpp.NewPresence("probe", s.JID, xmpp.JID{})
		ss.tell(ctx, s, probe, contacts.To, self)
	}
}

// priorityOf is the priority in a presence, 0 where there is none (RFC 6121
// §4.7.2.3).
func priorityOf(st *xmpp.Stanza) (int, error) {
	text := strings.Trim(st.Child(xmpp.NSClient, "priority").Text(), " \t\r\n")
	if text == "" {
		return 0, nil
	}
	p, err := strconv.ParseInt(text, 10, 8)
	if err != nil {
		return 0, xmpp.BadRequest.WithText("A priority is a number from -128 to 127")
	}
	return int(p), nil
}

// withdraw makes s unavailable at its client's word (RFC 6121 §4.5.2). The
// session stays.
func (ss *Sessions) withdraw(ctx context.Context, s *Session, st *xmpp.Stanza) {
	if st = SelfPresent.Run(ctx, ss.hooks, st, s); st == nil {
		return
	}
	ss.retire(ctx, s, st, true)
}

// leave tells everybody that s is gone without its client's word (RFC 6121
// §4.5.3).
func (ss *Sessions) leave(ctx context.Context, s *Session, status string) {
	st := xmpp.NewPresence("unavailable", s.JID, xmpp.JID{})
	if status != "" {
		st = st.With(xmpp.TextEl(xmpp.NSClient, "status", status))
	}
	ss.retire(ctx, s, st, false)
}

// retire takes s's presence away and sends st to all who had it. The client
// itself is told when it can still listen.
func (ss *Sessions) retire(ctx context.Context, s *Session, st *xmpp.Stanza, listening bool) {
	s.mu.Lock()
	was := s.presence != nil
	directed := s.directed
	s.presence, s.directed = nil, nil
	s.available.Store(false)
	s.priority.Store(0)
	s.mu.Unlock()
	if was {
		if listening {
			ss.store.Changed(ctx, s)
		}
		Unpresent.Run(ctx, ss.hooks, Leaving{s, st.Child(xmpp.NSClient, "status").Text()})
	}
	if was && (listening || !ss.succeeded(s)) {
		contacts := Subscriptions.Run(ctx, ss.hooks, Contacts{}, s.JID.Bare())
		ss.tell(ctx, s, st, contacts.From, s.JID.Bare())
		if listening {
			s.Send(ctx, st.Readdressed(s.JID, s.JID.Bare()))
		}
		for to := range directed {
			if slices.Contains(contacts.From, to.Bare()) {
				delete(directed, to) // it has just been told
			}
		}
	}
	for to := range directed {
		ss.tellOne(ctx, s, st, to)
	}
}

// succeeded reports whether another session with the address of s is available:
// then nobody has gone.
func (ss *Sessions) succeeded(s *Session) bool {
	all, err := ss.store.Fresh(s.JID.Bare())
	if err != nil {
		all = ss.store.Local(s.JID.Bare())
	}
	return s.succeededBy(all)
}

// succeededHere is succeeded as far as this node knows, which costs nothing.
func (ss *Sessions) succeededHere(s *Session) bool {
	return s.succeededBy(ss.store.Local(s.JID.Bare()))
}

// succeededBy reports whether one of all is available and has the address of s.
func (s *Session) succeededBy(all []*Session) bool {
	return slices.ContainsFunc(all, func(o *Session) bool {
		_, ok := o.Priority()
		return ok && o.JID == s.JID && o.ID != s.ID
	})
}

// overtaken reports whether st, from that node, says that a client is gone which is
// there: a newer session with its address, on another node, has said so sooner than
// the old one's end was heard of. A client of the same node may be gone for some and
// there for others.
func (ss *Sessions) overtaken(ctx context.Context, node string, st *xmpp.Stanza) bool {
	if st.Type != "unavailable" || Stays(ctx) || st.From.Domain() != ss.Domain || st.From.IsBare() {
		return false
	}
	for _, look := range []func(xmpp.JID) ([]*Session, error){ss.store.User, ss.store.Fresh} {
		all, err := look(st.From.Bare())
		s := newest(all, st.From)
		if err != nil || s == nil || s.ID.Node == node {
			return false
		}
		if _, ok := s.Priority(); !ok {
			return false
		}
	}
	return true
}

type staysKey struct{}

// Staying returns a context for "unavailable" in the name of a client that stays, and is
// gone only for whom it is for: from another node than the client's it would else be
// taken for the farewell of a session that has a successor, and dropped.
func Staying(ctx context.Context) context.Context { return context.WithValue(ctx, staysKey{}, true) }

// Stays reports whether ctx is from Staying, for who takes presence to other nodes.
func Stays(ctx context.Context) bool { return ctx.Value(staysKey{}) != nil }

// silence takes the presence of s away without telling anybody: others have done
// that, and take it out of the store.
func (s *Session) silence() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = true
	s.presence, s.directed = nil, nil
	s.available.Store(false)
	s.priority.Store(0)
}

func (s *Session) silenced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silent
}

// tell sends copies of a presence to a list of people and one more. If it is the
// farewell of a session that has a successor by now, whoever is left has heard of that
// one, or will.
func (ss *Sessions) tell(ctx context.Context, s *Session, st *xmpp.Stanza, to []xmpp.JID, more xmpp.JID) {
	for i := -1; i < len(to); i++ {
		j := more
		if i >= 0 {
			if j = to[i]; j == more {
				continue
			}
		}
		if st.Type == "unavailable" && ss.succeededHere(s) {
			return
		}
		ss.tellOne(ctx, s, st, j)
	}
}

func (ss *Sessions) tellOne(ctx context.Context, s *Session, st *xmpp.Stanza, to xmpp.JID) {
	c := st.Readdressed(s.JID, to)
	if ss.allowed(ctx, s.JID, c, Out, s) {
		ss.router.Route(ctx, c)
	}
}

// SentPresence deals with presence that s sends to somebody: directed presence
// (RFC 6121 §4.6), subscriptions (§3), probes and errors.
func (ss *Sessions) SentPresence(ctx context.Context, s *Session, st *xmpp.Stanza) {
	switch st.Type {
	case "subscribe", "subscribed", "unsubscribe", "unsubscribed":
		// RFC 6121 §3.1.2: between bare addresses.
		st = st.Readdressed(s.JID.Bare(), st.To.Bare())
		if st = OutSubscribe.Run(ctx, ss.hooks, st, s); st == nil {
			return
		}
	case "":
		ok, first := s.direct(st.To)
		if !ok {
			s.Send(ctx, st.Bounce(xmpp.ResourceConstraint.WithText("Too many addresses with directed presence")))
			return
		}
		if first {
			ss.store.Changed(ctx, s)
		}
	case "unavailable":
		if s.undirect(st.To) {
			ss.store.Changed(ctx, s)
		}
	case "probe", "error":
	default:
		s.Send(ctx, st.Bounce(xmpp.BadRequest.WithText("There is no such type of presence")))
		return
	}
	if ss.allowed(ctx, s.JID, st, Out, s) {
		ss.router.Route(ctx, st)
		return
	}
	if st.Type == "" {
		s.undirect(st.To)
	}
	if st.Type != "unavailable" {
		ss.forbid(ctx, s, st)
	}
}

// direct remembers that to has s's presence. first says that it had not; ok is
// false when there are too many.
func (s *Session) direct(to xmpp.JID) (ok, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.directed[to]; known {
		return true, false
	}
	if len(s.directed) >= maxDirected {
		return false, false
	}
	if s.directed == nil {
		s.directed = map[xmpp.JID]struct{}{}
	}
	s.directed[to.Clone()] = struct{}{}
	return true, true
}

// Recall takes directed presence of s back from those to whom the user's rules do
// not let presence go any more. It is called when these have changed, on the node
// that the session is on.
func (ss *Sessions) Recall(ctx context.Context, s *Session) {
	s.mu.Lock()
	all := make([]xmpp.JID, 0, len(s.directed))
	for to := range s.directed {
		all = append(all, to)
	}
	s.mu.Unlock()
	recalled := false
	for _, to := range all {
		st := xmpp.NewPresence("unavailable", s.JID, to)
		if !ss.allowed(ctx, s.JID, st, Out, s) {
			recalled = s.undirect(to) || recalled
			ss.router.Route(ctx, st)
		}
	}
	if recalled {
		ss.store.Changed(ctx, s)
	}
}

// Directed reports whether the client has sent directed presence (RFC 6121 §4.6) to
// j or to its bare address. It is known on the session's own node only.
func (s *Session) Directed(j xmpp.JID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.directed) == 0 {
		return false
	}
	_, full := s.directed[j]
	_, bare := s.directed[j.Bare()]
	return full || bare
}

// undirect forgets that to has s's presence, and reports whether it had.
func (s *Session) undirect(to xmpp.JID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, had := s.directed[to]
	delete(s.directed, to)
	return had
}

// directedTo is who has s's presence by direction, as many as fit into size bytes.
func (s *Session) directedTo(size int) (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for to := range s.directed {
		text := to.String()
		if size -= len(text) + len(`"",`); size < 0 {
			break
		}
		all = append(all, text)
	}
	return all
}

// probed answers a presence probe on behalf of a user (RFC 6121 §4.3.2).
func (ss *Sessions) probed(ctx context.Context, st *xmpp.Stanza) {
	user, asker := st.To.Bare(), st.From.Bare()
	if user != asker {
		c := JIDInfo.Run(ctx, ss.hooks, Contact{}, Pair{user, asker})
		if !c.SeesUser() {
			ss.answerDirected(ctx, st)
			return
		}
	}
	Probed.Run(ctx, ss.hooks, st)
	for _, s := range ss.User(user) {
		p, since := s.Presence()
		if p == nil || s.JID == st.From || !st.To.IsBare() && st.To != s.JID {
			continue
		}
		answer := p.Readdressed(s.JID, st.From)
		if !answer.Has(nsDelay, "delay") {
			answer = answer.With(Delay(s.JID.Host(), since))
		}
		if ss.allowed(ctx, s.JID, answer, Out, s) {
			ss.router.Route(ctx, answer)
		}
	}
}

// answerDirected lets those be answered who have directed presence, and nobody
// else know anything.
func (ss *Sessions) answerDirected(ctx context.Context, st *xmpp.Stanza) {
	for _, s := range ss.Local(st.To.Bare()) {
		s.mu.Lock()
		_, bare := s.directed[st.From.Bare()]
		_, full := s.directed[st.From]
		p := s.presence
		s.mu.Unlock()
		if p == nil || !bare && !full {
			continue
		}
		if answer := p.Readdressed(s.JID, st.From); ss.allowed(ctx, s.JID, answer, Out, s) {
			ss.router.Route(ctx, answer)
		}
	}
}

const nsDelay = "urn:xmpp:delay"

// Delay says that a stanza is from an earlier time (XEP-0203).
func Delay(from xmpp.JID, at time.Time) *xmpp.Element {
	return xmpp.Build(nsDelay, "delay").Attr("from", from.String()).
		Attr("stamp", at.UTC().Format("2006-01-02T15:04:05.000Z")).Done()
}
