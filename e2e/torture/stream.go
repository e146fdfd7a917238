package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Namespaces of the protocol.
const (
	nsStream = "http://etherx.jabber.org/streams"
	nsSASL   = "urn:ietf:params:xml:ns:xmpp-sasl"
	nsBind   = "urn:ietf:params:xml:ns:xmpp-bind"
	nsAcks   = "urn:xmpp:sm:3"
	nsSID    = "urn:xmpp:sid:0"
	nsDelay  = "urn:xmpp:delay"
)

// loginPatience is how long a client waits for a server at login before it goes to
// another, and for a socket to take what it writes.
const loginPatience = 8 * time.Second

// An element is one below the stream's own.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e *element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name && a.Name.Space == "" {
			return a.Value
		}
	}
	return ""
}

func (e *element) child(ns, name string) *element {
	for i := range e.Children {
		if c := &e.Children[i]; c.XMLName.Local == name && c.XMLName.Space == ns {
			return c
		}
	}
	return nil
}

// condition is the first child of an error.
func (e *element) condition() string {
	if len(e.Children) == 0 {
		return e.XMLName.Local
	}
	return e.Children[0].XMLName.Local
}

// A stream is a client's connection that has logged in. One goroutine reads; all
// may write.
type stream struct {
	serial int // among all streams of the run
	node   *node
	full   string // JID
	ledger *ledger
	conn   net.Conn
	dec    *xml.Decoder
	began  time.Time
	ended  time.Time  // zero while it lasts; the ledger's mutex guards it
	early  []*element // stanzas that came while the login was not through

	mu sync.Mutex // serialises writing, and guards what follows
	acks
	heard time.Time // when the server last sent anything
	asked time.Time // when it was asked for an acknowledgement and has been silent since; zero if not
	why   error     // how the stream ended; nil while it has not
}

// login is what a client does before it is anybody: plain TCP, SASL PLAIN, bind,
// and acknowledgements enabled.
func login(ctx context.Context, n *node, user, resource string) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", n.addr())
	if err != nil {
		return nil, err
	}
	watch := context.AfterFunc(ctx, func() { conn.Close() })
	s := &stream{node: n, conn: conn}
	if err := s.negotiate(user, resource); err != nil {
		watch()
		return nil, errors.Join(err, ctx.Err(), conn.Close())
	}
	if !watch() {
		return nil, ctx.Err()
	}
	s.began, s.heard = time.Now(), time.Now()
	return s, nil
}

func (s *stream) negotiate(user, resource string) error {
	in := bufio.NewReader(s.conn)
	if _, err := s.open(in); err != nil {
		return err
	}
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	if _, err := s.ask("<auth xmlns='"+nsSASL+"' mechanism='PLAIN'>"+secret+"</auth>", "success"); err != nil {
		return err
	}
	features, err := s.open(in)
	if err != nil {
		return err
	}
	bound, err := s.ask("<iq type='set' id='bind'><bind xmlns='"+nsBind+"'><resource>"+resource+"</resource></bind></iq>", "iq")
	if err != nil {
		return err
	}
	bind := bound.child(nsBind, "bind")
	if bound.attr("type") != "result" || bind == nil || len(bind.Children) != 1 {
		return fmt.Errorf("bind: %s", text(bound))
	}
	s.full = bind.Children[0].Text
	if features.child(nsAcks, "sm") == nil {
		return nil
	}
	return s.enable()
}

// enable turns acknowledgements on. Somebody may already have written to the JID
// that was bound: what comes before the answer is not counted.
func (s *stream) enable() error {
	s.on = true
	if _, err := io.WriteString(s.conn, "<enable xmlns='"+nsAcks+"'/>"); err != nil {
		return err
	}
	for {
		el, err := s.next()
		if err != nil {
			return fmt.Errorf("enable acknowledgements: %w", err)
		}
		switch el.XMLName.Local {
		case "enabled":
			return nil
		case "message", "presence", "iq":
			s.early = append(s.early, el)
		default:
			return fmt.Errorf("enable acknowledgements: %s", text(el))
		}
	}
}

// open sends a stream header and returns the features it is answered with.
func (s *stream) open(in *bufio.Reader) (*element, error) {
	_, err := fmt.Fprintf(s.conn, "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' xmlns:stream='%s'>", domain, nsStream)
	if err != nil {
		return nil, err
	}
	s.dec = xml.NewDecoder(in)
	for {
		tok, err := s.dec.Token()
		if err != nil {
			return nil, fmt.Errorf("open stream: %w", err)
		}
		if _, ok := tok.(xml.StartElement); ok {
			break
		}
	}
	return s.expect("features")
}

// ask writes, and waits for an element with this name.
func (s *stream) ask(what, name string) (*element, error) {
	if _, err := io.WriteString(s.conn, what); err != nil {
		return nil, err
	}
	return s.expect(name)
}

// expect is for the login alone: what comes meanwhile is not kept.
func (s *stream) expect(name string) (*element, error) {
	el, err := s.next()
	if err != nil {
		return nil, fmt.Errorf("wait for %s: %w", name, err)
	}
	if el.XMLName.Local != name {
		return nil, fmt.Errorf("%s came instead of %s: %s", el.XMLName.Local, name, text(el))
	}
	return el, nil
}

// errEnded is how a stream ends that the server closes in good order.
var errEnded = errors.New("the server closed the stream")

// next reads an element. A stream error is an error.
func (s *stream) next() (*element, error) {
	for {
		tok, err := s.dec.Token()
		if err != nil {
			return nil, err
		}
		switch t := tok.(type) {
		case xml.EndElement:
			return nil, errEnded
		case xml.StartElement:
			el := new(element)
			if err := s.dec.DecodeElement(el, &t); err != nil {
				return nil, err
			}
			if el.XMLName.Space == nsStream && el.XMLName.Local == "error" {
				return nil, fmt.Errorf("stream error %s: %s", el.condition(), text(el))
			}
			return el, nil
		}
	}
}

// write sends; whoever calls holds mu. A server that takes nothing for too long is
// left: the reader sees the end.
func (s *stream) write(what string) {
	if s.why != nil {
		return
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(loginPatience)); err != nil {
		return // it is closed, which the reader sees too
	}
	if _, err := io.WriteString(s.conn, what); err != nil {
		s.conn.Close()
	}
}

// end closes the connection; the first reason counts.
func (s *stream) end(why error) {
	s.mu.Lock()
	if s.why == nil {
		s.why = why
	}
	s.mu.Unlock()
	s.conn.Close()
}

// over is how the stream ended, nil while it has not.
func (s *stream) over() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// text is an element for people to read.
func text(e *element) string {
	var b strings.Builder
	b.WriteString("<" + e.XMLName.Local)
	for _, a := range e.Attrs {
		fmt.Fprintf(&b, " %s='%s'", a.Name.Local, a.Value)
	}
	b.WriteString(">" + strings.TrimSpace(e.Text))
	for c := range slices.Values(e.Children) {
		b.WriteString(text(&c))
	}
	return b.String() + "</" + e.XMLName.Local + ">"
}
