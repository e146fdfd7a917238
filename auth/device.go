package auth

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"

	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// A Device is a client as it tells of itself when it logs in by SASL2 (XEP-0388
// §2.3): an installation of a program. Only its user and operators may know.
type Device struct {
	User     xmpp.JID // bare
	ID       string   // of the user agent: a UUID
	Software string
	Name     string // of the device it is on
	Addr     netip.Addr
	Seen     time.Time // when it has logged in
}

// String says whose it is and which, for traces.
func (d Device) String() string { return d.User.String() + " " + d.ID }

// Bounds on what is kept of devices.
const (
	maxDevices = 50  // of a user; the one that was longest away goes first
	maxText    = 100 // bytes of software and name
	maxAgent   = 64  // bytes of the id
)

// ValidAgent reports whether s can be the id of a user agent. It should be a UUID,
// but that is up to the client.
func ValidAgent(s string) bool { return goodNonce(s) && len(s) <= maxAgent }

var deviceTables = storage.Version{storage.Table{
	Name:    "gabberd_devices",
	Columns: "username text, server_host text, ua text, software text, device text, address text, seen bigint",
	Indexes: "unique(server_host, username, ua)",
}}

// ownTables are those that ejabberd does not have, of the keeper "gabberd_auth".
var ownTables = []storage.Version{secretTables, deviceTables}

// DeviceName is a short name that stands for a user agent of user: always the same,
// without telling its id. It does not block.
func (h *Host) DeviceName(user xmpp.JID, agent string) string {
	return base64.RawURLEncoding.EncodeToString(h.work.tag("device", Legacy, user.Local(), agent)[:9])
}

// Seen remembers that a device has logged in. It does not wait; what cannot be
// written is logged.
func (h *Host) Seen(d Device) {
	if h.db == nil {
		return
	}
	d.Seen = time.Now()
	user := d.User.Local()
	t, err := h.db.QueueAll(
		storage.Statement{Query: `INSERT INTO gabberd_devices ({server_host,} username, ua, software, device, address, seen)
			VALUES ({?host,} ?, ?, ?, ?, ?, ?)
			ON CONFLICT ({server_host,} username, ua) DO UPDATE SET software = excluded.software, device = excluded.device,
			address = excluded.address, seen = excluded.seen`,
			Args: []any{user, d.ID, clip(d.Software), clip(d.Name), d.Addr.String(), d.Seen.UnixMicro()}},
		storage.Statement{Query: `DELETE FROM gabberd_devices WHERE {host} AND username = ? AND ua NOT IN
			(SELECT ua FROM gabberd_devices WHERE {host} AND username = ? ORDER BY seen DESC LIMIT ?)`,
			Args: []any{user, user, maxDevices}},
	)
	if err != nil {
		h.log.Error("a device cannot be remembered", "user", d.User.String(), "error", err)
		return
	}
	t.Then(func(err error) {
		if err != nil {
			h.log.Error("a device was not remembered", "user", d.User.String(), "error", err)
		}
	})
}

// clip cuts s to what is kept, between characters.
func clip(s string) string {
	n := min(len(s), maxText)
	for n > 0 && n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Devices are the devices of a user that have logged in by SASL2, the last one
// first.
func (h *Host) Devices(ctx context.Context, user xmpp.JID) (list []Device, err error) {
	if err := h.mine(user); err != nil || h.db == nil {
		return nil, err
	}
	err = h.db.Each(ctx, `SELECT ua, software, device, address, seen FROM gabberd_devices
		WHERE {host} AND username = ? ORDER BY seen DESC, ua`, []any{user.Local()}, func(r storage.Row) error {
		d, addr, seen := Device{User: user.Bare()}, "", int64(0)
		if err := r.Scan(&d.ID, &d.Software, &d.Name, &addr, &seen); err != nil {
			return err
		}
		d.Addr, _ = netip.ParseAddr(addr) // who comes through a unix socket has none
		d.Seen = time.UnixMicro(seen)
		list = append(list, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return list, nil
}

// Revoke forgets a device and runs revoke_device, whether it is known or not, so
// that nothing that it was given is valid any more.
func (h *Host) Revoke(ctx context.Context, d Device) error {
	if err := h.mine(d.User); err != nil {
		return err
	}
	if h.db != nil {
		if _, err := h.db.Exec(ctx, `DELETE FROM gabberd_devices WHERE {host} AND username = ? AND ua = ?`, d.User.Local(), d.ID); err != nil {
			return fmt.Errorf("forget a device: %w", err)
		}
	}
	Revoked.Run(ctx, h.hooks, d)
	return nil
}

// forgetDevices forgets the devices of a user who is removed.
func (h *Host) forgetDevices(ctx context.Context, user xmpp.JID) {
	if h.db == nil {
		return
	}
	if _, err := h.db.Exec(ctx, `DELETE FROM gabberd_devices WHERE {host} AND username = ?`, user.Local()); err != nil {
		h.log.Error("devices of a removed user are left", "user", user.String(), "error", err)
	}
}
