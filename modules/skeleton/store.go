package skeleton

import (
	"context"
	"errors"
	"fmt"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// schema is the first version of our table. A later one is added behind it; this
// one never changes again.
var schema = storage.Version{storage.Table{
	Name:    "skeleton",
	Columns: "username text, server_host text, greetings bigint",
	Indexes: "unique(server_host, username)",
}}

// store keeps the greetings. Its queries run on every database and in both
// flavours of the tables.
type store struct{ *storage.DB }

// add counts one more greeting.
func (s store) add(ctx context.Context, user xmpp.JID) error {
	_, err := s.Exec(ctx, `
		INSERT INTO skeleton ({server_host,} username, greetings) VALUES ({?host,} ?, 1)
		ON CONFLICT ({server_host,} username) DO UPDATE SET greetings = skeleton.greetings + 1`, user.Local())
	if err != nil {
		return fmt.Errorf("count a greeting: %w", err)
	}
	return nil
}

// count is how often a user has greeted.
func (s store) count(ctx context.Context, user xmpp.JID) (int, error) {
	var n int64
	err := s.Get(ctx, []any{&n}, `SELECT greetings FROM skeleton WHERE {host} AND username = ?`, user.Local())
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return 0, fmt.Errorf("read greetings: %w", err)
	}
	return int(n), nil
}

// remove forgets a user.
func (s store) remove(ctx context.Context, user xmpp.JID) error {
	if _, err := s.Exec(ctx, `DELETE FROM skeleton WHERE {host} AND username = ?`, user.Local()); err != nil {
		return fmt.Errorf("remove greetings: %w", err)
	}
	return nil
}
