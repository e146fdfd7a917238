package c2s

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// A session whose client may resume it (XEP-0198 §5) outlives its connection: it
// gets another Conn that has no socket, no goroutine and no buffers. That one
// queues what comes until a new connection takes the session over, or the time is
// over. Whoever still holds the Conn of before is passed on to its heir, so no
// stanza is lost or overtaken.

// takeOver is how long who resumes waits for the old connection to let go.
const takeOver = 5 * time.Second

// errTaken ends the connection of a client that resumes over another one.
var errTaken = sm.Taken

// A taking says why a connection has to let go of its session, which goes on.
type taking struct{ why error }

// resumable reports whether the session may be resumed after its connection has
// ended with err: it broke, its client did not answer, or is here again.
func (c *Conn) resumable(err error) bool {
	a := c.out.acks
	if a == nil || a.ID == "" || err == nil {
		return false
	}
	if r := c.reason.Load(); r != nil {
		return r.Is(stream.ConnectionTimeout)
	}
	var fatal *stream.Error
	t := c.taken.Load()
	return !errors.As(err, &fatal) || t != nil && t.why == err
}

// detach lets the session go on without the connection. False says that it ends.
func (c *Conn) detach(ctx context.Context, s *sm.Session, err error) bool {
	if !c.resumable(err) {
		return false
	}
	p := &Conn{l: c.l, host: c.host, identity: c.identity, stream: c.stream, state: bound, done: c.done}
	p.ready = make(chan struct{})
	p.stream.Reply, p.stream.TLS = nil, nil
	p.ctx = sm.WithBurst(c.l.ctx, &p.burst)
	p.session.Store(s)
	p.out.left = make(chan struct{})
	if !c.l.add(p) {
		return false
	}
	o := &c.out
	o.mu.Lock()
	a := o.acks
	wait := a.Resume
	if a.plain > 0 && o.buf != nil || wait <= 0 {
		o.mu.Unlock()
		c.l.remove(p)
		return false
	}
	a.rest()
	full := o.late != nil && !a.addLate(o.late.list)
	o.late, o.buf, o.gone = nil, nil, true
	p.out.mu.Lock()
	p.out.acks, p.out.away = a, true
	p.out.mu.Unlock()
	o.heir = p
	o.mu.Unlock()
	c.host.Sessions.Reconnect(s, p)
	c.log("session waits to be resumed", err)
	if c.taken.Load() == nil { // else the client is here already
		sm.SessionPending.Run(ctx, c.host.Parts.Hooks, s)
	}
	p.expects()
	close(o.left)
	switch r := c.reason.Load(); {
	case full:
		p.Close(errUnacked)
	case r != nil && !r.Is(stream.ConnectionTimeout): // it came too late for this connection
		p.Close(r)
	}
	if r := p.reason.Load(); r != nil { // or too early for the other one: the server goes
		p.giveUp(r)
	}
	return true
}

// expects begins to wait for the client.
func (c *Conn) expects() {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away {
		c.timer = time.AfterFunc(o.acks.Resume, func() {
			if c.reason.CompareAndSwap(nil, errTooLate) {
				c.giveUp(errTooLate)
			}
		})
	}
	close(c.ready)
}

// errTooLate is what ends a session that nobody has resumed.
var errTooLate = stream.ConnectionTimeout.With("Nobody has resumed the session")

// ResumeWithin changes how long the client may take to resume. It implements
// sm.Resumable.
func (c *Conn) ResumeWithin(d time.Duration) bool {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.heir != nil:
		return o.heir.ResumeWithin(d)
	case o.acks == nil || o.acks.ID == "" || o.over:
		return false
	}
	o.acks.Resume = d
	if !c.moving && c.timer != nil && c.timer.Stop() {
		c.timer.Reset(d)
	}
	return true
}

// passOn gives what was meant for the session to who has it now.
func (c *Conn) passOn(reason *stream.Error) bool {
	c.out.mu.Lock()
	heir, moved := c.out.heir, c.out.moved
	c.out.mu.Unlock()
	switch {
	case heir != nil:
		heir.Close(reason)
	case moved != nil:
		moved.Close(reason)
	}
	return heir != nil || moved != nil
}

// giveUp ends a session that waits for its client, unless that is here.
func (c *Conn) giveUp(reason *stream.Error) {
	o := &c.out
	o.mu.Lock()
	mine := o.away && !c.moving
	if mine {
		o.away, o.gone = false, true
		if c.timer != nil {
			c.timer.Stop()
		}
	}
	o.mu.Unlock()
	if !mine {
		return
	}
	go func() { // it is one of those that the listener waits for
		defer c.l.remove(c)
		ctx := context.WithoutCancel(c.ctx)
		c.burst.Begin()
		c.finish(ctx, c.session.Load(), reason)
		c.burst.End()
		c.done.give()
	}()
}

// rest has the timers stop while there is no client. It wants the outbox's mu.
func (a *acks) rest() {
	a.owner.Store(nil)
	if a.timer != nil {
		a.timer.Stop()
	}
	a.ticking, a.asked, a.timer = false, false, nil
}

