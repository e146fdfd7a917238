package sharedroster

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/erlterm"
	"github.com/gabberd/gabberd/xmpp"
)

// schema is ejabberd's.
var schema = []storage.Version{{
	storage.Table{
		Name:    "sr_group",
		Columns: "name text, server_host text, opts text, created_at timestamp default",
		Indexes: "unique(server_host, name)",
	},
	storage.Table{
		Name:    "sr_user",
		Columns: "jid text, server_host text, grp text, created_at timestamp default",
		Indexes: "unique(server_host, jid, grp); index(server_host, grp)",
	},
}}

type store struct{ *storage.DB }

// groups reads all groups. One whose options are no Erlang list has none.
func (s store) groups(ctx context.Context) (map[string]*group, error) {
	out := map[string]*group{}
	err := s.Each(ctx, `SELECT name, opts FROM sr_group WHERE {host}`, nil, func(row storage.Row) error {
		var name, opts string
		if err := row.Scan(&name, &opts); err != nil {
			return err
		}
		out[name] = readGroup(name, opts)
		return nil
	})
	return out, err
}

// group returns storage.ErrNotFound for one that there is not.
func (s store) group(ctx context.Context, name string) (*group, error) {
	var opts string
	if err := s.Get(ctx, []any{&opts}, `SELECT opts FROM sr_group WHERE {host} AND name = ?`, name); err != nil {
		return nil, err
	}
	return readGroup(name, opts), nil
}

// members reads who is in which group by name.
func (s store) members(ctx context.Context, each func(user xmpp.JID, group string)) error {
	return s.Each(ctx, `SELECT jid, grp FROM sr_user WHERE {host}`, nil, func(row storage.Row) error {
		var jid, group string
		if err := row.Scan(&jid, &group); err != nil {
			return err
		}
		if j, err := xmpp.Parse(jid); err == nil {
			each(j.Bare(), group)
		}
		return nil
	})
}

// in reports whether the user is in the group by name.
func (s store) in(ctx context.Context, user xmpp.JID, group string) (bool, error) {
	err := s.Get(ctx, nil, `SELECT 1 FROM sr_user WHERE {host} AND jid = ? AND grp = ?`, user.String(), group)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// create makes a group; storage.ErrExists says that there is one.
func (s store) create(ctx context.Context, g *group) error {
	_, err := s.Exec(ctx, `INSERT INTO sr_group (name, {server_host,} opts) VALUES (?, {?host,} ?)`, g.name, g.text())
	return err
}

// edit changes the options of a group. The error may be storage.ErrNotFound.
func (s store) edit(ctx context.Context, name string, f func(*group)) error {
	return s.Tx(ctx, func(tx *storage.Tx) error {
		var opts string
		err := tx.Get(ctx, []any{&opts}, `SELECT opts FROM sr_group WHERE {host} AND name = ? {for update}`, name)
		if err != nil {
			return err
		}
		g := readGroup(name, opts)
		f(g)
		_, err = tx.Exec(ctx, `UPDATE sr_group SET opts = ? WHERE {host} AND name = ?`, g.text(), name)
		return err
	})
}

func (s store) delete(ctx context.Context, name string) error {
	return s.Tx(ctx, func(tx *storage.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM sr_user WHERE {host} AND grp = ?`, name); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM sr_group WHERE {host} AND name = ?`, name)
		return err
	})
}

func (s store) add(ctx context.Context, user xmpp.JID, group string) error {
	_, err := s.Exec(ctx, `INSERT INTO sr_user (jid, {server_host,} grp) VALUES (?, {?host,} ?) ON CONFLICT ({server_host,} jid, grp) DO NOTHING`, user.String(), group)
	return err
}

func (s store) take(ctx context.Context, user xmpp.JID, group string) error {
	_, err := s.Exec(ctx, `DELETE FROM sr_user WHERE {host} AND jid = ? AND grp = ?`, user.String(), group)
	return err
}

// remove takes a user out of all groups.
func (s store) remove(ctx context.Context, user xmpp.JID) error {
	_, err := s.Exec(ctx, `DELETE FROM sr_user WHERE {host} AND jid = ?`, user.String())
	return err
}

// group is a group and its options.
type group struct {
	name      string
	label     string // what clients call it
	about     string
	displayed []string // whose members its members see
	all       bool     // every account is a member
	online    bool     // everybody who is there is a member
	other     erlterm.List
}

// readGroup reads the options as ejabberd writes them.
func readGroup(name, opts string) *group {
	g := &group{name: name, label: name}
	t, err := erlterm.Parse(opts)
	if err != nil {
		return g
	}
	list, _ := erlterm.Items(t)
	for _, o := range list {
		key, value := option(o)
		switch key {
		case "label":
			g.label, _ = erlterm.Text(value)
		case "description":
			g.about, _ = erlterm.Text(value)
		case "displayed_groups":
			names, _ := erlterm.Items(value)
			for _, n := range names {
				if text, ok := erlterm.Text(n); ok && text != "" {
					g.displayed = append(g.displayed, text)
				}
			}
		case "all_users":
			g.all = value == erlterm.Term(erlterm.Bool(true))
		case "online_users":
			g.online = value == erlterm.Term(erlterm.Bool(true))
		default:
			g.other = append(g.other, o)
		}
	}
	if g.label == "" {
		g.label = name
	}
	return g
}

// option is {key, value}, or a key alone.
func option(t erlterm.Term) (key string, value erlterm.Term) {
	switch t := t.(type) {
	case erlterm.Atom:
		return string(t), erlterm.Bool(true)
	case erlterm.Tuple:
		if len(t) == 2 {
			if key, ok := t[0].(erlterm.Atom); ok {
				return string(key), t[1]
			}
		}
	}
	return "", nil
}

// options is what is stored of a group, in order.
func (g *group) options() []erlterm.Tuple {
	pair := func(key string, value erlterm.Term) erlterm.Tuple { return erlterm.Tuple{erlterm.Atom(key), value} }
	names := make(erlterm.List, 0, len(g.displayed))
	for _, n := range g.displayed {
		names = append(names, erlterm.Binary(n))
	}
	out := []erlterm.Tuple{pair("label", erlterm.Binary(g.label)), pair("description", erlterm.Binary(g.about)), pair("displayed_groups", names)}
	if g.all {
		out = append(out, pair("all_users", erlterm.Bool(true)))
	}
	if g.online {
		out = append(out, pair("online_users", erlterm.Bool(true)))
	}
	return out
}

func (g *group) text() string {
	var list erlterm.List
	for _, o := range g.options() {
		list = append(list, o)
	}
	return erlterm.Format(append(list, g.other...))
}
