package mam

import (
	"context"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const keeper = "mod_mam_sql"

// schema is ejabberd's. Its version 2 has added origin_id.
var schema = []storage.Version{
	{
		storage.Table{
			Name: "archive",
			Columns: "username text, server_host text, timestamp bigint, peer text, bare_peer text, xml text, txt text null, " +
				"id bigserial, kind text null, nick text null, created_at timestamp default",
			Indexes: "index(server_host, username, timestamp); index(server_host, username, peer); " +
				"index(server_host, username, bare_peer); index(server_host, timestamp)",
		},
		storage.Table{
			Name:    "archive_prefs",
			Columns: "username text, server_host text, def text, always text, never text, created_at timestamp default",
			Indexes: "unique(server_host, username)",
		},
	},
	{
		storage.AddColumn{Table: "archive", Column: "origin_id text null"},
		storage.AddIndex{Table: "archive", Index: "index(server_host, username, origin_id)"},
	},
}

// words finds messages by what is in them (XEP-0431).
var words = storage.Words{Name: "gabberd_archive_words", Index: "gabberd_archive_said", Table: "archive", Owner: "username", Column: "txt"}

// byPeer has what was said with somebody in order. Without it all of that is read and
// sorted for each page.
var byPeer = storage.OwnIndex{Name: "gabberd_archive_bare_peer", Table: "archive", Columns: "server_host, username, bare_peer, timestamp"}

// own is what we need besides.
var own = []storage.Version{
	{byPeer},
	{storage.NoIndex{Table: "archive", Columns: "server_host, username, bare_peer"}, storage.NoWords{Index: "gabberd_archive_words"}},
	{storage.NoWords{Index: "gabberd_archive_text"}, words},
}

// store keeps archives and preferences.
type store struct{ *storage.DB }

const insert = `INSERT INTO archive ({server_host,} username, timestamp, peer, bare_peer, xml, txt, kind, nick, origin_id)
	VALUES ({?host,} ?, ?, ?, ?, ?, ?, 'chat', '', ?)`

// add queues a message for the database, with what is to be done about it and what
// else is to be written. It does not wait.
func (s store) add(in Storing, st *xmpp.Stanza, stamp int64, jobs []storage.Job, also ...storage.Statement) (*storage.Ticket, error) {
	body := st.Body()
	list := append(make([]storage.Statement, 0, 4), storage.Statement{Query: insert, Args: []any{
		in.User.Local(), stamp, in.Peer.String(), in.Peer.Bare().String(), st.XML(), body, originOf(st)}})
	list = append(list, s.AddWords(words, in.User.Local(), body)...)
	return s.QueueWith(jobs, append(list, also...)...)
}

// remove removes the oldest messages of a user, those with peer if there is one,
// limit of them or a few more, and returns how many there were.
func (s store) remove(ctx context.Context, user xmpp.JID, peer *xmpp.JID, limit int) (int64, error) {
	f := filter{user: user}
	if peer != nil {
		f.with = peer.Bare()
	}
	cond, args := f.where()
	n, err := s.erase(ctx, cond+` AND timestamp <= (SELECT MAX(timestamp) FROM
		(SELECT timestamp FROM archive WHERE `+cond+` ORDER BY timestamp LIMIT ?) AS first)`,
		append(append(args, args...), int64(limit))...)
	if err != nil {
		return n, fmt.Errorf("remove archived messages: %w", err)
	}
	return n, nil
}

// erase removes the rows that fulfil a condition, and their words.
func (s store) erase(ctx context.Context, cond string, args ...any) (n int64, err error) {
	err = s.Tx(ctx, func(tx *storage.Tx) error {
		if err := tx.DropWords(ctx, words, cond, args...); err != nil {
			return err
		}
		n, err = tx.Exec(ctx, `DELETE FROM archive WHERE `+cond, args...)
		return err
	})
	return n, err
}

// removePrefs forgets what a user wants to be archived.
func (s store) removePrefs(ctx context.Context, user xmpp.JID) error {
	_, err := s.Exec(ctx, `DELETE FROM archive_prefs WHERE {host} AND username = ?`, user.Local())
	return err
}

// count counts the messages of a user.
func (s store) count(ctx context.Context, user xmpp.JID) (n int64, err error) {
	err = s.Get(ctx, []any{&n}, `SELECT COUNT(*) FROM archive WHERE {host} AND username = ?`, user.Local())
	return n, err
}

// old is a condition on the messages of a kind, empty for any.
func old(kind string) (cond string, args []any) {
	if kind == "" {
		return "", nil
	}
	return " AND kind = ?", []any{kind}
}

// deleteOld removes the oldest messages of a kind that are older than t, limit of
// them or a few more, and returns how many there were.
func (s store) deleteOld(ctx context.Context, t time.Time, kind string, limit int) (int64, error) {
	cond, args := old(kind)
	args = append([]any{t.UnixMicro()}, args...)
	return s.erase(ctx, `{host} AND timestamp < ?`+cond+` AND timestamp <= (SELECT MAX(timestamp) FROM
		(SELECT timestamp FROM archive WHERE {host} AND timestamp < ?`+cond+` ORDER BY timestamp LIMIT ?) AS first)`,
		append(append(args, args...), int64(limit))...)
}

// countOld counts the messages of a kind that are older than t.
func (s store) countOld(ctx context.Context, t time.Time, kind string) (n int64, err error) {
	cond, args := old(kind)
	err = s.Get(ctx, []any{&n}, `SELECT COUNT(*) FROM archive WHERE {host} AND timestamp < ?`+cond, append([]any{t.UnixMicro()}, args...)...)
	return n, err
}
