package clientstate

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// What is held back for a client at most; with more all of it is sent.
const (
	maxHeld      = 1000
	maxHeldBytes = 1 << 20
)

// A queue is what is held back for one client. Nobody waits for anybody: whoever
// finds that somebody is sending has him send his stanza, too.
type queue struct {
	from xmpp.JID // who has held it back

	mu   sync.Mutex
	idle bool // the client is inactive
	held map[xmpp.JID]map[key]item
	n    int
	size int
	seq  uint64

	out  []item // on their way to the client, in order
	busy bool   // somebody sends what is in out
}

// An item is a stanza that waits.
type item struct {
	st      *xmpp.Stanza
	at      time.Time // when it came; zero for what was not held back
	seq     uint64
	receipt *sm.Receipt // held, of what only waits for its turn
}

func (q *queue) rest() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.idle = true
}

func (q *queue) wake(ctx context.Context, s *sm.Session) {
	q.mu.Lock()
	q.idle = false
	q.flush()
	q.mu.Unlock()
	q.send(ctx, s)
}

// take deals with a stanza for the client, and reports whether the caller shall send
// it. kind is asked of one for an inactive client.
func (q *queue) take(ctx context.Context, s *sm.Session, st *xmpp.Stanza, kind func(*xmpp.Stanza, *sm.Session) (key, bool)) bool {
	q.mu.Lock()
	if !q.idle && !q.busy {
		q.mu.Unlock()
		return true
	}
	sender := st.From.Bare()
	k, holds := key{}, false
	if q.idle {
		k, holds = kind(st, s)
	}
	switch {
	case holds:
		q.hold(sender, k, st)
		if q.n <= maxHeld && q.size <= maxHeldBytes {
			q.mu.Unlock()
			return false
		}
		q.flush()
	case !q.busy && len(q.held[sender]) == 0:
		q.mu.Unlock()
		return true
	default:
		q.release(sender)
		r := sm.ReceiptOf(ctx)
		r.Hold()
		q.out = append(q.out, item{st: st, receipt: r})
	}
	q.mu.Unlock()
	q.send(ctx, s)
	return false
}

// hold keeps a stanza in the place of the one that it replaces.
func (q *queue) hold(sender xmpp.JID, k key, st *xmpp.Stanza) {
	if q.held == nil {
		q.held = map[xmpp.JID]map[key]item{}
	}
	of := q.held[sender]
	if of == nil {
		of = map[key]item{}
		q.held[sender.Clone()] = of // the stanza may be gone sooner
	}
	if old, ok := of[k]; ok {
		q.n--
		q.size -= old.st.Size()
		delete(of, k) // its key is in the memory of the old stanza
	}
	q.seq++
	q.n++
	q.size += st.Size()
	of[k] = item{st: st, at: time.Now(), seq: q.seq}
}

// release puts what is held of one sender on its way.
func (q *queue) release(sender xmpp.JID) {
	of := q.held[sender]
	if of == nil {
		return
	}
	delete(q.held, sender)
	q.depart(of)
}

// flush puts everything on its way.
func (q *queue) flush() {
	all := map[key]item{}
	for _, of := range q.held {
		for k, i := range of {
			all[k] = i
		}
	}
	q.held = nil
	q.depart(all)
}

// depart puts these on their way, in the order in which they came.
func (q *queue) depart(items map[key]item) {
	from := len(q.out)
	for _, i := range items {
		q.n--
		q.size -= i.st.Size()
		q.out = append(q.out, i)
	}
	slices.SortFunc(q.out[from:], func(a, b item) int { return cmp.Compare(a.seq, b.seq) })
}

// send gives the client what is on its way, unless somebody does that already.
func (q *queue) send(ctx context.Context, s *sm.Session) {
	q.mu.Lock()
	if q.busy {
		q.mu.Unlock()
		return
	}
	q.busy = true
	for len(q.out) > 0 {
		out := q.out
		q.out = nil
		q.mu.Unlock()
		for _, i := range out {
			q.pass(ctx, s, i)
		}
		q.mu.Lock()
	}
	q.busy = false
	q.mu.Unlock()
}

// pass gives the client one stanza: with the time when it came (XEP-0203), if it was
// held back.
func (q *queue) pass(ctx context.Context, s *sm.Session, i item) {
	st := i.st
	if !i.at.IsZero() && !st.Has("urn:xmpp:delay", "delay") {
		st = st.With(sm.Delay(q.from, i.at))
	}
	s.Pass(sm.WithReceipt(ctx, i.receipt), st)
	i.receipt.Release()
}
