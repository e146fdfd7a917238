package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/gabberd/gabberd/xmpp"
)

// An Upgrade is a form of a password that an account does not have and that its
// client can make (XEP-0480 §3): the server asks with salt and iterations.
type Upgrade struct {
	Salt       []byte
	Iterations int

	h       *Host
	kind    Type
	account account
}

// errNoUpgrade says that the account has what an upgrade would add, or cannot
// have it.
var errNoUpgrade = errors.New("there is nothing to upgrade")

// Upgrade prepares to add the form of a password that a SCRAM mechanism needs to
// the account of somebody who has just logged in. Nil without an error: the account
// has it, or a plain password from which it can be made, or has no room for it.
func (h *Host) Upgrade(ctx context.Context, user xmpp.JID, mechanism string) (*Upgrade, error) {
	kind, ok := scramTypes[mechanism]
	if !ok {
		return nil, errNoUpgrade
	}
	acc, f := h.find(ctx, user)
	if f != nil {
		return nil, f
	}
	u := &Upgrade{Salt: make([]byte, saltSize), Iterations: iterations, h: h, kind: typeOf(kind), account: acc}
	has := func(p Password) bool { return p.Type == Plain || p.Type == u.kind }
	if acc.keeper == nil || !acc.keeper.Roomy() || slices.ContainsFunc(acc.passwords, has) {
		return nil, nil
	}
	_, _ = rand.Read(u.Salt) // never fails
	return u, nil
}

// Finish stores what the client has made of its password: the SaltedPassword of
// RFC 5802 §3. Should the password have been changed meanwhile, nothing is stored.
// The error is a *Failure.
func (u *Upgrade) Finish(ctx context.Context, salted []byte) error {
	h := u.kind.hash()
	if len(salted) != h().Size() {
		return malformed("The hash has the wrong length")
	}
	keys := Keys{
		Stored: digest(h, mac(h, salted, "Client Key")), Server: mac(h, salted, "Server Key"),
		Salt: u.Salt, Iterations: u.Iterations,
	}
	was := u.account.passwords
	now := append(slices.Clone(was), Password{Type: u.kind, Keys: keys})
	if err := u.account.keeper.Improve(ctx, u.account.user, was, now); err != nil {
		return temporary(err)
	}
	u.h.work.forget(u.account.user.Local())
	return nil
}
