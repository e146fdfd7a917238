package c2s

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

const nsDelay = "urn:xmpp:delay"

// lastAcks is how long a client may still acknowledge what it was sent when we
// have ended its stream because the server goes.
const lastAcks = time.Second

// lastWords hears what a client that we leave has to acknowledge, so that nothing
// is sent twice for no reason.
func (c *Conn) lastWords() {
	r := c.reason.Load()
	if c.out.acks == nil || r == nil || !r.Is(stream.SystemShutdown) && !r.Is(stream.SeeOtherHost) {
		return
	}
	end := time.Now().Add(lastAcks)
	c.sock.SetReadDeadline(end)
	for c.unacknowledged() > 0 {
		var fr stream.Frame
		n, err := c.framer.Next(c.in, &fr)
		switch {
		case err != nil || fr.Kind == stream.End:
			return
		case fr.Kind == stream.Need:
			c.remain(c.in[n:])
			_, err := c.fill()
			switch {
			case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(end):
				c.sock.SetReadDeadline(end) // who has closed us interrupts us, too
			case err != nil:
				return
			}
			continue
		case c.lastWord(&fr) != nil:
			return
		}
		c.remain(c.in[n:])
	}
}

// lastWord deals with what a client has sent whose stream we have ended: only what it
// has acknowledged counts.
func (c *Conn) lastWord(fr *stream.Frame) error {
	if c.out.acks == nil || fr.Kind != stream.Element || string(fr.NS) != nsSM || string(fr.Name) != "a" {
		return nil
	}
	_, err := c.acking(fr)
	return err
}

// unacknowledged is how many stanzas the client has still to acknowledge.
func (c *Conn) unacknowledged() int {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.acks == nil {
		return 0
	}
	return c.out.acks.queue.len()
}

// again routes a stanza that was not written to this client. Its session is
// closed by then, so it finds another one, or is kept, or bounces. Presence says
// how things were for a session that is gone.
func (c *Conn) again(ctx context.Context, st *xmpp.Stanza) {
	if c.session.Load() == nil || !returns(st) {
		return
	}
	c.host.Sessions.Reroute(ctx, st)
}

func returns(st *xmpp.Stanza) bool { return st.Kind != xmpp.Presence && !st.To.IsZero() }

// closeSession closes the session, and finds another way for what it leaves behind:
// unwritten bytes, what was not acknowledged, and what came too late for either.
// Whatever else comes for the user meanwhile waits, so that it overtakes nothing.
func (c *Conn) closeSession(ctx context.Context, s *sm.Session, unwritten []byte) {
	release := func(ctx context.Context, list []sm.Returned) {
		for _, r := range list {
			c.again(sm.WithReceipt(ctx, r.Receipt), r.Stanza)
			r.Receipt.Release()
		}
	}
	last := release
	if len(unwritten) > 0 || c.unacknowledged() > 0 {
		release = c.host.Sessions.Detain(s.JID.Bare())
	}
	c.host.Sessions.CloseSession(ctx, s, "")
	left := c.out.end(false)
	list := append(parse(unwritten), parse(left.refused)...)
	list = append(append(list, c.unsettled(ctx, left.unacked)...), late(left.late)...)
	release(ctx, list)
	// What has come meanwhile; from now on it is for those who bring it.
	last(ctx, late(c.out.end(true).late))
}

// parse reads the stanzas that were not written.
func parse(b []byte) (list []sm.Returned) {
	if len(b) == 0 {
		return nil
	}
	f := stream.New(stream.Limits{})
	wrapped := append([]byte("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"), b...)
	for len(wrapped) > 0 {
		var fr stream.Frame
		n, err := f.Next(wrapped, &fr)
		if err != nil || fr.Kind == stream.Need || fr.Kind == stream.End {
			break
		}
		if fr.Kind == stream.Element {
			if st, err := xmpp.ParseStanza(&fr); err == nil && returns(st) {
				list = append(list, sm.Returned{Stanza: st})
			}
		}
		wrapped = wrapped[n:]
	}
	return list
}

// late is what came when nothing could be written any more.
func late(list []unacked) (out []sm.Returned) {
	for _, u := range list {
		if returns(u.st) {
			out = append(out, sm.Returned{Stanza: u.st, Receipt: u.receipt})
		}
	}
	return out
}

// unsettled is what is to be routed again of that which the client has not
// acknowledged (XEP-0198 §4); the senders of the rest are told. The client may have
// got it all the same: a message comes twice then.
func (c *Conn) unsettled(ctx context.Context, list []unacked) (out []sm.Returned) {
	if len(list) == 0 {
		return nil
	}
	again := c.resends()
	for _, u := range list {
		switch {
		case !returns(u.st):
		case u.st.Kind == xmpp.Message && sm.IsArchived.Run(ctx, c.host.Hooks, false, u.st): // and looked up there
		case u.st.Kind == xmpp.Message && u.st.To.IsBare() && c.othersHave(u):
			if u.receipt.Settled() {
				break
			}
			continue // it has left
		case u.st.Kind == xmpp.Message && again:
			out = append(out, sm.Returned{Stanza: c.delayed(u), Receipt: u.receipt})
			continue // it is still held
		case u.receipt != nil && u.receipt.Settled(): // another client has it, or a database
		default:
			c.host.Router.Bounce(sm.WithReceipt(ctx, u.receipt), u.st, xmpp.ServiceUnavailable.WithText("User session terminated"))
		}
		u.receipt.Release()
	}
	return out
}

// othersHave reports whether somebody else answers for a message that went to all
// devices of the user: another carrier of its receipt stays when this one has left,
// or, where nobody is left to count, another device was there to take it. That it is
// safe is not enough: it may be so in the archive only, which this device does not
// read.
func (c *Conn) othersHave(u unacked) bool {
	if u.receipt != nil && !u.receipt.Settled() {
		return u.receipt.Leave()
	}
	s := c.session.Load()
	for _, o := range c.host.Sessions.User(s.JID.Bare()) {
		if p, ok := o.Priority(); ok && p >= 0 && o.ID != s.ID {
			return true
		}
	}
	return false
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
