package c2s

import (
	"context"
	"io"
	"sync"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// maxOutbox is how many bytes may wait for a client that does not read. A
// single stanza may be longer.
const maxOutbox = 4 << 20

// An outbox is what waits to be written to a client. Whoever appends to it also
// writes, or has it written at the end of his burst; nobody ever waits for the
// client.
type outbox struct {
	mu      sync.Mutex
	buf     *[]byte // whole stanzas; nil when there are none
	writing bool    // somebody is at it and will look again
	held    bool    // somebody's burst will write it
	closing bool    // the last bytes are in it
	late    []byte  // stanzas that came after them
	gone    bool    // nothing is written any more
	w       io.Writer
}

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
	if o.gone {
		o.mu.Unlock()
		c.again(ctx, st)
		return
	}
	if o.closing {
		if len(o.late) < maxOutbox {
			o.late = st.AppendXML(o.late)
		}
		o.mu.Unlock()
		return
	}
	if o.buf == nil {
		o.buf = getOut()
	}
	before := len(*o.buf)
	*o.buf = st.AppendXML(*o.buf)
	if before > maxOutbox {
		*o.buf = (*o.buf)[:before]
		o.mu.Unlock()
		c.Close(stream.ResourceConstraint.With("You do not read what you are sent"))
		return
	}
	wake := !o.held && !o.writing
	if wake {
		o.held = sm.Hold(ctx, c)
		wake = !o.held
	}
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
		if o.buf == nil {
			o.buf = getOut()
		}
		*o.buf = append(*o.buf, b...)
	}
	o.mu.Unlock()
	c.Flush()
}

// Flush writes what is in the outbox, unless somebody is doing that already or
// the client does not take it: then it is done when the client does.
func (c *Conn) Flush() {
	o := &c.out
	o.mu.Lock()
	o.held = false
	if o.writing {
		o.mu.Unlock()
		return
	}
	o.writing = true
	for o.buf != nil && !o.gone && !c.sock.congested() {
		b := o.buf
		o.buf = nil
		o.mu.Unlock()
		_, err := o.w.Write(*b)
		putOut(b)
		o.mu.Lock()
		if err != nil {
			o.gone = true
			c.interrupt()
		}
	}
	o.writing = false
	again := o.buf != nil && !o.gone && !c.sock.congested()
	o.mu.Unlock()
	if again { // the client took everything just before we looked
		c.Flush()
	}
}

// leftover ends the outbox and returns the stanzas that were not written.
func (c *Conn) leftover() (unwritten, late []byte) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone = true
	if o.buf != nil {
		unwritten = *o.buf
		o.buf = nil
	}
	late, o.late = o.late, nil
	return unwritten, late
}

// again routes a stanza that has come too late for this connection. Its session
// is closed by then, so it finds another one, or is kept.
func (c *Conn) again(ctx context.Context, st *xmpp.Stanza) {
	s := c.session.Load()
	if s == nil || st.Kind != xmpp.Message || st.Type == "error" || st.Type == "groupchat" {
		return
	}
	<-c.removed
	c.host.Sessions.Route(ctx, st)
}

// rescue routes the messages again that were not written (as if the session had
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
				c.again(c.l.ctx, st)
			}
		}
		wrapped = wrapped[n:]
	}
}
