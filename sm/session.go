package sm

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// A Conn is a client's connection, as its session sees it.
type Conn interface {
	// Send appends the stanza to what the client is sent. It never blocks and
	// never reorders; a client that does not take its stanzas loses its
	// connection.
	Send(ctx context.Context, st *xmpp.Stanza)
	// Close ends the stream with that error. It does not wait.
	Close(reason *stream.Error)
	// Done is closed when the connection is over and its session closed.
	Done() <-chan struct{}
}

// A Passer is a connection that can be given what a handler of FilterSend has held
// back.
type Passer interface {
	// Pass appends a stanza to what the client is sent, as Send does, without asking
	// any hook.
	Pass(ctx context.Context, st *xmpp.Stanza)
}

// An ID tells apart the sessions that have, or had, the same address. IDs of
// one node are in the order in which sessions were opened; between nodes their
// clocks decide.
type ID struct {
	Time time.Time // to the microsecond
	N    uint64
	Node string // empty on a server that is alone
}

var lastID atomic.Uint64

// NewID returns an ID that no other session of this process has.
func NewID() ID { return ID{Time: time.UnixMicro(time.Now().UnixMicro()), N: lastID.Add(1)} }

// After reports whether i counts as made after o: of two different IDs exactly
// one is, whoever asks.
func (i ID) After(o ID) bool {
	switch {
	case !i.Time.Equal(o.Time):
		return i.Time.After(o.Time)
	case i.N != o.N:
		return i.N > o.N
	}
	return i.Node > o.Node
}

// MovedTo is the ID of the session when it goes on on another node: of the same time,
// by which services know it, but it counts as made after this one.
func (i ID) MovedTo(node string) ID { return ID{Time: i.Time, N: i.N + 1<<32, Node: node} }

// String is the ID as text: time in microseconds, number, and the node if there
// are several.
func (i ID) String() string {
	if i.Node == "" {
		return fmt.Sprintf("%d-%d", i.Time.UnixMicro(), i.N)
	}
	return fmt.Sprintf("%d-%d@%s", i.Time.UnixMicro(), i.N, i.Node)
}

// A Session is a client that has bound a resource. What is exported is set
// before it is opened and never changes; the rest has methods, which anyone may
// call at any time. Its connection is another one after a resumption (XEP-0198 §5).
type Session struct {
	ID        ID
	JID       xmpp.JID // full
	Auth      string   // the backend that let the client in: sql, anonymous, …
	Anonymous bool
	remote    bool   // conn is the way to another node
	Device    string // stands for the user agent of who logged in by SASL2 (auth.Host.DeviceName)
	Opened    time.Time
	Lang      string

	conn  atomic.Pointer[Conn]
	epoch uint64 // of the node of a remote session, when the session was made known

	mu        sync.Mutex
	addr      netip.AddrPort
	transport string
	presence  *xmpp.Stanza // the last available presence, nil before and after
	since     time.Time    // of presence
	directed  map[xmpp.JID]struct{}
	slots     []slot
	closed    bool
	silent    bool // others have said, and see to it, that it is gone
	available atomic.Bool
	priority  atomic.Int32
	rules     atomic.Pointer[string] // nil: the user's default
	copied    atomic.Bool            // the client wants copies of messages
}

// NewSession returns a session of the client at conn. It exists for others once
// it was opened.
func NewSession(j xmpp.JID, conn Conn) *Session {
	s := &Session{ID: NewID(), JID: j.Clone(), Opened: time.Now()}
	s.conn.Store(&conn)
	return s
}

// way is the connection to the client as it is now.
func (s *Session) way() Conn { return *s.conn.Load() }

// Addr is the client's address; it changes when the client resumes its session
// over another connection.
func (s *Session) Addr() netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Transport is what the client is connected by: c2s, c2s_tls, websocket, …, as
// ejabberd names them. It may change as Addr does.
func (s *Session) Transport() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transport
}

// ConnectedBy says where the client is, and by what it is connected.
func (s *Session) ConnectedBy(addr netip.AddrPort, transport string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr, s.transport = addr, transport
}

// Remote reports whether the client is connected to another node. What parts of
// the server keep with a session (Slot) is there, not here.
func (s *Session) Remote() bool { return s.remote }

// Send gives the stanza to the client, without asking anybody: it is for
// answers. Routing goes through Sessions.Route.
func (s *Session) Send(ctx context.Context, st *xmpp.Stanza) { s.way().Send(ctx, st) }

// Pass gives the client a stanza that a handler of FilterSend has held back: the
// hooks have been asked. It never blocks. It is for sessions on this node.
func (s *Session) Pass(ctx context.Context, st *xmpp.Stanza) {
	if p, ok := s.way().(Passer); ok {
		p.Pass(ctx, st)
		return
	}
	s.way().Send(ctx, st)
}

// Close ends the client's stream with that error. It does not wait; the session
// is closed soon after.
func (s *Session) Close(reason *stream.Error) { s.way().Close(reason) }

// Done is closed when the session is over.
func (s *Session) Done() <-chan struct{} { return s.way().Done() }

// Priority is the priority of the last available presence (RFC 6121 §4.7.2.3);
// ok is false for a client that is not available.
func (s *Session) Priority() (p int, ok bool) {
	return int(s.priority.Load()), s.available.Load()
}

// Presence is the last available presence and when it came; nil for a client
// that is not available.
func (s *Session) Presence() (*xmpp.Stanza, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.presence, s.since
}

// ActiveList is the name of the privacy list that the client has made active
// (XEP-0016 §2.5), empty for the user's default list. It is known on all nodes.
func (s *Session) ActiveList() string {
	if name := s.rules.Load(); name != nil {
		return *name
	}
	return ""
}

// TLS reports whether the client's connection is encrypted.
func (s *Session) TLS() bool { return strings.HasSuffix(s.Transport(), "tls") }

// A slot is what some part of the server keeps with a session.
type slot struct {
	key   any
	value any
}

// A Slot is a place in every session for a value of type T, owned by the part
// that made it.
type Slot[T any] struct{ name string }

// NewSlot makes a place in every session. name is for people.
func NewSlot[T any](name string) *Slot[T] { return &Slot[T]{name} }

// Get returns what was set, ok is false if nothing was.
func (k *Slot[T]) Get(s *Session) (v T, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.slots {
		if x.key == any(k) {
			return x.value.(T), true
		}
	}
	return v, false
}

// Set keeps v with the session, as long as that lives.
func (k *Slot[T]) Set(s *Session, v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		if s.slots[i].key == any(k) {
			s.slots[i].value = v
			return
		}
	}
	s.slots = append(s.slots, slot{k, v})
}

// Delete forgets what was set.
func (k *Slot[T]) Delete(s *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		if s.slots[i].key == any(k) {
			s.slots = append(s.slots[:i:i], s.slots[i+1:]...)
			return
		}
	}
}
