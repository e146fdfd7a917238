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

// sasl deals with the elements of a login (RFC 6120 §6.4).
func (c *Conn) sasl(el *xmpp.Element) error {
	switch el.Name {
	case "auth":
		return c.begin(el)
	case "response":
		if c.exchange == nil {
			return c.refuse(&auth.Failure{Condition: "malformed-request", Text: "No login is under way"})
		}
		return c.step(el)
	case "abort":
		c.exchange = nil
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
	c.exchange = ex
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
	out, done, err := c.exchange.Step(c.ctx, data)
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
	c.identity = c.exchange.Identity()
	c.exchange = nil
	c.stream.User = c.identity.User
	c.write(saslElement("success", out))
	c.l.crowd.leave(c)
	c.out.restart(maxOutbox)
	c.framer.Reset()
	c.framer.SetLimits(c.l.lateLimits())
	c.state = returning
	return nil
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
	c.exchange = nil
	var f *auth.Failure
	if !errors.As(err, &f) {
		c.l.log.Error("login failed for an inner reason", "address", c.stream.Addr.String(), "error", err)
		f = &auth.Failure{Condition: "temporary-auth-failure", Text: "Try again later"}
	}
	if f.Cause != nil {
		c.l.log.Error("login failed for an inner reason", "address", c.stream.Addr.String(), "error", f.Cause)
	}
	b := xmpp.Build(nsSASL, "failure").Open("", f.Condition).Close()
	if f.Text != "" {
		b.Open("", "text").Attr("xml:lang", "en").Text(f.Text).Close()
	}
	c.write(b.Done().AppendXML(nil, xmpp.NSClient))
	if f.End != nil {
		return f.End
	}
	if c.failures++; c.failures >= maxFailures {
		return stream.PolicyViolation.With("Too many failed logins")
	}
	return nil
}
