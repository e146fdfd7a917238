// Package xmpp is the vocabulary of the protocol: addresses, stanzas, the
// elements in them and the errors that answer them. It knows nothing of
// servers.
//
// A Stanza and an Element are views over the bytes that came over the wire.
// They are never changed, and their bytes are never used again, so both may be
// kept as long as one likes and read by any number of goroutines.
package xmpp

import (
	"bytes"
	"errors"
	"iter"

	"github.com/gabberd/gabberd/xmpp/stream"
)

// Kind tells the three kinds of stanza apart.
type Kind uint8

// The kinds of stanza (RFC 6120 §8.2).
const (
	Message Kind = iota + 1
	Presence
	IQ
)

// String is the name of the stanza's element.
func (k Kind) String() string {
	switch k {
	case Message:
		return "message"
	case Presence:
		return "presence"
	case IQ:
		return "iq"
	}
	return "no stanza"
}

// A Stanza is a message, a presence or an IQ. Its fields are read only: who
// wants another stanza makes one.
type Stanza struct {
	Kind     Kind
	Type     string // as sent; empty where it was left out
	ID       string
	Lang     string // xml:lang, that of the stream where the stanza has none
	To, From JID

	// Stamp is when the server took charge of a message, in microseconds since
	// 1970, and the same for no other message of this server; zero before that and
	// for whatever needs none. Archives know the message by it (XEP-0359). It does
	// not go over the wire.
	Stamp int64

	extra []byte // other attributes, as they came
	inner []byte // what stands between the tags
	scope *scope // prefixes that extra declares
}

// Short stanzas and their bytes are one piece of memory.
type (
	tiny struct { // most presence, which is kept
		st  Stanza
		buf [56]byte
	}
	small struct {
		st  Stanza
		buf [280]byte
	}
	medium struct {
		st  Stanza
		buf [792]byte
	}
)

// room returns a zero stanza with n bytes of memory behind it.
func room(n int) (*Stanza, []byte) {
	switch {
	case n <= len(tiny{}.buf):
		m := new(tiny)
		return &m.st, m.buf[:0:n]
	case n <= len(small{}.buf):
		m := new(small)
		return &m.st, m.buf[:0:n]
	case n <= len(medium{}.buf):
		m := new(medium)
		return &m.st, m.buf[:0:n]
	}
	return new(Stanza), make([]byte, 0, n)
}

// ErrForged says that a client put somebody else's address into from (RFC 6120
// §8.1.2.1); the answer is a stream error invalid-from.
var ErrForged = errors.New("from is not the sender's address")

// ErrNoStanza says that an element is not a stanza; the answer is a stream
// error unsupported-stanza-type.
var ErrNoStanza = errors.New("not a stanza")

// ReadStanza copies a frame into a stanza sent by the client sender, whose
// stream has the language lang. A malformed to yields the stanza without it and
// an error that wraps ErrJID; other errors are ErrForged and ErrNoStanza.
func ReadStanza(f *stream.Frame, sender JID, lang string) (*Stanza, error) {
	st, err := readFrame(f, lang)
	if st == nil {
		return nil, err
	}
	if !st.From.IsZero() && st.From != sender && st.From != sender.Bare() {
		return nil, ErrForged
	}
	st.From = sender
	if st.To.IsZero() && st.Kind != Presence && err == nil {
		// RFC 6120 §10.3: what is for nobody is for the client's own account.
		st.To = sender.Bare()
	}
	return st, err
}

// ParseStanza copies a frame into a stanza, from as it stands there. Errors are
// those of ReadStanza.
func ParseStanza(f *stream.Frame) (*Stanza, error) { return readFrame(f, "") }

// ParseXML reads a stanza out of bytes that are not from a stream, a database
// for example. The error tells what is wrong with it.
func ParseXML(b []byte) (*Stanza, error) {
	f, err := stream.New(stream.Limits{}).Document(b)
	if err != nil {
		return nil, err
	}
	st, err := readFrame(&f, "")
	if err != nil {
		return nil, err
	}
	return st, nil
}

