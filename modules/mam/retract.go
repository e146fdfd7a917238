package mam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// recent is how many of the last messages with somebody are searched for one that
// was taken back and that the index does not know by the name that it was called.
const recent = 200

// retract finds a message that its sender takes back with st (XEP-0424 §5), in the
// archive of one of the two, and is what empties it: to be written together with st,
// so that both happen or neither. It reads the database. later says that the message
// may be on its way there: it is to be looked for once more behind st.
func (m *mam) retract(ctx context.Context, in Storing, st *xmpp.Stanza) (statements []storage.Statement, later bool) {
	id := st.Child(nsRetract, "retract").Attr("id")
	if id == "" {
		return nil, false
	}
	later = m.flight.any(in.User) || m.host.Hooks().Spreads() // others write, too
	ctx, cancel := context.WithTimeout(ctx, prefsTimeout)
	defer cancel()
	found, err := m.store.named(ctx, in, id, st.From.Bare())
	if err == nil && found.stamp != 0 {
		statements, err = m.store.empty(in, found, st.ID)
	}
	if err != nil {
		m.host.Log.Error("a message that was taken back is looked for again later", "user", in.User.String(), "error", err)
		return nil, true
	}
	return statements, later && statements == nil
}

// retractLate empties a message that was on its way when it was taken back. It waits
// for the database.
func (m *mam) retractLate(in Storing, st *xmpp.Stanza) {
	ctx := m.host.Context()
	found, err := m.store.named(ctx, in, st.Child(nsRetract, "retract").Attr("id"), st.From.Bare())
	if err == nil && found.stamp != 0 {
		var list []storage.Statement
		if list, err = m.store.empty(in, found, st.ID); err == nil {
			err = m.store.Tx(ctx, func(tx *storage.Tx) error {
				for _, s := range list {
					if _, err := tx.Exec(ctx, s.Query, s.Args...); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err != nil && ctx.Err() == nil {
		m.host.Log.Error("a message that was taken back is left in the archive", "user", in.User.String(), "error", err)
	}
}

// named finds what sender calls by id: the message that has it as its own ID, its
// <origin-id/> or its ID in this archive. Nobody else's message is found.
func (s store) named(ctx context.Context, in Storing, id string, sender xmpp.JID) (found row, err error) {
	scan := func(r storage.Row) error {
		x, err := scanRow(r, in.User)
		if err != nil {
			return err
		}
		st, err := xmpp.ParseXML([]byte(x.xml))
		if err != nil || st.From.Bare() != sender || st.Has(nsRetract, "retract") || st.Has(nsRetract, "retracted") {
			return nil // not his, not a message, or nothing to take back
		}
		if st.ID == id || originOf(st) == id || x.id() == id {
			found = x
			return errPage
		}
		return nil
	}
	user, peer := in.User.Local(), in.Peer.Bare().String()
	err = s.Each(ctx, `SELECT timestamp, xml, peer FROM archive WHERE {host} AND username = ? AND origin_id = ? AND bare_peer = ?
		ORDER BY timestamp DESC LIMIT ?`, []any{user, id, peer, int64(recent)}, scan)
	if err == nil {
		err = s.Each(ctx, `SELECT timestamp, xml, peer FROM archive WHERE {host} AND username = ? AND bare_peer = ?
			ORDER BY timestamp DESC LIMIT ?`, []any{user, peer, int64(recent)}, scan)
	}
	if err != nil && !errors.Is(err, errPage) {
		return row{}, fmt.Errorf("look for a message: %w", err)
	}
	return found, nil
}

// empty is what puts a tombstone in the place of a message: who said something to whom
// and when is left, and that it was taken back by the message called by.
func (s store) empty(in Storing, x row, by string) ([]storage.Statement, error) {
	st, err := xmpp.ParseXML([]byte(x.xml))
	if err != nil {
		return nil, err
	}
	el := xmpp.Build(nsRetract, "retracted").OptAttr("id", by).Attr("stamp", time.Now().UTC().Format(stampFormat)).Done()
	stone := xmpp.New(xmpp.Message, st.Type, st.From, st.To, st.ID, el)
	const cond = `{host} AND username = ? AND timestamp = ? AND bare_peer = ?`
	args := []any{in.User.Local(), x.stamp, in.Peer.Bare().String()}
	return append(s.DropWords(words, cond, args...),
		storage.Statement{Query: `UPDATE archive SET xml = ?, txt = '' WHERE ` + cond, Args: append([]any{stone.XML()}, args...)}), nil
}
