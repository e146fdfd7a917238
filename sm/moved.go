package sm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Luggage is what handlers pack for a session that goes on on another node: words
// of theirs under their module's name. It is small.
type Luggage map[string]string

// String is the names under which something is packed.
func (l Luggage) String() string { return strings.Join(slices.Sorted(maps.Keys(l)), " ") }

// An Unpacking is a session that has come from another node.
type Unpacking struct {
	Session *Session
	Luggage Luggage
}

// String is the session's address, for traces.
func (u Unpacking) String() string { return u.Session.String() }

// A Moved is a session whose client may resume it (XEP-0198 §5), on its way to
// another node. It holds a secret, the stream's id.
type Moved struct {
	Record   Record    `json:"record"`
	Directed []string  `json:"directed,omitempty"` // all who have directed presence
	Luggage  Luggage   `json:"luggage,omitempty"`
	Acks     Acks      `json:"acks"`
	Method   string    `json:"method,omitempty"` // by which the client has logged in
	Handled  uint32    `json:"handled"`          // of the client's stanzas
	Sent     uint64    `json:"sent"`
	Queue    []Unacked `json:"queue,omitempty"` // the last of those that were sent

	// Open is the messages, by their stanza-ids, that were not safe when the session
	// left a node, and their numbers: they may be sent to it once more.
	Open map[string]uint64 `json:"open,omitempty"`
}

// An Unacked is a stanza that the client has not acknowledged.
type Unacked struct {
	XML  string `json:"xml"`
	At   int64  `json:"at"`             // when it came, in seconds since 1970
	Safe bool   `json:"safe,omitempty"` // it will not be lost, whatever becomes of the session
}

// A Movable is a connection whose session can go on on another node.
type Movable interface {
	// Move has the connection let go of the session, for that reason, unless there
	// is none any more, and calls take with the session. The way to it on the other
	// node comes back, and from then on what is sent to the session goes there; nil
	// says that the other node has not taken it, and the session stays here. again
	// says that messages which are not safe are to be sent once more, with their
	// receipts, to where the session is. Move waits, a bounded time.
	Move(ctx context.Context, s *Session, reason error, again bool, take func(*Moved) Conn) bool
}

// A Mover is the way by which sessions come here and go. Its methods wait for other
// nodes, a bounded time, and may be called by anyone.
type Mover interface {
	// Fetch has the session come here whose stream of that user has that id. It is
	// nil if there is none; then h is how many stanzas of the client were handled,
	// if that is known.
	Fetch(ctx context.Context, user xmpp.JID, id string) (s *Session, h uint32, known bool)
	// Give has the session go on on some other node, and reports whether it does. Its
	// connection ends for that reason.
	Give(ctx context.Context, s *Session, reason error) bool
}

// An Adopter makes a connection for a session that has come from another node: one
// that waits for its client. begin is called when the session is known. The error
// says why there is none.
type Adopter func(s *Session, m *Moved) (conn Conn, begin func(), err error)

type moves struct {
	mover atomic.Pointer[Mover]
	adopt atomic.Pointer[Adopter]
}

// MoveBy says how sessions get to other nodes; nil is not at all.
func (ss *Sessions) MoveBy(m Mover) {
	if m == nil {
		ss.moves.mover.Store(nil)
		return
	}
	ss.moves.mover.Store(&m)
}

// AdoptBy says what makes connections for sessions that come from other nodes.
func (ss *Sessions) AdoptBy(a Adopter) { ss.moves.adopt.Store(&a) }

// Fetch is the session of that user whose stream has that id, wherever it was: it is
// on this node now. It is nil if there is none, and then Ended knows what the other
// nodes know. It waits for them, a bounded time.
func (ss *Sessions) Fetch(ctx context.Context, user xmpp.JID, id string) *Session {
	m := ss.moves.mover.Load()
	if m == nil || id == "" {
		return nil
	}
	s, h, known := (*m).Fetch(ctx, user, id)
	if s == nil {
		s = ss.Resumes(user, id) // its node was about to go, and has given it to this one
	}
	if s == nil { // or to yet another
		if all, err := ss.store.Fresh(user); err == nil && len(all) > 0 {
			s, h, known = (*m).Fetch(ctx, user, id)
		}
	}
	if s == nil && known {
		r := &ss.resumption
		r.mu.Lock()
		defer r.mu.Unlock()
		r.remember(id, user, h)
	}
	return s
}

// Give has the session go on on another node, and reports whether it does; its
// connection ends for that reason. False also says that there is no other node, or
// that its client cannot resume it.
func (ss *Sessions) Give(ctx context.Context, s *Session, reason error) bool {
	m := ss.moves.mover.Load()
	return m != nil && !s.Anonymous && (*m).Give(ctx, s, reason)
}

// Move hands a session of this node to take, as Movable says. It is for a Mover.
func (ss *Sessions) Move(ctx context.Context, s *Session, reason error, again bool, take func(*Moved) Conn) bool {
	c, ok := s.way().(Movable)
	return ok && !s.Anonymous && c.Move(ctx, s, reason, again, take)
}

