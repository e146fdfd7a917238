package mam

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// scanRows is how many rows are read at once.
const scanRows = 500

// scanned is a row of the archive of anybody.
type scanned struct {
	id, stamp       int64
	user, peer, xml string
}

// between reads the rows of all users behind the given one and up to a time, in
// order.
func (s store) between(ctx context.Context, after scanned, until int64) (page []scanned, err error) {
	err = s.Each(ctx, `SELECT id, timestamp, username, peer, xml FROM archive
		WHERE {host} AND timestamp >= ? AND timestamp <= ? AND (timestamp > ? OR id > ?) ORDER BY timestamp, id LIMIT ?`,
		[]any{after.stamp, until, after.stamp, after.id, int64(scanRows)}, func(in storage.Row) error {
			var r scanned
			err := in.Scan(&r.id, &r.stamp, &r.user, &r.peer, &r.xml)
			page = append(page, r)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read archives: %w", err)
	}
	return page, nil
}

// scan hands over what users have archived. Rows that cannot be read are left out.
func (m *mam) scan(ctx context.Context, before Scanned, in Scanning) (Scanned, hooks.Flow) {
	if before.Err != nil {
		return before, hooks.Stop
	}
	last, until := scanned{stamp: in.Since.UnixMicro()}, in.Until.UnixMicro()
	for {
		page, err := m.store.between(ctx, last, until)
		if err != nil || len(page) == 0 {
			return Scanned{err}, hooks.Next
		}
		var list []sm.Storage
		for _, r := range page {
			if w, ok := m.stored(r); ok {
				list = append(list, w)
			}
		}
		if err := in.Take(m.store.DB, list); err != nil {
			return Scanned{err}, hooks.Next
		}
		last = page[len(page)-1]
	}
}

// stored is a row as it was on its way to the database.
func (m *mam) stored(r scanned) (w sm.Storage, ok bool) {
	user, err := m.host.User(r.user)
	if err != nil {
		return w, false
	}
	if strings.HasPrefix(r.xml, "\x01") {
		if r.xml, err = expand(r.xml, user.String(), r.peer); err != nil {
			return w, false
		}
	}
	st, err := xmpp.ParseXML([]byte(r.xml))
	if err != nil || st.Kind != xmpp.Message || st.Has(nsRetract, "retracted") {
		return w, false
	}
	w = sm.Storage{Table: "archive", User: user, Stanza: st.WithStamp(r.stamp)}
	if w.Peer, err = xmpp.Parse(r.peer); err != nil {
		return w, false
	}
	if st.From.Bare() == user {
		w.Direction = sm.Out
	}
	return w, true
}

// Scanned says how reading has ended.
type Scanned struct{ Err error } // why not everything was read

// A Scanning reads what all users of a host have archived in a time.
type Scanning struct {
	Since, Until time.Time
	Take         func(*storage.DB, []sm.Storage) error // is given some at a time, in order, and where they are kept; an error ends it
}

// String is the time, for traces.
func (s Scanning) String() string {
	return s.Since.Format(time.RFC3339) + " to " + s.Until.Format(time.RFC3339)
}
