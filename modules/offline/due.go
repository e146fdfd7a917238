package offline

import (
	"sync"

	"github.com/gabberd/gabberd/xmpp"
)

// due is the users who are here and for whom something has been stored: each is
// served once, however much it was.
type due struct {
	mu    sync.Mutex
	users map[xmpp.JID]struct{}
	busy  bool
}

// add reports whether somebody must begin to serve.
func (d *due) add(user xmpp.JID) (begin bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users == nil {
		d.users = map[xmpp.JID]struct{}{}
	}
	d.users[user.Clone()] = struct{}{}
	begin = !d.busy
	d.busy = true
	return begin
}

// take is one of them. False: there is nobody left, and whoever serves ends.
func (d *due) take() (user xmpp.JID, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for user = range d.users {
		delete(d.users, user)
		return user, true
	}
	d.busy = false
	return user, false
}

// serveHere has a client of user on this node given what waits, soon, and reports
// whether there is one. It does not wait.
func (m *offline) serveHere(user xmpp.JID) bool {
	if m.present(user) == nil {
		return false
	}
	if m.due.add(user) {
		m.later.Apart(m.serveDue)
	}
	return true
}

// serveDue serves users until there is none left who is to be served.
func (m *offline) serveDue() {
	for user, ok := m.due.take(); ok; user, ok = m.due.take() {
		if s := m.present(user); s != nil && m.ctx.Err() == nil {
			m.serve(m.ctx, s)
		}
	}
}
