package c2s

import (
	"context"
	"crypto/rand"
	"io"
	"sync"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// How many bytes may wait for a client that does not read; a single stanza may
// be longer. Before the login there is little to say.
const (
	maxOutbox   = 4 << 20
	earlyOutbox = 64 << 10
)

// An outbox is what waits to be written to a client. Whoever appends to it also
// writes, or has it written at the end of his burst; nobody ever waits for the
// client. Its methods want mu to be held.
type outbox struct {
	mu      sync.Mutex
	w       io.Writer     // the socket, or the TLS on top of it
	buf     *[]byte       // whole elements; nil when there are none
	limit   int           // of buf, in bytes
	writing bool          // somebody is at it and will look again
	rest    chan struct{} // closed when he is done; nil when nobody waits for that
	holder  *sm.Burst     // whose end will write it, as far as we know
	mute    bool          // a handshake is on: nothing may be written but its own
	headed  bool          // our stream header is out
	domain  string        // who we are in it
	closing bool          // the last bytes are in buf
	gone    bool          // nothing is written any more
	err     error         // why, if that was not our wish
	late    *lateness     // stanzas that came after that; nil when there are none
	acks    *acks         // nil unless the client acknowledges; only the reader changes that
	over    bool          // the session is out of everybody's sight

	// For resumption (resume.go).
	away  bool          // there is no connection: stanzas wait in acks
	heir  *Conn         // who has the session now, and gets what comes here
	moved sm.Conn       // the way to where the session is now: another node
	left  chan struct{} // closed when the connection has let go of the session; nil if that cannot be resumed
}

// open returns buf, which it makes if there is none.
func (o *outbox) open() *[]byte {
	if o.buf == nil {
		o.buf = getOut()
	}
	return o.buf
}

// lateness is stanzas that came when nothing could be written any more.
type lateness struct {
	list []unacked
	size int
}

// pass hands what there is to the writer. It lets go of mu in between. What the
// writer refuses stays.
func (o *outbox) pass() error {
	b, w, counting := o.buf, o.w, o.acks
	o.buf = nil
	o.mu.Unlock()
	_, err := w.Write(*b)
	o.mu.Lock()
	if err == nil {
		putOut(b)
		if counting != nil && o.heir == nil {
			counting.plain = 0
		}
		return nil
	}
	if counting == nil && o.acks != nil && o.heir == nil {
		o.acks.plain += len(*b)
	}
	if o.buf != nil {
		*b = append(*b, *o.buf...)
		putOut(o.buf)
	}
	o.buf, o.gone, o.err = b, true, err
	return err
}

// resting is closed when whoever is writing is done, nil if nobody is. Unlike other
// methods it takes mu itself.
func (o *outbox) resting() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writing && o.rest == nil {
		o.rest = make(chan struct{})
	}
	return o.rest
}

// broken is why nothing can be written any more, nil as long as it can.
func (o *outbox) broken() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// heldBy reports whether c's outbox will be written at the end of burst b.
func (o *outbox) heldBy(b *sm.Burst, c *Conn) bool {
	if b == nil || o.holder != b && !b.Hold(c) {
		return false
	}
	o.holder = b
	return true
}

// keep remembers a stanza that cannot be written any more, until it can be
// routed again. False says that there is too much of that.
func (o *outbox) keep(ctx context.Context, st *xmpp.Stanza) bool {
	if o.late == nil {
		o.late = new(lateness)
	}
	if o.late.size > maxOutbox {
		return false
	}
	o.late.list = append(o.late.list, hold(ctx, st))
	o.late.size += st.Size()
	return true
}

// header appends our stream header.
func (o *outbox) header(b []byte) []byte {
	o.headed = true
	b = append(b, "<?xml version='1.0'?><stream:stream id='"...)
	b = append(b, rand.Text()...)
	b = append(b, "' version='1.0' xml:lang='en' xmlns:stream='"+nsStream+"' xmlns='"+xmpp.NSClient+"'"...)
	if o.domain != "" {
		b = append(append(append(b, " from='"...), o.domain...), '\'')
	}
	return append(b, '>')
}

// restart makes the next bytes those of a new stream.
func (o *outbox) restart() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.headed = false
}

// widen lets more bytes wait.
func (o *outbox) widen(limit int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limit = limit
}

// serves says on behalf of which domain the stream is.
func (o *outbox) serves(domain string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.domain = domain
}

// silence keeps everybody from writing while a handshake is on. It reports
// whether what came before is written.
func (o *outbox) silence() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mute = true
	return o.buf == nil && !o.writing
}

// encrypt has everything from now on written to w.
func (o *outbox) encrypt(w io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w, o.mute, o.headed = w, false, false
}

// take returns what the writer has not taken and nobody counts.
func (o *outbox) take() (unwritten []byte) {
	if o.buf == nil {
		return nil
	}
	unwritten = *o.buf
	o.buf = nil
	if o.acks != nil {
		unwritten = unwritten[:min(o.acks.plain, len(unwritten))]
		o.acks.plain = 0
	}
	return unwritten
}

// stop ends writing and returns what was not written.
func (o *outbox) stop() (unwritten []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone = true
	return o.take()
}

// leftovers is what a connection leaves behind, in the order in which it came.
type leftovers struct {
	refused []byte    // stanzas that the writer has refused
	unacked []unacked // those that the client has not acknowledged
	late    []unacked // those that came too late
}

// end returns what is left. Whatever comes after the last call must find another
// way by itself.
func (o *outbox) end(last bool) (l leftovers) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = last
	l.refused = o.take()
	if o.acks != nil {
		l.unacked = o.acks.end()
	}
	if o.late != nil {
		l.late = o.late.list
		o.late = nil
	}
	return l
}
