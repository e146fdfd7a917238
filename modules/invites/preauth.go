package invites

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/register"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	nsPARS    = "urn:xmpp:pars:0"
	nsFeature = "urn:xmpp:ibr-token:0"
)

// What people are told about a token that is not good here and now, whatever the
// reason (XEP-0445 §4).
var (
	errInvalid = xmpp.ItemNotFound.WithText("The token provided is either invalid or expired")
	errGuesses = xmpp.ResourceConstraint.WithText("Too many tokens were invalid, try again later")
)

// offer announces that tokens are taken (XEP-0445 §3).
func (m *module) offer(_ context.Context, list []*xmpp.Element, _ *sm.Stream) ([]*xmpp.Element, hooks.Flow) {
	if register.Accepts.Heard(m.host.Hooks()) {
		list = append(list, xmpp.El(nsFeature, "register"))
	}
	return list, hooks.Next
}

// preauth answers a client that has not logged in and shows a token.
func (m *module) preauth(ctx context.Context, done bool, u sm.Unauthenticated) (bool, hooks.Flow) {
	iq := u.Stanza
	if done || iq.Kind != xmpp.IQ || iq.Type != "set" || !iq.Payload().Is(nsPARS, "preauth") ||
		!iq.To.IsZero() && iq.To != m.host.JID || !register.Accepts.Heard(m.host.Hooks()) {
		return done, hooks.Next
	}
	i, err := m.shown(ctx, register.AddressKey(u.Stream.Addr.Addr()), iq.Payload().Attr("token"))
	if err != nil {
		var known *xmpp.Error
		if !errors.As(err, &known) {
			m.host.Log.Error("it cannot be told whether a token is good", "address", u.Stream.Addr.Addr().String(), "error", err)
		}
		u.Stream.Reply(xmpp.NewIQ("error", m.host.JID, xmpp.JID{}, iq.ID, xmpp.AsError(err).Element()))
		return true, hooks.Stop
	}
	m.mu.Lock()
	m.streams[u.Stream] = i
	m.mu.Unlock()
	u.Stream.Reply(xmpp.NewIQ("result", m.host.JID, xmpp.JID{}, iq.ID, nil))
	return true, hooks.Stop
}

// shown is the invitation whose token somebody has shown who has not logged in.
func (m *module) shown(ctx context.Context, who, token string) (invite, error) {
	i, ok, err := m.look(ctx, who, token, m.good)
	if err == nil && !ok {
		err = errInvalid
	}
	return i, err
}

// look finds the invitation with a token that somebody has shown, if it is good. Who
// has shown too many that are not learns nothing more for a while.
func (m *module) look(ctx context.Context, who, token string, good func(context.Context, *invite) (bool, error)) (i invite, ok bool, err error) {
	timeout := register.TimeoutOf(ctx, m.host.Global)
	if m.tries.Spent(who, timeout) {
		return i, false, errGuesses
	}
	if isToken(token) {
		if i, err = m.store.find(ctx, token); err == nil {
			ok, err = good(ctx, &i)
		}
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return i, false, err
		}
	}
	if !ok {
		m.tries.Failed(who, timeout)
	}
	return i, ok, nil
}

// good reports whether an account can be made by an invitation, or gets another
// password. Whoever has made it may have lost the right to since.
func (m *module) good(ctx context.Context, i *invite) (bool, error) {
	switch {
	case !i.valid():
		return false, nil
	case i.kind == toReset:
		return i.account != "", nil
	case !m.makesAccounts(ctx):
		return false, nil
	case i.kind == toContact:
		return m.goodForAccount(ctx, i)
	case i.kind != toAccount && i.kind != toBoth:
		return false, nil
	}
	return i.inviter == "" || m.mayInvite(m.user(i.inviter)), nil
}

// goodForAccount is good for an invitation of a contact.
func (m *module) goodForAccount(ctx context.Context, i *invite) (bool, error) {
	if i.account != "" || !m.mayInvite(m.user(i.inviter)) {
		return false, nil
	}
	err := m.limits(ctx, toAccount, i.inviter)
	if errors.Is(err, errTooMany) {
		return false, nil
	}
	return err == nil, err
}

// invited tells mod_register what a client that wants an account has shown.
func (m *module) invited(_ context.Context, in *register.Invitation, s *sm.Stream) (*register.Invitation, hooks.Flow) {
	m.mu.Lock()
	i, ok := m.streams[s]
	m.mu.Unlock()
	if !ok || in != nil {
		return in, hooks.Next
	}
	in = &register.Invitation{
		Module: name, Reset: i.kind == toReset,
		Take:     func(ctx context.Context, user xmpp.JID) (func(), error) { return m.take(ctx, s, &i, user) },
		Redeemed: func(ctx context.Context, user xmpp.JID) { m.redeemed(ctx, s, &i, user) },
	}
	if i.kind != toContact {
		in.Name = i.account
	}
	return in, hooks.Next
}

// take uses the invitation of a stream up. Only its row is looked at: that it expires
// after it was shown does no harm (XEP-0445 §4).
func (m *module) take(ctx context.Context, s *sm.Stream, i *invite, user xmpp.JID) (undo func(), err error) {
	account := i.account
	if i.kind == toContact {
		account = user.Local()
	}
	ok, err := m.store.take(ctx, i, user, account)
	if err != nil {
		return nil, err
	}
	if !ok {
		m.forget(s)
		return nil, errInvalid
	}
	undo = func() { m.giveBack(ctx, i, user) }
	if i.kind == toContact {
		// Somebody may have used another one of the same user at the same time.
		_, accounts, err := m.store.made(ctx, i.inviter)
		if err != nil || accounts > m.most(i.inviter) {
			undo()
			return nil, errors.Join(err, when(err == nil, errInvalid))
		}
	}
	return undo, nil
}

func (m *module) giveBack(ctx context.Context, i *invite, user xmpp.JID) {
	if err := m.store.giveBack(ctx, i, user); err != nil {
		m.host.Log.Error("an invitation is used up for nothing", "inviter", i.inviter, "for", user.String(), "error", err)
	}
}

// redeemed is called when an account is made, or has another password.
func (m *module) redeemed(ctx context.Context, s *sm.Stream, i *invite, user xmpp.JID) {
	m.forget(s)
	inviter := m.user(i.inviter)
	m.host.Log.Info("invitation used", "inviter", inviter.String(), "by", user.String(), "kind", i.kind.word())
	if inviter.IsZero() || i.kind != toContact && i.kind != toBoth {
		return
	}
	// The new user's first: the inviter's clients ask for his presence at once.
	for _, f := range []struct{ user, contact xmpp.JID }{{user, inviter}, {inviter, user}} {
		if err := m.befriend(ctx, f.user, f.contact, true); err != nil {
			m.host.Log.Error("a new user and who has invited him do not see each other", "user", f.user.String(), "contact", f.contact.String(), "error", err)
			return
		}
	}
}

// forget forgets what a client has shown.
func (m *module) forget(s *sm.Stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, s)
}

// reserved keeps names for those who were invited to take them (XEP-0445 §5). Where
// that cannot be told they are kept, too: an account can be made later.
func (m *module) reserved(ctx context.Context, yes bool, user xmpp.JID) (bool, hooks.Flow) {
	if yes {
		return true, hooks.Next
	}
	kept, err := m.store.reserved(ctx, user.Local(), "")
	if err != nil {
		m.host.Log.Error("an account is refused: it cannot be told whether its name is reserved", "user", user.String(), "error", err)
		kept = true
	}
	return kept, hooks.Next
}
