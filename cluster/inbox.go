package cluster

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage/redis"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// How the inbox is read and cleaned.
const (
	readCount   = 64               // letters
	readBlock   = time.Second      // how long is waited for one
	readLeaving = leaveLook        // the same when this node is about to go
	readSpacing = time.Millisecond // between readings that have not brought many
	cleanDelay  = 20 * time.Millisecond
	cleanCount  = 1000
)

// inbox is where the other nodes put what they have for this one. One goroutine
// takes it out, so what comes over a link stays in order.
type inbox struct {
	c       *Cluster
	framer  *stream.Framer
	rewind  atomic.Bool   // read from the beginning
	reading atomic.Uint64 // how many readings were begun
	emptyAt atomic.Uint64 // the last reading that has found the end
	closing chan struct{} // closed when nothing is to be read any more
	over    chan struct{} // closed when nothing is read any more
	dirty   chan struct{} // there is something to delete

	mu      sync.Mutex
	open    map[string]*opened
	deletes []string
}

// An opened letter stays in the inbox until all of it is safe.
type opened struct {
	b    *inbox
	id   string
	from linkKey
	seq  uint64
	left atomic.Int32
}

func (b *inbox) init(c *Cluster) {
	b.c, b.framer, b.open = c, stream.New(stream.Limits{}), map[string]*opened{}
	b.closing, b.over, b.dirty = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
}

// read takes letters out until the cluster is left.
func (b *inbox) read() {
	defer close(b.over)
	last := "0"
	var read time.Time // when letters were read last that were not many
	for {
		select {
		case <-b.c.ctx.Done():
			return
		case <-b.closing:
			return
		case <-b.c.gate.wait():
		}
		if b.rewind.Swap(false) {
			last = "0"
		}
		if since := time.Since(read); since < readSpacing && !b.c.anyClosing() {
			b.c.sleep(readSpacing - since)
		}
		reading := b.reading.Add(1)
		letters, err := b.fetch(last, b.patience())
		if err != nil {
			b.c.heart.doubt.Store(true)
		} else if !b.c.fresh() {
			// This node may have slept, and be dead for the others.
			err = b.c.beat(b.c.ctx)
		}
		if err != nil {
			last = "0"
			b.c.sleep(retryPause)
			continue
		}
		if len(letters) < readCount {
			read = time.Now()
		}
		for i := range letters {
			if last = letters[i].ID; !b.take(&letters[i]) {
				last = "0"
				break
			}
		}
		if len(letters) < readCount && last != "0" || len(letters) == 0 {
			b.emptyAt.Store(reading)
			for _, l := range b.c.allLinks() {
				l.readOut(reading)
			}
		}
	}
}

// patience is how long is waited for a letter: not at all where somebody waits for
// the end, and never long by a node that can go as soon as none has come.
func (b *inbox) patience() time.Duration {
	switch {
	case b.c.anyClosing():
		return -1
	case b.c.isLeaving():
		return readLeaving
	}
	return readBlock
}

// fetch takes letters behind last, and waits for one as long as block says, if
// that is not negative.
func (b *inbox) fetch(last string, block time.Duration) ([]goredis.XMessage, error) {
	ctx := b.c.ctx
	if block >= 0 {
		ctx = redis.Blocking(ctx, block)
	}
	key := b.c.inboxKey(b.c.opt.Name)
	got, err := b.c.redis.XRead(ctx, &goredis.XReadArgs{Streams: []string{key, last}, Count: readCount, Block: block}).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil && strings.Contains(err.Error(), "WRONGTYPE"):
		return nil, errors.Join(err, b.c.aside(b.c.ctx))
	case err != nil || len(got) == 0:
		return nil, err
	}
	return got[0].Messages, nil
}

// wakeInbox has who waits for a letter look around, by one. If it fails he does so
// a second later.
func (c *Cluster) wakeInbox() {
	_ = c.post(c.opt.Name, []letter{{from: c.opt.Name, epoch: c.epoch.Load(), to: c.epoch.Load()}})
}

// take deals with one letter. It is false when this node's epoch is over.
func (b *inbox) take(m *goredis.XMessage) bool {
	lt, err := readLetter(m.ID, m.Values)
	if err != nil {
		b.notOurs(m.ID, err)
		return true
	}
	own := b.c.epoch.Load()
	switch {
	case lt.from == b.c.opt.Name:
		b.drop(lt.id) // to wake us up
		return true
	case lt.to < own:
		b.c.orphans.add(orphan{key: b.c.inboxKey(b.c.opt.Name), id: lt.id, from: lt.from, epoch: lt.epoch, seq: lt.seq})
		return true
	case lt.to > own:
		b.c.hurry() // we are about to learn something
		return true
	}
	l, ok := b.c.inbound(&lt)
	if !ok {
		return false
	}
	if l == nil {
		b.c.Counters.Late.Add(1)
		b.drop(lt.id)
		return true
	}
	l.acknowledge(lt.ack)
	b.unpack(l, &lt)
	return true
}

