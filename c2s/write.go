package c2s

import (
	"context"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Send appends the stanza to what the client is sent, after the hooks of this
// device (user_receive_packet, c2s_filter_send). It never blocks.
func (c *Conn) Send(ctx context.Context, st *xmpp.Stanza) {
	t := c.host.Parts.Hooks
	s := c.session.Load()
	if st = sm.UserReceive.Run(ctx, t, st, s); st == nil {
		return
	}
	if st = sm.FilterSend.Run(ctx, t, st, s); st == nil {
		return
	}
	c.append(ctx, st)
}

// append puts the stanza into the outbox.
func (c *Conn) append(ctx context.Context, st *xmpp.Stanza) {
	o := &c.out
	o.mu.Lock()
	switch {
	case o.over:
		o.mu.Unlock()
		c.again(ctx, st)
		return
	case o.closing || o.gone:
		o.keep(st)
		o.mu.Unlock()
		return
	case o.buf != nil && len(*o.buf) > o.limit:
		o.keep(st)
		o.mu.Unlock()
		c.Close(stream.ResourceConstraint.With("You do not read what you are sent"))
		return
	}
	b := o.open()
	*b = st.AppendXML(*b)
	wake := !o.writing && !o.heldBy(sm.BurstOf(ctx), c)
	o.mu.Unlock()
	if wake {
		c.Flush()
	}
}

// write appends bytes that are no stanza and writes them.
func (c *Conn) write(b []byte) {
	o := &c.out
	o.mu.Lock()
	if !o.gone && !o.closing {
		buf := o.open()
		*buf = append(*buf, b...)
	}
	o.mu.Unlock()
	c.Flush()
}

// greet writes our stream header and what stands behind it.
func (c *Conn) greet(features []byte) {
	o := &c.out
	o.mu.Lock()
	if !o.gone && !o.closing {
		buf := o.open()
		*buf = append(o.header(*buf), features...)
	}
	o.mu.Unlock()
	c.Flush()
}

// Flush writes what is in the outbox, unless somebody is doing that already or
// the client does not take it: then it is done when the client does.
func (c *Conn) Flush() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holder = nil
	if o.writing {
		return
	}
	o.writing = true
	for o.buf != nil && !o.gone && !o.mute && !c.sock.congested() {
		if o.pass() != nil {
			c.interrupt()
		}
	}
	// Should the client take everything from now on, the drain that notices
	// waits for the lock, and flushes again.
	o.writing = false
}

// farewell writes the last bytes of the stream, once. During a handshake it does
// nothing: the reader says farewell when that is over.
func (c *Conn) farewell(reason *stream.Error) {
	o := &c.out
	o.mu.Lock()
	if o.closing || o.gone || o.mute {
		o.mu.Unlock()
		return
	}
	b := o.open()
	if reason != nil {
		if !o.headed {
			*b = o.header(*b)
		}
		*b = reason.AppendXML(*b)
	}
	if o.headed {
		*b = append(*b, "</stream:stream>"...)
	}
	o.closing = true
	o.mu.Unlock()
	c.Flush()
}

// again routes a stanza that was not written to this client. Its session is
// closed by then, so it finds another one, or is kept, or bounces. Presence says
// how things were for a session that is gone.
func (c *Conn) again(ctx context.Context, st *xmpp.Stanza) {
	if c.session.Load() == nil || st.Kind == xmpp.Presence || st.To.IsZero() {
		return
	}
	c.host.Sessions.Route(ctx, st)
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
