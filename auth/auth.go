// Package auth finds out whether somebody is who they say they are, and keeps
// the accounts of a virtual host.
//
// A login is an Exchange of a SASL mechanism (RFC 6120 §6). What a stranger can
// learn from a failed one is that it failed: an account that does not exist
// gives the same answers as a wrong password, and costs the same work.
package auth

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// A Setup is what the accounts of a virtual host are made of.
type Setup struct {
	Domain  string
	Options Options
	// DB is the database of auth_method sql. It may be nil if neither that nor
	// mnesia is used.
	DB *storage.DB
	// Embedded opens the database of auth_method mnesia; nil: it is DB.
	Embedded func(context.Context) (*storage.DB, error)
	Hooks    *hooks.Table
	Log      *slog.Logger
}

// Host is the accounts of a virtual host. It may be used from anywhere. Its
// methods wait for the database unless they say otherwise.
type Host struct {
	domain    string
	hooks     *hooks.Table
	log       *slog.Logger
	setup     Setup
	work      *work
	db        *storage.DB // where devices are kept; nil where no backend has one
	anonymous *anonymous
	state     atomic.Pointer[state]
}

// state is what a reload changes.
type state struct {
	options  Options
	backends []Backend
}

// New opens the accounts of a virtual host and brings their tables up to date.
func New(ctx context.Context, s Setup) (*Host, error) {
	h := &Host{domain: s.Domain, hooks: s.Hooks, log: s.Log, setup: s}
	h.anonymous = &anonymous{h: h, online: map[xmpp.JID]int{}}
	backends, db, err := h.open(ctx, s.Options)
	if err != nil {
		return nil, fmt.Errorf("accounts of %s: %w", s.Domain, err)
	}
	secret, err := loadSecret(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("accounts of %s: %w", s.Domain, err)
	}
	h.work, h.db = &work{secret: secret}, db
	h.state.Store(&state{s.Options, backends})
	PasswordSet.AddElsewhere(part{h}, hooks.First, h.forgetUser)
	Removed.AddElsewhere(part{h}, hooks.First, h.forgetUser)
	Removed.Add(part{h}, hooks.Normal, h.forgetDevices)
	return h, nil
}

// part is the accounts as the owner of handlers, which live as long as their
// table.
type part struct{ h *Host }

// Name is ejabberd's.
func (part) Name() string { return "ejabberd_auth" }

// Hooks is the table of the virtual host.
func (p part) Hooks() *hooks.Table { return p.h.hooks }

// OnStop does nothing.
func (part) OnStop(func()) {}

// forgetUser drops the keys that were derived from a password that another node
// has changed. They would fit nothing any more: each is marked with the password
// it is of, which is read from the database every time.
func (h *Host) forgetUser(_ context.Context, user xmpp.JID) { h.work.forget(user.Local()) }

// Reload puts other options into effect for every login that begins after it.
// After an error the old ones stay.
func (h *Host) Reload(ctx context.Context, o Options) error {
	backends, _, err := h.open(ctx, o)
	if err != nil {
		return fmt.Errorf("accounts of %s: %w", h.domain, err)
	}
	h.state.Store(&state{o, backends})
	return nil
}

// open makes the backends of auth_method, and returns the database of the first
// that has one.
func (h *Host) open(ctx context.Context, o Options) (list []Backend, first *storage.DB, err error) {
	opened := map[string]bool{}
	for _, name := range o.Methods {
		if err := checkMethod(name); err != nil {
			return nil, nil, fmt.Errorf("auth_method: %w", err)
		}
		if name == "anonymous" {
			list = append(list, h.anonymous)
			continue
		}
		db := h.setup.DB
		if name == "mnesia" && h.setup.Embedded != nil {
			if db, err = h.setup.Embedded(ctx); err != nil {
				return nil, nil, err
			}
		}
		if db == nil {
			return nil, nil, fmt.Errorf("auth_method: there is no database for %s", name)
		}
		if opened[db.String()] {
			continue
		}
		opened[db.String()] = true
		b := &sqlBackend{name: name, db: db, log: h.log}
		if err := b.open(ctx, len(o.stored())); err != nil {
			return nil, nil, err
		}
		list = append(list, b)
		if first == nil {
			first = db
		}
	}
	return list, first, nil
}

func (h *Host) options() *Options { return &h.state.Load().options }

// Domain is the virtual host.
func (h *Host) Domain() string { return h.domain }

