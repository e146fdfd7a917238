package c2s

import (
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
	w       io.Writer // the socket, or the TLS on top of it
	buf     *[]byte   // whole elements; nil when there are none
	limit   int       // of buf, in bytes
	writing bool      // somebody is at it and will look again
	holder  *sm.Burst // whose end will write it, as far as we know
	mute    bool      // a handshake is on: nothing may be written but its own
	headed  bool      // our stream header is out
	domain  string    // who we are in it
	closing bool      // the last bytes are in buf
	gone    bool      // nothing is written any more
	err     error     // why, if that was not our wish
	late    []byte    // stanzas that came after that
	over    bool      // the session is out of everybody's sight
}

// open returns buf, which it makes if there is none.
func (o *outbox) open() *[]byte {
	if o.buf == nil {
		o.buf = getOut()
	}
	return o.buf
}

// pass hands what there is to the writer. It lets go of mu in between. What the
// writer refuses stays.
func (o *outbox) pass() error {
	b, w := o.buf, o.w
	o.buf = nil
	o.mu.Unlock()
	_, err := w.Write(*b)
	o.mu.Lock()
	if err == nil {
		putOut(b)
		return nil
	}
	if o.buf != nil {
		*b = append(*b, *o.buf...)
		putOut(o.buf)
	}
	o.buf, o.gone, o.err = b, true, err
	return err
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
// routed again.
func (o *outbox) keep(st *xmpp.Stanza) {
	if len(o.late) < maxOutbox {
		o.late = st.AppendXML(o.late)
	}
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

// restart makes the next bytes those of a new stream, which may have more to
// say.
func (o *outbox) restart(limit int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.headed, o.limit = false, limit
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

// stop ends writing and returns what was not written.
func (o *outbox) stop() (unwritten []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gone = true
	if o.buf != nil {
		unwritten = *o.buf
		o.buf = nil
	}
	return unwritten
}

// end returns the stanzas that came too late, and what the writer has refused in
// the meantime. Whatever comes from now on must find another way.
func (o *outbox) end() (refused, late []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	if o.buf != nil {
		refused = *o.buf
		o.buf = nil
	}
	late, o.late = o.late, nil
	return refused, late
}
