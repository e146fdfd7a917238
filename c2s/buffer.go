package c2s

import (
	"io"
	"sync"
)

var errEOF = io.EOF

// bufferSize is what one read takes at the most, in bytes.
const bufferSize = 8 << 10

// A buffer holds bytes on their way in. It is only held while there are some.
type buffer struct {
	data     [bufferSize]byte
	from, to int
}

func (b *buffer) bytes() []byte { return b.data[b.from:b.to] }

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func putBuffer(b *buffer) {
	b.from, b.to = 0, 0
	buffers.Put(b)
}

// outBuffers are byte slices on their way out.
var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// maxPooled keeps one big stanza from making every buffer big.
const maxPooled = 64 << 10

func getOut() *[]byte { return outBuffers.Get().(*[]byte) }

func putOut(b *[]byte) {
	if cap(*b) > maxPooled {
		return
	}
	*b = (*b)[:0]
	outBuffers.Put(b)
}
