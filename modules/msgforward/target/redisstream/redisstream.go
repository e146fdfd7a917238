// Package redisstream appends messages to a stream of Redis or Valkey.
//
// A batch is one transaction, so that no message is there without those before
// it. What is read from the stream has the fields id, group, type and body, and
// "head:NAME" for each header. A batch that was tried again is there again with
// the same ids.
package redisstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/gabberd/gabberd/modules/msgforward/target/queue"
)

// place is what a URL says.
type place struct {
	*queue.URL
	addr   string
	db     int
	stream string
	maxLen int64 // about how many entries the stream keeps; 0 is all of them
}

func parse(u *queue.URL) (place, error) {
	p := place{URL: u, addr: u.Addrs("6379")[0], stream: u.Text("stream"), maxLen: u.Number("maxlen")}
	if err := u.One(); err != nil {
		return p, err
	}
	if err := u.Rest(); err != nil {
		return p, err
	}
	if u.Path != "" {
		var err error
		if p.db, err = strconv.Atoi(u.Path); err != nil || p.db < 0 {
			return p, fmt.Errorf("behind the host of a %s URL stands the number of the database, such as /0", u.Scheme)
		}
	}
	if p.stream == "" {
		return p, fmt.Errorf("the name of the stream is missing: %s://…?stream=NAME", u.Scheme)
	}
	return p, nil
}

// Check says what is wrong with a URL.
func Check(u *queue.URL) error { _, err := parse(u); return err }

// Open returns the target at a URL: redis://[USER:PASSWORD@]HOST[:PORT][/DB]?stream=NAME[&maxlen=N],
// rediss with TLS. A password without a user is :PASSWORD@.
func Open(u *queue.URL, o queue.Options) (queue.Target, error) {
	p, err := parse(u)
	if err != nil {
		return nil, err
	}
	// For the whole process: it writes to standard error what it also returns.
	logging.Disable()
	var secure *tls.Config
	if u.Scheme == "rediss" {
		secure = o.TLSFor()
	}
	return queue.NewLanes(u, func(ctx context.Context) (queue.Lane, error) {
		cfg := secure
		if cfg != nil {
			cfg = cfg.Clone()
		}
		conn, err := queue.Dial(ctx, p.addr, cfg)
		if err != nil {
			return nil, err
		}
		return newLane(p, conn), nil
	}), nil
}

// lane is one connection.
type lane struct {
	place
	conn   net.Conn
	client *goredis.Client
	given  atomic.Bool
}

var errCut = errors.New("the connection was lost")

// answerTimeout is how long Redis may take for a batch.
const answerTimeout = 10 * time.Second

func newLane(p place, conn net.Conn) *lane {
	l := &lane{place: p, conn: conn}
	l.client = goredis.NewClient(&goredis.Options{
		Addr: p.addr, Username: p.User, Password: p.Password, DB: p.db,
		// The connection is made already, and there is only this one.
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			if l.given.Swap(true) {
				return broken{}, nil
			}
			return conn, nil
		},
		PoolSize: 1, PipelinePoolSize: -1, DialerRetries: 1, MaxRetries: -1,
		ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, ContextTimeoutEnabled: true,
		Protocol: 2, ClientName: "gabberd", DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	return l
}

// Send implements queue.Lane.
func (l *lane) Send(ctx context.Context, batch []queue.Message) error {
	_, err := l.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		for _, m := range batch {
			p.XAdd(ctx, &goredis.XAddArgs{Stream: l.stream, MaxLen: l.maxLen, Approx: l.maxLen > 0, Values: fields(m)})
		}
		return nil
	})
	return l.explain(err)
}

// fields is a message as an entry of the stream.
func fields(m queue.Message) []any {
	values := []any{"id", m.ID, "group", m.Group, "type", m.Type, "body", m.Body}
	for _, name := range slices.Sorted(maps.Keys(m.Head)) {
		values = append(values, "head:"+name, m.Head[name])
	}
	return values
}

// explain says what an operator can do about an error.
func (l *lane) explain(err error) error {
	var answer goredis.Error
	switch {
	case err == nil:
		return nil
	case goredis.IsAuthError(err), errors.As(err, &answer) && strings.Contains(answer.Error(), "password"):
		return fmt.Errorf("it does not let us in: correct the user and the password in the URL: %w", err)
	case goredis.IsPermissionError(err):
		return fmt.Errorf("the user in the URL may not write: allow XADD, MULTI and EXEC and the key %q: %w", l.stream, err)
	case strings.Contains(err.Error(), "WRONGTYPE"):
		return fmt.Errorf("%q is there already and is not a stream: take another name in the URL, or delete it: %w", l.stream, err)
	}
	return err
}

// Abort implements queue.Lane.
func (l *lane) Abort() {
	_ = l.conn.Close() // it may be closed already
}

// Close implements queue.Lane.
func (l *lane) Close() {
	_ = l.client.Close() // there is nothing left to lose
	l.Abort()
}

// broken is a second connection, which there is not. go-redis takes a failure to
// dial for a reason to try by itself, in a goroutine that outlives its Close.
type broken struct{}

// Read, Write and the rest implement net.Conn.
func (broken) Read([]byte) (int, error)         { return 0, errCut }
func (broken) Write([]byte) (int, error)        { return 0, errCut }
func (broken) Close() error                     { return nil }
func (broken) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (broken) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (broken) SetDeadline(time.Time) error      { return nil }
func (broken) SetReadDeadline(time.Time) error  { return nil }
func (broken) SetWriteDeadline(time.Time) error { return nil }