// inbound is the link a letter has come over. It is nil if what comes over it is
// not wanted any more; ok is false when this node's own epoch is over.
func (c *Cluster) inbound(lt *letter) (l *link, ok bool) {
	m, known := c.nodes.get(lt.from)
	if !known || m.epoch < lt.epoch {
		c.hurry()
	}
	c.mu.Lock()
	if c.fenced || c.epoch.Load() != lt.to {
		c.mu.Unlock()
		return nil, false
	}
	l = c.links[linkKey{lt.from, lt.epoch}]
	late := l == nil && known && (lt.epoch < m.epoch || lt.epoch == m.epoch && !m.living())
	for key, o := range c.links {
		switch {
		case key.node != lt.from:
		case key.epoch > lt.epoch:
			late = true
		case key.epoch < lt.epoch:
			o.closeIn()
		}
	}
	c.mu.Unlock()
	if l == nil && !late {
		l = c.newLink(linkKey{lt.from, lt.epoch})
	}
	if late || l == nil || l.inIsClosed() {
		return nil, true
	}
	return l, true
}

// closeIn has nothing more taken over the link: the other node has been heard in
// a later epoch.
func (l *link) closeIn() {
	l.mu.Lock()
	l.inClosed = true
	l.mu.Unlock()
}

func (l *link) inIsClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inClosed || l.state == linkForgotten
}

// unpack takes the frames out of a letter that are next.
func (b *inbox) unpack(l *link, lt *letter) {
	if len(lt.frames) == 0 {
		b.drop(lt.id)
		return
	}
	frames, err := splitFrames(lt.frames)
	if err != nil {
		b.notOurs(lt.id, err)
		return
	}
	if lt.seq == 0 {
		if frames[0].kind == frameBye {
			b.c.nodes.left(l.node, l.epoch)
		}
		b.drop(lt.id)
		return
	}
	e, known := b.begin(l, lt)
	if known {
		return // it is still worked on
	}
	// Nobody but this goroutine writes l.in.
	in, last := l.in, lt.seq+uint64(len(frames))-1
	if lt.seq > in+1 || last <= in {
		b.c.Counters.Repeated.Add(uint64(len(frames)))
		l.repeatAck()
		e.done()
		return
	}
	burst := new(sm.Burst)
	ctx := sm.WithBurst(b.c.ctx, burst)
	burst.Begin()
	for i := range frames {
		if seq := lt.seq + uint64(i); seq > in {
			b.act(delivery{ctx, l, &frames[i], seq, e})
		}
	}
	burst.End()
	b.c.Counters.Received.Add(last - in)
	l.took(last)
	e.done()
}

// begin notes that a letter is being worked on; known is true if it was already.
func (b *inbox) begin(l *link, lt *letter) (e *opened, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e = b.open[lt.id]; e != nil && e.from == l.linkKey && e.seq == lt.seq {
		return e, true
	}
	e = &opened{b: b, id: lt.id, from: l.linkKey, seq: lt.seq}
	e.left.Store(1)
	b.open[lt.id] = e
	return e, false
}

// done is called for each message of the letter that is safe, and once for the
// letter itself.
func (e *opened) done() {
	if e.left.Add(-1) != 0 {
		return
	}
	e.b.mu.Lock()
	if e.b.open[e.id] == e {
		delete(e.b.open, e.id)
	}
	e.b.mu.Unlock()
	e.b.drop(e.id)
}

// took notes up to where frames were taken.
func (l *link) took(seq uint64) {
	l.mu.Lock()
	l.in = seq
	now := time.Now()
	idle := l.ackBy.IsZero()
	if idle {
		l.ackBy = now.Add(ackDelay)
	}
	if l.in-l.acked >= ackFrames {
		l.ackBy, idle = now, true
	}
	l.mu.Unlock()
	if idle {
		l.poke()
	}
}

// repeatAck has the other node told again what was received: it does not seem to
// know.
func (l *link) repeatAck() {
	l.mu.Lock()
	l.ackBy = time.Now()
	l.mu.Unlock()
	l.poke()
}

// notOurs ignores and deletes a letter that no gabberd of this version has
// written.
func (b *inbox) notOurs(id string, err error) {
	b.c.Counters.Foreign.Add(1)
	b.c.once.foreign("inbox", err)
	b.drop(id)
}

// drop has a letter deleted.
func (b *inbox) drop(id string) {
	b.mu.Lock()
	b.deletes = append(b.deletes, id)
	first := len(b.deletes) == 1
	b.mu.Unlock()
	if first {
		select {
		case b.dirty <- struct{}{}:
		default:
		}
	}
}

// clean deletes letters. Those that cannot be deleted are found again when the
// inbox is read from its beginning.
func (b *inbox) clean() {
	for {
		select {
		case <-b.c.ctx.Done():
			return
		case <-b.dirty:
		}
		b.c.sleep(cleanDelay)
		for {
			b.mu.Lock()
			ids := b.deletes
			if len(ids) > cleanCount {
				ids = ids[:cleanCount]
			}
			b.deletes = b.deletes[len(ids):]
			b.mu.Unlock()
			if len(ids) == 0 {
				break
			}
			if err := b.c.redis.XDel(b.c.ctx, b.c.inboxKey(b.c.opt.Name), ids...).Err(); err != nil {
				break
			}
		}
	}
}

// forget is called when this node's epoch is over.
func (b *inbox) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.open)
	b.deletes = nil
	b.rewind.Store(true)
}

// quiet reports whether nothing is worked on that has come.
func (b *inbox) quiet() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open) == 0
}
