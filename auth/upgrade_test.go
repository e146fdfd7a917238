package auth_test

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"errors"
	"testing"

	xdg "github.com/xdg-go/scram"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/storagetest"
)

// sha1 has passwords stored as SCRAM keys of SHA-1, and both offers the other hash,
// too.
func sha1(o *auth.Options) { o.PasswordFormat = "scram" }

func both(o *auth.Options) { o.StoredTypes = []string{"scram_sha1", "scram_sha256"} }

// scramLogin logs in by SCRAM-SHA-256.
func scramLogin(t *testing.T, h *auth.Host, user, password string) error {
	t.Helper()
	client, err := xdg.SHA256.NewClient(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	talk := client.NewConversation()
	e, err := h.Begin("SCRAM-SHA-256", auth.Stream{})
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for {
		out, err := talk.Step(said)
		if err != nil {
			t.Fatal(err)
		}
		answer, done, err := e.Step(t.Context(), []byte(out))
		if done || err != nil {
			return err
		}
		said = string(answer)
	}
}

func TestUpgrade(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, _ := accounts(t, db, sha1)
		romeo := register(t, h, "romeo", "secret")
		u, err := h.Upgrade(t.Context(), romeo, "SCRAM-SHA-256")
		if err != nil || u == nil || len(u.Salt) != 16 || u.Iterations < 4096 {
			t.Fatalf("got %+v, %v", u, err)
		}
		salted, err := pbkdf2.Key(sha256.New, "secret", u.Salt, u.Iterations, sha256.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Finish(t.Context(), salted[1:]); !errors.Is(err, auth.ErrMalformed) {
			t.Errorf("a short hash: %v", err)
		}
		if err := u.Finish(t.Context(), salted); err != nil {
			t.Fatal(err)
		}
		if again, err := h.Upgrade(t.Context(), romeo, "SCRAM-SHA-256"); err != nil || again != nil {
			t.Errorf("twice: %v, %v", again, err)
		}
		if err := h.Check(t.Context(), romeo, "secret"); err != nil {
			t.Errorf("the old form is gone: %v", err)
		}
		if err := h.Reload(t.Context(), options(both)); err != nil {
			t.Fatal(err)
		}
		if err := scramLogin(t, h, "romeo", "secret"); err != nil {
			t.Errorf("by the new form: %v", err)
		}
		if err := scramLogin(t, h, "romeo", "wrong"); !errors.Is(err, auth.ErrNotAuthorized) {
			t.Errorf("by the new form, with another password: %v", err)
		}
	})
}

// Whoever is slow must not put the old password beside a new one.
func TestUpgradeAfterAChangeOfPassword(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, _ := accounts(t, db, sha1)
		romeo := register(t, h, "romeo", "secret")
		u, err := h.Upgrade(t.Context(), romeo, "SCRAM-SHA-256")
		if err != nil || u == nil {
			t.Fatal(u, err)
		}
		if err := h.SetPassword(t.Context(), romeo, "other"); err != nil {
			t.Fatal(err)
		}
		salted, err := pbkdf2.Key(sha256.New, "secret", u.Salt, u.Iterations, sha256.Size)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Finish(t.Context(), salted); err != nil {
			t.Fatal(err)
		}
		if err := h.Reload(t.Context(), options(both)); err != nil {
			t.Fatal(err)
		}
		if err := scramLogin(t, h, "romeo", "secret"); !errors.Is(err, auth.ErrNotAuthorized) {
			t.Errorf("the old password got in: %v", err)
		}
	})
}

func TestNothingToUpgrade(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		h, _ := accounts(t, db, nil)
		romeo := register(t, h, "romeo", "secret")
		if u, err := h.Upgrade(t.Context(), romeo, "SCRAM-SHA-256"); u != nil || err != nil {
			t.Errorf("a plain password: %v, %v", u, err)
		}
		if u, err := h.Upgrade(t.Context(), jid(t, h, "tybalt"), "SCRAM-SHA-256"); u != nil || err != nil {
			t.Errorf("nobody: %v, %v", u, err)
		}
		if _, err := h.Upgrade(t.Context(), romeo, "PLAIN"); err == nil {
			t.Error("to PLAIN")
		}
	})
}
