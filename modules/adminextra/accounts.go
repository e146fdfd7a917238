package adminextra

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// accountCommands are about passwords, and accounts that nobody uses.
func (m *module) accountCommands() []admin.Command {
	const protect = "Accounts of which nothing is known count as never used. Who the access rule protect_old_users allows is kept. mod_last must be on, since it is what knows."
	return []admin.Command{
		admin.New("change_password", "Set the password of an account.", m.changePassword).Tags("accounts").
			Example("", "peter", "myserver.com", "blank"),
		admin.New("check_password", "Tell whether a password is right.", m.checkPassword).Tags("accounts").
			Example("", "peter", "myserver.com", "blank"),
		admin.New("check_password_hash", "Tell whether a password has a hash.", m.checkHash).Tags("accounts").
			Long("This can be told of passwords that are stored plain only; others never fit. Methods are md5, sha, sha224, sha256, sha384 and sha512, in hexadecimal.").
			Example("", "peter", "myserver.com", "5ebe2294ecd0e0f08eab7690d2a6ee69", "md5"),
		admin.New("delete_old_users", "Remove the accounts of all hosts that nobody has used for some days.", m.deleteOld).Tags("accounts", "purge").
			Long(protect).EachHost().Endless().Example("Deleted 2 users: [\"oldman@myserver.com\",\"test@myserver.com\"]", "30"),
		admin.New("delete_old_users_vhost", "Remove the accounts of a host that nobody has used for some days.", m.deleteOldOf).Tags("accounts", "purge").
			Long(protect).Endless().Example("Deleted 2 users: [\"oldman@myserver.com\",\"test@myserver.com\"]", "myserver.com", "30"),
	}
}

type newPassword struct {
	admin.OfUser
	Password string
}

// Fields declares the arguments.
func (a *newPassword) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.Secret(&a.Password, "newpass", "", "The new password.")
}

func (m *module) changePassword(ctx context.Context, in newPassword) (admin.Rescode, error) {
	user, err := m.account(ctx, in.User)
	if err != nil {
		return admin.False, err
	}
	err = m.host.Auth.SetPassword(ctx, user, in.Password)
	return admin.Whether(err == nil), passwordError(user, err)
}

// passwordError is what an operator is told when a password cannot be set.
func passwordError(user xmpp.JID, err error) error {
	switch {
	case errors.Is(err, auth.ErrPassword):
		return admin.Usage.With("%v", err)
	case errors.Is(err, auth.ErrNoUser), errors.Is(err, auth.ErrNoStore):
		return admin.NotFound.With("no password is kept for %s", user)
	}
	return err
}

type password struct {
	admin.OfUser
	Password string
}

// Fields declares the arguments.
func (a *password) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.Secret(&a.Password, "password", "", "The password.")
}

func (m *module) checkPassword(ctx context.Context, in password) (admin.Rescode, error) {
	user, err := m.user(in.User)
	if err != nil {
		return admin.False, err
	}
	err = m.host.Auth.Check(ctx, user, in.Password)
	if errors.Is(err, auth.ErrTemporary) {
		return admin.False, err
	}
	return admin.Whether(err == nil), nil
}

type passwordHash struct {
	admin.OfUser
	Hash, Method string
}

// Fields declares the arguments.
func (a *passwordHash) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.Secret(&a.Hash, "passwordhash", "", "The hash, in hexadecimal.")
	f.String(&a.Method, "hashmethod", "", "The hash function.")
}

func (m *module) checkHash(ctx context.Context, in passwordHash) (admin.Rescode, error) {
	user, err := m.user(in.User)
	if err != nil {
		return admin.False, err
	}
	ok, err := m.host.Auth.CheckHash(ctx, user, in.Hash, in.Method)
	if errors.Is(err, auth.ErrHash) {
		return admin.False, admin.Usage.With("%v", err)
	}
	return admin.Whether(ok), err
}

type olderThan struct{ Days int }

// Fields declares the arguments.
func (a *olderThan) Fields(f *config.Fields) {
	f.Int(&a.Days, "days", 0, "How many days nobody must have logged in.").Must(config.AtLeast(1), config.AtMost(36500))
}

type olderOnHost struct {
	admin.OnHost
	olderThan
}

// Fields declares the arguments.
func (a *olderOnHost) Fields(f *config.Fields) {
	a.OnHost.Fields(f)
	a.olderThan.Fields(f)
}

func (m *module) deleteOldOf(ctx context.Context, in olderOnHost) (admin.Restuple, error) {
	return m.deleteOld(ctx, in.olderThan)
}

func (m *module) deleteOld(ctx context.Context, in olderThan) (admin.Restuple, error) {
	if len(m.seen) == 0 {
		return admin.Restuple{}, admin.NotEnabled.With("mod_last is not enabled on %s, so it is not known who is old; nobody was removed there", m.host.Domain)
	}
	before := time.Now().AddDate(0, 0, -in.Days)
	var gone []string
	for user, err := range m.host.Auth.Users(ctx, "") {
		var old bool
		if err == nil {
			old, err = m.unused(ctx, user, before)
		}
		if err == nil && old {
			err = m.host.Auth.Remove(ctx, user)
		}
		if err != nil {
			return admin.Restuple{}, fmt.Errorf("after %d accounts were removed: %w", len(gone), err)
		}
		if !old {
			continue
		}
		gone = append(gone, fmt.Sprintf("%q", user.String()))
	}
	return admin.Restuple{Text: fmt.Sprintf("Deleted %d users: [%s]", len(gone), strings.Join(gone, ","))}, nil
}

// unused reports whether nobody has used an account since then and no rule
// protects it.
func (m *module) unused(ctx context.Context, user xmpp.JID, since time.Time) (bool, error) {
	if m.host.Rules.Allows("protect_old_users", local.Subject(user)) {
		return false, nil
	}
	old := func(a activity, err error) (bool, error) {
		if errors.Is(err, storage.ErrNotFound) {
			return true, nil
		}
		return err == nil && a.seen.Before(since), err
	}
	if ok, err := old(m.last(ctx, user)); !ok {
		return false, err
	}
	// Who is there now on whichever node is not away; if that cannot be told
	// nobody is removed.
	here, err := m.host.Sessions.Fresh(user)
	if err != nil || len(here) > 0 {
		return false, err
	}
	return old(m.left(ctx, user)) // he may have been there a moment ago
}
