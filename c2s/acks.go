package c2s

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// nsSM is the namespace of stream management (XEP-0198).
const nsSM = "urn:xmpp:sm:3"

// maxUnacked bounds what a client may leave unacknowledged, in bytes; max_ack_queue
// bounds the number of stanzas.
const maxUnacked = 16 << 20

// acks is what a connection that counts stanzas keeps (XEP-0198). What was written
// stays in queue, in the order of the wire, until the client acknowledges it. All
// of it but handled wants the outbox's mu.
type acks struct {
	sm.Acks
	handled handled
	owner   atomic.Pointer[Conn] // who tells the client; nil while it is away

	queue fifo[unacked]
	size  int    // of the stanzas in queue
	sent  uint64 // stanzas since the beginning
	plain int    // how much of the outbox's buf was there before the beginning

	travelled map[string]uint64 // messages that came with the session from another node and are not safe, by stanza-id, and their numbers; nil for none

	asked   bool   // an <r/> was not answered yet
	askedAt uint64 // what sent was when we asked last
	askTime time.Time
	ticking bool // the timer runs
	timer   *time.Timer
	freed   []*sm.Receipt // of the goroutine that reads: memory for the next time
}

// unacked is a stanza that may yet have to find another way.
type unacked struct {
	st      *xmpp.Stanza
	receipt *sm.Receipt // held
	at      int64       // when it came here, in seconds since 1970
}

// Counts reports whether stanzas are counted. It is for the goroutine that reads.
func (c *Conn) Counts() bool { return c.out.acks != nil }

// Count writes el, unless it is nil, and counts stanzas from then on, unless it does
// so already. It is for the goroutine that reads.
func (c *Conn) Count(how sm.Acks, el *xmpp.Element) bool {
	o := &c.out
	if o.acks != nil {
		return false
	}
	a := &acks{Acks: how}
	a.handled.settled, a.handled.tell = a.handled.moved, a.tellHandled
	if a.ID != "" {
		a.handled.marks.init()
	}
	a.owner.Store(c)
	o.mu.Lock()
	if el != nil && !o.gone && !o.closing {
		b := o.open()
		*b = el.AppendXML(*b, xmpp.NSClient)
	}
	if o.buf != nil {
		a.plain = len(*o.buf)
	}
	o.acks = a
	if a.ID != "" {
		o.left = make(chan struct{})
		c.host.Sessions.CanResume(a.ID, c.session.Load())
	}
	o.mu.Unlock()
	c.wake()
	return true
}

// Handled is h: how many of the client's stanzas are handled.
func (c *Conn) Handled() uint32 {
	c.out.mu.Lock()
	a := c.out.acks
	c.out.mu.Unlock()
	if a == nil {
		return 0
	}
	return a.handled.count()
}

// Tell writes an element that is no stanza.
func (c *Conn) Tell(el *xmpp.Element) { c.say(el.AppendXML(nil, xmpp.NSClient)) }

// wake has the outbox written at the end of our burst, or now.
func (c *Conn) wake() {
	o := &c.out
	o.mu.Lock()
	now := !o.writing && !o.heldBy(&c.burst, c)
	o.mu.Unlock()
	if now {
		c.Flush()
	}
}

// acking deals with what a client says that counts stanzas. False says that it is
// something else, or makes no sense.
func (c *Conn) acking(fr *stream.Frame) (bool, error) {
	switch string(fr.Name) {
	case "r":
		c.out.acks.handled.ask()
		c.writeHandled()
		c.wake()
		return true, nil
	case "a":
		h, err := strconv.ParseUint(string(bytes.Trim(fr.Attr("h"), " \t\r\n")), 10, 32)
		if err != nil {
			return false, nil // not worth the stream: whoever hooks Nonzas says what is wrong
		}
		return true, c.acknowledged(uint32(h))
	}
	return false, nil
}

// writeHandled appends an acknowledgement to the outbox. That has to be under its
// lock: h must never seem to go back.
func (c *Conn) writeHandled() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.gone && !o.closing {
		b := o.open()
		*b = o.acks.handled.appendTo(*b)
	}
}

// tellHandled tells the client of what was handled meanwhile.
func (a *acks) tellHandled() {
	if c := a.owner.Load(); a.handled.rings() && c != nil {
		c.writeHandled()
		c.Flush()
	}
}

// submit sends a stanza, which fr is, on its way, and counts it.
func (c *Conn) submit(s *sm.Session, st *xmpp.Stanza, fr *stream.Frame) {
	a := c.out.acks
	switch {
	case a == nil:
		c.host.Sessions.Submit(c.ctx, s, st)
		return
	case st.Kind != xmpp.Message:
		c.host.Sessions.Submit(c.ctx, s, st)
		a.handled.add(nil, fr)
		return
	case a.handled.full():
		c.host.Router.Bounce(c.ctx, st, xmpp.ResourceConstraint.WithText("Too many of your messages are on their way; wait until some are acknowledged"))
		a.handled.add(nil, fr)
		return
	}
	r := sm.NewReceipt(a.handled.settled)
	c.burst.Carry(r)
	c.host.Sessions.Submit(c.ctx, s, st)
	c.burst.Carry(nil)
	r.Release()
	a.handled.add(r, fr)
}

