package privacy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// schema is ejabberd's.
var schema = []storage.Version{{
	storage.Table{
		Name:    "privacy_list",
		Columns: "username text, server_host text, name text, id bigserial, created_at timestamp default",
		Indexes: "unique(id); unique(server_host, username, name)",
	},
	storage.Table{
		Name: "privacy_list_data",
		Columns: "id bigint references privacy_list(id), t char(1), value text, action char(1), ord numeric, match_all boolean, " +
			"match_iq boolean, match_message boolean, match_presence_in boolean, match_presence_out boolean",
		Indexes: "index(id)",
	},
	storage.Table{
		Name:    "privacy_default_list",
		Columns: "username text, server_host text, name text",
		Indexes: "unique(server_host, username)",
	},
}}

type store struct{ *storage.DB }

// rules returns nil for a user without lists.
func (s store) rules(ctx context.Context, user xmpp.JID) (*rules, error) {
	r, err := read(ctx, s, user, "")
	if err != nil {
		return nil, fmt.Errorf("read privacy lists: %w", err)
	}
	return r, nil
}

// read reads the lists of a user. lock is put behind a query that a transaction
// will act upon.
func read(ctx context.Context, q storage.Querier, user xmpp.JID, lock string) (*rules, error) {
	var names []string
	err := q.Each(ctx, `SELECT name FROM privacy_list WHERE {host} AND username = ? ORDER BY name `+lock, []any{user.Local()},
		func(row storage.Row) error {
			var name string
			if err := row.Scan(&name); err != nil {
				return err
			}
			names = append(names, name)
			return nil
		})
	if err != nil || len(names) == 0 {
		return nil, err
	}
	items, err := readItems(ctx, q, user)
	if err != nil {
		return nil, err
	}
	var def string
	err = q.Get(ctx, []any{&def}, `SELECT name FROM privacy_default_list WHERE {host} AND username = ?`, user.Local())
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	r := &rules{}
	slices.Sort(names) // databases have orders of their own
	for _, name := range names {
		l := newList(name, items[name])
		r.lists = append(r.lists, l)
		if err == nil && name == def {
			r.common = l
		}
	}
	return r, nil
}

// readItems reads the items of all lists of a user. What cannot be understood is
// left out, as ejabberd does.
func readItems(ctx context.Context, q storage.Querier, user xmpp.JID) (map[string][]item, error) {
	items := map[string][]item{}
	err := q.Each(ctx, `SELECT l.name, d.t, d.value, d.action, CAST(d.ord AS bigint), d.match_all, d.match_iq, d.match_message, d.match_presence_in, d.match_presence_out
		FROM privacy_list l JOIN privacy_list_data d ON d.id = l.id WHERE {l.host} AND l.username = ? ORDER BY d.ord`, []any{user.Local()},
		func(row storage.Row) error {
			var name, t, value, action string
			var order int64
			var all, iq, msg, in, out bool
			if err := row.Scan(&name, &t, &value, &action, &order, &all, &iq, &msg, &in, &out); err != nil {
				return err
			}
			if it, ok := itemOf(match(t), value); ok && (all || iq || msg || in || out) {
				it.allow, it.order = action == "a", order
				if !all {
					it.kinds = kindsOf(iq, msg, in, out)
				}
				items[name] = append(items[name], it)
			}
			return nil
		})
	return items, err
}

// itemOf is an item that compares value. ok is false if there is nothing to be
// compared with it.
func itemOf(t match, value string) (it item, ok bool) {
	it.match = t
	switch t {
	case anybody:
		return it, true
	case byJID:
		j, err := xmpp.Parse(value)
		it.jid = j
		return it, err == nil
	case byGroup:
		it.value = value
		return it, value != ""
	case bySubscription:
		it.value = value
		return it, slices.Contains([]string{"none", "to", "from", "both"}, value)
	}
	return it, false
}

func kindsOf(iq, msg, in, out bool) (k kinds) {
	for _, x := range []struct {
		is   bool
		kind kinds
	}{{iq, iqs}, {msg, messages}, {in, presenceIn}, {out, presenceOut}} {
		if x.is {
			k |= x.kind
		}
	}
	return k
}

// A draft is the lists of a user on the way to the database.
type draft struct {
	before *rules
	name   string // of the list that is set or removed; empty: none is
	items  []item // what is in it then; nil: it is removed
	// common is the default list then, if it is to be changed; empty: none.
	common    string
	setCommon bool

	blocked, freed []xmpp.JID // what has come to the blocklist, and what has gone
}

// change has f say what is to be changed of a user's lists, and stores that, or
// nothing. Others who change them wait.
func (s store) change(ctx context.Context, user xmpp.JID, f func(before *rules) (draft, error)) (d draft, after *rules, err error) {
	d, after, err = s.once(ctx, user, f)
	if errors.Is(err, storage.ErrExists) { // another node has made the user's first list
		d, after, err = s.once(ctx, user, f)
	}
	return d, after, err
}

