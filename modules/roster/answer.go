package roster

import (
	"context"

	"github.com/gabberd/gabberd/xmpp"
)

// An answer is what a client is told that asks for the roster.
type answer struct {
	query   *xmpp.Element
	version string // a digest; empty if none was asked for
}

func newQuery(items []Item, version string) *xmpp.Element {
	b := xmpp.Build(ns, "query").OptAttr("ver", version)
	for i := range items {
		items[i].append(b)
	}
	return b.Done()
}

// whole is the roster as the user's clients see it, other modules' items too.
func (m *roster) whole(ctx context.Context, user xmpp.JID) ([]Item, error) {
	all := Get.Run(ctx, m.host.Hooks(), Contents{}, user)
	return all.Items, all.Err
}

// untouched reports whether everything in c is from the user's own roster, so
// that an answer which was made of that will do.
func (c *Contents) untouched() bool {
	if c.stored == nil || len(c.Items) != len(c.stored.items) {
		return false
	}
	return len(c.Items) == 0 || &c.Items[0] == &c.stored.items[0]
}

// plain is the answer without a version.
func (c *Contents) plain() *xmpp.Element {
	if !c.untouched() {
		return newQuery(c.Items, "")
	}
	if a := c.stored.plain.Load(); a != nil {
		return a.query
	}
	a := &answer{query: newQuery(c.Items, "")}
	c.stored.plain.Store(a)
	return a.query
}

// versioned is the answer with a version that is made of what is in it.
func (c *Contents) versioned() *answer {
	own := c.untouched()
	if own {
		if a := c.stored.versioned.Load(); a != nil {
			return a
		}
	}
	a := &answer{version: digest(c.Items)}
	a.query = newQuery(c.Items, a.version)
	if own {
		c.stored.versioned.Store(a)
	}
	return a
}
