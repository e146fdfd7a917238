package c2s

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// errWouldBlock is what reading gives where a blocking read would wait. It is
// temporary, so that a tls.Conn can be read again after it.
var errWouldBlock net.Error = wouldBlock{}

type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing to read yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

// A socket is a client's TCP connection whose writes never block, and whose
// reads can be waited for without holding a buffer. TLS runs on top of it: a
// tls.Conn whose Write was interrupted cannot be used again, so what the kernel
// does not take is kept here, in the form in which it goes over the wire.
type socket struct {
	net.Conn
	raw     syscall.RawConn
	timeout time.Duration // how long a write may wait for the peer
	owner   *Conn
	drained func() // called when the kernel has taken everything again

	// The read side belongs to the goroutine that reads the stream.
	async   bool // Read gives errWouldBlock instead of waiting
	ahead   *buffer
	readFn  func(uintptr) bool
	readErr error

	mu       sync.Mutex
	corked   bool   // what is written waits
	held     []byte // so
	pending  []byte // what the kernel has not taken yet
	draining bool   // a goroutine waits until it does
	err      error  // the write side is broken
	idle     chan struct{}
	writeFn  func(uintptr) bool
	wb       []byte // arguments and results of writeFn
	wn       int
	werr     error
}

func newSocket(c net.Conn, timeout time.Duration) (*socket, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.New("not a connection of the operating system")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: c, raw: raw, timeout: timeout}
	s.readFn, s.writeFn = s.tryRead, s.tryWrite
	return s, nil
}

// wait returns when there is something to read, which it has then read into
// s.ahead. While it waits no buffer is held.
func (s *socket) wait() error {
	if s.ahead != nil {
		return nil
	}
	if err := s.raw.Read(s.readFn); err != nil {
		return err
	}
	return s.readErr
}

// poll is wait without waiting: it reports whether there was something to read, or an
// error, which wait then returns.
func (s *socket) poll() bool {
	found := false
	err := s.raw.Read(func(fd uintptr) bool {
		found = s.tryRead(fd)
		return true
	})
	return found || err != nil
}

// tryRead is one attempt to read; false has the runtime wait for the socket.
func (s *socket) tryRead(fd uintptr) bool {
	b := getBuffer()
	for {
		n, err := read(fd, b.data[:])
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			putBuffer(b)
			return false
		case err != nil:
			s.readErr = os.NewSyscallError("read", err)
		case n == 0:
			s.readErr = errEOF
		default:
			b.from, b.to = 0, n
			s.ahead = b
			return true
		}
		putBuffer(b)
		return true
	}
}

// Read is for the TLS on top. While a handshake is on it blocks; later it gives
// errWouldBlock when what wait has read is used up.
func (s *socket) Read(p []byte) (int, error) {
	if s.ahead == nil {
		if s.async {
			return 0, errWouldBlock
		}
		if err := s.flush(); err != nil {
			return 0, err
		}
		if err := s.wait(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.ahead.bytes())
	s.ahead.from += n
	if s.ahead.from == s.ahead.to {
		putBuffer(s.ahead)
		s.ahead = nil
	}
	return n, nil
}

// Write gives p to the kernel, or keeps what it does not take: it never blocks
// and takes all of p or fails.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.corked {
		s.held = append(s.held, p...)
		return len(p), nil
	}
	all := p
	if len(s.held) > 0 {
		all = append(s.held, p...)
		s.held = nil
	}
	if err := s.write(all); err != nil {
		return 0, err
	}
	return len(p), nil
}

// cork has what is written wait for flush, or from uncork on for the next write.
func (s *socket) cork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked = true
}

func (s *socket) uncork() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.corked = false
}

// flush writes what waits.
func (s *socket) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.held
	s.held = nil
	return s.write(p)
}

// write is Write under the mutex.
func (s *socket) write(p []byte) error {
	if s.err != nil || len(p) == 0 {
		return s.err
	}
	if s.draining {
		s.pending = append(s.pending, p...)
		return nil
	}
	s.wb, s.wn, s.werr = p, 0, nil
	if err := s.raw.Write(s.writeFn); err != nil {
		s.err = err
	} else if s.werr != nil {
		s.err = s.werr
	}
	s.wb = nil
	if s.err != nil {
		return s.err
	}
	if s.wn < len(p) {
		s.pending = append([]byte(nil), p[s.wn:]...)
		s.draining = true
		go s.drain()
	}
	return nil
}

// tryWrite writes as much as the kernel takes. It always returns true: waiting
// is not for the caller's goroutine.
func (s *socket) tryWrite(fd uintptr) bool {
	for s.wn < len(s.wb) {
		n, err := write(fd, s.wb[s.wn:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return true
		case err != nil:
			s.werr = os.NewSyscallError("write", err)
			return true
		default:
			s.wn += n
		}
	}
	return true
}

// drain waits for the kernel to take what is pending. It ends when everything is
// written, or the peer has taken nothing for too long.
func (s *socket) drain() {
	for {
		s.mu.Lock()
		p := s.pending
		s.pending = nil
		if len(p) == 0 || s.err != nil {
			s.draining = false
			s.pending = nil
			broken := s.err != nil
			idle := s.idle
			s.idle = nil
			s.mu.Unlock()
			if !broken && s.drained != nil {
				s.drained()
			}
			if idle != nil {
				close(idle)
			}
			return
		}
		s.mu.Unlock()
		err := s.writeAll(p)
		if err != nil {
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
			// The reader must hear of it.
			s.Conn.SetReadDeadline(time.Unix(1, 0))
		}
	}
}

// writeAll writes p; whatever the peer takes renews its time.
func (s *socket) writeAll(p []byte) error {
	for len(p) > 0 {
		if s.timeout > 0 {
			if err := s.Conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
				return err
			}
		}
		piece := p[:min(len(p), 64<<10)]
		n, err := s.Conn.Write(piece)
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
		p = p[n:]
	}
	// A deadline that passes later would break a connection that is idle.
	return s.Conn.SetWriteDeadline(time.Time{})
}

// congested reports whether the kernel does not take what it was given.
func (s *socket) congested() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// broken is why nothing can be written any more, or nil.
func (s *socket) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// flushed is closed when nothing is pending any more.
func (s *socket) flushed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == nil {
		s.idle = make(chan struct{})
		if !s.draining {
			c := s.idle
			s.idle = nil
			close(c)
			return c
		}
	}
	return s.idle
}

// linger closes the connection so that the peer can still read what was written
// last: closing with unread input would make the kernel throw that away.
func (s *socket) linger(d time.Duration) {
	if s.ahead != nil {
		putBuffer(s.ahead)
		s.ahead = nil
	}
	c, ok := s.Conn.(interface{ CloseWrite() error })
	if ok && s.broken() == nil && c.CloseWrite() == nil && s.Conn.SetReadDeadline(time.Now().Add(d)) == nil {
		discard(s.Conn, 1<<20)
	}
	s.Conn.Close()
	<-s.flushed() // whoever waits for the peer ends now
}

// discard reads up to n bytes, or until there is nothing more.
func discard(c net.Conn, n int) {
	b := getBuffer()
	defer putBuffer(b)
	for n > 0 {
		k, err := c.Read(b.data[:])
		if err != nil {
			return
		}
		n -= k
	}
}
