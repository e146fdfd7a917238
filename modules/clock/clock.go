// Package clock tells what time the server has (XEP-0202).
package clock

import (
	"context"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:xmpp:time"

// Module is mod_time.
var Module = modules.Define("mod_time", modules.Spec[options]{
	Doc:   "Tells the time of the server.",
	XEPs:  []string{"0202"},
	Start: start,
})

type options struct{}

// Fields declares nothing.
func (*options) Fields(*config.Fields) {}

func start(h *modules.Host, _ options) error {
	h.IQ(ns, answer)
	h.Feature(ns)
	return nil
}

func answer(_ context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	switch {
	case iq.Type != "get":
		return nil, xmpp.NotAllowed.WithText("Only get is allowed here")
	case iq.Payload().Name != "time":
		return nil, xmpp.BadRequest
	}
	return element(time.Now()), nil
}

// element is a time as XEP-0202 §3 has it: in UTC, and how far local time is
// from that (XEP-0082).
func element(t time.Time) *xmpp.Element {
	b := xmpp.Build(ns, "time")
	b.Open("", "tzo").Text(t.Format("-07:00")).Close()
	b.Open("", "utc").Text(t.UTC().Format("2006-01-02T15:04:05Z")).Close()
	return b.Done()
}
