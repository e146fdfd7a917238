package invites

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
)

// commands are what an operator can do about invitations.
func (m *module) commands() []admin.Command {
	const token, uri = "4bsdpwVrRDQYnF9aQQKXGbF7", "xmpp:myserver.com?register;preauth=4bsdpwVrRDQYnF9aQQKXGbF7"
	const page = "https://myserver.com/invites/" + token
	return []admin.Command{
		admin.New("cleanup_expired_invite_tokens", "Delete invitations that have expired.", m.cleanup).Tags("purge").
			EachHost().Result("num_deleted").Note("added in 26.01").Example("42"),
		admin.New("delete_invite_by_token", "Delete an invitation.", m.deleteToken).Tags("purge").
			Note("added in 26.07").Example("", "myserver.com", token),
		admin.New("expire_invite_by_token", "Revoke an invitation; it stays in the list.", m.expireToken).Tags("purge").
			Note("added in 26.07").Example("", "myserver.com", token),
		admin.New("expire_invite_tokens", "Revoke what a user has invited people to.", m.expireUser).Tags("purge").
			Long("Invitations to become the user's contact are left.").
			Result("num_expired").Note("added in 26.01").Example("42", "juliet", "myserver.com"),
		admin.New("generate_invite", "Invite somebody to make an account.", m.generate).Tags("accounts").
			Result("invite").Note("added in 26.01").Example(uri+"\t"+page, "myserver.com"),
		admin.New("generate_invite_with_username", "Invite somebody to make the account of a name.", m.generateFor).Tags("accounts").
			Long("Nobody else can register the name until the invitation expires.").
			Result("invite").Note("added in 26.01").Example("xmpp:juliet@myserver.com?register;preauth="+token+"\t"+page, "juliet", "myserver.com"),
		admin.New("generate_reset_token", "Let a user choose another password without the old one.", m.generateReset).Tags("accounts").
			Result("invite").Note("added in 26.07").Example("xmpp:juliet@myserver.com?register;preauth="+token+"\t"+page, "juliet", "myserver.com"),
		admin.New("list_invites", "List all invitations.", m.list).Tags("accounts").
			Result("invites", "invite").Note("added in 26.01").
			Example(token+"\ttrue\t2026-01-01T00:00:00Z\t2026-01-06T00:00:00Z\taccount_only\tmyserver.com\t\t\t"+uri+"\t"+page, "myserver.com"),
	}
}

// named is an account as these commands name it.
type named struct{ Name, Host string }

// Fields declares the arguments.
func (a *named) Fields(f *config.Fields) {
	f.String(&a.Name, "username", "", "Name of the account, the part before the @.")
	f.String(&a.Host, "host", "", "Virtual host of the account.")
}

// one is an invitation as commands name it.
type one struct{ Host, Token string }

// Fields declares the arguments.
func (a *one) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "Virtual host that the invitation is for.")
	f.Secret(&a.Token, "token", "", "The token of the invitation.")
}

// link is an invitation as who has made it gets it.
type link struct {
	URI  string `json:"invite_uri"`
	Page string `json:"landing_page"`
}

// listed is an invitation in a list.
type listed struct {
	Token   string     `json:"token"`
	Valid   bool       `json:"valid"`
	Created string     `json:"created_at"`
	Expires string     `json:"expires"`
	Type    admin.Atom `json:"type"`
	Inviter string     `json:"inviter"`
	Invitee string     `json:"invitee"`
	Account string     `json:"account_name"`
	URI     string     `json:"token_uri"`
	Page    string     `json:"landing_page"`
}

func (m *module) cleanup(ctx context.Context, _ admin.NoArgs) (int, error) {
	n, err := m.store.cleanup(ctx)
	return int(n), err
}

// notFound is ejabberd's word for a token that there is not.
const notFound admin.Rescode = "not_found"

func found(n int64, err error) (admin.Rescode, error) {
	if n == 0 {
		return notFound, err
	}
	return admin.OK, err
}

func (m *module) deleteToken(ctx context.Context, in one) (admin.Rescode, error) {
	return found(m.store.delete(ctx, in.Token))
}

func (m *module) expireToken(ctx context.Context, in one) (admin.Rescode, error) {
	return found(m.store.expire(ctx, in.Token))
}

func (m *module) expireUser(ctx context.Context, in named) (int, error) {
	user := m.user(in.Name)
	if user.IsZero() {
		return 0, admin.Usage.With("username: there can be no account of that name")
	}
	n, err := m.store.expireOf(ctx, user.Local())
	return int(n), err
}

func (m *module) generate(ctx context.Context, _ admin.OnHost) (link, error) {
	return m.link(ctx, "")
}

func (m *module) generateFor(ctx context.Context, in named) (link, error) {
	return m.link(ctx, in.Name)
}

// link makes an invitation of the server itself.
func (m *module) link(ctx context.Context, name string) (link, error) {
	i, err := m.create(ctx, toAccount, "", name)
	switch {
	case errors.Is(err, errExists):
		return link{}, admin.Conflict.With("Username already taken")
	case errors.Is(err, errReserved):
		return link{}, admin.Conflict.With("%v", errReserved)
	case errors.Is(err, errName):
		return link{}, admin.Usage.With("username: there can be no account of that name")
	case err != nil:
		return link{}, err
	}
	return m.told(ctx, i), nil
}

func (m *module) told(ctx context.Context, i *invite) link {
	uri := m.uri(ctx, i)
	return link{uri, m.page(i, uri)}
}

func (m *module) generateReset(ctx context.Context, in named) (link, error) {
	user := m.user(in.Name)
	there, err := m.host.Auth.Exists(ctx, user)
	if err != nil {
		return link{}, err
	}
	if !there {
		return link{}, admin.NotFound.With("User does not exist")
	}
	i := m.new(toReset, "", user.Local())
	if err := m.store.add(ctx, i); err != nil {
		return link{}, err
	}
	return m.told(ctx, i), nil
}

func (m *module) list(ctx context.Context, _ admin.OnHost) ([]listed, error) {
	all, err := m.store.all(ctx)
	out := []listed{}
	for i := range all {
		x := &all[i]
		inviter := m.host.Domain
		if x.inviter != "" {
			inviter = x.inviter + "@" + inviter
		}
		to := m.told(ctx, x)
		out = append(out, listed{x.token, x.valid(), stamp(x.created), stamp(x.expires), admin.Atom(x.kind.word()), inviter, x.invitee, x.account, to.URI, to.Page})
	}
	return out, err
}