func (s store) once(ctx context.Context, user xmpp.JID, f func(before *rules) (draft, error)) (d draft, after *rules, err error) {
	err = s.Tx(ctx, func(tx *storage.Tx) error {
		before, err := read(ctx, tx, user, "{for update}")
		if err != nil {
			return fmt.Errorf("read privacy lists: %w", err)
		}
		if d, err = f(before); err != nil {
			return err
		}
		d.before = before
		if err := write(ctx, tx, user, d); err != nil {
			return fmt.Errorf("write privacy lists: %w", err)
		}
		after, err = read(ctx, tx, user, "")
		return err
	})
	return d, after, err
}

func write(ctx context.Context, tx *storage.Tx, user xmpp.JID, d draft) error {
	old := d.before.find(d.name)
	switch {
	case d.name == "":
	case d.items == nil:
		if err := drop(ctx, tx, user, d.name); err != nil {
			return err
		}
	default:
		if old == nil {
			_, err := tx.Exec(ctx, `INSERT INTO privacy_list ({server_host,} username, name) VALUES ({?host,} ?, ?)`, user.Local(), d.name)
			if err != nil {
				return err
			}
		}
		if err := writeItems(ctx, tx, user, d.name, old, d.items); err != nil {
			return err
		}
	}
	switch {
	case !d.setCommon:
		return nil
	case d.common == "":
		_, err := tx.Exec(ctx, `DELETE FROM privacy_default_list WHERE {host} AND username = ?`, user.Local())
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO privacy_default_list ({server_host,} username, name) VALUES ({?host,} ?, ?)
		ON CONFLICT ({server_host,} username) DO UPDATE SET name = excluded.name`, user.Local(), d.common)
	return err
}

// writeItems makes the items of a list those, by as few rows as that needs.
func writeItems(ctx context.Context, tx *storage.Tx, user xmpp.JID, name string, old *list, items []item) error {
	var id int64
	err := tx.Get(ctx, []any{&id}, `SELECT id FROM privacy_list WHERE {host} AND username = ? AND name = ?`, user.Local(), name)
	if err != nil {
		return err
	}
	count := map[item]int{}
	if old != nil {
		for _, it := range old.items {
			count[it]--
		}
	}
	for _, it := range items {
		count[it]++
	}
	for it, n := range count {
		if n < 0 { // all that are equal go, and come again
			_, err := tx.Exec(ctx, `DELETE FROM privacy_list_data WHERE id = ? AND t = ? AND value = ? AND action = ? AND ord = CAST(? AS bigint)
				AND match_all = ? AND match_iq = ? AND match_message = ? AND match_presence_in = ? AND match_presence_out = ?`, it.row(id)...)
			if err != nil {
				return err
			}
			count[it] = len(equal(items, it))
		}
	}
	for _, it := range items { // in their order, which equal numbers leave open
		if count[it] <= 0 {
			continue
		}
		count[it]--
		_, err := tx.Exec(ctx, `INSERT INTO privacy_list_data (id, t, value, action, ord, match_all, match_iq, match_message, match_presence_in, match_presence_out)
			VALUES (?, ?, ?, ?, CAST(? AS bigint), ?, ?, ?, ?, ?)`, it.row(id)...)
		if err != nil {
			return err
		}
	}
	return nil
}

func equal(items []item, it item) (out []item) {
	for _, o := range items {
		if o == it {
			out = append(out, o)
		}
	}
	return out
}

// row is the item as a row of the list with that id.
func (i *item) row(id int64) []any {
	action := "d"
	if i.allow {
		action = "a"
	}
	k := i.kinds
	return []any{id, string(i.match), i.text(), action, i.order, k == everything, k&iqs != 0, k&messages != 0, k&presenceIn != 0, k&presenceOut != 0}
}

func drop(ctx context.Context, tx *storage.Tx, user xmpp.JID, name string) error {
	// A SQLite of ejabberd need not follow the reference.
	_, err := tx.Exec(ctx, `DELETE FROM privacy_list_data WHERE id IN (SELECT id FROM privacy_list WHERE {host} AND username = ? AND name = ?)`, user.Local(), name)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM privacy_list WHERE {host} AND username = ? AND name = ?`, user.Local(), name)
	return err
}

// remove forgets all lists of a user.
func (s store) remove(ctx context.Context, user xmpp.JID) error {
	return s.Tx(ctx, func(tx *storage.Tx) error {
		for _, query := range []string{
			`DELETE FROM privacy_list_data WHERE id IN (SELECT id FROM privacy_list WHERE {host} AND username = ?)`,
			`DELETE FROM privacy_list WHERE {host} AND username = ?`,
			`DELETE FROM privacy_default_list WHERE {host} AND username = ?`,
		} {
			if _, err := tx.Exec(ctx, query, user.Local()); err != nil {
				return err
			}
		}
		return nil
	})
}
