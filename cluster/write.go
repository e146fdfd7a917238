package cluster

import (
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// inboxKey is where the letters for a node are.
func (c *Cluster) inboxKey(node string) string { return c.redis.Key("inbox", node) }

// write puts what is to be said into the other node's inbox until the link ends.
func (l *link) write() {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	var p pen
	var posted time.Time
	for {
		select {
		case <-l.ended:
			return
		case <-l.c.ctx.Done():
			return
		case <-l.wake:
		case <-t.C:
		}
		select {
		case <-l.ended:
			return
		case <-l.c.ctx.Done():
			return
		case <-l.c.gate.wait():
		}
		if l.few() {
			if !l.pause(max(collect, spacing-time.Since(posted))) {
				return
			}
		}
		posted = time.Now()
		more, err := l.flush(&p)
		if err != nil {
			l.goBack()
			if !l.pause(retryPause) {
				return
			}
		}
		if more || err != nil {
			l.poke()
		}
		t.Reset(l.due())
	}
}

// pause waits for d; false means that the link has ended.
func (l *link) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.ended:
	case <-l.c.ctx.Done():
	}
	return false
}

// few reports whether there is something to send that does not fill a batch.
func (l *link) few() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.last - l.sent
	return n > 0 && n < batchFrames
}

// due is when there is something to do even if nobody sends.
func (l *link) due() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := time.Now().Add(time.Hour)
	if l.sent > l.received {
		at = l.moved.Add(l.patience)
	}
	for _, t := range []time.Time{l.ackBy, l.safeBy} {
		if !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	return max(time.Until(at), 0)
}

// A pen is the memory that writing a link's letters takes.
type pen struct {
	batches [][]copied
	bufs    [][]byte
	scratch []byte
}

// pipelined is how many letters go in one go.
const pipelined = 16

// flush writes what there is to say. more means that it was not all.
func (l *link) flush(p *pen) (more bool, err error) {
	if !l.c.fresh() {
		return true, l.c.beat(l.c.ctx)
	}
	epoch := l.c.epoch.Load()
	ack, ok := l.prepare(p)
	if !ok {
		return false, nil
	}
	letters := make([]letter, 0, len(p.batches)+1)
	for i, batch := range p.batches {
		if len(p.bufs) <= i {
			p.bufs = append(p.bufs, nil)
		}
		p.bufs[i], p.scratch = encode(append(p.bufs[i][:0], frameVersion), p.scratch, batch)
		letters = append(letters, letter{from: l.c.opt.Name, epoch: epoch, to: l.epoch, ack: ack, seq: batch[0].seq, frames: p.bufs[i]})
		if cap(p.bufs[i]) > 2*batchBytes {
			p.bufs[i] = nil
		}
	}
	if len(letters) == 0 {
		letters = append(letters, letter{from: l.c.opt.Name, epoch: epoch, to: l.epoch, ack: ack})
	}
	n := 0
	for _, b := range p.batches {
		n += len(b)
		clear(b)
	}
	l.c.Counters.Sent.Add(uint64(n))
	l.c.Counters.Letters.Add(uint64(len(letters)))
	if err := l.c.post(l.node, letters); err != nil {
		return true, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posting = false
	return l.sent < l.last && l.sent-l.received < window, nil
}

// prepare decides what is said now: batches of frames, and what was received. ok
// is false if there is nothing.
func (l *link) prepare(p *pen) (ack uint64, ok bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	p.batches = p.batches[:0]
	if l.state != linkOpen {
		return 0, false
	}
	l.tellSafe(now)
	if l.sent > l.received && now.Sub(l.moved) >= l.patience {
		l.c.Counters.Resent.Add(l.sent - l.received)
		l.sent = l.received
		l.patience = min(2*l.patience, resendMax)
		l.moved = now
	}
	if l.sent == l.received {
		l.moved = now
	}
	for len(p.batches) < pipelined && l.sent < l.last && l.sent-l.received < window {
		rest := l.waiting[l.sent-l.received:]
		n, size := 0, 0
		for n < len(rest) && n < batchFrames && size < batchBytes {
			size += rest[n].size
			n++
		}
		p.batches = append(p.batches, slices.Clone(rest[:n]))
		l.sent += uint64(n)
	}
	l.reached = max(l.reached, l.sent)
	if len(p.batches) == 0 && (l.ackBy.IsZero() || now.Before(l.ackBy)) {
		return 0, false
	}
	l.ackBy, l.acked = time.Time{}, l.in
	l.posting = true
	return l.in, true
}

// tellSafe makes frames of the messages that are safe.
func (l *link) tellSafe(now time.Time) {
	if len(l.safe) == 0 || now.Before(l.safeBy) && len(l.safe) < batchFrames {
		return
	}
	slices.Sort(l.safe)
	for chunk := range slices.Chunk(l.safe, maxSafe) {
		m := copied{kind: frameCharge, body: chargeBody(chunk)}
		m.size = len(m.body) + 128
		l.append(m)
	}
	l.safe, l.safeBy = l.safe[:0], time.Time{}
}

// encode appends the frames of a batch to b.
func encode(b, scratch []byte, batch []copied) (frames, _ []byte) {
	for i := range batch {
		m := &batch[i]
		body := m.body
		if m.st != nil {
			scratch = stanzaBody(scratch[:0], m.host.domain, m.to, m.st)
			body = scratch
		}
		b = appendFrame(b, m.kind, body)
	}
	if cap(scratch) > batchBytes {
		scratch = nil
	}
	return b, scratch
}

// post puts letters into the inbox of a node, in order.
func (c *Cluster) post(node string, letters []letter) error {
	key := c.inboxKey(node)
	if len(letters) == 1 {
		return c.redis.XAdd(c.ctx, &goredis.XAddArgs{Stream: key, Values: letters[0].values()}).Err()
	}
	pipe := c.redis.Pipeline()
	for i := range letters {
		pipe.XAdd(c.ctx, &goredis.XAddArgs{Stream: key, Values: letters[i].values()})
	}
	_, err := pipe.Exec(c.ctx)
	return err
}

// greet lets the other nodes know that there is somebody new, so that they look.
func (c *Cluster) greet() {
	for name, m := range *c.nodes.all.Load() {
		if m.living() {
			// They find out by themselves a second later.
			_ = c.post(name, []letter{{from: c.opt.Name, epoch: c.epoch.Load(), to: m.epoch}})
		}
	}
}
