// Package amqp publishes messages to an exchange of RabbitMQ, or of another
// broker that speaks AMQP 0-9-1 and has publisher confirms.
//
// Messages are persistent, with message-id, content-type and a header group-id
// beside those of the message. They are mandatory: one that no queue takes is an
// error, and not lost. Messages of a group are published one after the other: a
// queue may refuse one and take the next.
package amqp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/gabberd/gabberd/modules/msgforward/target/queue"
)

// place is what a URL says.
type place struct {
	*queue.URL
	addr     string
	vhost    string
	exchange string // empty is the default exchange, where the key is a queue
	key      string
	tls      *tls.Config // nil without TLS
}

func parse(u *queue.URL) (place, error) {
	port := "5672"
	if u.Scheme == "amqps" {
		port = "5671"
	}
	p := place{URL: u, addr: u.Addrs(port)[0], vhost: u.Path, exchange: u.Text("exchange"), key: u.Text("key")}
	if err := u.One(); err != nil {
		return p, err
	}
	if err := u.Rest(); err != nil {
		return p, err
	}
	if p.vhost == "" { // amqp://host and amqp://host/ mean the usual one
		p.vhost = "/"
	}
	if p.exchange == "" && p.key == "" {
		return p, fmt.Errorf("where to publish is missing: %s://…/VHOST?exchange=NAME&key=ROUTINGKEY, or only key=QUEUE for the default exchange", u.Scheme)
	}
	return p, nil
}

// Check says what is wrong with a URL.
func Check(u *queue.URL) error { _, err := parse(u); return err }

// Open returns the target at a URL:
// amqp://USER:PASSWORD@HOST[:PORT][/VHOST]?exchange=NAME&key=ROUTINGKEY, amqps with TLS. Without an
// exchange the key is the name of a queue; without a user it is guest.
func Open(u *queue.URL, o queue.Options) (queue.Target, error) {
	p, err := parse(u)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "amqps" {
		p.tls = o.TLSFor()
	}
	return queue.NewLanes(u, p.dial), nil
}

// lane is one connection with one channel.
type lane struct {
	place
	conn    net.Conn
	client  *amqp091.Connection
	channel *amqp091.Channel
	// returned is what no queue takes. The client waits until it is read, and
	// confirms come behind it.
	returned chan amqp091.Return
	blocked  chan amqp091.Blocking
	failed   chan *amqp091.Error // why the channel was closed
}

// handshakeTimeout is how long the broker may take to let us in, and to say goodbye.
const handshakeTimeout = 10 * time.Second

func (p place) dial(ctx context.Context) (queue.Lane, error) {
	secure := p.tls
	if secure != nil {
		secure = secure.Clone()
	}
	conn, err := queue.Dial(ctx, p.addr, secure)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	l := &lane{place: p, conn: conn, returned: make(chan amqp091.Return), blocked: make(chan amqp091.Blocking, 8), failed: make(chan *amqp091.Error, 1)}
	if err := l.open(); err != nil {
		stop()
		l.Close()
		return nil, p.explain(err)
	}
	if !stop() {
		l.Close()
		return nil, ctx.Err()
	}
	return l, nil
}

