package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"
	"unicode/utf8"
)

// A Handler does what requests ask for. Control writes what is to be printed to
// a and returns the exit code. ctx ends when the client goes or the server
// stops, and Control must return soon after.
type Handler interface {
	Control(ctx context.Context, r Request, a *Answer) (exit int)
}

// A Listener is the control socket of a server.
type Listener struct {
	path string
	at   os.FileInfo // the socket that is ours
	l    *net.UnixListener
	log  *slog.Logger

	patience time.Duration // for a request to arrive, for a client to read
}

// Listen opens the control socket at path. What a dead server left there is
// replaced; if a living one answers there, that is an error. Problems with
// clients go to log; nil is slog.Default.
func Listen(path string, log *slog.Logger) (*Listener, error) {
	if log == nil {
		log = slog.Default()
	}
	if conn, err := dial(context.Background(), path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another server answers at %s; stop it first, or choose another data directory", path)
	}
	// The socket is made where nobody else can reach it and moved to its place
	// when its mode is right.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".control-")
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	s, err := listenIn(dir, path, log)
	if gone := os.RemoveAll(dir); gone != nil && err == nil {
		err = errors.Join(gone, s.close())
	}
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	return s, nil
}

func listenIn(dir, path string, log *slog.Logger) (*Listener, error) {
	made := filepath.Join(dir, SocketName)
	addr, release, err := address(made)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	s := &Listener{path: path, l: l, log: log, patience: patience}
	if err := os.Chmod(made, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := os.Rename(made, path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if s.at, err = os.Lstat(path); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return s, nil
}

// close stops listening and removes the socket, if it is still ours.
func (s *Listener) close() error {
	err := s.l.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	now, gone := os.Lstat(s.path)
	if gone != nil || !os.SameFile(now, s.at) {
		return err
	}
	return errors.Join(err, os.Remove(s.path))
}

// Serve opens the control socket at path and has h do what comes through it
// until ctx ends.
func Serve(ctx context.Context, path string, h Handler) error {
	l, err := Listen(path, nil)
	if err != nil {
		return err
	}
	return l.Serve(ctx, h)
}

// Serve has h do what comes through the socket until ctx ends, removes the
// socket, and returns when all requests have returned.
func (s *Listener) Serve(ctx context.Context, h Handler) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { closed <- s.close() })
	slots := make(chan struct{}, maxClients)
	for {
		conn, err := s.l.AcceptUnix()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return <-closed
		case temporary(err):
			s.log.Warn("control socket cannot accept", "err", err)
			if !pause(ctx, time.Second) {
				return <-closed
			}
			continue
		default:
			if !stop() {
				return <-closed
			}
			return errors.Join(fmt.Errorf("control socket: %w", err), s.close())
		}
		select {
		case slots <- struct{}{}:
			clients.Go(func() {
				defer func() { <-slots }()
				s.serve(ctx, conn, h)
			})
		default:
			s.turnAway(conn)
		}
	}
}

// temporary reports whether accepting may work again later: when files have
// run out, for instance.
func temporary(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !errors.Is(err, net.ErrClosed)
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// turnAway tells a client that there are too many. What is written fits into
// the socket's buffer, so this does not block.
func (s *Listener) turnAway(conn *net.UnixConn) {
	a := s.answerTo(conn)
	a.greet()
	a.Complain(fmt.Sprintf("Error: too many commands at once (at most %d); try again\n", maxClients))
	a.exit(1)
	s.done(a, conn)
}

// done closes the connection. A client that has gone is its own affair.
func (s *Listener) done(a *Answer, conn *net.UnixConn) {
	if err := errors.Join(a.err, conn.Close()); err != nil {
		s.log.Debug("control client", "err", err)
	}
}

// serve does one client's request.
func (s *Listener) serve(ctx context.Context, conn *net.UnixConn, h Handler) {
	a := s.answerTo(conn)
	defer s.done(a, conn)
	if err := checkPeer(conn); err != nil {
		s.log.Warn("control socket: client refused", "reason", err)
		a.err = err
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	unblock := context.AfterFunc(ctx, func() { _ = conn.CloseRead() })
	defer unblock()

	a.greet()
	in := bufio.NewReaderSize(conn, chunk)
	r, err := s.readRequest(conn, in)
	if err != nil {
		a.Complain("Error: bad request: " + err.Error() + "\n")
		a.exit(1)
		return
	}
	var gone sync.WaitGroup
	defer gone.Wait()
	gone.Go(func() { // ends with the client, or with ctx by way of unblock
		_, _ = in.ReadByte()
		cancel()
	})
	a.failed = cancel
	a.exit(s.handle(ctx, h, r, a))
	cancel()
}

// handle calls h. A panic costs the request and nothing else.
func (s *Listener) handle(ctx context.Context, h Handler, r Request, a *Answer) (exit int) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("control request panicked", "command", r.Command, "panic", p, "stack", string(debug.Stack()))
			a.Complain("Error: the command failed inside; the log of the server says more\n")
			exit = 1
		}
	}()
	return h.Control(ctx, r, a)
}

func (s *Listener) readRequest(conn *net.UnixConn, in *bufio.Reader) (r Request, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(s.patience)); err != nil {
		return r, err
	}
	line, err := readLine(in, maxRequest)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errors.New("it did not arrive in time")
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return r, err
	}
	return r, conn.SetReadDeadline(time.Time{})
}

// An Answer is what a client gets to see. Its methods may be called from one
// goroutine at a time; after the first error, when the client has gone or does
// not read, they do nothing and the request's context is cancelled.
type Answer struct {
	conn   *net.UnixConn
	w      *bufio.Writer
	err    error
	failed func() // may be nil

	patience time.Duration
}

func (s *Listener) answerTo(conn *net.UnixConn) *Answer {
	return &Answer{conn: conn, w: bufio.NewWriterSize(conn, chunk), patience: s.patience}
}

// Print has the client print text where results go. It blocks while the client
// is slow, for ten seconds at most.
func (a *Answer) Print(text string) {
	for part := range chunks(text) {
		a.send(reply{Out: part})
	}
}

// Complain has the client print text where errors go.
func (a *Answer) Complain(text string) {
	for part := range chunks(text) {
		a.send(reply{Err: part})
	}
}

// Flush sends what was printed so far, for answers that come bit by bit.
func (a *Answer) Flush() {
	if a.err == nil {
		a.note(a.w.Flush())
	}
}

func (a *Answer) greet() {
	a.send(reply{Gabberd: protocol})
	a.Flush()
}

func (a *Answer) exit(code int) {
	a.send(reply{Exit: &code})
	a.Flush()
}

func (a *Answer) send(r reply) {
	if a.err != nil {
		return
	}
	line, err := json.Marshal(r)
	if err == nil {
		err = a.conn.SetWriteDeadline(time.Now().Add(a.patience))
	}
	if err == nil {
		_, err = a.w.Write(append(line, '\n'))
	}
	a.note(err)
}

func (a *Answer) note(err error) {
	if err == nil || a.err != nil {
		return
	}
	a.err = err
	if a.failed != nil {
		a.failed()
	}
}

// chunks cuts text into parts that fit into a line each, between characters.
func chunks(text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for len(text) > chunk {
			n := chunk
			for n > chunk-utf8.UTFMax && !utf8.RuneStart(text[n]) {
				n--
			}
			if !yield(text[:n]) {
				return
			}
			text = text[n:]
		}
		if text != "" {
			yield(text)
		}
	}
}
