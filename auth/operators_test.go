package auth_test

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"testing"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
	"github.com/gabberd/gabberd/xmpp"
)

// accountsOn are accounts in db with the options of these values.
func accountsOn(t *testing.T, db *storage.DB, change func(*auth.Options)) *auth.Host {
	t.Helper()
	var o auth.Options
	if bad, _ := config.Decode(nil, &o); bad != nil {
		t.Fatal(bad)
	}
	o.Methods = []string{"sql"}
	if change != nil {
		change(&o)
	}
	h, err := auth.New(t.Context(), auth.Setup{Domain: db.Host(), Options: o, DB: db, Hooks: hooks.NewTable(slog.New(slog.DiscardHandler)), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashOfAPasswordIsCheckedOnlyWhereItIsStoredPlain(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := t.Context()
		h := accountsOn(t, db, nil)
		romeo, err := xmpp.NewJID("romeo", db.Host(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Register(ctx, romeo, "secret"); err != nil {
			t.Fatal(err)
		}
		m, s := md5.Sum([]byte("secret")), sha256.Sum256([]byte("secret"))
		wrong := sha256.Sum256([]byte("Secret"))
		check := func(sum, method string, want bool) {
			t.Helper()
			if ok, err := h.CheckHash(ctx, romeo, sum, method); err != nil || ok != want {
				t.Errorf("%s %s: %v, %v; want %v", method, sum, ok, err, want)
			}
		}
		check(hex.EncodeToString(m[:]), "md5", true)
		check(hex.EncodeToString(s[:]), "sha256", true)
		check(hex.EncodeToString(s[:]), "SHA256", true)
		check(hex.EncodeToString(wrong[:]), "sha256", false)
		check("", "sha256", false)
		check(hex.EncodeToString(s[:4]), "sha256", false)
		if _, err := h.CheckHash(ctx, romeo, "", "crc32"); !errors.Is(err, auth.ErrHash) {
			t.Errorf("an unknown hash: %v", err)
		}

		n, err := h.ConvertToSCRAM(ctx)
		if err != nil || n != 1 {
			t.Fatalf("%d converted, %v", n, err)
		}
		check(hex.EncodeToString(s[:]), "sha256", false)
		if err := h.Check(ctx, romeo, "secret"); err != nil {
			t.Errorf("the converted password does not fit: %v", err)
		}
		if err := h.Check(ctx, romeo, "other"); err == nil {
			t.Error("another password fits")
		}
		var plain int
		if err := db.Get(ctx, []any{&plain}, `SELECT COUNT(*) FROM users WHERE {host} AND password = ?`, "secret"); err != nil || plain != 0 {
			t.Errorf("%d plain passwords are left, %v", plain, err)
		}
		if n, err := h.ConvertToSCRAM(ctx); err != nil || n != 0 {
			t.Errorf("the second time %d were converted, %v", n, err)
		}
	})
}

func TestConversionEndsWithItsContext(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h := accountsOn(t, db, nil)
		romeo, err := xmpp.NewJID("romeo", db.Host(), "")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Register(t.Context(), romeo, "secret"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if n, err := h.ConvertToSCRAM(ctx); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("%d, %v", n, err)
		}
	})
}
