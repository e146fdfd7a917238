package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/xdg-go/stringprep"
)

// sqlBackend keeps accounts in ejabberd's table users, one row for each form of
// a password.
type sqlBackend struct {
	name string
	db   *storage.DB
	log  *slog.Logger
	// single: the table is that of an ejabberd before 25.03, without the column
	// type. An account has one row, which says its hash in front of the key.
	single bool
}

// usersTables are the versions of ejabberd_auth_sql.
var usersTables = []storage.Version{
	{storage.Table{
		Name: "users",
		Columns: "username text, server_host text, password text, serverkey varchar(128) default, " +
			"salt varchar(128) default, iterationcount integer default, created_at timestamp default",
		Indexes: "unique(server_host, username)",
	}},
	{
		storage.AddColumn{Table: "users", Column: "type smallint"},
		storage.PrimaryKey{Table: "users", Columns: "server_host, username, type"},
	},
}

// open makes the table, or finds out how old it is. One that is older than the
// column type stays as it is, so that the ejabberd which made it can go on with
// it, unless the forms of a password that are wanted need more than a row.
func (b *sqlBackend) open(ctx context.Context, forms int) error {
	const module = "ejabberd_auth_sql"
	if forms > 1 {
		return b.db.Migrate(ctx, module, usersTables...)
	}
	version, err := b.db.Keep(ctx, module, usersTables...)
	b.single = version == 1
	return err
}

// Name is how auth_method calls it.
func (b *sqlBackend) Name() string { return b.name }

// Exists reports whether there is an account of this name, in any spelling.
func (b *sqlBackend) Exists(ctx context.Context, user xmpp.JID) (bool, error) {
	names, args := either(spellings(user))
	var n int
	err := b.db.Get(ctx, []any{&n}, `SELECT COUNT(*) FROM users WHERE {host} AND username `+names, args...)
	if err != nil {
		return false, fmt.Errorf("look for an account: %w", err)
	}
	return n > 0, nil
}

// Find reads the passwords of an account: one query, whether it exists or not.
func (b *sqlBackend) Find(ctx context.Context, user xmpp.JID) (xmpp.JID, []Password, error) {
	exact, older := spellings(user)
	found, err := b.passwords(ctx, b.db, exact, older)
	if err != nil {
		return user, nil, err
	}
	if found[exact] != nil || found[older] == nil {
		return user, found[exact], nil
	}
	stored, err := xmpp.NewJID(older, user.Domain(), "")
	if err != nil {
		return user, nil, fmt.Errorf("read an account: %w", err)
	}
	return stored, found[older], nil
}

// either is the condition for one of two names. They are the same nearly always, and
// then the database needs no list and does not sort.
func either(exact, older string) (cond string, args []any) {
	if exact == older {
		return "= ?", []any{exact}
	}
	return "IN (?, ?)", []any{exact, older}
}

