package play

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"mellium.im/sasl"
	"mellium.im/xmpp"
	"mellium.im/xmpp/jid"
	"mellium.im/xmpp/stream"
)

// patience is how long something may take that will happen; it is waited for
// in full only when a play fails.
const patience = 10 * time.Second

// barrier marks the IQs with which the runner finds out that everything sent
// before has arrived. They belong to no play.
const barrier = "barrier-"

// Server is where a play is given.
type Server struct {
	Addr string // HOST:PORT for clients
	// Second is another node of the same cluster, where there are two: every other
	// client of a play, in the order in which it names them, goes there.
	Second string
	// Known, unless it is nil, waits until every node knows of somebody who has just
	// logged in.
	Known func(ctx context.Context, fullJID string) error
	// Written, unless it is nil, waits until every node has written what it was going to.
	Written func(ctx context.Context) error
	// NoChannelBinding: log in without it, although the server offers it.
	NoChannelBinding bool
}

func (s Server) mechanisms() []sasl.Mechanism {
	weaker := []sasl.Mechanism{sasl.ScramSha256, sasl.ScramSha1, sasl.Plain}
	if s.NoChannelBinding {
		return weaker
	}
	return append([]sasl.Mechanism{sasl.ScramSha256Plus, sasl.ScramSha1Plus}, weaker...)
}

// client is somebody on stage: a connection that has logged in, and what it
// has received.
type client struct {
	role     Role
	conn     net.Conn     // as negotiated
	tcp      net.Conn     // below it
	full     string       // JID
	received chan arrival // closed never; its end is an arrival with an error

	mu      sync.Mutex // guards writing, and waiting
	waiting map[string]chan struct{}
}

// arrival is a stanza, or the end of the stream.
type arrival struct {
	el  *element
	err error
}

// connect logs in with mellium's client: STARTTLS, SASL, resource binding.
func connect(ctx context.Context, at Server, r Role) (*client, error) {
	addr := at.Addr
	if r.NoLogin {
		return encrypt(ctx, addr, r)
	}
	self, err := jid.Parse(r.JID)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.JID, err)
	}
	tcp, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	session, err := xmpp.NewClientSession(ctx, self, tcp,
		xmpp.StartTLS(trusting(self.Domainpart())),
		xmpp.SASL("", r.Password, at.mechanisms()...),
		bind(self.Resourcepart()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("log in: %w", err), tcp.Close())
	}
	c := newClient(r, tcp, session.Conn())
	c.full = session.LocalAddr().String()
	go c.read(session.TokenReader())
	return c, nil
}

// trusting takes any certificate: those of tests are signed by nobody.
func trusting(domain string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: domain, MinVersion: tls.VersionTLS12}
}

func newClient(r Role, tcp, conn net.Conn) *client {
	return &client{role: r, tcp: tcp, conn: conn, received: make(chan arrival, 1000), waiting: map[string]chan struct{}{}}
}

// encrypt opens a stream, secures it and goes no further.
func encrypt(ctx context.Context, addr string, r Role) (*client, error) {
	self, err := jid.Parse(r.JID)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.JID, err)
	}
	tcp, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := tcp.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if _, err := opened(tcp, self.Domainpart(), ""); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	if _, err := io.WriteString(tcp, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	if _, err := nextElement(xml.NewDecoder(oneByOne{tcp})); err != nil {
		return nil, errors.Join(fmt.Errorf("start TLS: %w", err), tcp.Close())
	}
	conn := tls.Client(tcp, trusting(self.Domainpart()))
	d, err := opened(conn, self.Domainpart(), " from='"+escape(self.Bare().String())+"'")
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	if err := tcp.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	c := newClient(r, tcp, conn)
	go c.read(d)
	return c, nil
}

