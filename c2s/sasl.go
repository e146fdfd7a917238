package c2s

import (
	"encoding/base64"
	"errors"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// maxFailures is how many logins may fail on one stream (RFC 6120 §6.4.5). There
// are clients that try every mechanism there is before the one that they can do.
const maxFailures = 10

// A profile is one of the ways in which SASL is spoken.
type profile uint8

const (
	undecided profile = iota
	rfc6120           // RFC 6120 §6
	xep0388           // SASL2
)

// A login is what a connection keeps until it has a session.
type login struct {
	profile  profile // of its logins, once one has begun
	failures int     // logins that have failed
	from     xmpp.JID
	exchange auth.Exchange // under way
	sasl2    *sasl2        // the same, of XEP-0388
	domain   string        // what the client wants if the handshake does not say
	device   string        // the name of the user agent that has logged in
}

// speaks settles the profile of all logins on this stream: somebody in the middle
// who has hidden a list of mechanisms must not be able to use the other one.
func (l *login) speaks(p profile) error {
	if l.profile != undecided && l.profile != p {
		return stream.PolicyViolation.With("You cannot change from one profile of SASL to another")
	}
	l.profile = p
	return nil
}

// sasl deals with the elements of a login (RFC 6120 §6.4).
func (c *Conn) sasl(el *xmpp.Element) error {
	if err := c.login.speaks(rfc6120); err != nil {
		return err
	}
	switch el.Name {
	case "auth":
		return c.begin(el)
	case "response":
		if c.login.exchange == nil {
			return c.refuse(&auth.Failure{Condition: "malformed-request", Text: "No login is under way"})
		}
		return c.step(el)
	case "abort":
		c.login.exchange = nil
		return c.refuse(&auth.Failure{Condition: "aborted"})
	}
	return stream.UnsupportedStanzaType
}

func (c *Conn) begin(el *xmpp.Element) error {
	if c.mustEncrypt() {
		return c.refuse(&auth.Failure{Condition: "encryption-required"})
	}
	ex, err := c.host.Auth.Begin(el.Attr("mechanism"), c.forAuth())
	if err != nil {
		return c.refuse(err)
	}
	c.login.exchange = ex
	return c.step(el)
}

// step hands the client's data to the login under way. No data at all is nil, an
// empty message is not (RFC 6120 §6.4.2).
func (c *Conn) step(el *xmpp.Element) error {
	var data []byte
	switch text := el.Text(); text {
	case "":
	case "=":
		data = []byte{}
	default:
		var err error
		if data, err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
			return c.refuse(&auth.Failure{Condition: "incorrect-encoding"})
		}
	}
	if data == nil && el.Name == "response" {
		data = []byte{}
	}
	out, done, err := c.login.exchange.Step(c.ctx, data)
	switch {
	case err != nil:
		return c.refuse(err)
	case !done:
		if len(out) == 0 {
			out = nil // an equals sign is for successes (RFC 6120 §6.4.6)
		}
		c.write(saslElement("challenge", out))
		return nil
	}
	c.identity = c.login.exchange.Identity()
	c.login.exchange = nil
	c.stream.User = c.identity.User
	c.write(saslElement("success", out))
	c.welcome()
	c.out.restart()
	c.framer.Reset()
	c.state = returning
	return nil
}

// welcome gives somebody who has logged in what strangers do not have.
func (c *Conn) welcome() {
	c.l.crowd.leave(c)
	c.out.widen(maxOutbox)
	c.framer.SetLimits(c.l.lateLimits())
}

func saslElement(name string, data []byte) []byte {
	b := []byte("<" + name + " xmlns='" + nsSASL + "'>")
	if data != nil {
		if len(data) == 0 {
			b = append(b, '=')
		}
		b = base64.StdEncoding.AppendEncode(b, data)
	}
	return append(b, "</"+name+">"...)
}

// refuse answers a login that has failed.
func (c *Conn) refuse(err error) error {
	l := c.login
	l.exchange, l.sasl2 = nil, nil
	c.stream.User, c.identity = xmpp.JID{}, auth.Identity{} // of one whose tasks are left
	var f *auth.Failure
	if !errors.As(err, &f) {
		f = &auth.Failure{Condition: "temporary-auth-failure", Text: "Try again later", Cause: err}
	}
	if f.Cause != nil {
		c.l.log.Error("login failed for an inner reason", "address", c.stream.Addr.String(), "error", f.Cause)
	}
	c.write(failureElement(l.profile, f).AppendXML(nil, xmpp.NSClient))
	if f.End != nil {
		return f.End
	}
	if l.failures++; l.failures >= maxFailures {
		return stream.PolicyViolation.With("Too many failed logins")
	}
	return nil
}

// failureElement is a failure as one of the profiles says it. The conditions are
// those of RFC 6120 in both.
func failureElement(p profile, f *auth.Failure) *xmpp.Element {
	ns := nsSASL
	if p == xep0388 {
		ns = nsSASL2
	}
	b := xmpp.Build(ns, "failure").Open(nsSASL, f.Condition).Close()
	if f.Text != "" {
		b.Open("", "text").Attr("xml:lang", "en").Text(f.Text).Close()
	}
	return b.Done()
}