// passwords reads the rows of up to two names.
func (b *sqlBackend) passwords(ctx context.Context, q storage.Querier, exact, older string) (map[string][]Password, error) {
	found := map[string][]Password{}
	kind, order := "COALESCE(type, 0)", " ORDER BY type"
	if b.single {
		kind, order = "0", ""
	}
	names, args := either(exact, older)
	query := `SELECT username, ` + kind + `, password, serverkey, salt, iterationcount FROM users WHERE {host} AND username ` + names + order
	err := q.Each(ctx, query, args, func(r storage.Row) error {
		var name string
		var row userRow
		if err := r.Scan(&name, &row.kind, &row.password, &row.serverKey, &row.salt, &row.iterations); err != nil {
			return err
		}
		p, err := row.read()
		if err != nil {
			b.log.Warn("a stored password cannot be read", "user", name, "host", b.db.Host(), "type", int(row.kind), "error", err)
			return nil
		}
		p.old = p.old && !b.single
		found[name] = append(found[name], p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read an account: %w", err)
	}
	return found, nil
}

// A userRow is a row of users.
type userRow struct {
	kind                      Type
	password, serverKey, salt string
	iterations                int
}

// read understands a row as ejabberd does: what has no salt is plain, and a
// row without a type says its hash in front of the key.
func (r userRow) read() (Password, error) {
	if r.serverKey == "" && r.salt == "" && r.iterations == 0 {
		return Password{Type: Plain, Plain: r.password, old: r.kind != Plain}, nil
	}
	p := Password{Type: r.kind, old: r.kind == Legacy}
	if r.kind == Legacy {
		p.Type = SHA1
		for t, prefix := range prefixes {
			if key, ok := strings.CutPrefix(r.password, prefix); ok {
				p.Type, r.password = t, key
			}
		}
	}
	var errs [3]error
	p.Keys.Stored, errs[0] = base64.StdEncoding.DecodeString(r.password)
	p.Keys.Server, errs[1] = base64.StdEncoding.DecodeString(r.serverKey)
	p.Keys.Salt, errs[2] = base64.StdEncoding.DecodeString(r.salt)
	p.Keys.Iterations = r.iterations
	size := p.Type.hash()().Size()
	switch {
	case errors.Join(errs[:]...) != nil:
		return p, errors.New("its keys are not base64")
	case p.Type < SHA1 || p.Type > SHA512:
		return p, errors.New("its type is unknown")
	case len(p.Keys.Stored) != size || len(p.Keys.Server) != size || len(p.Keys.Salt) == 0 || r.iterations < 1:
		return p, errors.New("its keys have the wrong size")
	}
	return p, nil
}

// Create makes an account.
func (b *sqlBackend) Create(ctx context.Context, user xmpp.JID, passwords []Password) error {
	exact, older := spellings(user)
	err := b.db.Tx(ctx, func(tx *storage.Tx) error {
		if there, err := stored(ctx, tx, exact, older); err != nil || there != "" {
			return errors.Join(err, ErrExists)
		}
		return b.insert(ctx, tx, exact, passwords)
	})
	if errors.Is(err, ErrExists) || errors.Is(err, storage.ErrExists) {
		return ErrExists
	}
	return err
}

// Replace gives an account other passwords.
func (b *sqlBackend) Replace(ctx context.Context, user xmpp.JID, passwords []Password) error {
	exact, older := spellings(user)
	return b.db.Tx(ctx, func(tx *storage.Tx) error {
		name, err := stored(ctx, tx, exact, older)
		if err != nil {
			return err
		}
		if name == "" {
			return ErrNoUser
		}
		if _, err := tx.Exec(ctx, `DELETE FROM users WHERE {host} AND username = ?`, name); err != nil {
			return fmt.Errorf("replace a password: %w", err)
		}
		return b.insert(ctx, tx, name, passwords)
	})
}

// Improve stores other forms of the same password.
func (b *sqlBackend) Improve(ctx context.Context, user xmpp.JID, was, now []Password) error {
	name := user.Local()
	return b.db.Tx(ctx, func(tx *storage.Tx) error {
		found, err := b.passwords(ctx, tx, name, name)
		if err != nil || !slices.EqualFunc(found[name], was, Password.equal) {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM users WHERE {host} AND username = ?`, name); err != nil {
			return fmt.Errorf("replace the form of a password: %w", err)
		}
		return b.insert(ctx, tx, name, now)
	})
}

// Roomy reports whether there is a row for each form of a password.
func (b *sqlBackend) Roomy() bool { return !b.single }

// stored returns the name under which an account is stored, "" if it is not.
func stored(ctx context.Context, tx *storage.Tx, exact, older string) (string, error) {
	var names []string
	err := tx.Each(ctx, `SELECT DISTINCT username FROM users WHERE {host} AND username IN (?, ?)`,
		[]any{exact, older}, func(r storage.Row) error {
			var name string
			err := r.Scan(&name)
			names = append(names, name)
			return err
		})
	switch {
	case err != nil:
		return "", fmt.Errorf("look for an account: %w", err)
	case slices.Contains(names, exact):
		return exact, nil
	case len(names) > 0:
		return older, nil
	}
	return "", nil
}

// insert stores the forms of a password. Where there is room for one, that is
// the last, which is the one that is wanted.
func (b *sqlBackend) insert(ctx context.Context, tx *storage.Tx, name string, passwords []Password) error {
	query := `INSERT INTO users ({server_host,} username, type, password, serverkey, salt, iterationcount)
		VALUES ({?host,} ?, ?, ?, ?, ?, ?)`
	if b.single {
		passwords = passwords[len(passwords)-1:]
		query = `INSERT INTO users ({server_host,} username, password, serverkey, salt, iterationcount) VALUES ({?host,} ?, ?, ?, ?, ?)`
	}
	for _, p := range passwords {
		password, text := p.Plain, base64.StdEncoding.EncodeToString
		if p.Type != Plain {
			password = text(p.Keys.Stored)
		}
		args := []any{name, int(p.Type), password, text(p.Keys.Server), text(p.Keys.Salt), p.Keys.Iterations}
		if b.single {
			args = append([]any{name, prefixes[p.Type] + password}, args[3:]...)
		}
		if _, err := tx.Exec(ctx, query, args...); err != nil {
			return fmt.Errorf("store a password: %w", err)
		}
	}
	return nil
}

// prefixes are how a row without a type says its hash.
var prefixes = map[Type]string{SHA256: "sha256:", SHA512: "sha512:"}

// Remove removes an account.
func (b *sqlBackend) Remove(ctx context.Context, user xmpp.JID) error {
	exact, older := spellings(user)
	return b.db.Tx(ctx, func(tx *storage.Tx) error {
		name, err := stored(ctx, tx, exact, older)
		if err != nil || name == "" {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM users WHERE {host} AND username = ?`, name); err != nil {
			return fmt.Errorf("remove an account: %w", err)
		}
		return nil
	})
}

// page is how many names are read at once.
const page = 500

// Users yields the accounts in order of their names.
func (b *sqlBackend) Users(ctx context.Context, prefix string) iter.Seq2[xmpp.JID, error] {
	return func(yield func(xmpp.JID, error) bool) {
		after := ""
		for {
			names, err := b.names(ctx, prefix, after)
			if err != nil {
				yield(xmpp.JID{}, err)
				return
			}
			for _, name := range names {
				user, err := xmpp.NewJID(name, b.db.Host(), "")
				if err != nil {
					b.log.Warn("a stored account has a name that is no name", "name", name, "host", b.db.Host())
					continue
				}
				if !yield(user, nil) {
					return
				}
			}
			if len(names) < page {
				return
			}
			after = names[len(names)-1]
		}
	}
}

func (b *sqlBackend) names(ctx context.Context, prefix, after string) (names []string, err error) {
	err = b.db.Each(ctx, `SELECT DISTINCT username FROM users
		WHERE {host} AND username LIKE ? ESCAPE '\' AND username > ? ORDER BY username LIMIT ?`,
		[]any{storage.LikeEscape(prefix) + "%", after, page}, func(r storage.Row) error {
			var name string
			err := r.Scan(&name)
			names = append(names, name)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return names, nil
}

// Count counts the accounts.
func (b *sqlBackend) Count(ctx context.Context, prefix string) (n int, err error) {
	err = b.db.Get(ctx, []any{&n}, `SELECT COUNT(DISTINCT username) FROM users
		WHERE {host} AND username LIKE ? ESCAPE '\'`, storage.LikeEscape(prefix)+"%")
	if err != nil {
		return 0, fmt.Errorf("count accounts: %w", err)
	}
	return n, nil
}

// nodeprep is how ejabberd normalises names (RFC 6122 appendix A).
var nodeprep = stringprep.Profile{
	Mappings:  []stringprep.Mapping{stringprep.TableB1, stringprep.TableB2},
	Normalize: true,
	CheckBiDi: true,
}

// spellings are the names under which an account may be stored: as it is
// written today, and as older servers wrote it. They are the same for nearly
// everyone.
func spellings(user xmpp.JID) (exact, older string) {
	exact = user.Local()
	if isASCII(exact) {
		return exact, exact
	}
	older, err := nodeprep.Prepare(exact)
	if err != nil || older == "" {
		return exact, exact
	}
	return exact, older
}
