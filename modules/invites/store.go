package invites

import (
	"context"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// schema is ejabberd's, in all of its versions.
var schema = []storage.Version{
	{storage.Table{
		Name: "invite_token",
		Columns: `token text, username text, server_host text, invitee text default, created_at timestamp default,
			expires timestamp default, type char(1), account_name text`,
		Indexes: "unique(token); index(username, server_host)",
	}},
	{storage.AddIndex{Table: "invite_token", Index: "index(invitee)"}},
	{
		storage.AddIndex{Table: "invite_token", Index: "index(type)"},
		storage.AddIndex{Table: "invite_token", Index: "index(account_name)"},
	},
}

// A kind is what an invitation is for, as column type has it.
type kind string

// The kinds.
const (
	toContact kind = "R" // to become a contact, and to make an account if the inviter may let people
	toAccount kind = "A" // to make an account
	toBoth    kind = "S" // to make an account, and to become a contact
	toReset   kind = "T" // to give an account another password
)

// word is ejabberd's for it.
func (k kind) word() string {
	return map[kind]string{toContact: "roster_only", toAccount: "account_only", toBoth: "account_subscription", toReset: "reset_token"}[k]
}

// An invite is an invitation as it is stored.
type invite struct {
	token            string
	inviter          string // the user's name; empty: the server itself
	invitee          string // bare address of who has used it, empty as long as nobody has
	created, expires time.Time
	kind             kind
	account          string // the name that the account has, or is to have; may be empty
}

// Format keeps the token out of logs and messages, whatever the verb.
func (invite) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("(invitation)")) }

// valid reports whether it can be used.
func (i *invite) valid() bool { return i.invitee == "" && i.expires.After(time.Now()) }

// store keeps invitations. Its methods wait for the database: what is used up must
// be so for everybody. Times in the table are those of UTC, in whole seconds, which is
// all that ejabberd reads.
type store struct{ *storage.DB }

const columns = "token, username, invitee, created_at, expires, type, account_name"

func read(row storage.Row) (i invite, err error) {
	err = row.Scan(&i.token, &i.inviter, &i.invitee, &i.created, &i.expires, &i.kind, &i.account)
	return i, err
}

// find is the invitation with a token. The error is storage.ErrNotFound if there is
// none on this host.
func (s store) find(ctx context.Context, token string) (invite, error) {
	i, found := invite{}, false
	err := s.Each(ctx, `SELECT `+columns+` FROM invite_token WHERE {host} AND token = ?`, []any{token}, func(row storage.Row) (err error) {
		found = true
		i, err = read(row)
		return err
	})
	switch {
	case err != nil:
		return i, fmt.Errorf("read an invitation: %w", err)
	case !found:
		return i, storage.ErrNotFound
	}
	return i, nil
}

