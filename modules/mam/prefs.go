package mam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/erlterm"
	"github.com/gabberd/gabberd/xmpp"
)

// What is archived of those a user has said nothing about (XEP-0441 §2).
const (
	always     = "always"
	never      = "never"
	fromRoster = "roster"
)

const (
	maxListed    = 1000            // addresses in a list
	maxCached    = 64 << 20        // bytes of preferences in memory
	prefsTimeout = 2 * time.Second // how long a sender waits for the database
	blindFor     = 5 * time.Second // and how long it is not asked again after that
)

// prefs is what a user wants to be archived. It is never changed.
type prefs struct {
	Default       string
	Always, Never []xmpp.JID
}

func (p prefs) weigh() int {
	n := 100
	for _, j := range p.Always {
		n += 50 + len(j.String())
	}
	for _, j := range p.Never {
		n += 50 + len(j.String())
	}
	return n
}

// lists reports whether j is in a list, itself or by its bare address.
func lists(list []xmpp.JID, j xmpp.JID) bool {
	return len(list) > 0 && (slices.Contains(list, j) || slices.Contains(list, j.Bare()))
}

// wants reports whether the user wants what he says to the peer, or hears from him,
// to be archived. While that cannot be told, nothing is.
func (m *mam) wants(ctx context.Context, in Storing) bool {
	p, err := m.preferences(ctx, in.User)
	if err != nil {
		return false
	}
	switch {
	case lists(p.Always, in.Peer):
		return true
	case lists(p.Never, in.Peer):
		return false
	case p.Default == fromRoster:
		c := sm.JIDInfo.Run(ctx, m.host.Hooks(), sm.Contact{}, sm.Pair{User: in.User, Other: in.Peer.Bare()})
		return c.SeesUser() || c.SeenByUser()
	}
	return p.Default == always
}

// preferences are those of user, or what he has as long as he has said nothing. A
// database that does not answer is left alone for a while: senders wait for this.
func (m *mam) preferences(ctx context.Context, user xmpp.JID) (prefs, error) {
	p, err := m.prefs.Get(user, func() (prefs, error) {
		if time.Now().UnixNano() < m.blindUntil.Load() {
			return prefs{}, storage.ErrUnavailable
		}
		ctx, cancel := context.WithTimeout(ctx, prefsTimeout)
		defer cancel()
		p, err := m.store.prefs(ctx, user)
		switch {
		case err != nil && !errors.Is(err, storage.ErrNotFound):
			m.blindUntil.Store(time.Now().Add(blindFor).UnixNano())
			if !m.blind.Swap(true) {
				m.host.Log.Error("messages are not archived: preferences cannot be read", "user", user.String(), "error", err)
			}
		case m.blind.Load():
			m.blind.Store(false)
		}
		return p, err
	})
	if errors.Is(err, storage.ErrNotFound) {
		if m.RequestActivates {
			return prefs{Default: never}, nil
		}
		return prefs{Default: m.Default}, nil
	}
	return p, err
}

// activate begins to archive for a user who has asked for his archive, if the
// operator wants that.
func (m *mam) activate(ctx context.Context, user xmpp.JID) error {
	if !m.RequestActivates {
		return nil
	}
	_, err := m.prefs.Get(user, func() (prefs, error) { return m.store.prefs(ctx, user) })
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if err := m.store.setPrefs(ctx, user, prefs{Default: m.Default}, false); err != nil {
		return err
	}
	PrefsChanged.Run(ctx, m.host.Hooks(), user)
	return nil
}

// answerPrefs shows or changes the preferences of who asks (XEP-0441 §2).
func (m *mam) answerPrefs(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	user := iq.From.Bare()
	if !m.Access.Allows(m.host.Rules, local.Subject(iq.From)) {
		return nil, xmpp.NotAllowed.WithText("The administrator keeps these preferences")
	}
	if iq.Type == "get" {
		p, err := m.preferences(ctx, user)
		if err != nil {
			return nil, err
		}
		return p.element(), nil
	}
	p, err := parsePrefs(iq.Payload())
	if err != nil {
		return nil, err
	}
	if err := m.store.setPrefs(ctx, user, p, true); err != nil {
		return nil, err
	}
	PrefsChanged.Run(ctx, m.host.Hooks(), user)
	return p.element(), nil
}

