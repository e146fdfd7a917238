package offline

import (
	"slices"
	"sync"

	"github.com/gabberd/gabberd/xmpp"
)

// due is the users who are here and for whom something has been stored: each is
// served once, however much it was. The numbers are what other nodes are to be answered.
type due struct {
	mu    sync.Mutex
	users map[xmpp.JID][]uint64
	busy  bool
}

// add reports whether somebody must begin to serve. n is the number to answer with, 0
// if nobody has asked.
func (d *due) add(user xmpp.JID, n uint64) (begin bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == nil {
		d.users = map[xmpp.JID][]uint64{}
	}
	answers := d.users[user]
	if n != 0 {
		answers = append(answers, n)
	}
	d.users[user.Clone()] = answers
	begin = !d.busy
	d.busy = true
	return begin
}

// take is one of them. False: there is nobody left, and whoever serves ends.
func (d *due) take() (user xmpp.JID, answers []uint64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for user, answers = range d.users {
		delete(d.users, user)
		return user, answers, true
	}
	d.busy = false
	return user, nil, false
}

// serveHere has a client of user on this node given what waits, soon, and reports
// whether there is one. It does not wait.
func (m *offline) serveHere(user xmpp.JID) bool {
	if m.present(user) == nil {
		return false
	}
	if m.due.add(user, 0) {
		m.later.Apart(m.serveDue)
	}
	return true
}

// kept has a client of the user on this node given what another node has stored. A node
// where none gets it leaves the answer to others. It does not wait.
func (m *offline) kept(k Keeping) {
	k.User = k.User.Bare()
	if slices.ContainsFunc(m.host.Sessions.Local(k.User), getsAny) && m.due.add(k.User, k.N) {
		m.later.Apart(m.serveDue)
	}
}

// serveDue serves users until there is none left who is to be served.
func (m *offline) serveDue() {
	for user, answers, ok := m.due.take(); ok; user, answers, ok = m.due.take() {
		down := m.flying.down(user)
		if s := m.present(user); s != nil && m.ctx.Err() == nil {
			m.serve(m.ctx, s)
		}
		m.flying.dealt(user, down)
		for _, n := range answers {
			Given.Run(m.ctx, m.host.Hooks(), Keeping{user, n})
		}
	}
}
