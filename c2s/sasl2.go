package c2s

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// sasl2 is a login by XEP-0388 under way.
type sasl2 struct {
	sm.Login
	agent auth.Device
	extra []byte      // what the mechanism says at its end and the client was not told; nil for nothing
	tasks []sm.Task   // what it has still to do; the first is under way
	then  sm.TaskFunc // who takes its next word on that, once it has begun
}

// offersSASL2 reports whether SASL2 may be used on the stream.
func (c *Conn) offersSASL2() bool {
	return !c.mustEncrypt() && (c.tls != nil || c.l.PlainSASL2)
}

// sasl2Feature offers SASL2 (XEP-0388 §2.1). What it says must not depend on who
// asks: it would tell whether there is such an account.
func (c *Conn) sasl2Feature(b []byte) []byte {
	s := c.forAuth()
	s.SASL2 = true
	mechanisms := c.host.Auth.Mechanisms(s)
	if len(mechanisms) == 0 {
		return b
	}
	offer := sm.InlineFeatures.Run(c.ctx, c.host.Parts.Hooks, sm.Inline{}, &c.stream)
	el := xmpp.Build(nsSASL2, "authentication")
	for _, m := range mechanisms {
		el.Open("", "mechanism").Text(m).Close()
	}
	el.Open("", "inline").Open(nsBind2, "bind")
	if len(offer.Bind) > 0 {
		el.Open("", "inline")
		for _, f := range offer.Bind {
			el.Open("", "feature").Attr("var", f).Close()
		}
		el.Close()
	}
	el.Close()
	if tokens := c.host.Auth.TokenMechanisms(s); len(tokens) > 0 {
		el.Open(nsFast, "fast")
		for _, m := range tokens {
			el.Open("", "mechanism").Text(m).Close()
		}
		el.Close()
	}
	for _, f := range offer.Login {
		el.Add(f)
	}
	el.Close()
	for _, f := range offer.Other {
		el.Add(f)
	}
	return el.Done().AppendXML(b, xmpp.NSClient)
}

// authenticating deals with the elements of a login by SASL2 (XEP-0388 §2).
func (c *Conn) authenticating(el *xmpp.Element) error {
	if err := c.login.speaks(xep0388); err != nil {
		return err
	}
	l := c.login.sasl2
	switch el.Name {
	case "authenticate":
		if l != nil {
			return stream.PolicyViolation.With("A login is under way")
		}
		return c.authenticate(el)
	case "abort":
		return c.refuse(&auth.Failure{Condition: "aborted"})
	case "response":
		if l == nil || c.login.exchange == nil {
			return c.refuse(&auth.Failure{Condition: "malformed-request", Text: "Nobody has asked"})
		}
		return c.step2(el)
	case "next", "task-data":
		if l == nil || len(l.tasks) == 0 || (l.then == nil) != (el.Name == "next") {
			return c.refuse(&auth.Failure{Condition: "malformed-request", Text: "Nobody has asked"})
		}
		return c.task(el)
	}
	return stream.UnsupportedStanzaType
}

// authenticate begins a login (XEP-0388 §2.3).
func (c *Conn) authenticate(el *xmpp.Element) error {
	if !c.offersSASL2() {
		return c.refuse(&auth.Failure{Condition: "encryption-required"})
	}
	l := &sasl2{Login: sm.Login{Stream: &c.stream, Request: el, Mechanism: el.Attr("mechanism")}}
	agent := el.Child(nsSASL2, "user-agent")
	if id := agent.Attr("id"); id != "" {
		if !auth.ValidAgent(id) {
			return c.refuse(&auth.Failure{Condition: "malformed-request", Text: "The id of the user agent is no UUID"})
		}
		l.Agent = strings.ToLower(id)
	}
	l.agent = auth.Device{
		ID: l.Agent, Addr: c.stream.Addr.Addr().Unmap(),
		Software: agent.Child(nsSASL2, "software").Text(), Name: agent.Child(nsSASL2, "device").Text(),
	}
	s := c.forAuth()
	s.SASL2, s.From, s.Agent = true, c.login.from, l.Agent
	l.TokenMechanisms = c.host.Auth.TokenMechanisms(s)
	if fast := el.Child(nsFast, "fast"); fast != nil {
		s.Token = true
		if count, given := fast.LookupAttr("count"); given {
			n, err := strconv.ParseUint(count, 10, 31)
			if err != nil || n == 0 {
				return c.refuse(&auth.Failure{Condition: "malformed-request", Text: "The count is a positive number"})
			}
			s.Count = n
		}
	}
	ex, err := c.host.Auth.Begin(l.Mechanism, s)
	if err != nil {
		return c.refuse(err)
	}
	c.login.exchange, c.login.sasl2 = ex, l
	return c.step2(el.Child(nsSASL2, "initial-response"))
}

