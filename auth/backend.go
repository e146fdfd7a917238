package auth

import (
	"context"
	"iter"

	"github.com/gabberd/gabberd/xmpp"
)

// A Backend is one of the places in auth_method where accounts are looked for.
// All methods may block on a database or a network.
type Backend interface {
	// Name is how auth_method calls it.
	Name() string
	// Exists reports whether it has an account of this name.
	Exists(ctx context.Context, user xmpp.JID) (bool, error)
}

// A Keeper is a Backend that stores passwords.
type Keeper interface {
	Backend
	// Find returns the account that is meant by user, which may be stored under
	// an older spelling, and the forms of its password. An account that is not
	// there has none, and finding that out takes as much work.
	Find(ctx context.Context, user xmpp.JID) (stored xmpp.JID, passwords []Password, err error)
	// Create makes an account; ErrExists if there is one, under any spelling.
	Create(ctx context.Context, user xmpp.JID, passwords []Password) error
	// Replace gives an account another password; ErrNoUser if there is none.
	Replace(ctx context.Context, user xmpp.JID, passwords []Password) error
	// Improve stores other forms of a password that has not changed: it does
	// nothing unless was is still what is stored.
	Improve(ctx context.Context, user xmpp.JID, was, now []Password) error
	// Roomy reports whether an account can have a password in several forms.
	Roomy() bool
	// Remove removes an account if there is one.
	Remove(ctx context.Context, user xmpp.JID) error
	// Users yields the accounts whose name begins with prefix, in order. It
	// holds no connection while its caller works.
	Users(ctx context.Context, prefix string) iter.Seq2[xmpp.JID, error]
	// Count counts them.
	Count(ctx context.Context, prefix string) (int, error)
}

// A Gate is a Backend that asks somebody else about a password, or nobody.
type Gate interface {
	Backend
	// Admits reports whether user may come in with this password.
	Admits(ctx context.Context, user xmpp.JID, password string) (bool, error)
}