// opened sends a stream header, with more attributes, and reads the server's header
// and features.
func opened(conn net.Conn, domain, more string) (*xml.Decoder, error) {
	_, err := fmt.Fprintf(conn, "<stream:stream to='%s'%s version='1.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='%s'>", domain, more, nsStream)
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	d := xml.NewDecoder(oneByOne{conn})
	for {
		tok, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("open stream: %w", err)
		}
		if _, ok := tok.(xml.StartElement); ok {
			break
		}
	}
	if _, err := nextElement(d); err != nil {
		return nil, fmt.Errorf("read features: %w", err)
	}
	return d, nil
}

func nextElement(d *xml.Decoder) (*element, error) {
	for {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		if start, ok := tok.(xml.StartElement); ok {
			return readElement(d, start)
		}
	}
}

// oneByOne keeps a decoder from taking bytes that belong to what comes after
// what it is asked for, such as a TLS handshake.
type oneByOne struct{ io.Reader }

func (r oneByOne) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.Reader, b[:])
	return b[0], err
}

// read passes on what arrives until the stream ends.
func (c *client) read(r xml.TokenReader) {
	for {
		tok, err := r.Token()
		if start, ok := tok.(xml.StartElement); ok {
			var el *element
			el, err = readElement(r, start)
			switch {
			case err != nil:
			case el.name.Space == nsStream && el.name.Local == "error":
				err = stream.Error{Err: condition(el)}
			case !c.internal(el) && !nobodyHome(el):
				c.received <- arrival{el: el}
			}
		}
		if err != nil {
			c.received <- arrival{err: err}
			return
		}
	}
}

// nobodyHome is what some servers answer to a presence probe when no device of
// the contact is there, and others do not (RFC 6121 §4.3.2): "unavailable" from
// a bare JID. No play can rely on it.
func nobodyHome(el *element) bool {
	return el.name.Local == "presence" && el.attr("type") == "unavailable" && !strings.Contains(el.attr("from"), "/")
}

// condition is the name of the first child of an error.
func condition(el *element) string {
	if len(el.children) == 0 {
		return ""
	}
	return el.children[0].name.Local
}

// internal takes the barrier's stanzas out: it answers requests and tells who
// waits for an answer.
func (c *client) internal(el *element) bool {
	id := el.attr("id")
	if el.name.Local != "iq" || !strings.HasPrefix(id, barrier) {
		return false
	}
	if el.attr("type") == "get" {
		// That it cannot be written shows at the other end.
		_ = c.write(fmt.Sprintf("<iq type='result' id='%s' to='%s'/>", id, escape(el.attr("from"))))
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if done := c.waiting[id]; done != nil {
		delete(c.waiting, id)
		close(done)
	}
	return true
}

func (c *client) write(text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := io.WriteString(c.conn, text)
	return err
}

// ping waits until somebody, or the server in their place, has answered.
func (c *client) ping(ctx context.Context, to, id string) error {
	done := make(chan struct{})
	c.mu.Lock()
	c.waiting[id] = done
	c.mu.Unlock()
	if err := c.write(fmt.Sprintf("<iq type='get' id='%s' to='%s'><ping xmlns='%s'/></iq>", id, escape(to), nsPing)); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s asked %s for a sign of life and got none: %w", c.role.Name, to, ctx.Err())
	}
}

// next is the next stanza that has arrived or will.
func (c *client) next(ctx context.Context) (*element, error) {
	select {
	case a := <-c.received:
		if a.err != nil {
			c.received <- a // the end stays the end
			return nil, fmt.Errorf("the stream has ended: %w", a.err)
		}
		return a.el, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("nothing came: %w", ctx.Err())
	}
}

// end waits for the stream's end and returns how it ended; what arrives before
// is dropped.
func (c *client) end(ctx context.Context) (error, error) {
	for {
		select {
		case a := <-c.received:
			if a.err != nil {
				return a.err, nil
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("the stream did not end: %w", ctx.Err())
		}
	}
}

// disconnect ends the stream as RFC 6120 §4.4 asks.
func (c *client) disconnect(ctx context.Context) error {
	defer c.tcp.Close()
	if err := c.write("</stream:stream>"); err != nil {
		return err
	}
	_, err := c.end(ctx)
	return err
}
