package c2s

// A fifo is a queue whose memory goes when it is empty and was big. The zero fifo
// is empty.
type fifo[T any] struct {
	items []T
	head  int
}

// spareItems is how many items an empty fifo keeps memory for.
const spareItems = 64

func (f *fifo[T]) len() int { return len(f.items) - f.head }

// front is the item that came first. There must be one.
func (f *fifo[T]) front() *T { return &f.items[f.head] }

// back is the item that came last. There must be one.
func (f *fifo[T]) back() *T { return &f.items[len(f.items)-1] }

func (f *fifo[T]) push(x T) {
	if len(f.items) == cap(f.items) && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, x)
}

// pop takes out the item that came first. There must be one.
func (f *fifo[T]) pop() (x T) {
	f.items[f.head], x = x, f.items[f.head]
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
		if cap(f.items) > spareItems {
			f.items = nil
		}
	}
	return x
}

// all takes out everything, in order.
func (f *fifo[T]) all() []T {
	out := f.items[f.head:]
	*f = fifo[T]{}
	return out
}
