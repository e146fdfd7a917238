package sm

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/gabberd/gabberd/xmpp"
)

// How much may wait for a store that is away, in stanzas and bytes.
const (
	maxParked      = 10_000
	maxParkedBytes = 16 << 20
)

// parked is stanzas of which it cannot be told where they go, because the store is
// away, in order for each user.
type parked struct {
	any   atomic.Bool // somebody may wait
	mu    sync.Mutex
	users map[xmpp.JID]*line
	n     int
	size  int
}

// A line is what waits for one user.
type line struct {
	stanzas []waiting
	moving  bool // somebody is routing the first ones
}

type waiting struct {
	st      *xmpp.Stanza
	receipt *Receipt
	to      xmpp.JID // the session that another node has chosen, zero if it is still to be routed
	first   bool     // it was given to nobody yet
}

type unparkedKey struct{}

// waits puts a stanza in line behind others for its user, if there are any.
func (ss *Sessions) waits(ctx context.Context, w waiting) bool {
	p := &ss.parked
	if !p.any.Load() || ctx.Value(unparkedKey{}) != nil {
		return false
	}
	p.mu.Lock()
	l := p.users[w.st.To.Bare()]
	taken := l != nil && p.join(ctx, l, w)
	p.mu.Unlock()
	if l != nil && !taken {
		ss.refusePark(ctx, w.st)
	}
	return l != nil
}

// park keeps st until the store is back. If there is too much already its sender
// is told. first is as in route.
func (ss *Sessions) park(ctx context.Context, st *xmpp.Stanza, first bool) {
	if !ss.parked.add(ctx, waiting{st: st, first: first}) {
		ss.refusePark(ctx, st)
	}
}

func (ss *Sessions) refusePark(ctx context.Context, st *xmpp.Stanza) {
	if st.Kind != xmpp.Presence {
		ss.router.Bounce(ctx, st, xmpp.ResourceConstraint.WithText("It cannot be told at the moment where the addressee is; try again later"))
	}
}

// add begins a line for the user of w if there is none, and puts w into it. False
// says that there is too much already.
func (p *parked) add(ctx context.Context, w waiting) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == nil {
		p.users = map[xmpp.JID]*line{}
	}
	user := w.st.To.Bare()
	l := p.users[user]
	if l == nil {
		l = &line{}
		if !p.join(ctx, l, w) {
			return false
		}
		p.users[user.Clone()] = l
		p.any.Store(true)
		return true
	}
	return p.join(ctx, l, w)
}

// join puts a stanza into a line.
func (p *parked) join(ctx context.Context, l *line, w waiting) bool {
	size := w.st.Size()
	if p.n >= maxParked || p.size+size > maxParkedBytes {
		return false
	}
	w.receipt = ReceiptOf(ctx)
	w.receipt.Hold()
	if ctx.Value(unparkedKey{}) != nil {
		// It was the first in line, and stays that.
		l.stanzas = append([]waiting{w}, l.stanzas...)
	} else {
		l.stanzas = append(l.stanzas, w)
	}
	p.n++
	p.size += size
	return true
}

// Unpark routes what has waited for the store. It is called when the store is
// back.
func (ss *Sessions) Unpark(ctx context.Context) {
	ctx = context.WithValue(ctx, unparkedKey{}, true)
	for _, user := range ss.parked.begin() {
		ss.move(ctx, user)
	}
}

// Parked is how many stanzas wait for the store.
func (ss *Sessions) Parked() int { return ss.parked.count() }

func (p *parked) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// begin lists the users whose line nobody moves.
func (p *parked) begin() []xmpp.JID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var users []xmpp.JID
	for user, l := range p.users {
		if !l.moving {
			l.moving = true
			users = append(users, user)
		}
	}
	return users
}

// next takes the first in the line of user. The line stays, so that others stand
// behind.
func (p *parked) next(user xmpp.JID) (waiting, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.users[user]
	if len(l.stanzas) == 0 {
		delete(p.users, user)
		p.any.Store(len(p.users) > 0)
		return waiting{}, false
	}
	w := l.stanzas[0]
	l.stanzas[0] = waiting{}
	l.stanzas = l.stanzas[1:]
	p.n--
	p.size -= w.st.Size()
	return w, true
}

// first is the first in the line of user, nil if there is none.
func (p *parked) first(user xmpp.JID) *xmpp.Stanza {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.users[user]; l != nil && len(l.stanzas) > 0 {
		return l.stanzas[0].st
	}
	return nil
}

func (p *parked) end(user xmpp.JID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.users[user]; l != nil {
		l.moving = false
	}
}
