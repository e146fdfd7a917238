package mam

import (
	"context"
	"fmt"
	"strings"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// recallRows is how many messages are read together.
const recallRows = 16

var recallNamed = `SELECT timestamp, xml, peer FROM archive WHERE {host} AND username = ? AND timestamp IN (?` +
	strings.Repeat(", ?", recallRows-1) + `) ORDER BY timestamp`

// namedRows reads those rows of user, recallRows of them at most.
func (s store) namedRows(ctx context.Context, user xmpp.JID, ids []int64) ([]row, error) {
	args := append(make([]any, 0, recallRows+1), user.Local())
	for i := range recallRows {
		args = append(args, ids[min(i, len(ids)-1)]) // the last one fills the rest
	}
	return s.rows(ctx, user, recallNamed, args...)
}

// rowsAfter reads the first rows of user behind a place, recallRows of them or a few
// more: rows of one time are not parted.
func (s store) rowsAfter(ctx context.Context, user xmpp.JID, after int64) ([]row, error) {
	return s.rows(ctx, user, `SELECT timestamp, xml, peer FROM archive WHERE {host} AND username = ? AND timestamp > ? AND timestamp <=
		(SELECT MAX(timestamp) FROM (SELECT timestamp FROM archive WHERE {host} AND username = ? AND timestamp > ?
		ORDER BY timestamp LIMIT ?) AS first) ORDER BY timestamp`, user.Local(), after, user.Local(), after, int64(recallRows))
}

func (s store) rows(ctx context.Context, user xmpp.JID, query string, args ...any) (list []row, err error) {
	err = s.Each(ctx, query, args, func(in storage.Row) error {
		x, err := scanRow(in, user)
		list = append(list, x)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read an archive: %w", err)
	}
	return list, nil
}

// recall hands over messages that a user was sent.
func (m *mam) recall(ctx context.Context, before Scanned, in Recalling) (Scanned, hooks.Flow) {
	if before.Err != nil {
		return before, hooks.Stop
	}
	next, ids, after := m.store.rowsAfter, in.IDs, in.After
	if in.IDs != nil {
		next = func(ctx context.Context, user xmpp.JID, _ int64) ([]row, error) {
			n := min(recallRows, len(ids))
			if n == 0 {
				return nil, nil
			}
			list, err := m.store.namedRows(ctx, user, ids[:n])
			ids = ids[n:]
			return list, err
		}
	}
	for {
		page, err := next(ctx, in.User, after)
		if err == nil && len(page) > 0 {
			after = page[len(page)-1].stamp
			err = in.Take(m.sentTo(in.User, page))
		}
		if err != nil || len(page) == 0 && (in.IDs == nil || len(ids) == 0) {
			return Scanned{err}, hooks.Next
		}
	}
}

// sentTo is those rows that are messages which user was sent, as he gets them.
func (m *mam) sentTo(user xmpp.JID, page []row) (list []*xmpp.Stanza) {
	for _, x := range page {
		st, err := xmpp.ParseXML([]byte(x.xml))
		if err != nil || st.Kind != xmpp.Message || st.To.Bare() != user || st.Has(nsRetract, "retracted") {
			continue
		}
		list = append(list, marked(unmarked(st, user).WithStamp(x.stamp), user))
	}
	return list
}

// writing says how far a message is on its way to its recipient's archive.
func (m *mam) writing(_ context.Context, w Write, st *xmpp.Stanza) (Write, hooks.Flow) {
	user := st.To.Bare()
	for el := range st.Children() {
		if !by(el, user) {
			continue
		}
		if id, err := parseID(el.Attr("id")); err == nil {
			return m.flight.look(user, id), hooks.Stop
		}
	}
	return w, hooks.Next
}
