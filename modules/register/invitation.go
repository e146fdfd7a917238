package register

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// An Invitation is what lets a client that has not logged in make one account
// although not everybody may, or give one account another password.
type Invitation struct {
	Module string // by which it is made, as allow_modules has it
	Name   string // whose account it is about; empty: a new one of any name
	Reset  bool   // the account is there and gets another password

	// Take uses the invitation up for an account (bare address). undo gives it back,
	// for when it is certain that the account was not made. The error is told to the client. It waits
	// for the database.
	Take func(ctx context.Context, user xmpp.JID) (undo func(), err error)
	// Redeemed is called when the account is made, or its password changed.
	Redeemed func(ctx context.Context, user xmpp.JID)
}

// What modules need that invite people.
var (
	Invited = hooks.NewFold[*Invitation, *sm.Stream]("register_invited", "Was a client that has not logged in, and asks about an account, invited to make one?")
	// Reserved is asked about a name that somebody wants who was not invited to take
	// just that.
	Reserved = hooks.NewFold[bool, xmpp.JID]("register_reserved", "Is the name of an account (bare address) kept for somebody who was invited?")
	// Accepts is answered by mod_register.
	Accepts = hooks.NewFold[bool, string]("register_accepts", "May accounts be made through the module of this name?")
)

func (m *module) accepts(_ context.Context, yes bool, module string) (bool, hooks.Flow) {
	return yes || m.open(module), hooks.Next
}

// redeem makes the account that somebody was invited to make (XEP-0445 §4), or gives
// it another password. All rules for new accounts hold but that of who may make one.
func (m *module) redeem(ctx context.Context, r request, user xmpp.JID, w wish) error {
	in := r.invitation
	switch {
	case in.Name != "" && in.Name != user.Local():
		return errNotAllowed
	case in.Reset:
		return m.reset(ctx, r, user, w.password)
	case !m.mayMake(r, user, in.Module):
		return errDenied
	case in.Name == "" && Reserved.Run(ctx, m.host.Hooks(), false, user):
		return errNotAllowed
	}
	if err := m.strong(w.password); err != nil {
		return err
	}
	// What has begun must not stop halfway because the client has gone.
	ctx = context.WithoutCancel(ctx)
	err := m.makeFor(ctx, r, user, func() error {
		return m.taking(ctx, in, user, func() error { return m.make(ctx, user, w.password) })
	})
	if err == nil {
		in.Redeemed(ctx, user)
	}
	return err
}

// reset gives the account of an invitation another password.
func (m *module) reset(ctx context.Context, r request, user xmpp.JID, password string) error {
	if err := m.strong(password); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	err := m.taking(ctx, r.invitation, user, func() error { return told(m.host.Auth.SetPassword(ctx, user, password)) })
	if err != nil {
		return err
	}
	m.host.Log.Info("password reset", "user", user.String(), "address", r.addr.String())
	r.invitation.Redeemed(ctx, user)
	return nil
}

// taking uses an invitation up for what do does. It is given back only where it is
// certain that nothing was done: after an error of the database the account may be
// there, and by the same invitation there must not be another one.
func (m *module) taking(ctx context.Context, in *Invitation, user xmpp.JID, do func() error) error {
	undo, err := in.Take(ctx, user)
	if err != nil {
		return err
	}
	err = do()
	var refused *xmpp.Error
	if errors.As(err, &refused) {
		undo()
	}
	return err
}

// Tries remembers who has failed at something, for as long as registration_timeout,
// so that nobody can go on guessing. Its zero value is not ready: use NewTries.
type Tries struct {
	mu    sync.Mutex
	tried aged
}

// NewTries makes a Tries that knows of nobody.
func NewTries() *Tries { return &Tries{tried: newAged()} }

// Spent reports whether who has failed too often.
func (t *Tries) Spent(who string, timeout time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tried.clean(guessing(timeout))
	return t.tried.count(who) >= maxTries
}

// Failed counts a failure of who.
func (t *Tries) Failed(who string, timeout time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tried.clean(guessing(timeout))
	t.tried.add(who)
	if len(t.tried.byKey) > maxTried {
		t.tried.drop(t.tried.order.Front())
	}
}

// guessing is how long failures count. Who need not wait between two accounts may
// guess no faster for that.
func guessing(timeout time.Duration) time.Duration {
	if timeout == config.Infinity || timeout <= 0 {
		return defaultTimeout
	}
	return timeout
}
