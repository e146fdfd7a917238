// Package streammgmt has clients and the server acknowledge each other's stanzas
// (XEP-0198), so that both know what has arrived when a connection breaks.
//
// The module agrees on it with the client; the counting, asking and answering is
// done by the connection itself (sm.Counter). What h promises: a message counts as
// handled when it is on the disk of whoever stores it, or when the recipient's
// client has acknowledged it; where nobody stores and the recipient's client
// acknowledges nothing, when it was handed over.
package streammgmt

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:xmpp:sm:3"

// Module is mod_stream_mgmt.
var Module = modules.Define("mod_stream_mgmt", modules.Spec[options]{
	Doc:   "Acknowledges stanzas, and has clients acknowledge theirs.",
	XEPs:  []string{"0198"},
	Start: start,
})

type options struct {
	MaxAckQueue                     int
	AckTimeout                      time.Duration
	Resend                          string
	ResumeTimeout, MaxResumeTimeout time.Duration
	CacheSize                       int
	CacheLifeTime                   time.Duration
	QueueType, Location             string
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.IntOrInfinity(&o.MaxAckQueue, "max_ack_queue", 5000, "How many stanzas a client may leave unacknowledged; beyond, its stream ends. All of them together never take more than 16 MiB.").Must(config.AtLeast(1))
	f.Duration(&o.AckTimeout, "ack_timeout", time.Minute, "How long a client may take to acknowledge when it is asked to; beyond, its stream ends.").OrInfinity().Must(config.AtLeast(time.Second))
	f.Enum(&o.Resend, "resend_on_timeout", string(sm.ResendAlways), "What becomes of messages that a client has not acknowledged when its stream ends: true routes them again, to the user's other clients or to where messages wait; if_offline does so if no other client is there; false, which is what ejabberd does where nothing is said, tells their senders.",
		string(sm.ResendNever), string(sm.ResendAlways), string(sm.ResendIfOffline))
	f.Duration(&o.ResumeTimeout, "resume_timeout", 5*time.Minute, "How long a broken stream can be resumed; 0: it cannot.")
	f.Duration(&o.MaxResumeTimeout, "max_resume_timeout", 0, "The longest time to resume that a client may ask for.").DefaultText("value of resume_timeout")
	f.IntOrInfinity(&o.CacheSize, "cache_size", 1000, "How many streams that have ended are remembered.").Must(config.AtLeast(1)).DefaultText("value of cache_size")
	f.Duration(&o.CacheLifeTime, "cache_life_time", 48*time.Hour, "How long a stream that has ended is remembered.").OrInfinity()
	f.String(&o.Location, "location", "", "Where a client should reconnect to resume its stream, as HOST or HOST:PORT. It can do that on any node of a cluster, so that this only saves the way from one to the other.").Must(config.Rule[string]{Says: "HOST or HOST:PORT", Holds: isLocation})
	f.Enum(&o.QueueType, "queue_type", "ram", "Where stanzas wait to be acknowledged. Accepted and without effect: they are in memory, at most max_ack_queue of them and 16 MiB for a session.", "ram", "file").DefaultText("value of queue_type")
}

// mgmt is the module on one virtual host.
type mgmt struct {
	acks         sm.Acks
	resume, most time.Duration
	location     string
}

// isLocation reports whether text can be a place to reconnect to (RFC 6120
// §4.9.3.19).
func isLocation(text string) bool {
	return text != "" && !strings.ContainsAny(text, " \t\r\n/@<>'") && !strings.HasPrefix(text, ":") && !strings.HasSuffix(text, ":")
}

func start(h *modules.Host, o options) error {
	m := &mgmt{acks: sm.Acks{MaxQueue: o.MaxAckQueue, Timeout: o.AckTimeout, Resend: sm.Resend(o.Resend)}, resume: o.ResumeTimeout, most: max(o.MaxResumeTimeout, o.ResumeTimeout), location: o.Location}
	if o.MaxAckQueue == config.Unlimited {
		m.acks.MaxQueue = 0
	}
	if o.AckTimeout == config.Infinity {
		m.acks.Timeout = 0
	}
	if o.CacheSize == config.Unlimited {
		o.CacheSize = 0
	}
	if o.CacheLifeTime == config.Infinity {
		o.CacheLifeTime = 0
	}
	h.Sessions.RememberEnded(o.CacheSize, o.CacheLifeTime)
	sm.InlineFeatures.Add(h, hooks.Normal, inline)
	sm.InlineBind.Add(h, hooks.Normal, m.bind)
	sm.PostAuth.Add(h, hooks.Normal, offer)
	sm.EarlyNonzas.Add(h, hooks.Normal, tooEarly)
	sm.Nonzas.Add(h, hooks.Normal, m.element)
	return nil
}

func offer(_ context.Context, features []*xmpp.Element, _ *sm.Stream) ([]*xmpp.Element, hooks.Flow) {
	return append(features, xmpp.El(ns, "sm")), hooks.Next
}

// inline offers to resume, and to enable, together with the login.
func inline(_ context.Context, i sm.Inline, _ *sm.Stream) (sm.Inline, hooks.Flow) {
	i.Login = append(i.Login, xmpp.El(ns, "sm"))
	i.Bind = append(i.Bind, ns)
	return i, hooks.Next
}

