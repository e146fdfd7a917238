package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// A session is one client. It logs in on a goroutine like any program, then its
// socket is taken from the Go runtime and served by the worker's loop.
type session struct {
	number int    // among the worker's sessions
	user   string // its local part
	bare   string
	full   string

	resource string // that it asks for; empty: load
	token    string // with which it logs in again
	named    bool   // says who it is before it logs in: what ejabberd wants for SASL2

	wire *wire
	tls  *tls.Conn // nil: not encrypted
	scan scanner
	dead bool

	// Kept for workloads.
	in    record // of the one flow that the session receives
	sent  uint32
	count int
}

// users makes n sessions, those of the users from the given one on.
func (w *worker) users(from, n int) []*session {
	all := make([]*session, n)
	for i := range all {
		user := w.Target.Prefix + strconv.Itoa(from+i)
		all[i] = &session{number: i, user: user, bare: user + "@" + w.Target.Domain}
	}
	return all
}

// An againError is what a read from the loop finds when nothing has come. It is a
// temporary error for crypto/tls, which goes on later.
type againError struct{}

func (againError) Error() string   { return "nothing there yet" }
func (againError) Timeout() bool   { return true }
func (againError) Temporary() bool { return true }

// A wire is a session's socket: first Go's, then a bare descriptor.
type wire struct {
	net.Conn
	loop    *loop // nil while Go has it
	fd      int
	out     []byte // what the kernel did not take yet
	drained bool   // the last read took all there was; epoll tells when there is more
}

// Read waits while Go has the socket and does not afterwards.
func (c *wire) Read(p []byte) (int, error) {
	if c.loop == nil {
		return c.Conn.Read(p)
	}
	if c.drained {
		return 0, againError{}
	}
	n, err := c.loop.read(c.fd, p)
	c.drained = n < len(p)
	return n, err
}

// Write keeps what the kernel does not take, once the loop has the socket.
func (c *wire) Write(p []byte) (int, error) {
	if c.loop == nil {
		return c.Conn.Write(p)
	}
	return len(p), c.loop.write(c, p)
}

// release takes the socket from Go.
func (c *wire) release(l *loop) error {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return fmt.Errorf("take socket: %w", err)
	}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		var dup uintptr
		dup, _, errno = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
		c.fd = int(dup)
	})
	if err == nil && errno != 0 {
		err = errno
	}
	if err != nil {
		return fmt.Errorf("take socket: %w", err)
	}
	c.loop = l
	return c.Conn.Close()
}

// write sends bytes; crypto/tls makes records of them if it is there.
func (s *session) write(p []byte) error {
	var err error
	if s.tls != nil {
		_, err = s.tls.Write(p)
	} else {
		_, err = s.wire.Write(p)
	}
	return err
}

func (s *session) read(p []byte) (int, error) {
	if s.tls != nil {
		return s.tls.Read(p)
	}
	return s.wire.Read(p)
}

// next waits for the stream's next element. For the time of the login only.
func (s *session) next() ([]byte, error) {
	for {
		if e := s.scan.next(); e != nil {
			return e, nil
		}
		s.scan.keep()
		buf := make([]byte, 4096)
		n, err := s.read(buf)
		if err != nil {
			return nil, err
		}
		s.scan.feed(buf[:n])
	}
}

// ask sends something and waits for the answer.
func (s *session) ask(text string) ([]byte, error) {
	if err := s.write([]byte(text)); err != nil {
		return nil, err
	}
	return s.next()
}

// reply sends an IQ and waits for its answer, past all else that comes.
func (s *session) reply(id, text string) ([]byte, error) {
	if err := s.write([]byte(text)); err != nil {
		return nil, err
	}
	for {
		e, err := s.next()
		switch {
		case err != nil:
			return nil, err
		case is(e, "iq") && string(attribute(e, "id")) == id:
			return e, nil
		case is(e, "stream:error") || e[1] == '/':
			return nil, fmt.Errorf("the stream ended: %.200s", e)
		}
	}
}

// close ends a session that the loop does not have.
func (s *session) close() {
	if s.wire != nil {
		s.wire.Conn.Close()
	}
}

const patience = 30 * time.Second // with a server that does not answer a login

// connect opens the socket and, with direct TLS, encrypts it.
func (w *worker) connect(s *session) error {
	conn, err := w.dialer.Dial("tcp", w.Target.Addresses[s.number%len(w.Target.Addresses)])
	if err != nil {
		return err
	}
	s.wire = &wire{Conn: conn}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if w.Target.TLS == Direct {
		return w.encrypt(s)
	}
	return nil
}

func (w *worker) encrypt(s *session) error {
	s.tls = tls.Client(s.wire, w.tls)
	if err := s.tls.Handshake(); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	return nil
}

// stream opens a stream and returns what the server offers.
func (w *worker) stream(s *session) ([]byte, error) {
	s.scan.restart()
	from := ""
	if s.named {
		from = "from='" + s.bare + "' "
	}
	header, err := s.ask("<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " + from + "to='" +
		w.Target.Domain + "' version='1.0'>")
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	if !is(header, "stream:stream") {
		return nil, fmt.Errorf("open stream: %.200s", header)
	}
	features, err := s.next()
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	if !is(features, "stream:features") {
		return nil, fmt.Errorf("open stream: %.200s", features)
	}
	return features, nil
}

var errRefused = errors.New("login refused")

// secure opens a stream and, where the target wants STARTTLS, encrypts it.
func (w *worker) secure(s *session) ([]byte, error) {
	features, err := w.stream(s)
	if err != nil || w.Target.TLS != StartTLS {
		return features, err
	}
	e, err := s.ask("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	if err != nil {
		return nil, fmt.Errorf("STARTTLS: %w", err)
	}
	if !is(e, "proceed") {
		return nil, fmt.Errorf("STARTTLS: %.200s", e)
	}
	if err := w.encrypt(s); err != nil {
		return nil, err
	}
	return w.stream(s)
}
