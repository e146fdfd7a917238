// Package nats publishes messages to a stream of NATS JetStream.
//
// A message's id is its Nats-Msg-Id, by which the stream drops what was tried
// again within its duplicate window; Content-Type and Group-Id are headers, beside
// those of the message. Messages of a group are published one after the other:
// JetStream may refuse one and take the next.
package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/gabberd/gabberd/modules/msgforward/target/queue"
)

// place is what a URL says.
type place struct {
	*queue.URL
	addrs   []string
	subject string
	tls     *tls.Config // nil without TLS
}

func parse(u *queue.URL) (place, error) {
	p := place{URL: u, addrs: u.Addrs("4222"), subject: u.Path}
	switch err := u.Rest(); {
	case err != nil:
		return p, err
	case p.subject == "":
		return p, fmt.Errorf("the subject is missing: %s://HOST/SUBJECT", u.Scheme)
	case strings.ContainsAny(p.subject, "*> \t\r\n/"), strings.Contains("."+p.subject+".", ".."):
		return p, fmt.Errorf("%q is no subject to publish to: it is words joined by dots, without *, > and /", p.subject)
	}
	return p, nil
}

// Check says what is wrong with a URL.
func Check(u *queue.URL) error { _, err := parse(u); return err }

// Open returns the target at a URL: nats://[USER:PASSWORD@]HOST[:PORT],…/SUBJECT, tls with TLS. A
// user without a password is a token.
func Open(u *queue.URL, o queue.Options) (queue.Target, error) {
	p, err := parse(u)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "tls" {
		p.tls = o.TLSFor()
	}
	return queue.NewLanes(u, p.dial), nil
}

// dial connects to the first host that lets us in.
func (p place) dial(ctx context.Context) (queue.Lane, error) {
	var all error
	for _, addr := range p.addrs {
		l, err := p.connect(ctx, addr)
		switch {
		case err == nil:
			return l, nil
		case all == nil:
			all = p.explain(err)
		default:
			all = fmt.Errorf("%w; %w", all, p.explain(err))
		}
	}
	return nil, all
}

// lane is one connection.
type lane struct {
	place
	conn   net.Conn
	client *natsgo.Conn
	js     jetstream.JetStream
	closed chan struct{} // the connection has ended
}

func (p place) connect(ctx context.Context, addr string) (queue.Lane, error) {
	// The client does TLS by itself, behind the first words of the server.
	conn, err := queue.Dial(ctx, addr, nil)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	l := &lane{place: p, conn: conn, closed: make(chan struct{})}
	options := []natsgo.Option{
		natsgo.Name("gabberd"), natsgo.SetCustomDialer(&once{conn: conn}), natsgo.SkipHostLookup(), natsgo.IgnoreDiscoveredServers(),
		natsgo.NoReconnect(), natsgo.Timeout(answerTimeout), natsgo.ClosedHandler(func(*natsgo.Conn) { close(l.closed) }),
		natsgo.ErrorHandler(func(*natsgo.Conn, *natsgo.Subscription, error) {}), // else it writes to standard error
	}
	switch {
	case p.User != "" && p.Password == "":
		options = append(options, natsgo.Token(p.User))
	case p.User != "":
		options = append(options, natsgo.UserInfo(p.User, p.Password))
	}
	if p.tls != nil {
		options = append(options, natsgo.Secure(p.tls))
	}
	l.client, err = natsgo.Connect("nats://"+addr, options...)
	if err == nil {
		if l.js, err = jetstream.New(l.client, jetstream.WithPublishAsyncTimeout(answerTimeout)); err == nil {
			return l, nil
		}
		l.client.Close()
	}
	_ = conn.Close() // the client may have closed it
	return nil, err
}

// answerTimeout is how long the server may take for one message.
const answerTimeout = 10 * time.Second

// once is a dialer for a connection that is there.
type once struct {
	mu   sync.Mutex
	conn net.Conn
}

var errCut = errors.New("the connection was lost")

// Dial implements natsgo.CustomDialer.
func (o *once) Dial(string, string) (net.Conn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.conn
	if o.conn = nil; c == nil {
		return nil, errCut
	}
	return c, nil
}

// Send implements queue.Lane.
func (l *lane) Send(ctx context.Context, batch []queue.Message) error {
	for _, wave := range queue.Waves(batch) {
		if err := l.publish(ctx, wave); err != nil {
			return l.explain(err)
		}
	}
	return nil
}

// publish publishes messages and waits until all of them are in the stream.
func (l *lane) publish(ctx context.Context, wave []queue.Message) error {
	var futures []jetstream.PubAckFuture
	for _, m := range wave {
		f, err := l.js.PublishMsgAsync(l.message(m), jetstream.WithMsgID(m.ID), jetstream.WithRetryAttempts(0))
		if err != nil {
			return err
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return err
		case <-l.closed:
			return errors.Join(errCut, l.client.LastError())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (l *lane) message(m queue.Message) *natsgo.Msg {
	msg := &natsgo.Msg{Subject: l.subject, Header: natsgo.Header{}, Data: m.Body}
	for name, value := range m.Head {
		msg.Header.Set(textproto.TrimString(name), value)
	}
	if m.Type != "" {
		msg.Header.Set("Content-Type", m.Type)
	}
	if m.Group != "" {
		msg.Header.Set("Group-Id", m.Group)
	}
	return msg
}

// tooLarge is the code of JetStream for a message over the limit of the stream.
const tooLarge = 10054

// explain says what an operator can do about an error.
func (p place) explain(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, natsgo.ErrMaxPayload):
		return &queue.Final{Err: fmt.Errorf("a message is larger than max_payload of the server: %w", err)}
	case errors.As(err, &api) && api.ErrorCode == tooLarge:
		return &queue.Final{Err: fmt.Errorf("a message is larger than max_msg_size of the stream: %w", err)}
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("no stream takes the subject %q: make one (nats stream add NAME --subjects %s), correct the subject in the URL, or enable JetStream on the server: %w",
			p.subject, p.subject, err)
	case errors.Is(err, natsgo.ErrAuthorization), errors.Is(err, natsgo.ErrAuthExpired):
		return fmt.Errorf("it does not let us in: correct the user and the password in the URL: %w", err)
	case errors.Is(err, natsgo.ErrPermissionViolation):
		return fmt.Errorf("the user in the URL may not publish to %q: allow it: %w", p.subject, err)
	}
	return err
}

// Abort implements queue.Lane.
func (l *lane) Abort() {
	_ = l.conn.Close() // it may be closed already
}

// Close implements queue.Lane.
func (l *lane) Close() {
	if l.client.IsConnected() {
		// Close writes what is left, which must not take longer than this.
		_ = l.conn.SetDeadline(time.Now().Add(time.Second))
	}
	l.client.Close()
	l.Abort()
	<-l.closed
}