func kindOf(name []byte) Kind {
	switch string(name) {
	case "message":
		return Message
	case "presence":
		return Presence
	case "iq":
		return IQ
	}
	return 0
}

func readFrame(f *stream.Frame, lang string) (*Stanza, error) {
	kind := kindOf(f.Name)
	if kind == 0 || len(f.Prefix) > 0 {
		return nil, ErrNoStanza
	}
	n := len(f.Inner)
	for _, a := range f.Attrs {
		n += len(a.Name) + len(a.Value) + 4
	}
	for _, d := range f.Borrowed {
		n += len(d.Prefix) + len(d.NS) + len(" xmlns:=''") + 16
	}
	st, b := room(n)
	st.Kind, st.Lang = kind, lang
	b = append(b, f.Inner...)
	st.inner = b[:len(b):len(b)]
	b, err := st.readKnown(b, f.Attrs)
	mark := len(b)
	for _, a := range f.Attrs {
		if !isKnown(a.Name) && string(a.Name) != "xmlns" {
			b = appendRawAttr(b, str(a.Name), a.Value)
		}
	}
	for _, d := range f.Borrowed {
		if len(d.Prefix) > 0 {
			b = appendAttr(b, "xmlns:"+string(d.Prefix), string(d.NS))
		}
	}
	if len(b) > mark {
		st.extra = b[mark:]
		if bytes.Contains(st.extra, []byte("xmlns:")) {
			st.scope = &scope{attrs: st.extra}
		}
	}
	return st, err
}

// readKnown copies the attributes that every stanza may have behind b, which
// has room for them, and sets the fields to them.
func (st *Stanza) readKnown(b []byte, attrs []stream.Attr) (_ []byte, bad error) {
	for _, a := range attrs {
		if !isKnown(a.Name) {
			continue
		}
		from := len(b)
		b = append(b, a.Value...)
		if err := st.set(a.Name, b[from:len(b):len(b)]); err != nil {
			bad = err
		}
	}
	return b, bad
}

func isKnown(name []byte) bool {
	switch string(name) {
	case "to", "from", "id", "type", "xml:lang":
		return true
	}
	return false
}

func (st *Stanza) set(name, v []byte) (err error) {
	switch string(name) {
	case "to":
		st.To, err = parseAttr(v)
	case "from":
		if st.From, err = parseAttr(v); err != nil {
			// Not an address of anybody, so not the sender's.
			st.From, err = JID{s: "\x00"}, nil
		}
	case "id":
		st.ID = attrText(v)
	case "type":
		st.Type = attrText(v)
	case "xml:lang":
		st.Lang = attrText(v)
	}
	return err
}

func parseAttr(v []byte) (JID, error) {
	s := attrText(v)
	if s == "" {
		return JID{}, nil
	}
	return Parse(s)
}

// New makes a stanza of what it says about itself and its children.
func New(k Kind, typ string, from, to JID, id string, children ...*Element) *Stanza {
	st := &Stanza{Kind: k, Type: typ, From: from, To: to, ID: id}
	for _, c := range children {
		st.inner = c.AppendXML(st.inner, NSClient)
	}
	return st
}

// NewMessage makes a message.
func NewMessage(typ string, from, to JID, children ...*Element) *Stanza {
	return New(Message, typ, from, to, "", children...)
}

// NewPresence makes a presence; the empty type is available.
func NewPresence(typ string, from, to JID, children ...*Element) *Stanza {
	return New(Presence, typ, from, to, "", children...)
}

// NewIQ makes an IQ with one child, or none.
func NewIQ(typ string, from, to JID, id string, payload *Element) *Stanza {
	if payload == nil {
		return New(IQ, typ, from, to, id)
	}
	return New(IQ, typ, from, to, id, payload)
}

