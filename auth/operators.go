package auth

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/xmpp"
)

// ErrHash is the error of CheckHash for a hash function that it does not know.
var ErrHash = errors.New("there is no such hash function; md5, sha, sha224, sha256, sha384 and sha512 are known")

// hashNamed is the hash function that ejabberd calls name.
func hashNamed(name string) (func() hash.Hash, error) {
	switch strings.ToLower(name) {
	case "md5":
		return md5.New, nil
	case "sha", "sha1":
		return sha1.New, nil
	case "sha224":
		return sha256.New224, nil
	case "sha256":
		return sha256.New, nil
	case "sha384":
		return sha512.New384, nil
	case "sha512":
		return sha512.New, nil
	}
	return nil, ErrHash
}

// CheckHash reports whether hexHash is the hash, in hexadecimal, of a user's
// password. That can be told only of passwords that are stored plain; others
// never fit, nor does that of an account that does not exist. The errors are
// ErrHash and those of the database.
func (h *Host) CheckHash(ctx context.Context, user xmpp.JID, hexHash, method string) (bool, error) {
	newHash, err := hashNamed(method)
	if err != nil {
		return false, err
	}
	if h.mine(user) != nil {
		return false, nil
	}
	acc, f := h.find(ctx, user.Bare())
	switch {
	case f != nil && f.Cause != nil:
		return false, f
	case f != nil: // disabled
		return false, nil
	}
	i := slices.IndexFunc(acc.passwords, func(p Password) bool { return p.Type == Plain })
	if i < 0 {
		return false, nil
	}
	sum := newHash()
	sum.Write([]byte(acc.passwords[i].Plain))
	return same(hex.EncodeToString(sum.Sum(nil)), strings.ToLower(hexHash)), nil
}

// ConvertToSCRAM replaces every plain password by the SCRAM forms that the
// options ask for, scram_sha1 if they ask for none, and returns how many
// accounts it has changed. It may take long: each password costs some
// milliseconds for each form. What was done before an error or the end of ctx
// stays done.
func (h *Host) ConvertToSCRAM(ctx context.Context) (n int, err error) {
	var types []Type
	for _, name := range h.options().stored() {
		if t := typeOf(name); t != Plain {
			types = append(types, t)
		}
	}
	if types == nil {
		types = []Type{SHA1}
	}
	for k := range h.keepers() {
		for user, err := range k.Users(ctx, "") {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return n, fmt.Errorf("convert passwords: %w", err)
			}
			changed, err := h.convert(ctx, k, user, types)
			if err != nil {
				return n, fmt.Errorf("convert the password of %s: %w", user, err)
			}
			if changed {
				n++
			}
		}
	}
	return n, nil
}

// convert replaces the plain password of one account, if it has one that can be
// prepared.
func (h *Host) convert(ctx context.Context, k Keeper, user xmpp.JID, types []Type) (changed bool, err error) {
	stored, was, err := k.Find(ctx, user)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(was, func(p Password) bool { return p.Type == Plain })
	if i < 0 {
		return false, nil
	}
	prepared, err := prepare(was[i].Plain)
	if err != nil || prepared == "" {
		h.log.Warn("a password cannot be prepared and stays plain", "user", user.String())
		return false, nil
	}
	now := slices.DeleteFunc(slices.Clone(was), func(p Password) bool { return p.Type == Plain })
	for _, t := range types {
		if !slices.ContainsFunc(now, func(p Password) bool { return p.Type == t }) {
			now = append(now, newPassword(t, prepared))
		}
	}
	if err := k.Improve(ctx, stored, was, now); err != nil {
		return false, err
	}
	h.work.forget(stored.Local())
	return true, nil
}

// Forget drops all keys that are remembered of passwords, for when the accounts
// were changed behind the server's back.
func (h *Host) Forget() {
	h.work.mu.Lock()
	defer h.work.mu.Unlock()
	clear(h.work.known)
}
