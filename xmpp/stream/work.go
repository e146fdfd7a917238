package stream

import "sync"

// state is what the framer is in the middle of.
type state uint8

const (
	inName     state = iota // the name of a tag, which begins at tok
	inAttrs                 // between the attributes of a tag
	inAttrName              // the name of an attribute, which begins at tok
	atEquals                // after that name
	atQuote                 // after the equals sign
	inValue                 // an attribute value, which begins at val
	inRef                   // a reference, whose '&' is at ref
	inText                  // between tags
	atMarkup                // at a '<'
	inCDATA                 // inside a CDATA section
	inEnd                   // after the name of a closing tag
	finished                // after the last byte of the element
)

// span is a range of bytes, as offsets: the bytes move while an element comes
// in. 32 bits do, nothing longer is taken.
type span struct{ from, to int32 }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }

// tag is an element that is open.
type tag struct {
	name     span
	colon    int32 // of the name; 0 without prefix
	prefixes int32 // how many declarations of prefixes were in force outside
	defaults int32 // how many default namespaces
}

// attr is an attribute of the tag that is being read, or of the root.
type attr struct {
	name, value span
	colon       int32 // of the name; 0 without prefix
}

// decl is a namespace declaration inside an element. If its value had to be
// unescaped, ns is a span of work.unescaped.
type decl struct {
	prefix, ns span
	unescaped  bool
}

// expanded is a name to be told from others.
type expanded struct{ local, ns []byte }

// work is what is needed while an element is being read. Between elements a
// stream has none: most streams are idle, and there are many.
type work struct {
	pos   int // all bytes before are read
	tok   int // where the present name begins
	colon int // in the present name
	val   int // where the present value begins
	ref   int // where the present reference begins

	nameTo         int // where the present attribute's name ends
	inner, innerTo int // the element's content

	state    state
	back     state // after a reference
	quote    byte  // that closes the present value
	gap      bool  // white space came before the next attribute
	odd      bool  // the present value is not what its bytes say
	header   bool  // only the opening tag is wanted
	selfEnd  bool  // and it closed itself
	prefixed int   // attributes of this tag with a prefix that is not xmlns
	elements int
	bloom    uint64 // of the names of this tag's attributes

	tag       tag    // being read
	open      []tag  // the elements around
	attrs     []attr // of the root, then of the tag being read
	rootAttrs int    // how many are the root's
	root      tag    // the root itself
	prefixes  []decl // in force, the innermost last
	defaults  []decl // the default ones
	unescaped []byte

	limits   Limits
	scope    []Decl                // what the stream header declared
	used     [maxDecls / 64]uint64 // which of these the element uses
	rootNS   decl
	scopeNS  int  // index in scope of the root's namespace; -1 if it is not from there
	xmlNS    bool // the root has the prefix xml
	names    []expanded
	out      []Attr
	borrowed []Decl
}

// maxDecls bounds how many prefixes may be declared at once, so that a look-up
// is never long; real stanzas have two or three.
const maxDecls = 256

// keep is how long the slices of a work may be to be used again.
const keep = 256

// pool has the work of those streams that do not need one now.
var pool = sync.Pool{New: func() any {
	return &work{
		open:     make([]tag, 0, 16),
		attrs:    make([]attr, 0, 24),
		prefixes: make([]decl, 0, 8),
		defaults: make([]decl, 0, 8),
		out:      make([]Attr, 0, 16),
	}
}}

// begin prepares w for an element whose first byte is the next one.
func (w *work) begin(scope []Decl, l Limits) {
	w.pos, w.tok, w.colon = 0, 0, 0
	w.inner, w.innerTo = 0, 0
	w.state = atMarkup
	w.header, w.selfEnd = false, false
	w.elements, w.rootAttrs = 0, 0
	w.open, w.attrs = w.open[:0], w.attrs[:0]
	w.prefixes, w.defaults, w.unescaped = w.prefixes[:0], w.defaults[:0], w.unescaped[:0]
	w.scope, w.limits = scope, l
	w.used = [len(w.used)]uint64{}
}

// release gives w back, without anything that keeps memory of the stream alive.
func (w *work) release() {
	if cap(w.open) > keep || cap(w.attrs) > keep || cap(w.out) > keep || cap(w.defaults) > keep ||
		cap(w.names) > keep || cap(w.unescaped) > 16*keep {
		return
	}
	clear(w.names[:cap(w.names)])
	clear(w.out[:cap(w.out)])
	clear(w.borrowed[:cap(w.borrowed)])
	w.scope = nil
	pool.Put(w)
}

// run reads on in b, which may be longer than at the last call. done is false
// if more bytes are needed.
func (w *work) run(b []byte) (done bool, err *Error) {
	for ok := true; ok && err == nil; {
		switch w.state {
		case inText:
			ok, err = w.text(b)
		case atMarkup:
			ok, err = w.markup(b)
		case inCDATA:
			ok, err = w.cdata(b)
		case inEnd:
			ok, err = w.end(b)
		case inRef:
			ok, err = w.reference(b)
		case finished:
			return true, nil
		default:
			ok, err = w.startTag(b)
		}
	}
	return false, err
}