// addLate queues what came when nothing could be written any more.
func (a *acks) addLate(list []unacked) bool {
	for _, u := range list {
		a.queue.push(u)
		a.sent++
		a.size += u.st.Size()
	}
	return (a.MaxQueue == 0 || a.queue.len() <= a.MaxQueue) && a.size <= maxUnacked
}

// resume takes over the session that el asks for (XEP-0198 §5). It returns the
// answer, and what has to be called when that is in the outbox: it sends again what
// the client has not got, and from then on whatever comes. No answer says that
// there is nothing to resume. It is for the goroutine that reads; it may wait,
// a bounded time, for the old connection to let go.
func (c *Conn) resume(el *xmpp.Element) (answer *xmpp.Element, replay func() error, err error) {
	h, malformed := strconv.ParseUint(strings.Trim(el.Attr("h"), " \t\r\n"), 10, 32)
	id := el.Attr("previd")
	s := c.host.Sessions.Resumes(c.identity.User, id)
	if s == nil && malformed == nil {
		s = c.host.Sessions.Fetch(c.ctx, c.identity.User, id)
	}
	if malformed != nil || s == nil || !c.l.Access.Allows(c.host.Rules, c.subject(s.JID)) {
		return nil, nil, nil
	}
	p := evict(s, errTaken, c.closing.wait())
	if p == nil {
		return nil, nil, nil
	}
	if ok, err := c.inherit(p, uint32(h)); !ok {
		return nil, nil, err
	}
	c.session.Store(s)
	c.state, c.login = bound, nil
	c.limit(s)
	p.l.remove(p)
	c.host.Sessions.Reconnect(s, c)
	if r := p.reason.Load(); r != nil && r != errTooLate { // it came in between
		c.Close(r)
	}
	a := c.out.acks
	b := xmpp.Build(nsSM, "resumed").Attr("previd", id).Attr("h", strconv.FormatUint(uint64(a.handled.resume()), 10))
	return b.Done(), func() error { return c.replay(s) }, nil
}

// resume2 is resume for a client that asks for it together with its login. A client
// that cannot resume is told so, and may bind at once (XEP-0198 §6.1).
func (c *Conn) resume2(l *sasl2) (answer *xmpp.Element, replay func() error, err error) {
	el := l.Request.Child(nsSM, "resume")
	if el == nil {
		return nil, nil, nil
	}
	if answer, replay, err = c.resume(el); answer != nil || err != nil {
		return answer, replay, err
	}
	return sm.EarlyNonzas.Run(c.ctx, c.host.Parts.Hooks, nil, sm.EarlyNonza{Stream: &c.stream, Element: el}), nil, nil
}

// evict has the connection of the session let go of it, for that reason, and returns
// the one that waits in its place; nil if the session has ended, or is busy. It
// waits, a bounded time, or until quit is closed.
func evict(s *sm.Session, why error, quit <-chan struct{}) *Conn {
	old, ok := s.Counter().(*Conn)
	if !ok {
		return nil
	}
	old.out.mu.Lock()
	left := old.out.left
	old.out.mu.Unlock()
	switch {
	case old.sock == nil:
		left = old.ready
	case old.taken.CompareAndSwap(nil, &taking{why}):
		old.interrupt()
	}
	t := time.NewTimer(takeOver)
	defer t.Stop()
	select {
	case <-left:
	case <-t.C:
		return nil
	case <-quit:
		return nil
	}
	if old, ok = s.Counter().(*Conn); !ok || old.sock != nil {
		return nil
	}
	return old
}

// inherit takes what was counted from p, which has no connection. False says that
// the session has ended, or somebody else was faster; the error that h is wrong.
func (c *Conn) inherit(p *Conn, h uint32) (bool, error) {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	if !p.out.away || p.timer == nil || p.moving {
		return false, nil
	}
	a := p.out.acks
	news, ok := a.news(h)
	if !ok {
		return false, tooHigh(h, uint32(a.sent))
	}
	for range max(news, 0) {
		u := a.queue.pop()
		a.size -= u.st.Size()
		a.freed = append(a.freed, u.receipt)
	}
	p.timer.Stop()
	p.out.away, p.out.gone, p.out.heir = false, true, c
	o := &c.out
	o.mu.Lock()
	o.acks, o.away, o.left = a, true, make(chan struct{})
	o.mu.Unlock()
	c.done = p.done
	return true, nil
}

// replay sends the client what it has not got, and whatever comes from then on.
func (c *Conn) replay(s *sm.Session) error {
	o := &c.out
	a := o.acks
	for _, r := range a.freed {
		r.Secure()
	}
	clear(a.freed)
	a.freed = a.freed[:0]
	o.mu.Lock()
	b := o.open()
	for _, u := range a.queue.items[a.queue.head:] {
		*b = u.st.AppendXML(*b)
	}
	o.limit = maxOutbox + len(*b)
	a.askedAt = a.sent - min(a.sent, 1)
	o.away = false
	a.owner.Store(c)
	o.mu.Unlock()
	c.Flush()
	a.handled.moved()
	c.l.log.Info("session resumed", "jid", s.JID.String(), "address", c.stream.Addr.String(), "transport", c.transport())
	c.host.Sessions.Resumed(c.ctx, s, c.stream.Addr, c.transport())
	return c.stay()
}
