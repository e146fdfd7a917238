package c2s

import (
	"errors"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// element deals with an element of the stream, by how far the client has come.
func (c *Conn) element(fr *stream.Frame) error {
	if len(fr.Prefix) > 0 && string(fr.NS) == xmpp.NSClient {
		return stream.BadNamespacePrefix.With("Stanzas have no prefix")
	}
	switch c.state {
	case knocking:
		return c.knock(fr)
	case binding:
		return c.beforeBind(fr)
	case bound:
		return c.stanza(fr)
	}
	return stream.BadFormat.With("A stream header is due")
}

// knock is for clients that have not logged in: they may encrypt, log in, and
// whatever modules let them do.
func (c *Conn) knock(fr *stream.Frame) error {
	if c.login.sasl2 != nil && string(fr.NS) != nsSASL2 {
		return stream.PolicyViolation.With("Nothing may be sent in the middle of a login") // XEP-0388 §2.4
	}
	switch string(fr.NS) {
	case nsTLS:
		if string(fr.Name) == "starttls" {
			return c.startTLS()
		}
	case nsSASL:
		el, err := xmpp.FrameElement(fr)
		if err != nil {
			return err
		}
		return c.sasl(el)
	case nsSASL2:
		el, err := xmpp.FrameElement(fr)
		if err != nil {
			return err
		}
		return c.authenticating(el)
	case xmpp.NSClient:
		return c.early6120(fr)
	}
	return c.earlyNonza(fr)
}

// earlyNonza asks the modules about an element of somebody who has no session.
func (c *Conn) earlyNonza(fr *stream.Frame) error {
	el, err := xmpp.FrameElement(fr)
	if err != nil {
		return err
	}
	if c.state == binding && el.Is(nsSM, "resume") {
		answer, replay, err := c.resume(el)
		if err != nil {
			return err
		}
		if answer != nil {
			c.Tell(answer)
			return replay()
		}
	}
	answer := sm.EarlyNonzas.Run(c.ctx, c.host.Parts.Hooks, nil, sm.EarlyNonza{Stream: &c.stream, Element: el})
	if answer == nil {
		return stream.UnsupportedStanzaType
	}
	c.Tell(answer)
	return nil
}

// early6120 asks the modules about a stanza of somebody who has not logged in;
// whoever they do not know is told not-authorized (RFC 6120 §4.9.3.12).
func (c *Conn) early6120(fr *stream.Frame) error {
	st, err := xmpp.ParseStanza(fr)
	if err != nil {
		return stream.NotAuthorized
	}
	if !c.mustEncrypt() && sm.Unauthed.Run(c.ctx, c.host.Parts.Hooks, false, sm.Unauthenticated{Stream: &c.stream, Stanza: st}) {
		return nil
	}
	return stream.NotAuthorized.With("Log in first")
}

func (c *Conn) beforeBind(fr *stream.Frame) error {
	if string(fr.NS) != xmpp.NSClient {
		return c.earlyNonza(fr)
	}
	st, err := xmpp.ReadStanza(fr, c.identity.User, c.stream.Lang)
	switch {
	case errors.Is(err, xmpp.ErrForged):
		return stream.InvalidFrom
	case err != nil:
		return errNotBound
	}
	el := st.Payload()
	switch {
	case st.Kind != xmpp.IQ || st.Type != "set":
		return errNotBound
	case el.Is(nsBind, "bind"):
		return c.bind(st, el)
	case el.Is(nsSession, "session"):
		c.append(c.ctx, st.Reply(nil))
		return nil
	}
	return errNotBound
}

// stanza checks a stanza, stamps it with its sender's address and sends it on
// its way.
func (c *Conn) stanza(fr *stream.Frame) error {
	s := c.session.Load()
	if string(fr.NS) != xmpp.NSClient {
		if string(fr.NS) == nsSM && c.Counts() {
			if done, err := c.acking(fr); done {
				return err
			}
		}
		return c.nonza(fr, s)
	}
	if a := c.out.acks; a != nil && a.handled.repeated(fr) {
		return nil
	}
	st, err := xmpp.ReadStanza(fr, s.JID, s.Lang)
	switch {
	case errors.Is(err, xmpp.ErrForged):
		return stream.InvalidFrom
	case errors.Is(err, xmpp.ErrJID):
		if st.Bounces() {
			c.append(c.ctx, st.Readdressed(s.JID, s.JID.Bare()).Bounce(xmpp.JIDMalformed))
		}
		c.counted(fr)
		return nil
	case err != nil:
		return stream.UnsupportedStanzaType
	}
	if st.Kind == xmpp.IQ && c.session6120(st, s) {
		c.counted(fr)
		return nil
	}
	c.submit(s, st, fr)
	return nil
}

// session6120 answers the request for a session of RFC 3921, which old clients
// still send after bind.
func (c *Conn) session6120(st *xmpp.Stanza, s *sm.Session) bool {
	if st.Type != "set" || st.To != s.JID.Bare() && st.To != s.JID.Host() || !st.Has(nsSession, "session") {
		return false
	}
	s.Send(c.ctx, st.Reply(nil))
	return true
}

// nonza asks the modules about an element that is no stanza.
func (c *Conn) nonza(fr *stream.Frame, s *sm.Session) error {
	el, err := xmpp.FrameElement(fr)
	if err != nil {
		return err
	}
	if sm.Nonzas.Run(c.ctx, c.host.Parts.Hooks, false, sm.Nonza{Session: s, Element: el}) {
		return nil
	}
	return stream.UnsupportedStanzaType
}
