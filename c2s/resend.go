package c2s

import (
	"context"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

const nsDelay = "urn:xmpp:delay"

// again routes a stanza that was not written to this client. Its session is
// closed by then, so it finds another one, or is kept, or bounces. Presence says
// how things were for a session that is gone.
func (c *Conn) again(ctx context.Context, st *xmpp.Stanza) {
	if c.session.Load() == nil || st.Kind == xmpp.Presence || st.To.IsZero() {
		return
	}
	c.host.Sessions.Reroute(ctx, st)
}

// rescue routes the stanzas again that were not written (as if the session had
// ended before they came).
func (c *Conn) rescue(b []byte) {
	if len(b) == 0 || c.session.Load() == nil {
		return
	}
	f := stream.New(stream.Limits{})
	wrapped := append([]byte("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"), b...)
	for len(wrapped) > 0 {
		fr, n, err := f.Next(wrapped)
		if err != nil || fr.Kind == stream.Need || fr.Kind == stream.End {
			return
		}
		if fr.Kind == stream.Element {
			if st, err := xmpp.ParseStanza(fr); err == nil {
				c.again(c.ctx, st)
			}
		}
		wrapped = wrapped[n:]
	}
}

// late routes the stanzas again that came when nothing could be written any more.
func (c *Conn) late(ctx context.Context, list []unacked) {
	for _, u := range list {
		c.again(sm.WithReceipt(ctx, u.receipt), u.st)
		u.receipt.Release()
	}
}

// resend finds another way for what the client has not acknowledged (XEP-0198 §4).
// It may have got it all the same: a message comes twice then, with its stanza-id.
func (c *Conn) resend(ctx context.Context, list []unacked) {
	if len(list) == 0 {
		return
	}
	again := c.resends()
	for _, u := range list {
		ctx := sm.WithReceipt(ctx, u.receipt)
		switch {
		case u.st.Kind == xmpp.Presence || u.st.To.IsZero():
		case u.st.Kind == xmpp.Message && again:
			c.host.Sessions.Reroute(ctx, c.delayed(u))
		case u.receipt != nil && u.receipt.Settled(): // another client has it, or a database
		default:
			c.host.Router.Bounce(ctx, u.st, xmpp.ServiceUnavailable.WithText("User session terminated"))
		}
		u.receipt.Release()
	}
}

// resends reports whether messages are to be routed again.
func (c *Conn) resends() bool {
	switch c.out.acks.Resend {
	case sm.ResendAlways:
		return true
	case sm.ResendIfOffline:
		gone := c.session.Load().JID
		for _, s := range c.host.Sessions.User(gone.Bare()) {
			if s.JID != gone {
				return false
			}
		}
		return true
	}
	return false
}

// delayed is the message with the time when it came (XEP-0203), unless it says so
// already.
func (c *Conn) delayed(u unacked) *xmpp.Stanza {
	for el := range u.st.Children() {
		if el.Is(nsDelay, "delay") && el.Attr("from") == c.host.JID.String() {
			return u.st
		}
	}
	stamp := time.Unix(u.at, 0).UTC().Format("2006-01-02T15:04:05Z")
	return u.st.With(xmpp.Build(nsDelay, "delay").Attr("from", c.host.JID.String()).Attr("stamp", stamp).Text("Resent").Done())
}
