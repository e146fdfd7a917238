package roster

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// schema is ejabberd's, in both of its versions.
var schema = []storage.Version{
	{
		storage.Table{
			Name: "rosterusers",
			Columns: `username text, server_host text, jid text, nick text, subscription char(1), ask char(1),
				askmessage text, server char(1), subscribe text, type text, created_at timestamp default`,
			Indexes: "unique(server_host, username, jid); index(server_host, jid)",
		},
		storage.Table{
			Name:    "rostergroups",
			Columns: "username text, server_host text, jid text, grp text",
			Indexes: "index(server_host, username, jid)",
		},
		storage.Table{
			Name:    "roster_version",
			Columns: "username text, server_host text, version text",
			Indexes: "unique(server_host, username)",
		},
	},
	// With a default an ejabberd that does not know the column can go on.
	{storage.AddColumn{Table: "rosterusers", Column: "approved boolean default"}},
}

// kept in column subscribe, which ejabberd leaves empty, says that the user has
// put the contact there himself although nothing else in the row shows that.
const kept = "kept"

// Errors of a change that would grow a roster too much.
var (
	errManyItems    = errors.New("the roster is full")
	errManyRequests = errors.New("too many subscription requests wait for an answer")
)

// store keeps the rosters of a virtual host. Its methods wait for the database.
type store struct {
	*storage.DB
	versions bool // keep the roster's version, too
}

const itemColumns = "jid, nick, subscription, approved, ask, askmessage, subscribe"

// readItem reads itemColumns. The error wraps xmpp.ErrJID if the row's address
// is malformed.
func readItem(row storage.Row) (Item, error) {
	var it Item
	var jid, subscription, ask, subscribe string
	var approved bool
	if err := row.Scan(&jid, &it.Name, &subscription, &approved, &ask, &it.request, &subscribe); err != nil {
		return it, err
	}
	it.State = decode(subscription, ask)
	if approved {
		it.State |= Approved
	}
	it.kept = subscribe == kept
	var err error
	it.JID, err = xmpp.Parse(jid)
	return it, err
}

// decode reads ejabberd's letters. What it did not write counts as nothing.
func decode(subscription, ask string) State {
	s := map[string]State{"T": To, "F": From, "B": Both}[subscription]
	return s | map[string]State{"O": PendingOut, "S": PendingOut, "I": PendingIn, "B": PendingIn | PendingOut}[ask]
}

// encode writes ejabberd's letters.
func encode(s State) (subscription, ask string) {
	subscription = map[State]string{None: "N", To: "T", From: "F", Both: "B"}[s&Both]
	ask = map[State]string{None: "N", PendingOut: "O", PendingIn: "I", PendingOut | PendingIn: "B"}[s&(PendingOut|PendingIn)]
	return subscription, ask
}

