package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Lane is a connection that one call of Deliver uses at a time.
type Lane interface {
	// Send is Target.Deliver, without its errors being explained. After an error
	// the lane is closed.
	Send(ctx context.Context, batch []Message) error
	// Abort cuts the connection: Send returns at once. It may be called at any
	// time, by any goroutine, and again.
	Abort()
	// Close leaves in order, within a second or so. When it returns, no goroutine
	// of the lane is left.
	Close()
}

// maxLanes is how many connections a target may have.
const maxLanes = 4

// connectTimeout is how long it may take until a lane is there.
const connectTimeout = 10 * time.Second

// ErrClosed is the error of calls to a target that is closed.
var ErrClosed = errors.New("the destination has been given up")

// Lanes is a Target that opens lanes as they are needed and keeps them for the
// next call. A lane on which something went wrong is closed, since what is on its
// way there is unknown.
type Lanes struct {
	name string
	dial func(context.Context) (Lane, error)

	slots   chan struct{} // one is taken for each lane in use
	closing context.Context
	close   context.CancelFunc

	mu   sync.Mutex
	idle []Lane
	shut bool
	work sync.WaitGroup // calls of Deliver
}

// NewLanes returns a target that dials lanes; its errors begin with the URL. What
// dial has opened when it fails, or when its context has ended, it closes.
func NewLanes(u *URL, dial func(context.Context) (Lane, error)) *Lanes {
	l := &Lanes{name: u.String(), dial: dial, slots: make(chan struct{}, maxLanes)}
	l.closing, l.close = context.WithCancel(context.Background())
	return l
}

// Deliver implements Target.
func (l *Lanes) Deliver(ctx context.Context, batch []Message) error {
	if len(batch) == 0 {
		return nil
	}
	if !l.enter() {
		return fmt.Errorf("%s: %w", l.name, ErrClosed)
	}
	defer l.work.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.closing, func() { cancel(ErrClosed) })()
	err := l.deliver(ctx, batch)
	if err == nil {
		return nil
	}
	if why := over(ctx); why != nil && final(err) == nil {
		return fmt.Errorf("%s did not take messages in time: %w", l.name, why)
	}
	return fmt.Errorf("%s: %w", l.name, err)
}

// over is why ctx has ended, or is about to: a deadline that it has given to a
// connection may be noticed there first.
func over(ctx context.Context) error {
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return context.Cause(ctx)
}

func final(err error) *Final {
	var f *Final
	errors.As(err, &f)
	return f
}

func (l *Lanes) deliver(ctx context.Context, batch []Message) error {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		lane, used := l.take()
		if !used {
			var err error
			if lane, err = l.connect(ctx); err != nil {
				return err
			}
		}
		err := send(ctx, lane, batch)
		if err == nil {
			l.put(lane)
			return nil
		}
		lane.Close()
		if !used || over(ctx) != nil || final(err) != nil {
			return err
		}
		// It may have been cut while nobody used it, and so may the others.
		l.drop()
	}
}

func (l *Lanes) connect(ctx context.Context) (Lane, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return l.dial(ctx)
}

// send uses a lane; it does not outlive ctx.
func send(ctx context.Context, lane Lane, batch []Message) error {
	cut := context.AfterFunc(ctx, lane.Abort)
	err := lane.Send(ctx, batch)
	if !cut() && err == nil {
		lane.Abort() // what was taken is taken, but the lane is spoiled
	}
	return err
}

func (l *Lanes) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.shut {
		l.work.Add(1)
	}
	return !l.shut
}

// take returns a lane that has been used before, if there is one.
func (l *Lanes) take() (Lane, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.idle)
	if n == 0 {
		return nil, false
	}
	lane := l.idle[n-1]
	l.idle = l.idle[:n-1]
	return lane, true
}

func (l *Lanes) put(lane Lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, lane)
}

// drop closes the lanes that nobody uses.
func (l *Lanes) drop() {
	l.mu.Lock()
	idle := l.idle
	l.idle = nil
	l.mu.Unlock()
	var wg sync.WaitGroup
	for _, lane := range idle {
		wg.Go(lane.Close)
	}
	wg.Wait()
}

// Close implements Target.
func (l *Lanes) Close() error {
	l.mu.Lock()
	l.shut = true
	l.mu.Unlock()
	l.close()
	l.work.Wait()
	l.drop()
	return nil
}

// Dial connects to one address, with TLS unless secure is nil.
func Dial(ctx context.Context, addr string, secure *tls.Config) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil || secure == nil {
		return conn, err
	}
	if secure.ServerName == "" {
		if secure.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	tlsConn := tls.Client(conn, secure)
	if err := tlsConn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", err), conn.Close())
	}
	return tlsConn, nil
}
