package push

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

var schema = []storage.Version{{storage.Table{
	Name:    "push_session",
	Columns: "username text, server_host text, timestamp bigint, service text, node text, xml text",
	Indexes: "unique(server_host, username, timestamp); unique(server_host, username, service, node)",
}}}

// maxTargets bounds the nodes of one user: beyond, the oldest goes.
const maxTargets = 20

// perSession is how many nodes one session can have, one microsecond apart.
const perSession = 16

// A target is a node of an app server that is told what comes for a client.
type target struct {
	// Since is when the session was opened that has enabled it, in microseconds since
	// 1970, and a little more for the second and later ones of a session.
	Since   int64
	Service xmpp.JID
	Node    string
	form    string // publish-options as XML, empty for none
}

// of reports whether the session that was opened at that time has enabled t.
func (t target) of(opened time.Time) bool {
	d := t.Since - opened.UnixMicro()
	return d >= 0 && d < perSession
}

// store keeps the targets. It waits for the database.
type store struct{ *storage.DB }

// list is the targets of a user, the oldest first. Rows that nobody can use are left
// out.
func (s store) list(ctx context.Context, user xmpp.JID) ([]target, error) {
	list, err := read(ctx, s.DB, user)
	if err != nil {
		return nil, fmt.Errorf("read push services: %w", err)
	}
	return list, nil
}

func read(ctx context.Context, q storage.Querier, user xmpp.JID) (list []target, err error) {
	err = q.Each(ctx, `SELECT timestamp, service, node, xml FROM push_session WHERE {host} AND username = ? ORDER BY timestamp`,
		[]any{user.Local()}, func(r storage.Row) error {
			var t target
			var service string
			if err := r.Scan(&t.Since, &service, &t.Node, &t.form); err != nil {
				return err
			}
			var bad error
			if t.Service, bad = xmpp.Parse(service); bad == nil {
				list = append(list, t)
			}
			return nil
		})
	return list, err
}

// A place is where a row is among those of a host, in the order in which all of them
// are gone through.
type place struct {
	name  string // of the user
	since int64
}

// An owned is a target and the name of its user.
type owned struct {
	target
	name string
}

// after is about the next n targets behind a place, of all users, and the place to go on
// from, which is the same if there are no more. Rows that nobody can use are left out.
func (s store) after(ctx context.Context, p place, n int) (list []owned, next place, err error) {
	next = p
	err = s.Each(ctx, `SELECT username, timestamp, service, node, xml FROM push_session
		WHERE {host} AND (username, timestamp) > (?, ?) ORDER BY username, timestamp LIMIT ?`, []any{p.name, p.since, n},
		func(r storage.Row) error {
			var o owned
			var service string
			if err := r.Scan(&o.name, &o.Since, &service, &o.Node, &o.form); err != nil {
				return err
			}
			next = place{o.name, o.Since}
			var bad error
			if o.Service, bad = xmpp.Parse(service); bad == nil {
				list = append(list, o)
			}
			return nil
		})
	if err != nil {
		return nil, p, fmt.Errorf("read push services: %w", err)
	}
	return list, next, nil
}

// put stores a target of a session that was opened at that time.
func (s store) put(ctx context.Context, user xmpp.JID, opened time.Time, t target) error {
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		if err := remove(ctx, tx, user, t.Service, t.Node); err != nil {
			return err
		}
		list, err := read(ctx, tx, user)
		if err != nil {
			return err
		}
		t.Since = opened.UnixMicro()
		for slices.ContainsFunc(list, func(o target) bool { return o.Since == t.Since }) {
			t.Since++
		}
		if !t.of(opened) {
			return xmpp.ResourceConstraint.WithText("This client has enabled too many nodes")
		}
		for len(list) >= maxTargets {
			if err := remove(ctx, tx, user, list[0].Service, list[0].Node); err != nil {
				return err
			}
			list = list[1:]
		}
		_, err = tx.Exec(ctx, `INSERT INTO push_session (username, {server_host,} timestamp, service, node, xml) VALUES (?, {?host,} ?, ?, ?, ?)`,
			user.Local(), t.Since, t.Service.String(), t.Node, t.form)
		return err
	})
	if err != nil {
		return fmt.Errorf("store a push service: %w", err)
	}
	return nil
}

func remove(ctx context.Context, q storage.Querier, user, service xmpp.JID, node string) error {
	_, err := q.Exec(ctx, `DELETE FROM push_session WHERE {host} AND username = ? AND service = ? AND node = ?`, user.Local(), service.String(), node)
	return err
}

// remove removes a target, or all of a service where node is empty, and returns how
// many those were.
func (s store) remove(ctx context.Context, user, service xmpp.JID, node string) (int64, error) {
	query, args := `DELETE FROM push_session WHERE {host} AND username = ? AND service = ?`, []any{user.Local(), service.String()}
	if node != "" {
		query, args = query+` AND node = ?`, append(args, node)
	}
	n, err := s.Exec(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("remove a push service: %w", err)
	}
	return n, nil
}

func (s store) removeUser(ctx context.Context, user xmpp.JID) error {
	if _, err := s.Exec(ctx, `DELETE FROM push_session WHERE {host} AND username = ?`, user.Local()); err != nil {
		return fmt.Errorf("remove push services: %w", err)
	}
	return nil
}

// removeOld removes what was enabled before that time.
func (s store) removeOld(ctx context.Context, before time.Time) error {
	if _, err := s.Exec(ctx, `DELETE FROM push_session WHERE {host} AND timestamp < ?`, before.UnixMicro()); err != nil {
		return fmt.Errorf("remove old push services: %w", err)
	}
	return nil
}
