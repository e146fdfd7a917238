package last

import (
	"context"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// Activity is when a user was last there and what he said when he left.
type Activity struct {
	Seen   time.Time
	Status string
}

// maxStatus bounds the status that is kept, in bytes.
const maxStatus = 4096

var schema = []storage.Version{{storage.Table{
	Name:    "last",
	Columns: "username text, server_host text, seconds text, state text",
	Indexes: "unique(server_host, username)",
}}}

// store keeps activities. Writing does not wait.
type store struct{ *storage.DB }

// get returns storage.ErrNotFound for who was never there.
func (s store) get(ctx context.Context, user xmpp.JID) (a Activity, err error) {
	var seconds string
	err = s.Get(ctx, []any{&seconds, &a.Status}, `SELECT seconds, state FROM last WHERE {host} AND username = ?`, user.Local())
	if err != nil {
		return a, err
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return a, fmt.Errorf("last activity of %s: %w", user, err)
	}
	a.Seen = time.Unix(n, 0)
	return a, nil
}

const set = `INSERT INTO last ({server_host,} username, seconds, state) VALUES ({?host,} ?, ?, ?)
	ON CONFLICT ({server_host,} username) DO UPDATE SET seconds = excluded.seconds, state = excluded.state`

func (s store) set(user xmpp.JID, a Activity) (*storage.Ticket, error) {
	return s.Queue(set, user.Local(), strconv.FormatInt(a.Seen.Unix(), 10), a.Status)
}

// setLazily is set for who does not wait.
func (s store) setLazily(user xmpp.JID, a Activity) (*storage.Ticket, error) {
	return s.QueueLazily(set, user.Local(), strconv.FormatInt(a.Seen.Unix(), 10), a.Status)
}

func (s store) remove(user xmpp.JID) (*storage.Ticket, error) {
	return s.Queue(`DELETE FROM last WHERE {host} AND username = ?`, user.Local())
}

// clip cuts a status to what is kept, between characters.
func clip(s string) string {
	if len(s) <= maxStatus {
		return s
	}
	n := maxStatus
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
