package stream

import (
	"bytes"
	"math"
	"unicode/utf8"
)

// Next finds the next frame and writes it to fr. b starts at the first byte not yet consumed; n is
// how many bytes are consumed now. On Need nothing is: the caller appends to
// b, which may move in memory, and calls again with the same start; what was
// read once is not read again. White space between elements and an XML
// declaration are frames of their own, so that they never pile up.
//
// An error is always an *Error. The stream is over then, and every further
// call returns it again. Between elements a Framer holds no working memory
// once it has answered Need.
func (f *Framer) Next(b []byte, fr *Frame) (n int, err error) {
	*fr = Frame{}
	if f.err == nil {
		n, f.err = f.next(b, fr)
	}
	if f.err != nil {
		f.drop()
		*fr = Frame{}
		return 0, f.err
	}
	return n, nil
}

// next does the work of Next; it fills in a frame that is empty.
func (f *Framer) next(b []byte, fr *Frame) (n int, err *Error) {
	// An element as long as the limit is read, a longer one is not even looked
	// at further: what is said about it does not depend on how it arrives.
	head := b[:min(len(b), f.size())]
	if f.w == nil || f.w.state == finished {
		n, err := f.between(b, head, fr)
		if n > 0 || err != nil || fr.Kind == End {
			return n, err
		}
	}
	if f.w != nil && f.w.state != finished {
		done, err := f.w.run(head)
		if err != nil {
			return 0, err
		}
		if done {
			f.frame(b, fr)
			return f.w.pos, nil
		}
	}
	if len(b) > len(head) {
		return 0, tooLarge()
	}
	return 0, nil
}

// size is how many bytes of one piece are looked at.
func (f *Framer) size() int {
	if f.limits.Size <= 0 {
		return math.MaxInt32
	}
	return min(f.limits.Size, math.MaxInt32)
}

func tooLarge() *Error { return PolicyViolation.With("larger than what is accepted here") }

// between reads what is no element, and prepares to read one. It fills in fr,
// or leaves it if an element begins or more bytes are needed.
func (f *Framer) between(b, head []byte, fr *Frame) (n int, err *Error) {
	if f.phase == selfEnd {
		f.phase = atEnd
		fr.Kind = End
		return 0, nil
	}
	if n := skipSpace(b, 0); n > 0 {
		return f.space(b[:n], fr)
	}
	switch {
	case len(b) == 0:
		f.drop()
		return 0, nil
	case b[0] != '<':
		return 0, f.stray(b)
	case len(head) < 2:
		return 0, nil
	case f.phase == atStart && head[1] == '?':
		n, err := declaration(head, f.seen)
		if err != nil || n == 0 {
			f.seen = len(head)
			return 0, err
		}
		return f.space(head[:n], fr)
	case f.phase == inStream && head[1] == '/':
		return f.closing(head, fr)
	case f.phase == atEnd:
		return 0, NotWellFormed.With("an element after the end of the stream")
	}
	if f.w == nil {
		f.w = pool.Get().(*work)
	}
	f.w.begin(f.scope, f.limits)
	f.w.header = f.phase < inStream
	return 0, nil
}

// space consumes white space or an XML declaration.
func (f *Framer) space(b []byte, fr *Frame) (n int, err *Error) {
	f.idle += len(b)
	if f.limits.Size > 0 && f.idle > f.limits.Size {
		return 0, PolicyViolation.With("nothing but white space")
	}
	if f.phase == atStart {
		f.phase = inProlog
	}
	fr.Kind, fr.Raw = Space, b
	return len(b), nil
}

// stray says what is wrong with text where only elements may be.
func (f *Framer) stray(b []byte) *Error {
	if b[0] >= utf8.RuneSelf {
		if _, n, err := wideRune(b); n == 0 {
			return err // nil for a character that is cut off
		}
	}
	if b[0] < ' ' {
		return badByte()
	}
	if f.phase != inStream {
		return NotWellFormed.With("text outside of the stream")
	}
	return BadFormat.With("text between elements")
}

// closing reads the end of the stream.
func (f *Framer) closing(b []byte, fr *Frame) (n int, err *Error) {
	end := 2 + len(f.name)
	if n := min(len(b), end); !bytes.Equal(b[2:n], f.name[:n-2]) {
		return 0, NotWellFormed.With("a closing tag where nothing is open")
	}
	if len(b) <= end {
		return 0, nil
	}
	f.seen = skipSpace(b, max(end, f.seen))
	if f.seen == len(b) {
		return 0, nil
	}
	if b[f.seen] != '>' {
		return 0, NotWellFormed.With("a closing tag where nothing is open")
	}
	f.phase = atEnd
	fr.Kind, fr.Raw = End, b[:f.seen+1]
	return f.seen + 1, nil
}

