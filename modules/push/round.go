package push

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// Bounds on a round. There may be a hundred thousand nodes, and behind each of them a
// client that comes back and wants to be served: those take half an hour. If none of
// their services ever answers it is two.
const (
	wakePace  = 20 * time.Millisecond // from one node to the next
	maxWaking = 500                   // that owe an answer
	wakePage  = 100                   // that are read at once
	wakeAgain = 10 * time.Second      // until what cannot be told is asked again
)

// A round goes through the nodes of all users and wakes the clients that have no session
// when it comes to them.
type round struct {
	began time.Time
	pace  *time.Ticker
	user  xmpp.JID // of whom page is
	page  *page    // nil: there is none

	mu    sync.Mutex // guards what line says
	name  string     // of the last user
	told  int        // nodes
	there int        // nodes of clients that have sessions
	ended string     // how; empty while it goes on
}

// wakeAll makes a round, on the goroutine of who wants it.
func (m *push) wakeAll(ctx context.Context, _ xmpp.JID) {
	if m.NotifyOn == "messages" {
		m.host.Log.Warn("no clients are woken, since notify_on is messages")
		return
	}
	r := &round{began: time.Now(), pace: time.NewTicker(wakePace)}
	defer r.pace.Stop()
	m.round.Store(r)
	m.host.Log.Info("the clients that have no session are woken")
	how := "has ended"
	if !m.all(ctx, r) {
		how = "was stopped"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = how
	m.host.Log.Info("the waking of clients "+how, "told", r.told, "connected", r.there)
}

// all goes through all nodes. False: ctx has ended.
func (m *push) all(ctx context.Context, r *round) bool {
	for p := (place{}); ; {
		var list []owned
		var next place
		if !m.insist(ctx, func() (err error) {
			list, next, err = m.store.after(ctx, p, wakePage)
			return err
		}) {
			return false
		}
		if next == p {
			return true
		}
		for _, o := range list {
			if !m.consider(ctx, r, o) {
				return false
			}
		}
		p = next
	}
}

// insist tries f until it works. False: ctx has ended.
func (m *push) insist(ctx context.Context, f func() error) bool {
	for first := true; ; first = false {
		err := f()
		if ctx.Err() != nil || err == nil {
			return ctx.Err() == nil
		}
		if first {
			m.host.Log.Warn("the waking of clients has to wait", "error", err)
		}
		select {
		case <-time.After(wakeAgain):
		case <-ctx.Done():
			return false
		}
	}
}

// consider waits for the turn of a node and has it told, unless its client is there.
// False: ctx has ended.
func (m *push) consider(ctx context.Context, r *round, o owned) bool {
	user, err := m.host.User(o.name)
	if err != nil {
		return true // somebody has written into the table
	}
	select {
	case <-r.pace.C:
	case <-ctx.Done():
		return false
	}
	select {
	case m.waking <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	there := false
	if !m.insist(ctx, func() error {
		all, err := m.host.Sessions.Fresh(user)
		there = slices.ContainsFunc(all, func(s *sm.Session) bool { return o.of(s.ID.Time) })
		return err
	}) {
		<-m.waking
		return false
	}
	r.turn(m.books, user, o.target, there)
	if there {
		<-m.waking
		return true
	}
	select {
	case m.wakes <- &notification{target: o.target, note: note{user: user, page: r.page}}:
	case <-ctx.Done():
		<-m.waking
		return false
	}
	return true
}

// turn notes that it is a node of user whose turn it is.
func (r *round) turn(b *books, user xmpp.JID, t target, there bool) {
	if r.user != user {
		r.user, r.page = user, nil
	}
	if r.page == nil {
		r.page = b.aside(user)
		r.page.step("the server has started (wake_on_start): clients without a session are woken")
	}
	if there {
		r.page.step("node %q of %s is that of a client that has a session", t.Node, t.Service)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.name = user.Local()
	if there {
		r.there++
	} else {
		r.told++
	}
}

// line is what an operator is told about the round.
func (r *round) line() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	state := "goes on"
	if r.ended != "" {
		state = r.ended
	}
	return cut(fmt.Sprintf("wake_on_start: a round through all users, in the order of the database, began at %s and %s; %d nodes of clients without a session were told, %d of clients with one were not; the last user was %q",
		r.began.UTC().Format("2006-01-02T15:04:05Z"), state, r.told, r.there, r.name))
}

// rouse has a node told that it is a round's turn to tell. One that owes an answer has
// been told of more.
func (m *push) rouse(ctx context.Context, n *notification) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := n.key()
	if m.flights[k] != nil {
		n.page.step("%s owes an answer for node %q, which was told just now", n.Service, n.Node)
		<-m.waking
		return
	}
	f := &flight{}
	m.flights[k] = f
	m.work.Go(func() {
		defer func() { <-m.waking }()
		m.fly(ctx, k, f, n)
	})
}
