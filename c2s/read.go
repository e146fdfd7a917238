package c2s

import (
	"bytes"
	"errors"
	"os"
	"runtime/debug"
	"time"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// errEnd says that the client has ended its stream.
var errEnd = errors.New("closed by client")

// errHandshake says that the client goes on encrypted.
var errHandshake = errors.New("starttls")

// errRepark says that the connection shall go on on another goroutine.
var errRepark = errors.New("repark")

// read is the connection's goroutine: it waits for bytes, works through what
// they hold, and cleans up at the end.
func (c *Conn) read() { c.after(c.loop()) }

// repose is read for a client from which nothing is expected soon: it waits where
// the stack is still small.
func (c *Conn) repose() {
	if err := c.sock.wait(); err != nil {
		c.after(c.why(err))
		return
	}
	c.read()
}

// after goes on with what reading has ended with.
func (c *Conn) after(err error) {
	switch {
	case errors.Is(err, errHandshake):
		c.in = c.in[:0]
		c.release()
		if err = c.handshake(c.stream.Local.Domain()); err == nil {
			c.read()
			return
		}
	case errors.Is(err, errRepark):
		c.guest = false
		go c.repose()
		return
	case errors.Is(err, errEnd):
		c.depart()
		err = nil
	}
	c.end(err)
}

func (c *Conn) loop() error {
	for {
		n, err := c.fill()
		if err != nil {
			return c.why(err)
		}
		c.worked.Store(true)
		c.burst.Begin()
		err = c.work()
		c.burst.End()
		if err != nil {
			return err
		}
		if err := c.rest(); err != nil {
			return err
		}
		if err := c.pace(n); err != nil {
			return err
		}
	}
}

// why tells apart the reasons for which reading ends.
func (c *Conn) why(err error) error {
	if errors.Is(err, errRepark) {
		return err
	}
	if r := c.reason.Load(); r != nil {
		return r
	}
	if t := c.taken.Load(); t != nil {
		return t.why
	}
	if err := c.broken(); err != nil {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if c.repark.Swap(false) {
			if err := c.stay(); err != nil {
				return err
			}
			return errRepark
		}
		return stream.ConnectionTimeout.With("You took too long to log in")
	}
	return err
}

// broken is why nothing can be written to the client any more.
func (c *Conn) broken() error {
	if err := c.sock.broken(); err != nil {
		return err
	}
	return c.out.broken()
}

// fill waits for bytes and appends them to c.in. While it waits it holds no
// buffer, unless a part of an element is in it.
func (c *Conn) fill() (int, error) {
	for c.tls != nil {
		c.room()
		n, err := c.tls.Read(c.in[len(c.in):cap(c.in)])
		if n > 0 {
			c.in = c.in[:len(c.in)+n]
			return n, nil
		}
		if err != nil && !errors.Is(err, errWouldBlock) {
			return 0, err
		}
		c.release()
		if err := c.await(); err != nil {
			return 0, err
		}
	}
	if err := c.await(); err != nil {
		return 0, err
	}
	b := c.sock.ahead
	c.sock.ahead = nil
	n := b.to - b.from
	if len(c.in) == 0 {
		c.release()
		c.in, c.inBuf = b.data[b.from:b.to], b
		return n, nil
	}
	c.in = append(c.in, b.bytes()...)
	c.outgrown()
	putBuffer(b)
	return n, nil
}

// await waits for bytes, unless that is to be done elsewhere: errRepark.
func (c *Conn) await() error {
	if c.guest && c.sock.ahead == nil && c.atEase() {
		return errRepark
	}
	return c.sock.wait()
}

// room makes sure that there is space behind c.in.
func (c *Conn) room() {
	switch {
	case c.in == nil:
		c.inBuf = getBuffer()
		c.in = c.inBuf.data[:0]
	case cap(c.in)-len(c.in) < 512:
		c.in = append(make([]byte, 0, 2*cap(c.in)+bufferSize), c.in...)
		c.outgrown()
	}
}

// outgrown gives the buffer back whose memory c.in does not use any more.
func (c *Conn) outgrown() {
	if c.inBuf != nil && (len(c.in) == 0 || cap(c.in) > bufferSize || !sameArray(c.in, c.inBuf)) {
		putBuffer(c.inBuf)
		c.inBuf = nil
	}
}

func sameArray(b []byte, buf *buffer) bool {
	return cap(b) > 0 && &b[:cap(b)][cap(b)-1] == &buf.data[bufferSize-1]
}

// release gives back the buffer when nothing is in it.
func (c *Conn) release() {
	if len(c.in) > 0 {
		return
	}
	if c.inBuf != nil {
		putBuffer(c.inBuf)
		c.inBuf = nil
	}
	c.in = nil
}

// work deals with every whole element in c.in and keeps the rest.
func (c *Conn) work() (err error) {
	defer c.survive(&err)
	b := c.in
	var fr stream.Frame
	// Also with nothing left: the framer gives its memory back then.
	for {
		if c.state == greeting || c.state == returning {
			// The end of a line that a client has put behind the last element
			// of its old stream must not stand before its new one's declaration.
			b = bytes.TrimLeft(b, " \t\r\n")
		}
		n, err := c.framer.Next(b, &fr)
		if err != nil {
			return err
		}
		if fr.Kind == stream.Need {
			break
		}
		b = b[n:]
		if r := c.reason.Load(); r != nil {
			c.remain(b)
			if err := c.lastWord(&fr); err != nil {
				return err
			}
			return r
		}
		if err := c.frame(&fr); err != nil {
			if errors.Is(err, errHandshake) && len(bytes.Trim(b, " \t\r\n")) > 0 {
				// What came in the clear must not count as encrypted. Some
				// clients end their lines, which means nothing.
				return stream.PolicyViolation.With("Nothing may be sent between starttls and the handshake")
			}
			return err
		}
		if c.reason.Load() != nil {
			c.remain(b)
			return c.reason.Load()
		}
	}
	c.remain(b)
	return nil
}

// remain keeps what is no whole element yet, and not the memory of a long one that
// came before it.
func (c *Conn) remain(b []byte) {
	if c.inBuf == nil && len(b) > 0 && len(b) <= bufferSize/2 {
		c.inBuf = getBuffer()
		c.in = c.inBuf.data[:copy(c.inBuf.data[:], b)]
		return
	}
	c.in = c.in[:copy(c.in[:cap(c.in)], b)]
	c.release()
}

// survive keeps a bug that one client has met from ending the server.
func (c *Conn) survive(err *error) {
	if p := recover(); p != nil {
		c.l.log.Error("connection panicked", "address", c.stream.Addr.String(), "panic", p, "stack", string(debug.Stack()))
		*err = stream.InternalServerError
	}
}

func (c *Conn) frame(fr *stream.Frame) error {
	switch fr.Kind {
	case stream.Header:
		return c.open(fr)
	case stream.End:
		return errEnd
	case stream.Element:
		return c.element(fr)
	}
	return nil
}

// longestRest is how long a client waits at most for what it has sent to be stored. A
// database may be away: then chat goes on, slowly.
const longestRest = time.Second

// rest waits for whoever keeps what the client has sent, if that is behind.
func (c *Conn) rest() error {
	done := c.burst.Paused()
	if done == nil {
		return nil
	}
	t := time.NewTimer(c.l.longestRest)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-c.closing.wait():
		return c.reason.Load()
	}
	return nil
}

// pace waits as long as the client's shaper wants after n bytes.
func (c *Conn) pace(n int) error {
	if c.shaper == nil {
		return nil
	}
	d := c.shaper.Take(n)
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.closing.wait():
		return c.reason.Load()
	}
}
