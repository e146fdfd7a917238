package c2s

import (
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// maxTag is the longest tag of a client that becomes part of its resource, in bytes.
const maxTag = 256

// bind2 gives a client that has logged in a session, with everything switched on
// that it asks for (XEP-0386). It is not open yet. A client that may not have one
// gets none, and is told why when it asks for one as RFC 6120 says.
func (c *Conn) bind2(l *sasl2, el *xmpp.Element) (*sm.Session, *xmpp.Element) {
	j, err := c.resource2(el.Child(nsBind2, "tag").Text())
	if err != nil || c.admit(j) != nil {
		return nil, nil
	}
	t := c.host.Parts.Hooks
	s := c.newSession(j)
	c.session.Store(s)
	c.state = bound
	sm.SessionOpened.Run(c.ctx, t, s)
	b := xmpp.Build(nsBind2, "bound")
	for _, answer := range sm.InlineBind.Run(c.ctx, t, nil, sm.Binding{Login: &l.Login, Session: s, Request: el}) {
		b.Add(answer)
	}
	c.succession(s)
	return s, b.Done()
}

// resource2 is the address of a session: the client's tag and a name of its user
// agent that stays the same, or one that is made up (XEP-0386 §3.2.1). It takes the
// address over from an earlier session of the same user agent, whatever the rule for
// conflicts says: that one is broken.
func (c *Conn) resource2(tag string) (xmpp.JID, error) {
	name := c.login.device
	if name == "" {
		name = randomResource()
	}
	if tag != "" && len(tag) <= maxTag {
		if j, err := c.identity.User.WithResource(tag + "/" + name); err == nil {
			return j, nil
		}
	}
	return c.identity.User.WithResource(name)
}

// succession ends the sessions that the same user agent has under other addresses.
func (c *Conn) succession(s *sm.Session) {
	if s.Device == "" {
		return
	}
	for _, o := range c.host.Sessions.User(s.JID.Bare()) {
		if o.Device == s.Device && o.JID != s.JID {
			o.Close(stream.Conflict.With("Replaced by new connection"))
		}
	}
}
