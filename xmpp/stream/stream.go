// Package stream cuts what arrives on a socket into XML elements.
//
// An XMPP stream is one long XML document: a header, one stanza after the
// other, and an end. A Framer is fed the bytes as they come, finds the header,
// each element at depth one, and the end, and is the only judge of what is XML
// in this server: whatever it hands out is well-formed, in UTF-8, bound in its
// namespaces, free of what XMPP forbids (RFC 6120 §11.1), and within limits.
// Everybody behind it relies on that and checks nothing again.
package stream

// Limits bound what a peer may send. 0 means no limit.
type Limits struct {
	Size     int // bytes of one element, of the header, or of white space in a row
	Depth    int // nesting; an element without children has 1
	Attrs    int // attributes of one tag, namespace declarations included
	Elements int // elements in one element, itself included
}

// Kind says what Next found.
type Kind uint8

// What Next finds.
const (
	Need    Kind = iota // nothing yet: more bytes are needed
	Space               // white space between elements (a keep-alive), or an XML declaration
	Header              // the opening tag of the stream
	Element             // a whole element at depth one
	End                 // the closing tag of the stream
)

// A Frame is a piece of a stream. Its slices lie in the bytes given to Next or
// in the Framer, and are valid until the next call and as long as those bytes
// stay unchanged.
type Frame struct {
	Kind Kind
	// Raw is the piece as it was sent; for Header without an XML declaration.
	Raw []byte
	// Name and Prefix are the two parts of the (root) element's name.
	Name, Prefix []byte
	// NS is the namespace of the (root) element, already unescaped.
	NS []byte
	// Attrs are the attributes of the (root) element, in order.
	Attrs []Attr
	// Inner is what stands between the opening and the closing tag of an
	// Element.
	Inner []byte
	// Borrowed are the namespace declarations of the stream header that an
	// Element uses: to stand on its own it needs them declared again. The
	// default namespace is among them (with an empty Prefix) only where NS
	// does not tell it: for children without prefix in an element with one.
	Borrowed []Decl
}

// An Attr is an attribute as it was sent: the name with its prefix, the value
// without its quotes and still escaped. Namespace declarations are among them.
type Attr struct{ Name, Value []byte }

// A Decl binds a prefix (empty: the default) to a namespace.
type Decl struct{ Prefix, NS []byte }

// phase is where in the stream a Framer is.
type phase uint8

const (
	atStart  phase = iota // before the first byte
	inProlog              // before the header, after white space
	inStream              // between elements, or in one
	selfEnd               // after a header that ended itself
	atEnd                 // after the end
)

// A Framer cuts one stream into frames. It is not safe for use by more than
// one goroutine.
type Framer struct {
	limits Limits
	phase  phase
	idle   int    // bytes of white space since the last element
	seen   int    // bytes of a declaration or of the end that were looked at
	name   []byte // of the header, with its prefix
	scope  []Decl // what the header declares
	w      *work  // what is being read; nil between elements
	attrs  []Attr // of the last document
	err    *Error // why the stream is over
}

// New returns a Framer at the start of a stream.
func New(l Limits) *Framer { return &Framer{limits: l} }

// SetLimits changes the limits, also in the middle of a stream; an element
// that has begun to arrive keeps all but the limit of size.
func (f *Framer) SetLimits(l Limits) { f.limits = l }

// Reset makes f expect the header of a new stream, as after STARTTLS and SASL
// (RFC 6120 §4.3.3). The limits stay; the last frame is not valid any more.
func (f *Framer) Reset() {
	f.drop()
	*f = Framer{limits: f.limits}
}

// drop gives the working memory back.
func (f *Framer) drop() {
	if f.w != nil {
		f.w.release()
		f.w = nil
	}
}

// Namespace returns the namespace that the stream header binds to prefix, and
// the default namespace for an empty one; nil if there is none. It stays
// valid.
func (f *Framer) Namespace(prefix string) []byte {
	if i := find(f.scope, []byte(prefix)); i >= 0 {
		return f.scope[i].NS
	}
	return nil
}

// Attr returns the value of an attribute by its name as it was written, still
// escaped; nil if there is none.
func (fr *Frame) Attr(name string) []byte {
	for _, a := range fr.Attrs {
		if string(a.Name) == name {
			return a.Value
		}
	}
	return nil
}