// Inner is the bytes between the stanza's tags. They must not be changed.
func (st *Stanza) Inner() []byte { return st.inner }

// Children goes through the stanza's children, in order.
func (st *Stanza) Children() iter.Seq[*Element] { return childrenOf(st.inner, NSClient, st.scope) }

// Child is the first child with that namespace and name, or nil. An empty ns or
// name stands for any.
func (st *Stanza) Child(ns, name string) *Element {
	for c := range st.Children() {
		if (ns == "" || c.NS == ns) && (name == "" || c.Name == name) {
			return c
		}
	}
	return nil
}

// Has reports whether there is such a child.
func (st *Stanza) Has(ns, name string) bool {
	// Most stanzas do not even contain the word.
	if !bytes.Contains(st.inner, []byte(name)) {
		return false
	}
	return st.Child(ns, name) != nil
}

// Size is about how much memory the stanza holds, in bytes.
func (st *Stanza) Size() int { return 256 + len(st.inner) }

// Payload is the first child, nil if there is none: what an IQ is about.
func (st *Stanza) Payload() *Element { return st.Child("", "") }

// Body is the text of a message, empty if there is none.
func (st *Stanza) Body() string { return st.Child(NSClient, "body").Text() }

// IsRequest reports whether the stanza is an IQ that wants an answer.
func (st *Stanza) IsRequest() bool { return st.Kind == IQ && (st.Type == "get" || st.Type == "set") }

// IsAnswer reports whether the stanza is an IQ that answers one. An IQ of no known type
// is neither that nor a request.
func (st *Stanza) IsAnswer() bool {
	return st.Kind == IQ && (st.Type == "result" || st.Type == "error")
}

// Readdressed is the same stanza between other addresses. Its content is shared.
func (st *Stanza) Readdressed(from, to JID) *Stanza {
	c := *st
	c.From, c.To = from, to
	return &c
}

// With is the same stanza with more children, at the end.
func (st *Stanza) With(children ...*Element) *Stanza {
	c := *st
	c.inner = c.inner[:len(c.inner):len(c.inner)]
	for _, el := range children {
		c.inner = el.AppendXML(c.inner, NSClient)
	}
	return &c
}

// Filter is the same stanza with only those children that keep wants. Text
// between them goes.
func (st *Stanza) Filter(keep func(*Element) bool) *Stanza {
	c := *st
	c.inner = nil
	for el := range st.Children() {
		if keep(el) {
			c.inner = append(c.inner, el.raw...)
		}
	}
	return &c
}

// WithType is the same stanza with another type.
func (st *Stanza) WithType(typ string) *Stanza {
	c := *st
	c.Type = typ
	return &c
}

// WithID is the same stanza with another id.
func (st *Stanza) WithID(id string) *Stanza {
	c := *st
	c.ID = id
	return &c
}

// WithStamp is the same stanza with that Stamp.
func (st *Stanza) WithStamp(stamp int64) *Stanza {
	c := *st
	c.Stamp = stamp
	return &c
}

// Reply is the result of an IQ. A nil payload is an empty result.
func (st *Stanza) Reply(payload *Element) *Stanza {
	return NewIQ("result", st.To, st.From, st.ID, payload)
}

// Bounce is the stanza sent back as an error to who sent it (RFC 6120 §8.3.1):
// with its payload, so that the sender knows what is meant.
func (st *Stanza) Bounce(e *Error) *Stanza {
	c := *st
	c.Type, c.From, c.To = "error", st.To, st.From
	c.inner = e.Element().AppendXML(st.inner[:len(st.inner):len(st.inner)], NSClient)
	return &c
}

// Bounces reports whether st may be answered with an error at all: an error
// never is (RFC 6120 §8.3.1), nor is the answer to an IQ.
func (st *Stanza) Bounces() bool {
	return st.Type != "error" && !(st.Kind == IQ && st.Type == "result")
}
