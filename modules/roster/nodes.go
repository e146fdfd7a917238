package roster

import (
	"context"
	"encoding/json"
	"fmt"

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
	Changed.AddElsewhere(m.host, hooks.Normal, m.changedElsewhere)
	auth.Removed.AddElsewhere(m.host, hooks.Normal, func(_ context.Context, user xmpp.JID) { m.cache.forget(user) })
	local.ClearCache.AddEverywhere(m.host, hooks.Normal, func(context.Context, *local.Host) { m.cache.clear() })
}

// changedElsewhere forgets what was read before a change on another node, and
// tells the user's clients here. They are told what is in the database now: two
// nodes may have changed the same contact, and their words may come in another
// order than their changes were stored in. Where there has been another change
// since, the push has no version, so that a client which misses the next push
// asks for everything.
func (m *roster) changedElsewhere(ctx context.Context, c Change) {
	m.cache.forget(c.User)
	to := m.listeners(c.User)
	if !c.Visible || len(to) == 0 {
		return
	}
	l := m.locks.of(c.User)
	l.Lock()
	defer l.Unlock()
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
