package load

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
	"unsafe"
)

// A loop serves all sessions of a worker on one goroutine: one buffer to read
// into, no memory for a stanza, one system call for a read and one for a write.
type loop struct {
	epoll    int
	sessions []*session // by descriptor
	events   [256]syscall.EpollEvent
	buf      []byte
	coarse   bool // the kernel has no epoll_pwait2

	handle  func(*session, []byte) // gets every stanza; valid until it returns
	closing bool                   // sessions that end now are not lost
	lost    uint64
	why     string // the first reason
}

func newLoop() (*loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &loop{epoll: fd, buf: make([]byte, 64<<10), handle: func(*session, []byte) {}}, nil
}

// add takes a session over from Go, with what it has read already.
func (l *loop) add(s *session) error {
	if err := s.wire.release(l); err != nil {
		return err
	}
	for s.wire.fd >= len(l.sessions) {
		l.sessions = append(l.sessions, make([]*session, 1024)...)
	}
	l.sessions[s.wire.fd] = s
	e := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(s.wire.fd)}
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, s.wire.fd, &e); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	l.stanzas(s)
	if s.tls != nil {
		l.readable(s) // crypto/tls may have decrypted more than was asked for
	}
	return nil
}

func (l *loop) read(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
		return 0, againError{}
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	return int(n), nil
}

// write sends what the kernel takes and keeps the rest until it takes more.
func (l *loop) write(c *wire, p []byte) error {
	if len(c.out) > 0 {
		c.out = append(c.out, p...)
		return nil
	}
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
	switch {
	case errno == syscall.EAGAIN || errno == syscall.EINTR:
		n = 0
	case errno != 0:
		return errno
	}
	if int(n) == len(p) {
		return nil
	}
	c.out = append(c.out, p[n:]...)
	return l.watch(c, syscall.EPOLLIN|syscall.EPOLLOUT)
}

func (l *loop) watch(c *wire, events uint32) error {
	return syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_MOD, c.fd, &syscall.EpollEvent{Events: events, Fd: int32(c.fd)})
}

// send gives a session something to send; a dead one forgets it.
func (l *loop) send(s *session, p []byte) {
	if s.dead {
		return
	}
	if err := s.write(p); err != nil {
		l.drop(s, err)
	}
}

// drop ends a session. Unless we want it so, it counts as lost.
func (l *loop) drop(s *session, err error) {
	if s.dead {
		return
	}
	s.dead = true
	if !l.closing {
		l.lost++
		if l.why == "" {
			l.why = fmt.Sprintf("%s: %v", s.user, err)
		}
	}
	l.sessions[s.wire.fd] = nil
	syscall.Close(s.wire.fd)
}

// stanzas hands over what is complete.
func (l *loop) stanzas(s *session) {
	for e := s.scan.next(); e != nil && !s.dead; e = s.scan.next() {
		switch {
		case e[1] == '/':
			l.drop(s, errors.New("the server ended the stream"))
			return
		case is(e, "stream:error"):
			l.drop(s, fmt.Errorf("%.200s", e))
			return
		case is(e, "iq") && string(attribute(e, "type")) == "get":
			l.send(s, []byte("<iq type='result' id='"+string(attribute(e, "id"))+"' to='"+string(attribute(e, "from"))+"'/>"))
		default:
			l.handle(s, e)
		}
	}
	s.scan.keep()
}

// readable reads what has come for a session.
func (l *loop) readable(s *session) {
	s.wire.drained = false
	for !s.dead {
		n, err := s.read(l.buf)
		if n > 0 {
			s.scan.feed(l.buf[:n])
			l.stanzas(s)
		}
		if err == nil {
			continue
		}
		if _, again := err.(againError); !again {
			l.drop(s, err)
		}
		return
	}
}

func (l *loop) writable(s *session) {
	c := s.wire
	out := c.out
	c.out = nil
	if err := l.write(c, out); err != nil {
		l.drop(s, err)
		return
	}
	if len(c.out) == 0 {
		if err := l.watch(c, syscall.EPOLLIN); err != nil {
			l.drop(s, err)
		}
	}
}

// poll waits until something comes, at most d, and handles it.
func (l *loop) poll(d time.Duration) {
	for _, e := range l.events[:l.wait(max(d, 0))] {
		s := l.sessions[e.Fd]
		if s == nil {
			continue
		}
		if e.Events&syscall.EPOLLOUT != 0 {
			l.writable(s)
		}
		if e.Events&^uint32(syscall.EPOLLOUT) != 0 {
			l.readable(s)
		}
	}
}

const sysEpollPwait2 = 441 // the same on every architecture

// wait is epoll_pwait2 with its nanoseconds, or else epoll_wait.
func (l *loop) wait(d time.Duration) int {
	if !l.coarse {
		ts := syscall.NsecToTimespec(int64(d))
		call := syscall.Syscall6
		if d == 0 {
			call = syscall.RawSyscall6
		}
		n, _, errno := call(sysEpollPwait2, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
		if errno == 0 {
			return int(n)
		}
		l.coarse = errno == syscall.ENOSYS
		return 0
	}
	n, err := syscall.EpollWait(l.epoll, l.events[:], int((d+time.Millisecond-1)/time.Millisecond))
	if err != nil {
		return 0 // interrupted
	}
	return n
}

// until polls until ok, at most for the given time, and returns whether it is.
func (l *loop) until(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); {
		left := time.Until(end)
		if left <= 0 {
			return false
		}
		l.poll(min(left, 50*time.Millisecond))
	}
	return true
}

// rest polls for a time, so that what the server still sends is taken.
func (l *loop) rest(d time.Duration) { l.until(d, func() bool { return false }) }

// closeAll ends sessions as a client should.
func (l *loop) closeAll(all []*session) {
	l.closing = true
	for i, s := range all {
		if s.wire == nil || s.wire.loop == nil {
			s.close()
			s.dead = true
			continue
		}
		l.send(s, []byte("</stream:stream>"))
		if i%64 == 63 {
			l.poll(0)
		}
	}
	l.until(3*time.Second, func() bool {
		for _, s := range all {
			if !s.dead {
				return false
			}
		}
		return true
	})
	for _, s := range all {
		l.drop(s, nil)
	}
	l.closing = false
}

func (l *loop) close() { syscall.Close(l.epoll) }