// keepers yields the backends that store passwords.
func (h *Host) keepers() iter.Seq[Keeper] {
	return func(yield func(Keeper) bool) {
		for _, b := range h.state.Load().backends {
			if k, ok := b.(Keeper); ok && !yield(k) {
				return
			}
		}
	}
}

// mine refuses addresses that cannot be accounts of this host.
func (h *Host) mine(user xmpp.JID) error {
	if user.Local() == "" || user.Domain() != h.domain {
		return fmt.Errorf("%w of %s: %q", ErrName, h.domain, user)
	}
	return nil
}

// Exists reports whether there is an account, or an anonymous user who is here
// now. Modules can know of more, through the hook Known.
func (h *Host) Exists(ctx context.Context, user xmpp.JID) (bool, error) {
	user = user.Bare()
	if h.mine(user) != nil {
		return false, nil
	}
	var failed error
	for _, b := range h.state.Load().backends {
		there, err := b.Exists(ctx, user)
		if there {
			return true, nil
		}
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return false, failed
	}
	return Known.Run(ctx, h.hooks, false, user), nil
}

// Check reports whether password is the password of user: nil, or a *Failure.
func (h *Host) Check(ctx context.Context, user xmpp.JID, password string) error {
	if h.mine(user) != nil {
		user = xmpp.JID{}
	}
	_, f := h.login(ctx, user.Bare(), password)
	if f != nil {
		return f
	}
	return nil
}

// Register makes an account and runs register_user. Errors: ErrExists, ErrName,
// ErrPassword, ErrRefused by a module, ErrNoStore.
func (h *Host) Register(ctx context.Context, user xmpp.JID, password string) error {
	user = user.Bare()
	if err := h.mine(user); err != nil {
		return err
	}
	if err := xmpp.CheckName(user.Local()); err != nil {
		return fmt.Errorf("%w: %w", ErrName, err)
	}
	prepared, err := checkNew(password)
	if err != nil {
		return err
	}
	there, err := h.Exists(ctx, user)
	if err != nil {
		return err
	}
	if there {
		return ErrExists
	}
	if !CheckRegister.Run(ctx, h.hooks, true, user) {
		return ErrRefused
	}
	for k := range h.keepers() {
		if err := k.Create(ctx, user, h.forms(prepared)); err != nil {
			return err
		}
		Registered.Run(ctx, h.hooks, user)
		return nil
	}
	return ErrNoStore
}

// SetPassword gives an account another password and runs set_password. Errors:
// ErrNoUser, ErrPassword, ErrNoStore.
func (h *Host) SetPassword(ctx context.Context, user xmpp.JID, password string) error {
	user = user.Bare()
	if err := h.mine(user); err != nil {
		return err
	}
	prepared, err := checkNew(password)
	if err != nil {
		return err
	}
	err = ErrNoStore
	for k := range h.keepers() {
		if err = k.Replace(ctx, user, h.forms(prepared)); err == nil {
			h.work.forget(user.Local())
			PasswordSet.Run(ctx, h.hooks, user)
			return nil
		}
		if !errors.Is(err, ErrNoUser) {
			return err
		}
	}
	return err
}

// forms makes all forms in which a new password is stored.
func (h *Host) forms(prepared string) (list []Password) {
	for _, name := range h.options().stored() {
		list = append(list, newPassword(typeOf(name), prepared))
	}
	return list
}

// Remove removes an account, if there is one, and runs remove_user either way,
// so that nothing of it is left anywhere.
func (h *Host) Remove(ctx context.Context, user xmpp.JID) error {
	user = user.Bare()
	if err := h.mine(user); err != nil {
		return err
	}
	var failed error
	for k := range h.keepers() {
		failed = errors.Join(failed, k.Remove(ctx, user))
	}
	if failed != nil {
		return failed
	}
	h.work.forget(user.Local())
	Removed.Run(ctx, h.hooks, user)
	return nil
}

// Users yields the accounts whose name begins with prefix, in order within each
// backend. It ends after an error.
func (h *Host) Users(ctx context.Context, prefix string) iter.Seq2[xmpp.JID, error] {
	return func(yield func(xmpp.JID, error) bool) {
		for k := range h.keepers() {
			for user, err := range k.Users(ctx, prefix) {
				if !yield(user, err) || err != nil {
					return
				}
			}
		}
	}
}

// Count counts the accounts whose name begins with prefix.
func (h *Host) Count(ctx context.Context, prefix string) (int, error) {
	sum := 0
	for k := range h.keepers() {
		n, err := k.Count(ctx, prefix)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
