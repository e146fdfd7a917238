package adminextra

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// banCommands are about who may not log in.
func (m *module) banCommands() []admin.Command {
	return []admin.Command{
		admin.New("ban_account", "Ban an account: end its sessions and give it a random password.", m.banOld).Tags("accounts").
			Long("Nobody knows the password, so that a new one must be set to lift this ban.").
			Example("", "attacker", "myserver.com", "Spaming other users"),
		admin.New("ban_account", "Ban an account: end its sessions and let it not log in.", m.ban).Tags("accounts").Version(2).Note("improved in 25.08").
			Long("The password stays, and unban_account lifts the ban. An account that is banned already keeps the first reason.").
			Example("", "attacker", "myserver.com", "Spaming other users"),
		admin.New("get_ban_details", "Tell why and since when an account is banned.", m.details).Tags("accounts").Version(2).Note("added in 24.06").
			Long("There is no detail for who is not banned.").Result("ban_details", "detail").
			Example("reason\tSpamming other users\nbandate\t2024-04-22T09:16:47.975312Z\nlastdate\t2024-04-22T08:39:12Z\nlastreason\tConnection reset by peer", "attacker", "myserver.com"),
		admin.New("unban_account", "Lift the ban of an account.", m.unban).Tags("accounts").Version(2).Note("added in 24.06").
			Example("", "gooduser", "myserver.com"),
		admin.New("count_banned", "Count the banned accounts of a virtual host.", m.countBanned).Tags("accounts").Note("added in 25.10").
			Result("banned").Example("2", "myserver.com"),
		admin.New("list_banned", "List the banned accounts of a virtual host.", m.listBanned).Tags("accounts").Note("added in 25.10").
			Result("banned", "jid").Example("attacker@myserver.com", "myserver.com"),
	}
}

type banArgs struct {
	admin.OfUser
	Reason string
}

// Fields declares the arguments.
func (a *banArgs) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.Reason, "reason", "", "Why; the user's clients are told.")
}

// What ban_account and unban_account answer when there is nothing to do.
const (
	noAccount     admin.Rescode = "account_does_not_exist"
	alreadyBanned admin.Rescode = "account_was_already_banned"
	notBanned     admin.Rescode = "account_was_not_banned"
)

func (m *module) banOld(ctx context.Context, in banArgs) (admin.Rescode, error) {
	user, err := m.account(ctx, in.User)
	if err != nil {
		return admin.False, err
	}
	if err := m.host.Auth.SetPassword(ctx, user, "BANNED_ACCOUNT--"+stamp(time.Now())+"--"+rand.Text()); err != nil {
		return admin.False, passwordError(user, err)
	}
	kick(m.host.Sessions.UserNow(user), in.Reason)
	return admin.OK, nil
}

func (m *module) ban(ctx context.Context, in banArgs) (admin.Rescode, error) {
	user, err := m.account(ctx, in.User)
	switch {
	case errors.Is(err, admin.NotFound):
		return noAccount, nil
	case err != nil:
		return admin.False, err
	}
	if _, banned, err := m.bans.get(ctx, user); err != nil || banned {
		return alreadyBanned, err
	}
	x := ban{Reason: clean(in.Reason), Date: time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")}
	switch a, err := m.left(ctx, user); {
	case len(m.host.Sessions.User(user)) > 0:
		x.LastDate, x.LastReason = stamp(time.Now()), "ONLINE"
	case err == nil:
		x.LastDate, x.LastReason = stamp(a.seen), clean(a.status)
	case !errors.Is(err, storage.ErrNotFound):
		return admin.False, err
	}
	fresh, err := m.bans.set(ctx, user, x)
	if err != nil {
		return admin.False, err
	}
	m.remember(user, true)
	BanChanged.Run(ctx, m.host.Hooks(), BanChange{user, true, in.Reason})
	// After the ban is in force, so that nobody comes back in between.
	kick(m.host.Sessions.UserNow(user), in.Reason)
	if !fresh {
		return alreadyBanned, nil
	}
	return admin.OK, nil
}

// stamp is a moment as commands show it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// clean is a text without what XML cannot hold.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0xfffe || r == 0xffff {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// detail is a line of get_ban_details.
type detail struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (m *module) details(ctx context.Context, in admin.OfUser) ([]detail, error) {
	user, err := m.user(in.User)
	if err != nil {
		return nil, err
	}
	x, banned, err := m.bans.get(ctx, user)
	if err != nil || !banned {
		return []detail{}, err
	}
	return []detail{{"reason", x.Reason}, {"bandate", x.Date}, {"lastdate", x.LastDate}, {"lastreason", x.LastReason}}, nil
}

func (m *module) unban(ctx context.Context, in admin.OfUser) (admin.Rescode, error) {
	user, err := m.account(ctx, in.User)
	switch {
	case errors.Is(err, admin.NotFound):
		return noAccount, nil
	case err != nil:
		return admin.False, err
	}
	was, err := m.lift(ctx, user)
	if err != nil || !was {
		return notBanned, err
	}
	return admin.OK, nil
}

func (m *module) lift(ctx context.Context, user xmpp.JID) (was bool, err error) {
	if was, err = m.bans.remove(ctx, user); err == nil {
		m.remember(user, false)
		if was {
			BanChanged.Run(ctx, m.host.Hooks(), BanChange{User: user})
		}
	}
	return was, err
}

func (m *module) countBanned(ctx context.Context, _ admin.OnHost) (int, error) {
	list, err := m.bans.list(ctx)
	return len(list), err
}

func (m *module) listBanned(ctx context.Context, _ admin.OnHost) ([]string, error) {
	list, err := m.bans.list(ctx)
	out := make([]string, len(list))
	for i, name := range list {
		out[i] = name + "@" + m.host.Domain
	}
	return out, err
}

// refuse keeps who is banned from logging in. While the database does not
// answer nobody can be told from who is banned, so nobody comes in.
func (m *module) refuse(ctx context.Context, f *auth.Failure, user xmpp.JID) (*auth.Failure, hooks.Flow) {
	if f != nil {
		return f, hooks.Next
	}
	switch _, banned, err := m.bans.get(ctx, user); {
	case err != nil:
		return &auth.Failure{Condition: auth.ErrTemporary.Condition, Cause: err}, hooks.Stop
	case banned:
		return &auth.Failure{Condition: auth.ErrAccountDisabled.Condition, Text: "This account is banned"}, hooks.Stop
	}
	return nil, hooks.Next
}

// opened ends the session of somebody who was banned while he was logging in.
func (m *module) opened(ctx context.Context, s *sm.Session) {
	user := s.JID.Bare()
	m.mu.Lock()
	banned := m.banned[user]
	m.mu.Unlock()
	if !banned {
		return
	}
	// Another node may have lifted the ban without this one hearing of it.
	if _, still, err := m.bans.get(ctx, user); err == nil && !still {
		m.remember(user, false)
		return
	}
	s.Close(stream.PolicyViolation.With("This account is banned"))
}

// removed forgets the ban of an account that is gone: who makes it anew is
// somebody else.
func (m *module) removed(ctx context.Context, user xmpp.JID) {
	if _, err := m.lift(ctx, user); err != nil {
		m.host.Log.Error("the ban of a removed user is still there", "user", user.String(), "error", err)
	}
}
