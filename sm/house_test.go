package sm_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A house is a virtual host with a router, sessions and nobody in it.
type house struct {
	*sm.Sessions
	t        testing.TB
	router   *router.Router
	table    *hooks.Table
	log      *syncBuffer
	accounts *accounts
	settings *settings
	stop     []func()
	away     *client // whoever sends from another domain gets the answers here
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// accounts is who has an account, kept in memory.
type accounts struct {
	names string
	err   error
}

func (a *accounts) Exists(_ context.Context, user xmpp.JID) (bool, error) {
	return slices.Contains(strings.Fields(a.names), user.Local()), a.err
}

// settings is what the tests of this package set.
type settings struct {
	limit    int
	conflict sm.Conflict
	wait     time.Duration
}

func (s *settings) MaxSessions(xmpp.JID) int       { return s.limit }
func (s *settings) Conflict() sm.Conflict          { return s.conflict }
func (s *settings) ReplacedTimeout() time.Duration { return s.wait }

// newHouse has the accounts romeo and juliet at localhost, and somebody at
// away.example.
func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, log: new(syncBuffer), accounts: &accounts{names: "romeo juliet"}, settings: &settings{}}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	h.table = hooks.NewTable(log)
	h.router = router.New(hooks.NewTable(log), log)
	h.Sessions = sm.New("localhost", sm.Parts{Hooks: h.table, Router: h.router, Store: sm.NewMemory(),
		Accounts: h.accounts, Settings: h.settings, Log: log})
	h.router.Register("localhost", "localhost", h.Sessions)
	h.away = &client{done: make(chan struct{})}
	h.router.Register("away.example", "", h.away)
	return h
}

// Name, Hooks and OnStop let a house add handlers.
func (h *house) Name() string        { return "test" }
func (h *house) Hooks() *hooks.Table { return h.table }
func (h *house) OnStop(f func())     { h.stop = append(h.stop, f) }

// A client is a session whose connection keeps what it is sent.
type client struct {
	*sm.Session
	h    *house
	done chan struct{}
	slow bool // does not end by itself when closed

	mu     sync.Mutex
	got    []*xmpp.Stanza
	closed *stream.Error
}

// Send is how the server gives the client a stanza.
func (c *client) Send(_ context.Context, st *xmpp.Stanza) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, st)
}

// Route is Send, for those who stand for a whole domain.
func (c *client) Route(ctx context.Context, st *xmpp.Stanza) { c.Send(ctx, st) }

// Close is how the server ends the stream.
func (c *client) Close(reason *stream.Error) {
	c.mu.Lock()
	was := c.closed
	c.closed = reason
	c.mu.Unlock()
	if was == nil && !c.slow {
		c.leave()
	}
}

// Done is closed when the session is over.
func (c *client) Done() <-chan struct{} { return c.done }

func (c *client) leave() {
	c.h.CloseSession(context.Background(), c.Session, "")
	close(c.done)
}

// why is the condition of the error with which the server has ended the stream.
func (c *client) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed == nil {
		return ""
	}
	return c.closed.Condition
}

// inbox is what has come since the last time.
func (c *client) inbox() []*xmpp.Stanza {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// connected opens a session that has sent no presence.
func (h *house) connected(full string) *client {
	h.t.Helper()
	c := h.unopened(full)
	if err := h.Open(context.Background(), c.Session); err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (h *house) unopened(full string) *client {
	c := &client{h: h, done: make(chan struct{})}
	c.Session = sm.NewSession(xmpp.MustParse(full), c)
	return c
}

// available opens a session and sends presence with that priority; what that
// brings is thrown away.
func (h *house) available(full, priority string) *client {
	h.t.Helper()
	c := h.connected(full)
	c.say("<presence><priority>" + priority + "</priority></presence>")
	c.inbox()
	return c
}

// say is the client sending a stanza.
func (c *client) say(xml string) {
	c.h.t.Helper()
	st := parse(c.h.t, xml)
	c.h.Submit(context.Background(), c.Session, st.Readdressed(c.JID, st.To))
}

func parse(t testing.TB, xml string) *xmpp.Stanza {
	t.Helper()
	st, err := xmpp.ParseXML([]byte(xml))
	if err != nil {
		t.Fatalf("%s: %v", xml, err)
	}
	return st
}

// brief is what matters of a list of stanzas: kind, type, sender, error, and the
// id where there is one.
func brief(list []*xmpp.Stanza) string {
	var out []string
	for _, st := range list {
		s := st.Kind.String()
		if st.Type != "" {
			s += "/" + st.Type
		}
		s += " from " + st.From.String()
		if e := xmpp.ParseError(st); e != nil {
			s += " " + string(e.Condition)
		}
		if st.ID != "" {
			s += " #" + st.ID
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

var errDatabase = errors.New("the database is away")