// frame makes a frame of what was read, and keeps what a header declares.
func (f *Framer) frame(b []byte, fr *Frame) {
	w := f.w
	f.idle = 0
	w.frame(b, fr)
	if !w.header {
		return
	}
	fr.Kind, fr.Inner = Header, nil
	if f.name = usualName; string(w.root.name.of(b)) != string(usualName) {
		f.name = bytes.Clone(w.root.name.of(b))
	}
	f.scope = w.declared(b)
	f.seen, f.phase = 0, inStream
	if w.selfEnd {
		f.phase = selfEnd
	}
}

// frame makes a frame of a whole element.
func (w *work) frame(b []byte, fr *Frame) {
	w.out = w.out[:0]
	for _, a := range w.attrs[:w.rootAttrs] {
		w.out = append(w.out, Attr{a.name.of(b), a.value.of(b)})
	}
	w.borrowed = w.borrowed[:0]
	if w.used != [len(w.used)]uint64{} {
		for i, d := range w.scope {
			if w.used[i/64]>>(i%64)&1 != 0 {
				w.borrowed = append(w.borrowed, d)
			}
		}
	}
	t := w.root
	fr.Kind = Element
	fr.Raw = b[:w.pos]
	fr.Name = t.name.of(b)
	fr.NS = w.nsOf(b, w.rootNS)
	fr.Attrs = w.out
	fr.Inner = b[w.inner:w.innerTo]
	fr.Borrowed = w.borrowed
	if t.colon != 0 {
		fr.Prefix, fr.Name = b[t.name.from:t.colon], b[t.colon+1:t.name.to]
	}
	if w.scopeNS >= 0 {
		fr.NS = w.scope[w.scopeNS].NS
	} else if w.xmlNS {
		fr.NS = inXML
	}
}

// What nearly all clients' headers are called and declare: one copy does for all.
var (
	usualName  = []byte("stream:stream")
	usualScope = []Decl{{NS: []byte("jabber:client")}, {Prefix: []byte("stream"), NS: []byte("http://etherx.jabber.org/streams")}}
)

// usual reports whether the root declares what nearly all do.
func (w *work) usual(b []byte) bool {
	if len(w.defaults) != 1 || len(w.prefixes) != 1 {
		return false
	}
	d, p := w.defaults[0], w.prefixes[0]
	return len(d.prefix.of(b)) == 0 && string(w.nsOf(b, d)) == string(usualScope[0].NS) &&
		string(p.prefix.of(b)) == string(usualScope[1].Prefix) && string(w.nsOf(b, p)) == string(usualScope[1].NS)
}

// declared copies what the root declares, the default namespace first.
func (w *work) declared(b []byte) []Decl {
	if w.usual(b) {
		return usualScope
	}
	size := 0
	for _, list := range [][]decl{w.defaults, w.prefixes} {
		for _, d := range list {
			size += len(d.prefix.of(b)) + len(w.nsOf(b, d))
		}
	}
	text := make([]byte, 0, size)
	scope := make([]Decl, 0, len(w.defaults)+len(w.prefixes))
	for _, list := range [][]decl{w.defaults, w.prefixes} {
		for _, d := range list {
			from := len(text)
			text = append(text, d.prefix.of(b)...)
			mid := len(text)
			text = append(text, w.nsOf(b, d)...)
			scope = append(scope, Decl{text[from:mid:mid], text[mid:len(text):len(text)]})
		}
	}
	return scope
}

// Document reads b as one document of its own, as framing without a stream
// header has it (RFC 7395 §3.3): one element, an XML declaration or white space
// before it, white space after it. The frame is an Element that borrows
// nothing; it is valid until the next call. A document that ends too early is
// not well-formed.
//
// An error is always an *Error, and ends nothing: the next document may be
// read, and a stream that f reads as well is not touched.
func (f *Framer) Document(b []byte) (fr Frame, err error) {
	if len(b) > f.size() {
		return Frame{}, tooLarge()
	}
	start := 0
	if len(b) > 1 && b[0] == '<' && b[1] == '?' {
		n, err := declaration(b, 0)
		if err != nil {
			return Frame{}, err
		}
		start = n
	}
	b = b[skipSpace(b, start):]
	if len(b) == 0 || b[0] != '<' {
		return Frame{}, NotWellFormed.With("no element")
	}
	w := pool.Get().(*work)
	defer w.release()
	w.begin(nil, f.limits)
	switch done, err := w.run(b); {
	case err != nil:
		return Frame{}, err
	case !done:
		return Frame{}, NotWellFormed.With("the document ends too early")
	case skipSpace(b, w.pos) < len(b):
		return Frame{}, NotWellFormed.With("more than one element")
	}
	w.frame(b, &fr)
	f.attrs = append(f.attrs[:0], fr.Attrs...)
	fr.Attrs, fr.Borrowed = f.attrs, nil
	if w.rootNS.unescaped {
		fr.NS = bytes.Clone(fr.NS)
	}
	return fr, nil
}