// all is every invitation, in the order in which they were made.
func (s store) all(ctx context.Context) ([]invite, error) {
	list := []invite{}
	err := s.Each(ctx, `SELECT `+columns+` FROM invite_token WHERE {host} ORDER BY created_at, token`, nil, func(row storage.Row) error {
		i, err := read(row)
		list = append(list, i)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read invitations: %w", err)
	}
	return list, nil
}

func (s store) add(ctx context.Context, i *invite) error {
	_, err := s.Exec(ctx, `INSERT INTO invite_token (token, username, {server_host,} created_at, expires, type, account_name)
		VALUES (?, ?, {?host,} ?, ?, ?, ?)`, i.token, i.inviter, i.created, i.expires, i.kind, i.account)
	if err != nil {
		return fmt.Errorf("store an invitation: %w", err)
	}
	return nil
}

// take uses i up for somebody (bare address), who has or will have an account of that
// name, which may be empty. It reports whether that was done: of several who try, on
// whichever nodes, one succeeds.
func (s store) take(ctx context.Context, i *invite, invitee xmpp.JID, name string) (bool, error) {
	n, err := s.Exec(ctx, `UPDATE invite_token SET invitee = ?, account_name = ?
		WHERE {host} AND token = ? AND invitee = '' AND type = ? AND account_name = ?`, invitee, name, i.token, i.kind, i.account)
	if err != nil {
		return false, fmt.Errorf("use an invitation up: %w", err)
	}
	return n == 1, nil
}

// giveBack undoes take.
func (s store) giveBack(ctx context.Context, i *invite, invitee xmpp.JID) error {
	_, err := s.Exec(ctx, `UPDATE invite_token SET invitee = '', account_name = ? WHERE {host} AND token = ? AND invitee = ?`,
		i.account, i.token, invitee)
	if err != nil {
		return fmt.Errorf("give an invitation back: %w", err)
	}
	return nil
}

// reserved reports whether an invitation other than that with the token is for the
// account of that name.
func (s store) reserved(ctx context.Context, name, token string) (bool, error) {
	n, err := s.count(ctx, `account_name = ? AND token <> ? AND invitee = '' AND type IN ('A', 'S') AND expires > ?`, name, token, time.Now())
	return n > 0, err
}

// made counts the invitations of a user, and those of them that are for accounts: of
// invitations of contacts those by which an account was made, of the others all that
// were used or can be.
func (s store) made(ctx context.Context, user string) (all, accounts int, err error) {
	if all, err = s.count(ctx, `username = ?`, user); err != nil {
		return 0, 0, err
	}
	accounts, err = s.count(ctx, `username = ? AND (type = 'R' AND account_name <> '' OR type IN ('A', 'S') AND (invitee <> '' OR expires > ?))`, user, time.Now())
	return all, accounts, err
}

func (s store) count(ctx context.Context, where string, args ...any) (int, error) {
	var n int64
	if err := s.Get(ctx, []any{&n}, `SELECT COUNT(*) FROM invite_token WHERE {host} AND `+where, args...); err != nil {
		return 0, fmt.Errorf("count invitations: %w", err)
	}
	return int(n), nil
}

// inviterOf is who has invited a user to make his account, and when; empty if that is
// not known.
func (s store) inviterOf(ctx context.Context, user xmpp.JID) (name string, at time.Time, err error) {
	err = s.Each(ctx, `SELECT username, created_at FROM invite_token WHERE {host} AND
		(type IN ('A', 'S') AND invitee = ? OR type = 'R' AND account_name = ?) ORDER BY created_at DESC LIMIT 1`,
		[]any{user, user.Local()}, func(row storage.Row) error { return row.Scan(&name, &at) })
	if err != nil {
		return "", at, fmt.Errorf("read who has invited a user: %w", err)
	}
	return name, at, nil
}

// descendants counts the invitations for accounts of a user, of those who have their
// accounts by them, and so on.
func (s store) descendants(ctx context.Context, user xmpp.JID) (int, error) {
	var n int64
	const name = `CASE WHEN type = 'R' THEN account_name ELSE replace(invitee, ?, '') END`
	const counts = `type <> 'T' AND (type <> 'R' OR account_name <> '')`
	at := "@" + user.Domain()
	err := s.Get(ctx, []any{&n}, `WITH RECURSIVE made(token, name) AS (
			SELECT token, `+name+` FROM invite_token WHERE {host} AND username = ? AND `+counts+`
			UNION SELECT t.token, `+name+` FROM invite_token t JOIN made ON t.username = made.name
			WHERE {t.host} AND t.username <> '' AND `+counts+`
		) SELECT COUNT(*) FROM (SELECT made.token FROM made LIMIT ?) counted`, at, user.Local(), at, maxInvites)
	if err != nil {
		return 0, fmt.Errorf("count invitations: %w", err)
	}
	return int(n), nil
}

// tidy forgets what a user has invited contacts to, used or not, when it has expired:
// it is of no use any more.
func (s store) tidy(ctx context.Context, user string) error {
	_, err := s.Exec(ctx, `DELETE FROM invite_token WHERE {host} AND username = ? AND type = 'R' AND account_name = '' AND expires < ?`, user, time.Now())
	if err != nil {
		return fmt.Errorf("forget old invitations: %w", err)
	}
	return nil
}

// cleanup forgets what has expired, used or not.
func (s store) cleanup(ctx context.Context) (int64, error) {
	return s.Exec(ctx, `DELETE FROM invite_token WHERE {host} AND expires < ?`, time.Now())
}

// past is when an invitation expires that is revoked, as ejabberd has it.
func past() time.Time { return time.Unix(1, 0) }

// expireOf revokes what a user has invited people to, but for contacts.
func (s store) expireOf(ctx context.Context, user string) (int64, error) {
	return s.Exec(ctx, `UPDATE invite_token SET expires = ? WHERE {host} AND username = ? AND expires > ? AND type <> 'R'`, past(), user, time.Now())
}

func (s store) expire(ctx context.Context, token string) (int64, error) {
	return s.Exec(ctx, `UPDATE invite_token SET expires = ? WHERE {host} AND token = ?`, past(), token)
}

func (s store) delete(ctx context.Context, token string) (int64, error) {
	return s.Exec(ctx, `DELETE FROM invite_token WHERE {host} AND token = ?`, token)
}

// removeUser forgets what a user has invited people to, and what would change his
// password: the next of that name is somebody else.
func (s store) removeUser(ctx context.Context, user string) error {
	_, err := s.Exec(ctx, `DELETE FROM invite_token WHERE {host} AND (username = ? OR type = 'T' AND account_name = ?)`, user, user)
	if err != nil {
		return fmt.Errorf("remove invitations: %w", err)
	}
	return nil
}

// removeResets forgets what would change a user's password.
func (s store) removeResets(ctx context.Context, user string) error {
	_, err := s.Exec(ctx, `DELETE FROM invite_token WHERE {host} AND type = 'T' AND account_name = ? AND invitee = ''`, user)
	if err != nil {
		return fmt.Errorf("remove invitations to choose a password: %w", err)
	}
	return nil
}
