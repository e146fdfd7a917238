package c2s

import (
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// bind gives the client a resource and with it a session (RFC 6120 §7).
func (c *Conn) bind(iq *xmpp.Stanza, el *xmpp.Element) error {
	j, err := c.resource(el.Child(nsBind, "resource").Text())
	if err == nil {
		err = c.admit(j)
	}
	if err != nil {
		c.append(c.ctx, iq.Bounce(xmpp.AsError(err)))
		return nil
	}
	s := c.newSession(j)
	c.session.Store(s)
	sm.SessionOpened.Run(c.ctx, c.host.Parts.Hooks, s)
	// The answer comes first: once the session is open others may send to it.
	answer := xmpp.Build(nsBind, "bind").Open("", "jid").Text(j.String()).Done()
	c.append(c.ctx, xmpp.NewIQ("result", xmpp.JID{}, xmpp.JID{}, iq.ID, answer))
	return c.establish(s)
}

// admit asks whether the client may have a session with that address. After nil
// it must get one: it is counted already.
func (c *Conn) admit(j xmpp.JID) error {
	if !c.l.Access.Allows(c.host.Rules, c.subject(j)) {
		sm.Forbidden.Run(c.ctx, c.host.Parts.Hooks, j)
		return xmpp.NotAllowed.WithText("You may not have a session here")
	}
	if err := c.host.Auth.Enter(c.ctx, c.identity); err != nil {
		return xmpp.NotAllowed.WithText("This anonymous user is here already")
	}
	return nil
}

func (c *Conn) subject(j xmpp.JID) acl.Subject {
	return acl.Subject{JID: j, IP: c.stream.Addr.Addr().Unmap()}
}

// establish opens the session, of which the client has been told.
func (c *Conn) establish(s *sm.Session) error {
	if err := c.host.Sessions.Open(c.ctx, s); err != nil {
		c.session.Store(nil)
		if a := c.out.acks; a != nil && a.ID != "" {
			c.host.Sessions.StreamEnded(a.ID, s.JID.Bare(), a.handled.known())
		}
		c.host.Auth.Leave(c.ctx, c.identity)
		c.l.log.Error("session could not be opened", "jid", s.JID.String(), "error", err)
		return stream.InternalServerError
	}
	c.limit(s)
	c.state, c.login = bound, nil
	c.l.log.Info("session opened", "jid", s.JID.String(), "address", c.stream.Addr.String(), "transport", s.Transport(), "auth", c.identity.Mechanism)
	return c.stay()
}

// limit has the client send as fast as it may.
func (c *Conn) limit(s *sm.Session) {
	if rate := c.l.Shaper.Rate(c.host.Rules, c.subject(s.JID)); rate.Limited() {
		c.shaper = acl.NewShaper(rate)
	}
}

// stay lifts the deadline for logging in. Somebody may have interrupted in
// between, which must not be lost.
func (c *Conn) stay() error {
	c.sock.SetReadDeadline(time.Time{})
	if r := c.reason.Load(); r != nil {
		return r
	}
	if t := c.taken.Load(); t != nil {
		return t.why
	}
	return c.broken()
}

func (c *Conn) newSession(j xmpp.JID) *sm.Session {
	s := sm.NewSession(j, c)
	s.Lang, s.Anonymous = c.stream.Lang, c.identity.Anonymous
	s.Auth, s.Device = c.identity.Method, c.login.device
	s.ConnectedBy(c.stream.Addr, c.transport())
	return s
}

func (c *Conn) transport() string {
	if c.tls != nil {
		return "c2s_tls"
	}
	return "c2s"
}

// resource is the address that the client gets, by the wish it has and the
// rule for conflicts.
func (c *Conn) resource(wish string) (xmpp.JID, error) {
	if wish == "" {
		return c.identity.User.WithResource(randomResource())
	}
	j, err := c.identity.User.WithResource(wish)
	if err != nil {
		return xmpp.JID{}, xmpp.BadRequest.WithText("This resource is malformed")
	}
	if !c.host.Sessions.Taken(j) {
		return j, nil
	}
	switch c.host.Sessions.Conflict() {
	case sm.SetResource:
		return c.identity.User.WithResource(randomResource())
	case sm.CloseNew:
		return xmpp.JID{}, xmpp.Conflict.WithText("This resource is in use")
	}
	return j, nil
}

// randomResource is hard to guess (RFC 6120 §7.6.1 and §13.10.2).
func randomResource() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// errNotBound is what a client is told that sends before it has a session.
var errNotBound = stream.NotAuthorized.With("Bind a resource first")