// counted counts a stanza that was answered without being routed.
func (c *Conn) counted(fr *stream.Frame) {
	if a := c.out.acks; a != nil {
		a.handled.add(nil, fr)
	}
}

// hold makes an entry of a stanza that outlives the call. Errors and what is no
// message delay nobody's h: nothing is lost that somebody has written.
func hold(ctx context.Context, st *xmpp.Stanza) unacked {
	u := unacked{st: st, at: time.Now().Unix()}
	if st.Kind == xmpp.Message && st.Type != "error" {
		u.receipt = sm.ReceiptOf(ctx)
		u.receipt.Hold()
	}
	return u
}

// add remembers a stanza that was appended to the outbox, and reports whether that
// is not too much.
func (a *acks) add(ctx context.Context, st *xmpp.Stanza) bool {
	a.queue.push(hold(ctx, st))
	a.sent++
	a.size += st.Size()
	return (a.MaxQueue == 0 || a.queue.len() <= a.MaxQueue) && a.size <= maxUnacked
}

// errUnacked ends the stream of a client that acknowledges too little.
var errUnacked = stream.PolicyViolation.With("Too many unacked stanzas")

// ask appends a request for an acknowledgement to what is about to be written,
// unless an answer is due already.
func (c *Conn) ask() {
	o := &c.out
	a := o.acks
	if a == nil || a.asked || a.sent == a.askedAt || a.queue.len() == 0 || o.closing {
		return
	}
	*o.buf = append(*o.buf, "<r xmlns='"+nsSM+"'/>"...)
	a.asked, a.askedAt, a.askTime = true, a.sent, time.Now()
	switch {
	case a.Timeout == 0 || a.ticking:
		return
	case a.timer == nil:
		a.timer = time.AfterFunc(a.Timeout, a.unanswered)
	default:
		a.timer.Reset(a.Timeout)
	}
	a.ticking = true
}

// unanswered ends the stream of a client that does not answer, and asks one again
// that has answered but left something out.
func (a *acks) unanswered() {
	c := a.owner.Load()
	if c == nil {
		return // who resumes begins anew
	}
	o := &c.out
	o.mu.Lock()
	if o.heir != nil {
		o.mu.Unlock()
		return
	}
	a.ticking = false
	left := a.Timeout - time.Since(a.askTime)
	switch {
	case o.gone || o.over || a.queue.len() == 0:
		o.mu.Unlock()
	case left > 0:
		a.ticking = true
		a.timer.Reset(left)
		o.mu.Unlock()
	case a.asked:
		o.mu.Unlock()
		c.Close(stream.ConnectionTimeout.With("You do not acknowledge what you are sent"))
	default:
		a.askedAt = a.sent - 1
		o.open()
		o.mu.Unlock()
		c.Flush()
	}
}

// acknowledged lets go of what the client has handled. An h lower than the last one
// says nothing new; one higher than what was sent ends the stream (XEP-0198 §6).
func (c *Conn) acknowledged(h uint32) error {
	o := &c.out
	o.mu.Lock()
	a := o.acks
	news, ok := a.news(h)
	if !ok {
		sent := a.sent
		o.mu.Unlock()
		return tooHigh(h, uint32(sent))
	}
	if news < 0 {
		o.mu.Unlock()
		return nil
	}
	a.asked = false
	for range news {
		u := a.queue.pop()
		a.size -= u.st.Size()
		if u.receipt != nil {
			a.freed = append(a.freed, u.receipt)
		}
	}
	again := a.sent != a.askedAt && a.queue.len() > 0
	if again {
		o.open()
	}
	o.mu.Unlock()
	for _, r := range a.freed {
		r.Secure()
	}
	clear(a.freed)
	if a.freed = a.freed[:0]; cap(a.freed) > spareItems {
		a.freed = nil
	}
	if again {
		c.wake()
	}
	return nil
}

// news is how many more stanzas h acknowledges than the last one did, below 0 if that
// was more; ok is false if so many were never sent. It wants the outbox's mu.
func (a *acks) news(h uint32) (n int, ok bool) {
	known := a.sent - uint64(a.queue.len())
	if n := uint64(h - uint32(known)); n <= uint64(a.queue.len()) {
		return int(n), true
	}
	back := uint64(uint32(known) - h)
	return -1, back <= known && back < 1<<31
}

func tooHigh(h, sent uint32) *stream.Error {
	e := stream.UndefinedCondition.With(fmt.Sprintf("You acknowledged %d stanzas, but only %d were sent", h, sent))
	e.App = fmt.Sprintf("<handled-count-too-high xmlns='%s' h='%d' send-count='%d'/>", nsSM, h, sent)
	return e
}

// end stops the timers and returns what the client has not acknowledged.
func (a *acks) end() []unacked {
	a.handled.end()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.size = 0
	return a.queue.all()
}
