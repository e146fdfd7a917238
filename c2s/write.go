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

// Pass appends a stanza that a handler of c2s_filter_send has held back.
func (c *Conn) Pass(ctx context.Context, st *xmpp.Stanza) { c.append(ctx, st) }

// append puts the stanza into the outbox.
func (c *Conn) append(ctx context.Context, st *xmpp.Stanza) {
	o := &c.out
	o.mu.Lock()
	switch {
	case o.heir != nil:
		heir := o.heir
		o.mu.Unlock()
		heir.append(ctx, st)
		return
	case o.moved != nil:
		to := o.moved
		o.mu.Unlock()
		to.Send(ctx, st)
		return
	case o.over:
		o.mu.Unlock()
		c.again(ctx, st)
		return
	case o.acks != nil && o.acks.travelled != nil && o.acks.meets(ctx, st):
		o.mu.Unlock()
		return
	case o.away:
		full := !o.acks.add(ctx, st)
		o.mu.Unlock()
		switch {
		case full:
			c.Close(errUnacked)
		case c.sock == nil: // else the client is about to get it
			sm.Queued.Run(ctx, c.host.Parts.Hooks, sm.Queueing{Session: c.session.Load(), Stanza: st})
		}
		return
	case o.closing || o.gone:
		kept := o.keep(ctx, st)
		o.mu.Unlock()
		if !kept && st.Kind != xmpp.Presence {
			c.host.Router.Bounce(ctx, st, xmpp.ResourceConstraint.WithText("The addressee's connection has just ended; try again"))
		}
		return
	case o.buf != nil && len(*o.buf) > o.limit:
		o.keep(ctx, st)
		o.mu.Unlock()
		c.Close(stream.ResourceConstraint.With("You do not read what you are sent"))
		return
	}
	b := o.open()
	*b = st.AppendXML(*b)
	full := o.acks != nil && !o.acks.add(ctx, st)
	wake := !o.writing && !o.heldBy(sm.BurstOf(ctx), c)
	o.mu.Unlock()
	if full {
		c.Close(errUnacked)
		return
	}
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

// say appends bytes that are no stanza and has them written at the end of the
// burst.
func (c *Conn) say(b []byte) {
	o := &c.out
	o.mu.Lock()
	if !o.gone && !o.closing {
		buf := o.open()
		*buf = append(*buf, b...)
	}
	o.mu.Unlock()
	c.wake()
}

// greet has our stream header and what stands behind it written at the end of the
// burst, in which a client may have sent its login already.
func (c *Conn) greet(features []byte) {
	o := &c.out
	o.mu.Lock()
	if !o.gone && !o.closing {
		buf := o.open()
		*buf = append(o.header(*buf), features...)
	}
	o.mu.Unlock()
	c.wake()
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
	for o.buf != nil && !o.gone && !o.mute && !o.away && !c.sock.congested() {
		c.ask()
		if o.pass() != nil {
			c.interrupt()
		}
	}
	// Should the client take everything from now on, the drain that notices
	// waits for the lock, and flushes again.
	o.writing = false
	if o.rest != nil {
		close(o.rest)
		o.rest = nil
	}
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
	if o.acks != nil { // XEP-0198 §4
		*b = o.acks.handled.appendTo(*b)
	}
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
