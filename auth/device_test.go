package auth_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// eventually waits for what was queued for the database.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// seen are the devices of a user.
func seen(t *testing.T, h *auth.Host, user xmpp.JID) []auth.Device {
	t.Helper()
	list, err := h.Devices(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDevices(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, o := accounts(t, db, nil)
		romeo, juliet := register(t, h, "romeo", "secret"), register(t, h, "juliet", "secret")
		h.Seen(auth.Device{User: juliet, ID: "hers"})
		long := strings.Repeat("ü", 60)
		h.Seen(auth.Device{User: romeo, ID: "desk", Software: long, Name: "Desk", Addr: netip.MustParseAddr("192.0.2.1")})
		h.Seen(auth.Device{User: romeo, ID: "phone"})
		h.Seen(auth.Device{User: romeo, ID: "desk", Software: long, Name: "Desk", Addr: netip.MustParseAddr("2001:db8::1")})
		eventually(t, "the devices are not there", func() bool {
			list := seen(t, h, romeo)
			return len(list) == 2 && list[0].ID == "desk"
		})
		d := seen(t, h, romeo)[0]
		if d.User != romeo || d.Software != strings.Repeat("ü", 50) || d.Name != "Desk" || d.Addr.String() != "2001:db8::1" || time.Since(d.Seen).Abs() > time.Hour {
			t.Errorf("got %+v", d)
		}
		var revoked []auth.Device
		auth.Revoked.Add(o, hooks.Normal, func(_ ctx, d auth.Device) { revoked = append(revoked, d) })
		if err := h.Revoke(t.Context(), d); err != nil || len(revoked) != 1 || revoked[0].ID != "desk" {
			t.Errorf("told %v, %v", revoked, err)
		}
		if list := seen(t, h, romeo); len(list) != 1 || list[0].ID != "phone" {
			t.Errorf("left: %+v", list)
		}
		if err := h.Remove(t.Context(), romeo); err != nil {
			t.Fatal(err)
		}
		if list := seen(t, h, romeo); len(list) != 0 {
			t.Errorf("of a user who is gone: %+v", list)
		}
		if list := seen(t, h, juliet); len(list) != 1 {
			t.Errorf("of somebody else: %+v", list)
		}
	})
}

func TestDevicesAreBounded(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, _ := accounts(t, db, nil)
		romeo := register(t, h, "romeo", "secret")
		for i := range 55 {
			h.Seen(auth.Device{User: romeo, ID: fmt.Sprint("agent", i)})
		}
		has := func(id string) bool {
			return slices.ContainsFunc(seen(t, h, romeo), func(d auth.Device) bool { return d.ID == id })
		}
		eventually(t, "the last device is not there", func() bool { return has("agent54") })
		if n := len(seen(t, h, romeo)); n != 50 || has("agent0") {
			t.Errorf("%d devices, with the first one: %v", n, has("agent0"))
		}
	})
}

func TestDeviceNames(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, _ := accounts(t, db, nil)
		again, _ := accounts(t, db, nil) // after a restart, or on another node
		romeo, juliet := jid(t, h, "romeo"), jid(t, h, "juliet")
		name := h.DeviceName(romeo, "phone")
		if name != again.DeviceName(romeo, "phone") || len(name) != 12 {
			t.Errorf("%s is not the same", name)
		}
		if name == h.DeviceName(romeo, "desk") || name == h.DeviceName(juliet, "phone") {
			t.Error("two devices have one name")
		}
	})
}

// Accounts without a database have no devices, and nothing breaks.
func TestNoDevicesWithoutDatabase(t *testing.T) {
	h, _ := accounts(t, nil, func(o *auth.Options) { o.Methods = []string{"anonymous"} })
	romeo := jid(t, h, "romeo")
	h.Seen(auth.Device{User: romeo, ID: "phone"})
	if list := seen(t, h, romeo); len(list) != 0 {
		t.Errorf("got %v", list)
	}
	if err := h.Revoke(t.Context(), auth.Device{User: romeo, ID: "phone"}); err != nil {
		t.Error(err)
	}
}