// Travels has what a part keeps with sessions go with them to other nodes, where o
// is running too: write makes words of it, and read takes them, which may come from a
// newer gabberd.
func (k *Slot[T]) Travels(o hooks.Owner, write func(T) string, read func(string) T) {
	SessionPacked.Add(o, hooks.Normal, func(_ context.Context, l Luggage, s *Session) (Luggage, hooks.Flow) {
		if v, ok := k.Get(s); ok {
			l[k.name] = write(v)
		}
		return l, hooks.Next
	})
	SessionUnpacked.Add(o, hooks.Normal, func(_ context.Context, u Unpacking) {
		if text, ok := u.Luggage[k.name]; ok {
			k.Set(u.Session, read(text))
		}
	})
}

// MarkTravels is Travels for a place that holds nothing but whether something is set.
func MarkTravels(o hooks.Owner, k *Slot[struct{}]) {
	k.Travels(o, func(struct{}) string { return "" }, func(string) struct{} { return struct{}{} })
}

// Taken ends the connection of a client that resumes over another one (XEP-0198 §5).
var Taken = stream.Conflict.With("Resumed by a new connection")

// everybody is more than any client can have sent directed presence to.
const everybody = 1 << 30

// Pack begins a Moved: what sm and modules keep with the session is in it. It is for
// the session's connection.
func (ss *Sessions) Pack(ctx context.Context, s *Session) *Moved {
	m := &Moved{Luggage: SessionPacked.Run(ctx, ss.hooks, Luggage{}, s)}
	m.Record = RecordOf(s, 0)
	m.Record.Directed, m.Directed = nil, s.directedTo(everybody)
	return m
}

// MovedAway says that the session is on another node now: it is forgotten here, and
// nobody is told that it is gone. It is for the session's connection.
func (ss *Sessions) MovedAway(ctx context.Context, s *Session, id string) {
	r := &ss.resumption
	r.mu.Lock()
	delete(r.open, id)
	r.mu.Unlock()
	if ss.remove(ctx, s) {
		s.silence()
		Closed.Run(ctx, ss.hooks, s)
	}
}

// Adopt takes over a session that another node has packed. When it returns the
// session is here, and what is sent to it waits for its client; when settled has
// returned all nodes know, and the client may resume it. wakes says that the client
// is not known to be back. It is for a Mover.
func (ss *Sessions) Adopt(ctx context.Context, m *Moved) (s *Session, settled func(wakes bool), err error) {
	adopt := ss.moves.adopt.Load()
	if adopt == nil {
		return nil, nil, errors.New("nobody takes sessions over")
	}
	if s, err = m.Record.read(ss.Domain); err != nil {
		return nil, nil, err
	}
	if err := m.check(s); err != nil {
		return nil, nil, err
	}
	s.ID = s.ID.MovedTo(ss.node)
	m.Record.Directed = m.Directed
	s.directed = m.Record.directed()
	conn, begin, err := (*adopt)(s, m)
	if err != nil {
		return nil, nil, err
	}
	s.conn.Store(&conn)
	if s.Copied() {
		ss.countCopied(true)
	}
	SessionUnpacked.Run(ctx, ss.hooks, Unpacking{s, m.Luggage})
	// It is known here at once; that it is known elsewhere is waited for below.
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := ss.store.Add(over, s); err != nil {
		conn.Close(stream.ResourceConstraint)
		begin()
		return nil, nil, err
	}
	ss.CanResume(m.Acks.ID, s)
	return s, func(wakes bool) {
		ss.store.Changed(ctx, s)
		if all, err := ss.store.Fresh(s.JID.Bare()); err == nil {
			ss.Settle(s, all) // its client may have given up, and bound its address anew
		}
		Opened.Run(ctx, ss.hooks, s)
		if wakes {
			SessionPending.Run(ctx, ss.hooks, s)
		}
		begin()
	}, nil
}

// check says what is wrong with what has come, where anybody may have written anything.
func (m *Moved) check(s *Session) error {
	switch {
	case m.Record.V != recordVersion:
		return fmt.Errorf("%w: it is of version %d, not %d", errNotOurs, m.Record.V, recordVersion)
	case s.Anonymous || m.Acks.ID == "" || m.Acks.Resume <= 0:
		return fmt.Errorf("%w: nobody can resume it", errNotOurs)
	case uint64(len(m.Queue)) > m.Sent:
		return fmt.Errorf("%w: more is queued than was sent", errNotOurs)
	}
	for _, seq := range m.Open {
		if seq >= m.Sent {
			return fmt.Errorf("%w: something is open that was not sent", errNotOurs)
		}
	}
	return nil
}

// Streams calls each with every stream of this node that can be resumed, and how
// many stanzas of its client are handled.
func (ss *Sessions) Streams(each func(id string, user xmpp.JID, h uint32)) {
	r := &ss.resumption
	r.mu.Lock()
	open := maps.Clone(r.open)
	r.mu.Unlock()
	for id, s := range open {
		if c, ok := s.way().(interface{ Handled() uint32 }); ok {
			each(id, s.JID.Bare(), c.Handled())
		}
	}
}
