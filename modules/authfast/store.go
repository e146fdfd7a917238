package authfast

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// schema is ejabberd's.
var schema = []storage.Version{{storage.Table{
	Name:    "auth_fast_tokens",
	Columns: "username text, server_host text, ua text, type char(1), token text, created_at timestamp default, expires timestamp",
	Indexes: "unique(server_host, username, ua, type)",
}}}

// countSchema keeps how often clients say that they have used a token, for those that
// count.
var countSchema = []storage.Version{{storage.Table{
	Name:    "gabberd_fast_count",
	Columns: "username text, server_host text, ua text, token text, uses bigint",
	Indexes: "unique(server_host, username, ua, token)",
}}}

// maxAgents is how many user agents of a user can have tokens; those that got theirs
// longest ago lose them.
const maxAgents = 50

// A row is a token.
type row struct {
	next             bool // it was not used yet; else it is the one in use
	secret           string
	created, expires time.Time
}

// Format keeps the token out of logs and messages, whatever the verb.
func (row) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(token)")) }

// store keeps tokens. Everything waits for the database: what was forgotten must be
// forgotten.
type store struct{ *storage.DB }

// key is how a user agent is called in the table.
func key(agent string) string { return digest(agent) }

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// tokens are those of a user agent, two at the most.
func (s store) tokens(ctx context.Context, user xmpp.JID, agent string) (list []row, err error) {
	err = s.Each(ctx, `SELECT type, token, created_at, expires FROM auth_fast_tokens WHERE {host} AND username = ? AND ua = ?`,
		[]any{user.Local(), key(agent)}, func(r storage.Row) error {
			var t row
			var kind string
			if err := r.Scan(&kind, &t.secret, &t.created, &t.expires); err != nil {
				return err
			}
			t.next = kind == "n"
			list = append(list, t)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	return list, nil
}

// add stores the successor of the token in use. One that was never used goes.
func (s store) add(ctx context.Context, user xmpp.JID, agent string, t row) error {
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO auth_fast_tokens ({server_host,} username, ua, type, token, created_at, expires)
			VALUES ({?host,} ?, ?, 'n', ?, ?, ?)
			ON CONFLICT ({server_host,} username, ua, type) DO UPDATE SET
			token = excluded.token, created_at = excluded.created_at, expires = excluded.expires`,
			user.Local(), key(agent), t.secret, t.created.UTC(), t.expires.UTC())
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM auth_fast_tokens WHERE {host} AND username = ? AND ua NOT IN
			(SELECT ua FROM auth_fast_tokens WHERE {host} AND username = ? GROUP BY ua ORDER BY MAX(created_at) DESC, ua LIMIT ?) AND ua <> ?`,
			user.Local(), user.Local(), maxAgents, key(agent)); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM gabberd_fast_count WHERE {host} AND username = ? AND ua NOT IN
			(SELECT ua FROM auth_fast_tokens WHERE {host} AND username = ?)`, user.Local(), user.Local())
		return err
	})
	if err != nil {
		return fmt.Errorf("store a token: %w", err)
	}
	return nil
}

// errStale says that a token has gone, or was used with this count already.
var errStale = errors.New("stale")

// redeem is called when a token is used: it becomes the one in use, and what was
// before it goes. Of several who do that at once with the same count, on whichever
// nodes, one succeeds.
func (s store) redeem(ctx context.Context, user xmpp.JID, agent string, t row, count uint64) (bool, error) {
	if !t.next && count == 0 {
		return true, nil // it has just been read
	}
	name, ua := user.Local(), key(agent)
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		if count > 0 {
			n, err := tx.Exec(ctx, `INSERT INTO gabberd_fast_count ({server_host,} username, ua, token, uses) VALUES ({?host,} ?, ?, ?, ?)
				ON CONFLICT ({server_host,} username, ua, token) DO UPDATE SET uses = excluded.uses WHERE gabberd_fast_count.uses < excluded.uses`,
				name, ua, digest(t.secret), int64(count))
			if err != nil || n == 0 {
				return errors.Join(err, stale(n))
			}
		}
		if !t.next {
			return nil
		}
		if _, err := tx.Exec(ctx, `DELETE FROM auth_fast_tokens WHERE {host} AND username = ? AND ua = ? AND type = 'c'`, name, ua); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE auth_fast_tokens SET type = 'c' WHERE {host} AND username = ? AND ua = ? AND type = 'n' AND token = ?`, name, ua, t.secret)
		if err != nil || n == 0 {
			return errors.Join(err, stale(n))
		}
		_, err = tx.Exec(ctx, `DELETE FROM gabberd_fast_count WHERE {host} AND username = ? AND ua = ? AND token <> ?`, name, ua, digest(t.secret))
		return err
	})
	switch {
	case errors.Is(err, errStale):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("use a token: %w", err)
	}
	return true, nil
}

// stale is errStale where no row was changed.
func stale(n int64) error {
	if n == 0 {
		return errStale
	}
	return nil
}

// removeAgent forgets the tokens of a user agent.
func (s store) removeAgent(ctx context.Context, user xmpp.JID, agent string) error {
	return s.remove(ctx, ` AND ua = ?`, user.Local(), key(agent))
}

// removeUser forgets all tokens of a user.
func (s store) removeUser(ctx context.Context, user xmpp.JID) error {
	return s.remove(ctx, ``, user.Local())
}

func (s store) remove(ctx context.Context, where string, args ...any) error {
	err := s.Tx(ctx, func(tx *storage.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM auth_fast_tokens WHERE {host} AND username = ?`+where, args...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM gabberd_fast_count WHERE {host} AND username = ?`+where, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget tokens: %w", err)
	}
	return nil
}
