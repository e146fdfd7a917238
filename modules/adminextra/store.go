package adminextra

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// nsBanned is where a ban lies in a user's private storage, as in ejabberd.
const nsBanned = "ejabberd:banned"

// privateTables are those of mod_private, which a ban is kept in.
var privateTables = storage.Version{storage.Table{
	Name:    "private_storage",
	Columns: "username text, server_host text, namespace text, data text, created_at timestamp default",
	Indexes: "unique(server_host, username, namespace)",
}}

// lastTables are those of mod_last.
var lastTables = storage.Version{storage.Table{
	Name:    "last",
	Columns: "username text, server_host text, seconds text, state text",
	Indexes: "unique(server_host, username)",
}}

// bans are the databases that may hold bans: the first is where new ones go. A
// ban in any of them holds, whichever of them ejabberd has kept it in.
type bans []*storage.DB

// activities are the databases that may know when users were last there.
type activities struct{ *storage.DB }

// open finds the databases of a virtual host.
func open(h *modules.Host) (b bans, seen []activities, err error) {
	first, err := h.DB(h.Context(), "")
	if err != nil {
		return nil, nil, err
	}
	b = bans{first}
	if other := h.Storage.Host(h.Domain); other != nil && other.String() != first.String() {
		b = append(b, other)
	}
	for _, db := range b {
		if err := db.Migrate(h.Context(), "mod_private_sql", privateTables); err != nil {
			return nil, nil, err
		}
		if h.Loaded("mod_last") {
			if err := db.Migrate(h.Context(), "mod_last_sql", lastTables); err != nil {
				return nil, nil, err
			}
			seen = append(seen, activities{db})
		}
	}
	return b, seen, nil
}

// A ban is why and since when somebody may not log in.
type ban struct{ Reason, Date, LastDate, LastReason string }

// element is the ban as ejabberd stores it.
func (x ban) element() *xmpp.Element {
	return xmpp.Build(nsBanned, "banned").Attr("reason", x.Reason).Attr("bandate", x.Date).
		Attr("lastdate", x.LastDate).Attr("lastreason", x.LastReason).Done()
}

// get is the ban of a user; ok is false for who has none. A ban that cannot be
// read is one all the same.
func (b bans) get(ctx context.Context, user xmpp.JID) (x ban, ok bool, err error) {
	for _, db := range b {
		var text string
		err := db.Get(ctx, []any{&text}, `SELECT data FROM private_storage WHERE {host} AND username = ? AND namespace = ?`, user.Local(), nsBanned)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return x, false, fmt.Errorf("look for a ban: %w", err)
		}
		el, err := xmpp.ParseElement([]byte(text), "")
		if err != nil {
			return ban{Reason: "(the stored ban cannot be read)"}, true, nil
		}
		return ban{el.Attr("reason"), el.Attr("bandate"), el.Attr("lastdate"), el.Attr("lastreason")}, true, nil
	}
	return x, false, nil
}

// set bans a user. It returns false if he was banned already.
func (b bans) set(ctx context.Context, user xmpp.JID, x ban) (bool, error) {
	n, err := b[0].Exec(ctx, `INSERT INTO private_storage ({server_host,} username, namespace, data) VALUES ({?host,} ?, ?, ?)
		ON CONFLICT ({server_host,} username, namespace) DO NOTHING`, user.Local(), nsBanned, x.element().XML())
	if err != nil {
		return false, fmt.Errorf("store a ban: %w", err)
	}
	return n > 0, nil
}

// remove lifts the ban of a user. It returns false if there was none.
func (b bans) remove(ctx context.Context, user xmpp.JID) (bool, error) {
	var sum int64
	for _, db := range b {
		n, err := db.Exec(ctx, `DELETE FROM private_storage WHERE {host} AND username = ? AND namespace = ?`, user.Local(), nsBanned)
		if err != nil {
			return false, fmt.Errorf("remove a ban: %w", err)
		}
		sum += n
	}
	return sum > 0, nil
}

// list is the names of all who are banned, in order.
func (b bans) list(ctx context.Context) ([]string, error) {
	var names []string
	for _, db := range b {
		err := db.Each(ctx, `SELECT username FROM private_storage WHERE {host} AND namespace = ? ORDER BY username`, []any{nsBanned}, func(r storage.Row) error {
			var name string
			err := r.Scan(&name)
			names = append(names, name)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list bans: %w", err)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// An activity is when somebody was last there and what he said when he left.
type activity struct {
	seen   time.Time
	status string
}

// left is last for who may just have left, too: it waits for what is on its way to the
// database.
func (m *module) left(ctx context.Context, user xmpp.JID) (activity, error) {
	for _, db := range m.seen {
		if err := db.Flush(ctx); err != nil {
			return activity{}, fmt.Errorf("wait for the last activity: %w", err)
		}
	}
	return m.last(ctx, user)
}

// last is the latest activity of a user, storage.ErrNotFound if none is known.
func (m *module) last(ctx context.Context, user xmpp.JID) (a activity, err error) {
	found := false
	for _, db := range m.seen {
		var seconds, status string
		err := db.Get(ctx, []any{&seconds, &status}, `SELECT seconds, state FROM last WHERE {host} AND username = ?`, user.Local())
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return a, fmt.Errorf("look for the last activity: %w", err)
		}
		n, err := strconv.ParseInt(seconds, 10, 64)
		if err != nil {
			return a, fmt.Errorf("last activity of %s: %w", user, err)
		}
		if at := time.Unix(n, 0); !found || at.After(a.seen) {
			a = activity{at, status}
		}
		found = true
	}
	if !found {
		return a, storage.ErrNotFound
	}
	return a, nil
}
