package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gabberd/gabberd/xmpp"
)

// An account is what is known of somebody who wants to log in. Without
// passwords there is no such account.
type account struct {
	user      xmpp.JID // as it is stored
	keeper    Keeper
	passwords []Password
}

// Format shows whose account it is, and no passwords.
func (a account) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "account of %s", a.user) }

// find looks for an account in all backends that keep passwords. It asks first
// whether the account is disabled. A zero user has no account.
func (h *Host) find(ctx context.Context, user xmpp.JID) (account, *Failure) {
	if user.IsZero() {
		return account{}, nil
	}
	if f := Disabled.Run(ctx, h.hooks, nil, user); f != nil {
		return account{user: user}, f
	}
	acc := account{user: user}
	var failed error
	for k := range h.keepers() { // all of them, so that it always costs the same
		stored, passwords, err := k.Find(ctx, user)
		failed = errors.Join(failed, err)
		if len(passwords) > 0 && acc.keeper == nil {
			acc = account{stored, k, passwords}
		}
	}
	if acc.keeper == nil && failed != nil {
		return acc, temporary(failed)
	}
	if acc.user != user {
		return acc, Disabled.Run(ctx, h.hooks, nil, acc.user)
	}
	return acc, nil
}

// login finds out whether password lets user in. However it fails, exactly one
// password was stretched on the way.
func (h *Host) login(ctx context.Context, user xmpp.JID, password string) (Identity, *Failure) {
	acc, f := h.find(ctx, user)
	if f != nil {
		return Identity{User: acc.user}, f
	}
	if ok, prepared := h.matches(acc, password); ok {
		h.improve(ctx, acc, prepared)
		return Identity{User: acc.user, Method: acc.keeper.Name()}, nil
	}
	for _, b := range h.state.Load().backends {
		g, ok := b.(Gate)
		if !ok || user.IsZero() {
			continue
		}
		in, err := g.Admits(ctx, user, password)
		if err != nil {
			return Identity{User: user}, temporary(err)
		}
		if in {
			return Identity{User: user, Method: g.Name(), Anonymous: g.Name() == "anonymous"}, nil
		}
	}
	return Identity{User: acc.user}, wrong()
}

// matches compares a password with the best form that an account has. A failure
// stretches one password, whether the account exists or not.
func (h *Host) matches(acc account, password string) (ok bool, prepared string) {
	prepared, err := prepare(password)
	usual := h.usual()
	if i := slices.IndexFunc(acc.passwords, func(p Password) bool { return p.Type == Plain }); i >= 0 {
		if samePlain(acc.passwords[i].Plain, password) {
			return true, prepared
		}
		h.work.burn(usual)
		return false, ""
	}
	i := slices.IndexFunc(acc.passwords, func(p Password) bool { return p.Type == usual })
	if len(acc.passwords) == 0 || err != nil {
		h.work.burn(usual)
		return false, ""
	}
	p := acc.passwords[max(i, 0)]
	k := h.work.stretch(p.Type, prepared, p.Keys.Salt, p.Keys.Iterations)
	return same(string(k.Stored), string(p.Keys.Stored)), prepared
}

// usual is the hash that most accounts have, or that stands for it where
// passwords are plain.
func (h *Host) usual() Type {
	for _, name := range h.options().stored() {
		if t := typeOf(name); t != Plain {
			return t
		}
	}
	return SHA1
}

// improve stores the forms of a password that the options ask for and an
// account does not have, now that the password is known. Forms are only added,
// except that a plain one goes where none is wanted; a failure costs nothing but
// a line in the log.
func (h *Host) improve(ctx context.Context, acc account, prepared string) {
	if i := slices.IndexFunc(acc.passwords, func(p Password) bool { return p.Type == Plain }); i >= 0 && prepared == "" {
		prepared, _ = prepare(acc.passwords[i].Plain) // one that cannot be prepared stays as it is
	}
	if prepared == "" {
		return
	}
	var keep []Password
	changed, plainWanted := false, slices.Contains(h.options().stored(), "plain")
	for _, p := range acc.passwords {
		changed, p.old = changed || p.old, false
		if p.Type == Plain && !plainWanted {
			changed = true
			continue
		}
		keep = append(keep, p)
	}
	for _, name := range h.options().stored() {
		t := typeOf(name)
		if t != Plain && !slices.ContainsFunc(keep, func(p Password) bool { return p.Type == t }) {
			keep, changed = append(keep, newPassword(t, prepared)), true
		}
	}
	if !changed {
		return
	}
	if err := acc.keeper.Improve(ctx, acc.user, acc.passwords, keep); err != nil {
		h.log.Warn("a password could not be stored in its new form", "user", acc.user, "error", err)
		return
	}
	h.work.forget(acc.user.Local())
}
