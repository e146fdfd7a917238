package push

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

const (
	nsSummary = "urn:xmpp:push:summary"
	nsPubSub  = "http://jabber.org/protocol/pubsub"
	nsCarbons = "urn:xmpp:carbons:2"
	nsForward = "urn:xmpp:forward:0"
)

// encrypted are the namespaces of texts that only the client can read: XEP-0384 in
// two versions, XEP-0373, XEP-0027, OTR.
var encrypted = [...]string{"eu.siacs.conversations.axolotl", "urn:xmpp:omemo:2", "urn:xmpp:openpgp:0", "jabber:x:encrypted"}

// maxBody bounds the text that is told, in bytes.
const maxBody = 4096

// request is what an app server is sent: the item with the notification, and what
// the app server wants to be told besides (XEP-0357 §7).
func (m *push) request(n *notification) *xmpp.Stanza {
	b := xmpp.Build(nsPubSub, "pubsub").Open("", "publish").Attr("node", n.Node).Open("", "item").Open(ns, "notification")
	if n.summary != nil {
		b.Add(n.summary.Element())
	}
	b.Close().Close().Close()
	if n.form != "" {
		if el, err := xmpp.ParseElement([]byte(n.form), form.NS); err == nil { // else somebody has written into the table
			b.Open("", "publish-options").Add(el).Close()
		}
	}
	return xmpp.NewIQ("set", m.host.JID, n.Service, "", b.Done())
}

// summary is the form that says what has come.
func (m *push) summary(ctx context.Context, user xmpp.JID, st *xmpp.Stanza, text string) *form.Form {
	fields := []form.Field{value("message-count", strconv.Itoa(m.books.count(user)))}
	if n := roster.Waiting.Run(ctx, m.host.Hooks(), 0, user); n > 0 {
		fields = append(fields, value("pending-subscription-count", strconv.Itoa(n)))
	}
	if m.IncludeSender {
		fields = append(fields, value("last-message-sender", st.From.String()))
	}
	switch m.IncludeBody {
	case "true":
		fields = append(fields, value("last-message-body", clip(text)))
	case "false", "":
	default:
		fields = append(fields, value("last-message-body", m.IncludeBody))
	}
	return form.New(form.Submit, nsSummary, fields...)
}

func value(name, v string) form.Field { return form.Field{Var: name, Values: []string{v}} }

// clip cuts a text to what is told, between characters.
func clip(s string) string {
	if len(s) <= maxBody {
		return s
	}
	n := maxBody
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// textOf is the text of a message, or a word for one that only the client can read;
// empty if there is none.
func textOf(st *xmpp.Stanza) string {
	if st == nil || st.Kind != xmpp.Message || st.Type == "error" {
		return ""
	}
	body := st.Body()
	for _, e := range encrypted {
		if st.Has(e, "encrypted") || st.Has(e, "openpgp") || st.Has(e, "x") {
			return "(encrypted)"
		}
	}
	if strings.HasPrefix(body, "?OTR:") {
		return "(encrypted)"
	}
	return body
}

// unwrap is the message of which st is a copy (XEP-0280), else st itself. sent says
// that the user has sent it.
func unwrap(st *xmpp.Stanza) (_ *xmpp.Stanza, sent bool) {
	if st == nil {
		return nil, false
	}
	for _, direction := range [...]string{"received", "sent"} {
		if !st.From.IsBare() || st.From != st.To.Bare() || !st.Has(nsCarbons, direction) {
			continue
		}
		el := st.Child(nsCarbons, direction).Child(nsForward, "forwarded").Child(xmpp.NSClient, "message")
		if el == nil {
			continue
		}
		if inner, err := xmpp.ParseXML([]byte(el.XML())); err == nil {
			return inner, direction == "sent"
		}
	}
	return st, false
}
