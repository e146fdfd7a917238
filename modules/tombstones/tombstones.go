// Package tombstones keeps the name of a removed account from being registered
// again for a while, so that nobody gets what is meant for the one before.
package tombstones

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_tombstones. ejabberd has none.
var Module = modules.Define("mod_tombstones", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "gabberd_tombstone", Versions: []storage.Version{schema}},
	Doc:      "Keeps names of removed accounts from being registered again for a while.",
	Start:    start,
	Commands: (*tombstones)(nil).commands(),
})

type options struct {
	DBType string
	Time   time.Duration
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Enum(&o.DBType, "db_type", "", "Where the names are kept: `mnesia` is the embedded database.", "mnesia", "sql").DefaultText("value of default_db")
	f.Duration(&o.Time, "time", 60*24*time.Hour, "How long a name cannot be registered again.").OrInfinity()
}

var schema = storage.Version{storage.Table{
	Name:    "gabberd_tombstone",
	Columns: "username text, server_host text, removed_at bigint",
	Indexes: "unique(server_host, username)",
}}

// tombstones is the module on one virtual host.
type tombstones struct {
	options
	host *modules.Host
	db   *storage.DB

	mu     sync.Mutex
	guests map[xmpp.JID]struct{} // anonymous users who are here
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(modules.Backend{DBType: o.DBType}, "gabberd_tombstone", schema)
	if err != nil {
		return err
	}
	m := &tombstones{options: o, host: h, db: db, guests: map[xmpp.JID]struct{}{}}
	auth.CheckRegister.Add(h, hooks.Normal, m.check)
	// First: the name is free as soon as the account is gone.
	auth.Removed.Add(h, hooks.First, m.removed)
	sm.Opened.Add(h, hooks.Normal, m.opened)
	h.Command(m.commands()...)
	return m.tidy(h.Context())
}

// since is the oldest time, in seconds, of a removal that still counts.
func (m *tombstones) since() int64 {
	if m.Time == config.Infinity {
		return 0
	}
	return time.Now().Add(-m.Time).Unix()
}

// check refuses a name. Where it cannot be told, too: an account can be made later.
func (m *tombstones) check(ctx context.Context, ok bool, user xmpp.JID) (bool, hooks.Flow) {
	if !ok {
		return false, hooks.Next
	}
	err := m.db.Get(ctx, nil, `SELECT 1 FROM gabberd_tombstone WHERE {host} AND username = ? AND removed_at > ?`, user.Local(), m.since())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return true, hooks.Next
	case err != nil:
		m.host.Log.Error("an account is refused: it cannot be told whether its name is free", "user", user.String(), "error", err)
	default:
		m.host.Log.Info("an account is refused: there was one of its name", "user", user.String())
	}
	return false, hooks.Stop
}

// opened remembers who has no account that could be removed.
func (m *tombstones) opened(_ context.Context, s *sm.Session) {
	if !s.Anonymous {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.guests[s.JID.Bare().Clone()] = struct{}{}
}

func (m *tombstones) removed(ctx context.Context, user xmpp.JID) {
	m.mu.Lock()
	_, guest := m.guests[user]
	delete(m.guests, user)
	m.mu.Unlock()
	if guest {
		return
	}
	_, err := m.db.Exec(ctx, `INSERT INTO gabberd_tombstone (username, {server_host,} removed_at) VALUES (?, {?host,} ?)
		ON CONFLICT ({server_host,} username) DO UPDATE SET removed_at = excluded.removed_at`, user.Local(), time.Now().Unix())
	if err == nil {
		err = m.tidy(ctx)
	}
	if err != nil {
		m.host.Log.Error("the name of a removed account can be registered again", "user", user.String(), "error", err)
	}
}

// tidy forgets the names that are free again.
func (m *tombstones) tidy(ctx context.Context) error {
	_, err := m.db.Exec(ctx, `DELETE FROM gabberd_tombstone WHERE {host} AND removed_at <= ?`, m.since())
	return err
}

func (m *tombstones) commands() []admin.Command {
	return []admin.Command{
		admin.New("list_tombstones", "List the names of removed accounts that cannot be registered again yet.", m.list).Tags("accounts").
			Result("tombstones", "tombstone").Example("romeo\t2026-01-02T03:04:05Z", "myserver.com"),
		admin.New("delete_tombstone", "Let the name of a removed account be registered again.", m.delete).Tags("accounts").
			Example("", "romeo", "myserver.com"),
	}
}

type tombstone struct {
	User    string `json:"user"`
	Removed string `json:"removed"`
}

func (m *tombstones) list(ctx context.Context, _ admin.OnHost) ([]tombstone, error) {
	out := []tombstone{}
	err := m.db.Each(ctx, `SELECT username, removed_at FROM gabberd_tombstone WHERE {host} AND removed_at > ? ORDER BY username`, []any{m.since()}, func(row storage.Row) error {
		var user string
		var at int64
		if err := row.Scan(&user, &at); err != nil {
			return err
		}
		out = append(out, tombstone{user, time.Unix(at, 0).UTC().Format(time.RFC3339)})
		return nil
	})
	return out, err
}

func (m *tombstones) delete(ctx context.Context, in admin.OfUser) (admin.Rescode, error) {
	user, err := in.JID()
	if err != nil {
		return admin.False, err
	}
	n, err := m.db.Exec(ctx, `DELETE FROM gabberd_tombstone WHERE {host} AND username = ?`, user.Local())
	return admin.Whether(n > 0), err
}