func (p prefs) element() *xmpp.Element {
	b := xmpp.Build(ns, "prefs").Attr("default", p.Default)
	for _, l := range []struct {
		name string
		list []xmpp.JID
	}{{always, p.Always}, {never, p.Never}} {
		b.Open("", l.name)
		for _, j := range l.list {
			b.Open("", "jid").Text(j.String()).Close()
		}
		b.Close()
	}
	return b.Done()
}

func parsePrefs(el *xmpp.Element) (p prefs, err error) {
	switch p.Default = el.Attr("default"); p.Default {
	case always, never, fromRoster:
	default:
		return p, xmpp.BadRequest.WithText("The default is always, never or roster")
	}
	if p.Always, err = parseList(el.Child(ns, always)); err != nil {
		return p, err
	}
	p.Never, err = parseList(el.Child(ns, never))
	return p, err
}

func parseList(el *xmpp.Element) (list []xmpp.JID, err error) {
	for c := range el.Children() {
		if !c.Is(ns, "jid") {
			continue
		}
		j, err := xmpp.Parse(c.Text())
		if err != nil {
			return nil, xmpp.JIDMalformed.WithText("A list has something that is not an address")
		}
		if len(list) == maxListed {
			return nil, xmpp.ResourceConstraint.WithText("A list is too long")
		}
		if !slices.Contains(list, j) {
			list = append(list, j)
		}
	}
	return list, nil
}

// prefs returns storage.ErrNotFound for who has said nothing.
func (s store) prefs(ctx context.Context, user xmpp.JID) (p prefs, err error) {
	var yes, no string
	err = s.Get(ctx, []any{&p.Default, &yes, &no}, `SELECT def, always, never FROM archive_prefs WHERE {host} AND username = ?`, user.Local())
	if err != nil {
		return p, err
	}
	if p.Always, err = readList(yes); err == nil {
		p.Never, err = readList(no)
	}
	if err != nil {
		return p, fmt.Errorf("archiving preferences of %s: %w", user, err)
	}
	return p, nil
}

// setPrefs stores preferences; those that are there are only replaced if that is
// wanted.
func (s store) setPrefs(ctx context.Context, user xmpp.JID, p prefs, replace bool) error {
	text := `INSERT INTO archive_prefs ({server_host,} username, def, always, never) VALUES ({?host,} ?, ?, ?, ?)
		ON CONFLICT ({server_host,} username) DO NOTHING`
	if replace {
		text = `INSERT INTO archive_prefs ({server_host,} username, def, always, never) VALUES ({?host,} ?, ?, ?, ?)
			ON CONFLICT ({server_host,} username) DO UPDATE SET def = excluded.def, always = excluded.always, never = excluded.never`
	}
	if _, err := s.Exec(ctx, text, user.Local(), p.Default, writeList(p.Always), writeList(p.Never)); err != nil {
		return fmt.Errorf("store archiving preferences: %w", err)
	}
	return nil
}

// readList reads a list of addresses as ejabberd stores it: an Erlang list of
// {User, Server, Resource}.
func readList(text string) (list []xmpp.JID, err error) {
	if text == "" {
		return nil, nil
	}
	term, err := erlterm.Parse(text)
	if err != nil {
		return nil, err
	}
	items, ok := erlterm.Items(term)
	if !ok {
		return nil, fmt.Errorf("%q is not a list", text)
	}
	for _, it := range items {
		parts, ok := it.(erlterm.Tuple)
		if !ok || len(parts) != 3 {
			return nil, fmt.Errorf("%q is not a list of addresses", text)
		}
		var words [3]string
		for i, p := range parts {
			if words[i], ok = erlterm.Text(p); !ok {
				return nil, fmt.Errorf("%q is not a list of addresses", text)
			}
		}
		j, err := xmpp.NewJID(words[0], words[1], words[2])
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return list, nil
}

// writeList is what readList reads.
func writeList(list []xmpp.JID) string {
	out := erlterm.List{}
	for _, j := range list {
		out = append(out, erlterm.Tuple{erlterm.Binary(j.Local()), erlterm.Binary(j.Domain()), erlterm.Binary(j.Resource())})
	}
	return erlterm.Format(out)
}
