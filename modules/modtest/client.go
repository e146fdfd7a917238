package modtest

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// A Client is a client with a session. It implements sm.Conn.
type Client struct {
	JID     xmpp.JID
	Session *sm.Session

	who  auth.Identity
	s    *Server
	done chan struct{}

	mu     sync.Mutex
	inbox  []*xmpp.Stanza
	closed string
	over   bool
	waits  time.Duration // while its connection has broken
}

// Login opens a session with that full address. The account is made if there is
// none.
func (s *Server) Login(full string) *Client {
	s.t.Helper()
	ctx := context.Background()
	j := xmpp.MustParse(full)
	ok, err := s.Auth.Exists(ctx, j.Bare())
	if err != nil {
		s.t.Fatalf("log in as %s: %v", full, err)
	}
	if !ok {
		s.Register(j.Bare().String(), "secret")
	}
	return s.open(j, auth.Identity{User: j.Bare(), Method: "sql"})
}

func (s *Server) open(j xmpp.JID, who auth.Identity) *Client {
	s.t.Helper()
	ctx := context.Background()
	c := &Client{JID: j, s: s, who: who, done: make(chan struct{})}
	c.Session = sm.NewSession(j, c)
	c.Session.ConnectedBy(netip.MustParseAddrPort("127.0.0.1:40000"), "c2s_tls")
	c.Session.Auth, c.Session.Anonymous = who.Method, who.Anonymous
	sm.SessionOpened.Run(ctx, s.Parts.Hooks, c.Session)
	if err := s.Sessions.Open(ctx, c.Session); err != nil {
		s.t.Fatalf("log in as %s: %v", j, err)
	}
	return c
}

// Guest opens an anonymous session with that full address, as somebody who has
// been let in under that name. The error is that of auth.Host.Enter.
func (s *Server) Guest(full string) (*Client, error) {
	s.t.Helper()
	j := xmpp.MustParse(full)
	who := auth.Identity{User: j.Bare(), Method: "anonymous", Anonymous: true}
	if err := s.Auth.Enter(context.Background(), who); err != nil {
		return nil, err
	}
	return s.open(j, who), nil
}

// Available logs in like Login and sends initial presence. What the client gets
// for that is thrown away.
func (s *Server) Available(full string) *Client {
	s.t.Helper()
	c := s.Login(full)
	c.Say(`<presence/>`)
	c.Inbox()
	return c
}

// Say sends a stanza as the client does: its sender is the client, whatever it
// says. It returns when the server has dealt with it.
func (c *Client) Say(xml string) {
	c.s.t.Helper()
	el, err := xmpp.ParseElement([]byte(xml), xmpp.NSClient)
	if err != nil {
		c.s.t.Fatalf("%s: %v", xml, err)
	}
	st, err := xmpp.ParseXML(el.AppendXML(nil, ""))
	if err != nil {
		c.s.t.Fatalf("%s: %v", xml, err)
	}
	to := st.To
	if to.IsZero() && st.Kind != xmpp.Presence {
		to = c.JID.Bare()
	}
	c.s.Sessions.Submit(context.Background(), c.Session, st.Readdressed(c.JID, to))
}

// SayNonza sends an element that is no stanza, as the client does, and reports
// whether some module has dealt with it.
func (c *Client) SayNonza(xml string) bool {
	c.s.t.Helper()
	el, err := xmpp.ParseElement([]byte(xml), xmpp.NSClient)
	if err != nil {
		c.s.t.Fatalf("%s: %v", xml, err)
	}
	return sm.Nonzas.Run(context.Background(), c.s.Parts.Hooks, false, sm.Nonza{Session: c.Session, Element: el})
}

// Ask is Say for a request: it returns the answer, which must have come at
// once, and keeps everything else for Inbox.
func (c *Client) Ask(xml string) *xmpp.Stanza {
	c.s.t.Helper()
	el, err := xmpp.ParseElement([]byte(xml), xmpp.NSClient)
	if err != nil {
		c.s.t.Fatalf("%s: %v", xml, err)
	}
	c.Say(xml)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, st := range c.inbox {
		if st.Kind == xmpp.IQ && st.ID == el.Attr("id") && !st.IsRequest() {
			c.inbox = append(c.inbox[:i:i], c.inbox[i+1:]...)
			return st
		}
	}
	c.s.t.Fatalf("%s: no answer among %v", xml, c.inbox)
	return nil
}

// Inbox returns what the client has been sent since the last time.
func (c *Client) Inbox() []*xmpp.Stanza {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.inbox
	c.inbox = nil
	return in
}

// Logout ends the session, as a broken connection does.
func (c *Client) Logout() { c.end("") }

// Closed is the condition of the stream error with which the server has ended
// the stream, empty while it has not.
func (c *Client) Closed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Send is how the server gives the client a stanza.
func (c *Client) Send(ctx context.Context, st *xmpp.Stanza) {
	t := c.s.Parts.Hooks
	if st = sm.UserReceive.Run(ctx, t, st, c.Session); st == nil {
		return
	}
	if st = sm.FilterSend.Run(ctx, t, st, c.Session); st == nil {
		return
	}
	c.Pass(ctx, st)
}

// Pass is how the server gives the client a stanza that was held back.
func (c *Client) Pass(ctx context.Context, st *xmpp.Stanza) {
	c.mu.Lock()
	c.inbox = append(c.inbox, st)
	waits := c.waits > 0
	c.mu.Unlock()
	if waits {
		sm.Queued.Run(ctx, c.s.Parts.Hooks, sm.Queueing{Session: c.Session, Stanza: st})
	}
}

// Break has the client lose its connection; what is in its inbox, and what comes, it
// has not acknowledged. Its session does not end by itself.
func (c *Client) Break(within time.Duration) {
	c.mu.Lock()
	c.waits = within
	c.mu.Unlock()
	sm.SessionPending.Run(context.Background(), c.s.Parts.Hooks, c.Session)
}

// Resume has the client come back.
func (c *Client) Resume() {
	c.mu.Lock()
	c.waits = 0
	c.mu.Unlock()
	sm.SessionResumed.Run(context.Background(), c.s.Parts.Hooks, c.Session)
}

// ResumeWithin changes how long a client may take that has lost its connection.
func (c *Client) ResumeWithin(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits == 0 {
		return false
	}
	c.waits = d
	return true
}

// Waits reports whether the client has lost its connection, and how long it may take.
func (c *Client) Waits() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waits, c.waits > 0
}

// Unacknowledged is what is in the inbox of a client that has lost its connection.
func (c *Client) Unacknowledged() []*xmpp.Stanza {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits == 0 {
		return nil
	}
	return append([]*xmpp.Stanza(nil), c.inbox...)
}

// Close is how the server ends the stream. The session is closed before it
// returns.
func (c *Client) Close(reason *stream.Error) { c.end(reason.Condition) }

// Done is closed when the session is over.
func (c *Client) Done() <-chan struct{} { return c.done }

func (c *Client) end(reason string) {
	c.mu.Lock()
	if c.over {
		c.mu.Unlock()
		return
	}
	c.over, c.closed = true, reason
	c.mu.Unlock()
	c.s.Sessions.CloseSession(context.Background(), c.Session, "")
	c.s.Auth.Leave(context.Background(), c.who)
	close(c.done)
}
