package roster

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/xmpp"
)

// changeText is a change on its way to another node.
type changeText struct {
	User    string `json:"user"`
	Contact string `json:"contact"`
	Visible bool   `json:"visible,omitempty"`
	Version string `json:"ver,omitempty"`
}

func writeChange(c Change) ([]byte, error) {
	return json.Marshal(changeText{c.User.String(), c.Contact.String(), c.Visible, c.Version})
}

func readChange(_ context.Context, b []byte) (c Change, err error) {
	var t changeText
	if err := json.Unmarshal(b, &t); err != nil {
		return c, err
	}
	if c.User, err = xmpp.Parse(t.User); err != nil {
		return c, fmt.Errorf("user: %w", err)
	}
	if c.Contact, err = xmpp.Parse(t.Contact); err != nil {
		return c, fmt.Errorf("contact: %w", err)
	}
	c.User, c.Visible, c.Version = c.User.Bare(), t.Visible, t.Version
	return c, nil
}

// listen hears what makes the memory of this node out of date.
func (m *roster) listen() {
	ctx, cancel := context.WithCancel(m.host.Context())
	m.ctx = ctx
	m.host.OnStop(func() {
		cancel()
		m.news.close()
	})
	Changed.AddElsewhere(m.host, hooks.Normal, m.changedElsewhere)
	auth.Removed.AddElsewhere(m.host, hooks.Normal, func(_ context.Context, user xmpp.JID) { m.cache.forget(user) })
	local.ClearCache.AddEverywhere(m.host, hooks.Normal, func(context.Context, *local.Host) { m.cache.clear() })
}

// changedElsewhere forgets what was read before a change on another node, and has
// the user's clients here told. Who brings the news does not wait for that.
func (m *roster) changedElsewhere(_ context.Context, c Change) {
	m.cache.forget(c.User)
	if !c.Visible || len(m.listeners(c.User)) == 0 {
		return
	}
	if !m.news.add(c, m.tellHere) {
		m.host.Log.Error("too many changes of other nodes wait, clients do not hear of one", "user", c.User.String())
	}
}

// tellHere tells the user's clients on this node of a change on another one. They
// are told what is in the database now: two nodes may have changed the same
// contact, and their words may come in another order than their changes were
// stored in. Where there has been another change since, the push has no version,
// so that a client which misses the next push asks for everything.
func (m *roster) tellHere(c Change) {
	ctx := m.ctx
	l := m.locks.of(c.User)
	l.Lock()
	defer l.Unlock()
	to := m.listeners(c.User)
	if len(to) == 0 || ctx.Err() != nil {
		return
	}
	now, err := m.store.item(ctx, m.store, c.User, c.Contact)
	if err != nil {
		m.host.Log.Error("a change on another node cannot be read, clients do not hear of it", "user", c.User.String(), "error", err)
		return
	}
	if c.Version != "" && c.Version != m.versionNow(ctx, c.User) {
		c.Version = ""
	}
	push(ctx, to, c, now)
}

// maxNews bounds the changes of other nodes that clients have still to be told of.
const maxNews = 10_000

// news is those changes, in the order in which they were heard.
type news struct {
	mu     sync.Mutex
	queue  []Change
	busy   bool
	closed bool
	all    sync.WaitGroup
}

// add has tell called with c, soon. It reports whether there was room.
func (n *news) add(c Change, tell func(Change)) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || len(n.queue) >= maxNews {
		return n.closed
	}
	n.queue = append(n.queue, c)
	if !n.busy {
		n.busy = true
		n.all.Go(func() { n.work(tell) })
	}
	return true
}

func (n *news) work(tell func(Change)) {
	for {
		n.mu.Lock()
		if len(n.queue) == 0 {
			n.queue, n.busy = nil, false
			n.mu.Unlock()
			return
		}
		c := n.queue[0]
		n.queue = n.queue[1:]
		n.mu.Unlock()
		tell(c)
	}
}

// close waits until nobody is being told any more.
func (n *news) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.all.Wait()
}

// versionNow is the roster's version, empty if it cannot be told.
func (m *roster) versionNow(ctx context.Context, user xmpp.JID) string {
	if !m.Versioning {
		return ""
	}
	if !m.StoreCurrentID {
		return m.versionAfter(ctx, change{user: user})
	}
	v, err := m.store.version(ctx, user)
	if err != nil {
		m.host.Log.Error("a roster push goes out without its version", "user", user.String(), "error", err)
	}
	return v
}
