package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	nsSASL2  = "urn:xmpp:sasl:2"
	nsBind2  = "urn:xmpp:bind:0"
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
// may write. One that was resumed (XEP-0198 §5) is a connection for each time, of
// which the first is the origin of the others.
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
	root   *stream    // its origin; nil if it is that itself
	from   *stream    // the connection whose stream it has resumed; nil if none
	life   int64      // of the node: how often that has started
	had    uint32     // how many stanzas the server had handled when it was resumed
	left   bool       // closed by the client in good order: it cannot be resumed; the device's mu guards it
	// strayed says that somebody has asked another node for the stream, which may have
	// it since.
	strayed atomic.Bool
	ahead   *pump // reads in advance; nil if nobody does

	mu sync.Mutex // serialises writing, and guards what follows
	acks
	heard time.Time // when the server last sent anything
	asked time.Time // when it was asked for an acknowledgement and has been silent since; zero if not
	why   error     // how the stream ended; nil while it has not
}

// errEnded is how a stream ends that the server closes in good order.
var errEnded = errors.New("the server closed the stream")

// origin is the first connection of the stream.
func (s *stream) origin() *stream {
	if s.root != nil {
		return s.root
	}
	return s
}

// next reads an element. A stream error is an error.
func (s *stream) next() (*element, error) {
	if s.ahead != nil {
		r := <-s.ahead.got
		return r.el, r.err
	}
	return s.receive()
}

// receive reads an element from the connection.
func (s *stream) receive() (*element, error) {
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

// errCut is how a stream ends whose connection breaks.
var errCut = errors.New("the connection broke")

// cut breaks the connection, in the middle of a stanza if that is wanted, with a
// reset or as if the process had ended.
func (s *stream) cut(midway, reset bool) {
	s.mu.Lock()
	if midway {
		s.write("<message type='chat' to='")
	}
	if s.why == nil {
		s.why = errCut
	}
	s.mu.Unlock()
	if tcp, ok := s.conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // it is closed, then
	}
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
