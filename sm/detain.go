package sm

import (
	"context"

	"github.com/gabberd/gabberd/xmpp"
)

// Returned is a stanza that a connection could not deliver, and its receipt, held.
type Returned struct {
	Stanza  *xmpp.Stanza
	Receipt *Receipt
}

// Detain has what comes for user from now on wait, because a session of the user
// ends and what it leaves behind must not be overtaken. release routes that first,
// then what has waited; it must be called, once.
func (ss *Sessions) Detain(user xmpp.JID) (release func(context.Context, []Returned)) {
	mine := ss.parked.detain(user, nil)
	return func(ctx context.Context, first []Returned) {
		if !mine {
			mine = ss.parked.detain(user, first)
		} else {
			ss.parked.prepend(user, first)
		}
		if mine { // else whoever moves the line moves all of it
			ss.move(context.WithValue(ctx, unparkedKey{}, true), user)
		}
	}
}

// detain begins a line for user, or puts the stanzas in front of the one that there
// is. It reports whether it has begun one: then the caller moves it.
func (p *parked) detain(user xmpp.JID, first []Returned) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.users[user]
	begun := l == nil
	if begun {
		if p.users == nil {
			p.users = map[xmpp.JID]*line{}
		}
		l = &line{moving: true}
		p.users[user.Clone()] = l
		p.any.Store(true)
	}
	p.put(l, first)
	return begun
}

// prepend puts the stanzas in front of the line of user.
func (p *parked) prepend(user xmpp.JID, first []Returned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(p.users[user], first)
}

// put puts the stanzas in front of l, whatever waits already: they were bounded
// where they come from.
func (p *parked) put(l *line, first []Returned) {
	if len(first) == 0 {
		return
	}
	stanzas := make([]waiting, 0, len(first)+len(l.stanzas))
	for _, r := range first {
		stanzas = append(stanzas, waiting{st: r.Stanza, receipt: r.Receipt})
		p.n++
		p.size += r.Stanza.Size()
	}
	l.stanzas = append(stanzas, l.stanzas...)
}

// move routes what waits in the line of user, which nobody else moves.
func (ss *Sessions) move(ctx context.Context, user xmpp.JID) {
	defer ss.parked.end(user)
	for {
		w, ok := ss.parked.next(user)
		if !ok {
			return
		}
		if c := WithReceipt(ctx, w.receipt); w.to.IsZero() {
			ss.route(c, w.st, w.first)
		} else {
			ss.Arrive(c, "", w.to, w.st)
		}
		w.receipt.Release()
		if ss.parked.first(user) == w.st {
			return // the store has gone away again
		}
	}
}