// items is everything that is stored for user, hidden items too, in order of
// address. Rows whose address is malformed are left out.
func (s store) items(ctx context.Context, user xmpp.JID) ([]Item, error) {
	var items []Item
	at := map[string]int{}
	err := s.Each(ctx, `SELECT `+itemColumns+` FROM rosterusers WHERE {host} AND username = ?`,
		[]any{user.Local()}, func(row storage.Row) error {
			it, err := readItem(row)
			if errors.Is(err, xmpp.ErrJID) {
				return nil
			}
			items = append(items, it)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read roster: %w", err)
	}
	slices.SortFunc(items, func(a, b Item) int { return compare(a.JID, b.JID) })
	for i := range items {
		at[items[i].JID.String()] = i
	}
	if len(items) == 0 {
		return nil, nil
	}
	err = s.Each(ctx, `SELECT jid, grp FROM rostergroups WHERE {host} AND username = ?`,
		[]any{user.Local()}, func(row storage.Row) error {
			var jid, group string
			if err := row.Scan(&jid, &group); err != nil {
				return err
			}
			if i, ok := at[jid]; ok {
				items[i].Groups = append(items[i].Groups, group)
			}
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read roster groups: %w", err)
	}
	for i := range items {
		items[i].Groups = normal(items[i].Groups)
	}
	return items, nil
}

func compare(a, b xmpp.JID) int {
	switch {
	case a.String() < b.String():
		return -1
	case a.String() > b.String():
		return 1
	}
	return 0
}

// item is what is stored of one contact, nil if there is nothing.
func (s store) item(ctx context.Context, q storage.Querier, user, contact xmpp.JID) (*Item, error) {
	var it *Item
	err := q.Each(ctx, `SELECT `+itemColumns+` FROM rosterusers WHERE {host} AND username = ? AND jid = ? {for update}`,
		[]any{user.Local(), contact.String()}, func(row storage.Row) error {
			i, err := readItem(row)
			it = &i
			return err
		})
	if err != nil || it == nil {
		return nil, err
	}
	err = q.Each(ctx, `SELECT grp FROM rostergroups WHERE {host} AND username = ? AND jid = ?`,
		[]any{user.Local(), contact.String()}, func(row storage.Row) error {
			var group string
			err := row.Scan(&group)
			it.Groups = append(it.Groups, group)
			return err
		})
	it.Groups = normal(it.Groups)
	return it, err
}

// edit says what becomes of an item: another one, the same, or nil for none.
// It may be called more than once.
type edit func(old *Item) (*Item, error)

// change edits what is stored of one contact, in one transaction. The version
// is the roster's new one, if versions are kept and clients see a difference.
func (s store) change(ctx context.Context, c change, f edit) (change, error) {
	again := func(tx *storage.Tx) (err error) {
		if c.old, err = s.item(ctx, tx, c.user, c.contact); err != nil {
			return err
		}
		if c.new, err = f(c.old); err != nil || c.new == c.old {
			return err
		}
		if c.new == nil {
			err = s.delete(ctx, tx, c.user, c.contact)
		} else {
			err = s.put(ctx, tx, &c)
		}
		if err != nil || !s.versions || !c.visible() {
			return err
		}
		c.version, err = s.newVersion(ctx, tx, c.user)
		return err
	}
	// Somebody else may insert the row between the read and the write.
	err := s.Tx(ctx, again)
	for try := 1; try < 3 && errors.Is(err, storage.ErrExists); try++ {
		err = s.Tx(ctx, again)
	}
	return c, err
}

func (s store) put(ctx context.Context, tx *storage.Tx, c *change) error {
	it := c.new
	subscription, ask := encode(it.State)
	mark := ""
	if it.kept && (&Item{State: it.State, Name: it.Name, Groups: it.Groups}).hidden() {
		mark = kept
	}
	args := []any{it.Name, subscription, it.State.Has(Approved), ask, it.request, mark, c.user.Local(), c.contact.String()}
	var err error
	if c.old == nil {
		if err = s.room(ctx, tx, c); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO rosterusers
			(nick, subscription, approved, ask, askmessage, subscribe, username, jid, {server_host,} server, type)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, {?host,} 'N', 'item')`, args...)
	} else {
		_, err = tx.Exec(ctx, `UPDATE rosterusers
			SET nick = ?, subscription = ?, approved = ?, ask = ?, askmessage = ?, subscribe = ?
			WHERE {host} AND username = ? AND jid = ?`, args...)
	}
	if err != nil || c.old != nil && slices.Equal(c.old.Groups, it.Groups) {
		return err
	}
	if err := s.deleteGroups(ctx, tx, c.user, c.contact); err != nil {
		return err
	}
	for _, g := range it.Groups {
		if _, err := tx.Exec(ctx, `INSERT INTO rostergroups ({server_host,} username, jid, grp) VALUES ({?host,} ?, ?, ?)`,
			c.user.Local(), c.contact.String(), g); err != nil {
			return err
		}
	}
	return nil
}

// room fails if c would make the roster too big.
func (s store) room(ctx context.Context, tx *storage.Tx, c *change) error {
	var all, requests int64
	err := tx.Get(ctx, []any{&all, &requests}, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN ask IN ('I', 'B') THEN 1 ELSE 0 END), 0)
		FROM rosterusers WHERE {host} AND username = ?`, c.user.Local())
	switch {
	case err != nil:
		return err
	case c.new.hidden() && requests >= maxRequests:
		return errManyRequests
	case all >= maxItems:
		return errManyItems
	}
	return nil
}

func (s store) delete(ctx context.Context, tx *storage.Tx, user, contact xmpp.JID) error {
	if err := s.deleteGroups(ctx, tx, user, contact); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `DELETE FROM rosterusers WHERE {host} AND username = ? AND jid = ?`, user.Local(), contact.String())
	return err
}

func (s store) deleteGroups(ctx context.Context, tx *storage.Tx, user, contact xmpp.JID) error {
	_, err := tx.Exec(ctx, `DELETE FROM rostergroups WHERE {host} AND username = ? AND jid = ?`, user.Local(), contact.String())
	return err
}

// remove forgets the whole roster of user.
func (s store) remove(ctx context.Context, user xmpp.JID) error {
	return s.Tx(ctx, func(tx *storage.Tx) error {
		for _, q := range []string{
			`DELETE FROM rosterusers WHERE {host} AND username = ?`,
			`DELETE FROM rostergroups WHERE {host} AND username = ?`,
			`DELETE FROM roster_version WHERE {host} AND username = ?`,
		} {
			if _, err := tx.Exec(ctx, q, user.Local()); err != nil {
				return err
			}
		}
		return nil
	})
}

// requests calls f for every request that waits for user's answer.
func (s store) requests(ctx context.Context, user xmpp.JID) (out []Item, err error) {
	err = s.Each(ctx, `SELECT `+itemColumns+` FROM rosterusers WHERE {host} AND username = ? AND ask IN ('I', 'B')
		ORDER BY created_at, jid LIMIT 1000`, []any{user.Local()}, func(row storage.Row) error {
		it, err := readItem(row)
		if errors.Is(err, xmpp.ErrJID) {
			return nil
		}
		out = append(out, it)
		return err
	})
	return out, err
}

// version is the stored version of user's roster; one is made if there is none.
func (s store) version(ctx context.Context, user xmpp.JID) (v string, err error) {
	err = s.Get(ctx, []any{&v}, `SELECT version FROM roster_version WHERE {host} AND username = ?`, user.Local())
	if errors.Is(err, storage.ErrNotFound) {
		return s.newVersion(ctx, s.DB, user)
	}
	return v, err
}

func (s store) newVersion(ctx context.Context, q storage.Querier, user xmpp.JID) (string, error) {
	var b [20]byte
	rand.Read(b[:]) // never fails
	v := hex.EncodeToString(b[:])
	_, err := q.Exec(ctx, `INSERT INTO roster_version ({server_host,} username, version) VALUES ({?host,} ?, ?)
		ON CONFLICT ({server_host,} username) DO UPDATE SET version = excluded.version`, user.Local(), v)
	return v, err
}

// users lists everybody who has a roster here.
func (s store) users(ctx context.Context) (out []string, err error) {
	err = s.Each(ctx, `SELECT DISTINCT username FROM rosterusers WHERE {host} ORDER BY username`, nil, func(row storage.Row) error {
		var name string
		err := row.Scan(&name)
		out = append(out, name)
		return err
	})
	return out, err
}