// step2 hands the client's data to the login under way; nil is no data at all
// (XEP-0388 §2.2).
func (c *Conn) step2(el *xmpp.Element) error {
	var data []byte
	if el != nil {
		var err error
		if data, err = base64.StdEncoding.Strict().DecodeString(strings.Trim(el.Text(), " \t\r\n")); err != nil {
			return c.refuse(&auth.Failure{Condition: "incorrect-encoding"})
		}
	}
	out, done, err := c.login.exchange.Step(c.ctx, data)
	switch {
	case err != nil:
		return c.refuse(err)
	case !done:
		c.Tell(xmpp.TextEl(nsSASL2, "challenge", base64.StdEncoding.EncodeToString(out)))
		return nil
	}
	c.identity = c.login.exchange.Identity()
	c.login.exchange = nil
	c.stream.User = c.identity.User
	l := c.login.sasl2
	l.extra, l.Anonymous, l.TokenDue = out, c.identity.Anonymous, c.identity.TokenDue
	l.tasks = sm.Tasks.Run(c.ctx, c.host.Parts.Hooks, nil, &l.Login)
	return c.proceed()
}

// proceed has the client do the next of its tasks (XEP-0388 §2.6.3), or lets it in.
func (c *Conn) proceed() error {
	l := c.login.sasl2
	if len(l.tasks) == 0 {
		return c.succeed()
	}
	b := xmpp.Build(nsSASL2, "continue")
	addExtra(b, l.extra)
	l.extra = nil
	c.Tell(b.Open("", "tasks").Open("", "task").Text(l.tasks[0].Name).Done())
	return nil
}

func addExtra(b *xmpp.Builder, extra []byte) {
	if extra != nil {
		b.Open("", "additional-data").Text(base64.StdEncoding.EncodeToString(extra)).Close()
	}
}

// task hands the client's word to the task under way.
func (c *Conn) task(el *xmpp.Element) error {
	l := c.login.sasl2
	run := l.then
	if run == nil {
		if el.Attr("task") != l.tasks[0].Name {
			return c.refuse(&auth.Failure{Condition: "malformed-request", Text: "This task was not asked for"})
		}
		run = l.tasks[0].Begin
	}
	answer, then, err := run(c.ctx, el)
	switch {
	case err != nil:
		return c.refuse(err)
	case then != nil:
		l.then = then
		c.Tell(xmpp.El(nsSASL2, "task-data", answer))
		return nil
	}
	l.tasks, l.then = l.tasks[1:], nil
	return c.proceed()
}

// succeed lets in a client that has done everything: it does what the client wants
// besides, and tells it of all that at once (XEP-0388 §2.6.1). There is no new
// stream header.
func (c *Conn) succeed() error {
	l, t := c.login.sasl2, c.host.Parts.Hooks
	c.login.sasl2 = nil
	c.welcome()
	c.state = binding
	if l.Agent != "" && !c.identity.Anonymous {
		l.agent.User = c.identity.User
		c.login.device = c.host.Auth.DeviceName(c.identity.User, l.Agent)
		c.host.Auth.Seen(l.agent)
	}
	answers := sm.InlineLogin.Run(c.ctx, t, nil, &l.Login)
	resumed, replay, err := c.resume2(l)
	if err != nil {
		return err
	}
	if resumed != nil {
		answers = append(answers, resumed)
	}
	var s *sm.Session
	if el := l.Request.Child(nsBind2, "bind"); el != nil && replay == nil {
		var bound *xmpp.Element
		if s, bound = c.bind2(l, el); bound != nil {
			answers = append(answers, bound)
		}
	}
	who := c.identity.User
	if now := c.session.Load(); now != nil {
		who = now.JID
	}
	b := xmpp.Build(nsSASL2, "success")
	addExtra(b, l.extra)
	b.Open("", "authorization-identifier").Text(who.String()).Close()
	for _, el := range answers {
		b.Add(el)
	}
	out := b.Done().AppendXML(nil, xmpp.NSClient)
	if replay != nil {
		c.say(out) // the old stream goes on, which has had its features (XEP-0198 §9.2)
		return replay()
	}
	c.say(append(out, c.features()...))
	if s == nil {
		return nil
	}
	return c.establish(s)
}