// open goes from a connection to a channel that confirms.
func (l *lane) open() error {
	user, password := l.User, l.Password
	if user == "" {
		user, password = "guest", "guest"
	}
	if err := l.conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil { // lifted by the client
		return err
	}
	properties := amqp091.NewConnectionProperties()
	properties.SetClientConnectionName("gabberd")
	client, err := amqp091.Open(l.conn, amqp091.Config{
		SASL:  []amqp091.Authentication{&amqp091.PlainAuth{Username: user, Password: password}},
		Vhost: l.vhost, Heartbeat: 10 * time.Second, Locale: "en_US", Properties: properties,
	})
	if err != nil {
		return err
	}
	l.client = client
	client.NotifyBlocked(l.blocked)
	if l.channel, err = client.Channel(); err != nil {
		return err
	}
	l.channel.NotifyReturn(l.returned)
	l.channel.NotifyClose(l.failed)
	return l.channel.Confirm(false)
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

// publish publishes messages and waits until the broker has all of them on the
// disk, or wherever its queues keep them.
func (l *lane) publish(ctx context.Context, wave []queue.Message) error {
	var confirms []*amqp091.DeferredConfirmation
	for _, m := range wave {
		c, err := l.channel.PublishWithDeferredConfirmWithContext(ctx, l.exchange, l.key, true, false, publishing(m))
		if err != nil {
			return l.why(err)
		}
		confirms = append(confirms, c)
	}
	return l.await(ctx, confirms)
}

// await waits until the broker has answered for all of them.
func (l *lane) await(ctx context.Context, confirms []*amqp091.DeferredConfirmation) error {
	homeless, refused := 0, 0
	for _, c := range confirms {
		for done := false; !done; {
			select {
			case _, ok := <-l.returned:
				if !ok {
					return l.why(errCut)
				}
				homeless++
			case b, ok := <-l.blocked:
				switch {
				case !ok:
					return l.why(errCut)
				case b.Active:
					return fmt.Errorf("the broker takes no messages for now: %s", b.Reason)
				}
			case <-c.Done():
				done = true
				if !c.Acked() {
					refused++
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	switch {
	case l.channel.IsClosed():
		return l.why(errCut)
	case homeless > 0:
		return fmt.Errorf("no queue takes messages for %s: bind one, or correct exchange and key in the URL", l.route())
	case refused > 0:
		return fmt.Errorf("the broker has refused %d messages for %s: a queue is full or in trouble", refused, l.route())
	}
	return nil
}

func publishing(m queue.Message) amqp091.Publishing {
	head := amqp091.Table{}
	for name, value := range m.Head {
		head[name] = value
	}
	if m.Group != "" {
		head["group-id"] = m.Group
	}
	return amqp091.Publishing{Headers: head, ContentType: m.Type, DeliveryMode: amqp091.Persistent, MessageId: m.ID, Body: m.Body}
}

var errCut = errors.New("the connection was lost")

// why is the reason that the broker has given for closing the channel, or err.
func (l *lane) why(err error) error {
	select {
	case e := <-l.failed:
		if e != nil {
			return e
		}
	case <-time.After(time.Second): // it is there already, or there is none
	}
	return err
}

func (p place) route() string {
	if p.exchange == "" {
		return fmt.Sprintf("the queue %q", p.key)
	}
	return fmt.Sprintf("the exchange %q and the key %q", p.exchange, p.key)
}

// explain says what an operator can do about an error.
func (p place) explain(err error) error {
	var e *amqp091.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case amqp091.NotFound:
		return fmt.Errorf("the exchange %q is not there: declare it, or correct exchange in the URL: %w", p.exchange, err)
	case amqp091.AccessRefused:
		return fmt.Errorf("it does not let us in, or not write: correct the user and the password in the URL, or give the permission: %w", err)
	case amqp091.NotAllowed:
		return fmt.Errorf("the virtual host %q is not there, or not for this user: correct it in the URL: %w", p.vhost, err)
	case amqp091.PreconditionFailed, amqp091.ContentTooLarge:
		return &queue.Final{Err: fmt.Errorf("the broker refuses a message: %w", err)}
	}
	return err
}

// Abort implements queue.Lane.
func (l *lane) Abort() {
	_ = l.conn.Close() // it may be closed already
}

// Close implements queue.Lane.
func (l *lane) Close() {
	if l.client == nil {
		l.Abort()
		return
	}
	// The client may be waiting for somebody to read these.
	drained := make(chan struct{})
	if l.channel != nil {
		go func() {
			defer close(drained)
			for range l.returned {
			}
		}()
	} else {
		close(drained)
	}
	_ = l.client.CloseDeadline(time.Now().Add(time.Second)) // it may be closed already
	l.Abort()
	<-drained
}