// bind enables stream management for a client that binds by Bind 2 (XEP-0198 §10.2).
func (m *mgmt) bind(_ context.Context, answers sm.Answers, b sm.Binding) (sm.Answers, hooks.Flow) {
	el, c := b.Request.Child(ns, "enable"), b.Session.Counter()
	if el == nil || c == nil {
		return answers, hooks.Next
	}
	how, answer, e := m.enable(el)
	if e != nil {
		answer = failed(e)
	} else {
		c.Count(how, nil)
	}
	return append(answers, answer), hooks.Next
}

// known reports whether el is of XEP-0198 and something that clients send.
func known(el *xmpp.Element) bool {
	if el.NS != ns {
		return false
	}
	switch el.Name {
	case "enable", "resume", "r", "a":
		return true
	}
	return false
}

// tooEarly answers a client that has no session (XEP-0198 §3 and §6). One that could
// resume was answered by its connection.
func tooEarly(_ context.Context, answer *xmpp.Element, n sm.EarlyNonza) (*xmpp.Element, hooks.Flow) {
	el := n.Element
	switch {
	case answer != nil || !known(el):
		return answer, hooks.Next
	case n.Stream.User.IsZero():
		return failed(xmpp.NotAuthorized.WithText("Log in first")), hooks.Stop
	case el.Name != "resume":
		return failed(xmpp.UnexpectedRequest.WithText("Bind a resource first")), hooks.Stop
	case el.Attr("previd") == "" || !isCount(el.Attr("h")):
		return failed(xmpp.BadRequest.WithText("previd and h say what to resume")), hooks.Stop
	}
	e := failed(xmpp.ItemNotFound.WithText("Previous session not found"))
	if n.Stream.Sessions != nil {
		if h, ok := n.Stream.Sessions.Ended(n.Stream.User, el.Attr("previd")); ok {
			e = failedAt(h, xmpp.ItemNotFound.WithText("Previous session timed out"))
		}
	}
	return e, hooks.Stop
}

// element answers what a client with a session says. What a connection that counts
// understands does not come here.
func (m *mgmt) element(_ context.Context, done bool, n sm.Nonza) (bool, hooks.Flow) {
	if done || !known(n.Element) {
		return done, hooks.Next
	}
	c := n.Session.Counter()
	if c == nil {
		return false, hooks.Next
	}
	if e := m.negotiate(c, n.Element); e != nil {
		c.Tell(failed(e))
	}
	return true, hooks.Stop
}

func (m *mgmt) negotiate(c sm.Counter, el *xmpp.Element) *xmpp.Error {
	switch {
	case el.Name == "a" && c.Counts():
		return xmpp.BadRequest.WithText("h is a number from 0 to 4294967295")
	case c.Counts():
		return xmpp.UnexpectedRequest.WithText("Stream management is already enabled")
	case el.Name != "enable":
		return xmpp.UnexpectedRequest.WithText("Stream management is not enabled")
	}
	how, answer, e := m.enable(el)
	if e == nil {
		c.Count(how, answer)
	}
	return e
}

// enable is what a client gets that asks for stream management by el.
func (m *mgmt) enable(el *xmpp.Element) (how sm.Acks, answer *xmpp.Element, e *xmpp.Error) {
	resume, hasResume := el.LookupAttr("resume")
	most, hasMost := el.LookupAttr("max")
	switch {
	case hasResume && !isBool(resume):
		return how, nil, xmpp.BadRequest.WithText("resume is true or false")
	case hasMost && !isCount(most):
		return how, nil, xmpp.BadRequest.WithText("max is a number of seconds")
	}
	how = m.acks
	b := xmpp.Build(ns, "enabled")
	if yes := strings.Trim(resume, " \t\r\n"); m.resume > 0 && (yes == "true" || yes == "1") {
		how.ID, how.Resume = rand.Text(), m.resume
		if n, err := strconv.ParseUint(strings.Trim(most, " \t\r\n"), 10, 32); err == nil && n > 0 {
			how.Resume = min(time.Duration(n)*time.Second, m.most)
		}
		b.Attr("id", how.ID).Attr("max", strconv.FormatInt(int64(how.Resume/time.Second), 10)).OptAttr("location", m.location).Attr("resume", "true")
	}
	return how, b.Done(), nil
}

// isBool reports whether s is an xs:boolean.
func isBool(s string) bool {
	switch strings.Trim(s, " \t\r\n") {
	case "true", "false", "1", "0":
		return true
	}
	return false
}

// isCount reports whether s is an xs:unsignedInt.
func isCount(s string) bool {
	_, err := strconv.ParseUint(strings.Trim(s, " \t\r\n"), 10, 32)
	return err == nil
}

// failed is the answer to what cannot be done (XEP-0198 §6).
func failed(e *xmpp.Error) *xmpp.Element { return fill(xmpp.Build(ns, "failed"), e) }

// failedAt is failed for a client that is told how much was handled.
func failedAt(h uint32, e *xmpp.Error) *xmpp.Element {
	return fill(xmpp.Build(ns, "failed").Attr("h", strconv.FormatUint(uint64(h), 10)), e)
}

func fill(b *xmpp.Builder, e *xmpp.Error) *xmpp.Element {
	b.Open(xmpp.NSStanzas, string(e.Condition)).Close()
	return b.Open(xmpp.NSStanzas, "text").Attr("xml:lang", "en").Text(e.Text).Done()
}
