// Package invites lets users invite people: to become a contact, to make an account,
// or both; and lets operators have a user choose another password.
//
// An invitation is a link with a token. Who has the token becomes a contact by
// sending it in a subscription request (XEP-0379, contact.go), or makes an account by
// sending it before the request for one (XEP-0445, preauth.go; what is asked then is
// up to mod_register). Users make invitations with commands of their clients
// (XEP-0401, adhoc.go), operators with theirs (commands.go).
//
// A token is good once. The row in the database decides who was first.
package invites

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/register"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const name = "mod_invites"

// Module is mod_invites.
var Module = modules.Define(name, modules.Spec[options]{
	Doc:      "Links by which people become contacts and make accounts. Accounts are made by mod_register, contacts by mod_roster, and users ask for links through mod_adhoc: what is missing of these cannot be done.",
	XEPs:     []string{"0379", "0401", "0445"},
	Tables:   modules.Tables{Keeper: "mod_invites_sql", Versions: schema},
	Commands: (*module)(nil).commands(),
	Start:    start,
})

type options struct {
	modules.Backend
	CreateAccount acl.Access
	Landing       template
	Max           int
	Expire        int // seconds

	site, templates, webchat string // of pages, which are not built
}

const maxExpire = 100 * 365 * 24 * 60 * 60

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	o.DBField(f)
	acl.AccessField(f, &o.CreateAccount, "access_create_account", "none", "Who may invite people to make an account. Of others, links to become their contact make none either.")
	config.Value(f, &o.Landing, "landing_page", "none | auto | URL template", nil,
		"A page that explains the link: a URL with {{ host }}, {{ invite.token }}, {{ invite.uri }} or {{ invite.uri|strip_protocol }} in it. The page of this server, `auto`, is not built yet.", decodeLanding).
		DefaultText("none").Example("\"https://invite.example.org/#{{ invite.uri|strip_protocol }}\"")
	f.IntOrInfinity(&o.Max, "max_invites", config.Unlimited, "How many accounts a user can invite people to make; whoever is in the ACL `admin` has no limit. An invitation that has expired unused does not count.").Must(config.AtLeast(1))
	f.Int(&o.Expire, "token_expire_seconds", 432000, "How many seconds a link is good for.").Must(config.Between(1, maxExpire))
	f.String(&o.site, "site_name", "@HOST@", "The name of this server on the pages.").Unbuilt()
	f.Dir(&o.templates, "templates_dir", "", "The directory with the pages.").Unbuilt().DefaultText("those that come with the server")
	config.Value(f, &o.webchat, "webchat_url", "none | auto | URL", "auto", "The web client that the pages link to.", decodeWebchat).Unbuilt()
}

// module is mod_invites on one virtual host.
type module struct {
	options
	host  *modules.Host
	store store
	tries *register.Tries // of tokens that are none

	mu      sync.Mutex
	streams map[*sm.Stream]invite // of those who have shown a token and have not used it
}

// Priorities that ejabberd has.
const (
	beforeRegister hooks.Priority = 10
	beforeRoster   hooks.Priority = 30
)

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_invites_sql", schema...)
	if err != nil {
		return err
	}
	m := &module{options: o, host: h, store: store{db}, tries: register.NewTries(), streams: map[*sm.Stream]invite{}}
	sm.PreAuth.Add(h, hooks.Normal, m.offer)
	sm.Unauthed.Add(h, beforeRegister, m.preauth)
	sm.StreamFinished.Add(h, hooks.Normal, func(_ context.Context, s *sm.Stream) { m.forget(s) })
	register.Invited.Add(h, hooks.Normal, m.invited)
	register.Reserved.Add(h, hooks.Normal, m.reserved)
	sm.InSubscribe.Add(h, beforeRoster, m.received)
	auth.Removed.Add(h, hooks.Normal, m.removed)
	auth.PasswordSet.Add(h, hooks.Normal, m.changed)
	adhoc.Offer(h, adhoc.Server(), hooks.Normal, m.menu())
	h.Command(m.commands()...)
	return nil
}

// makesAccounts reports whether invitations to make accounts are good for anything.
func (m *module) makesAccounts(ctx context.Context) bool {
	return register.Accepts.Run(ctx, m.host.Hooks(), false, name)
}

// removed forgets what a user has invited people to. An event has nobody to return an
// error to.
func (m *module) removed(ctx context.Context, user xmpp.JID) {
	if err := m.store.removeUser(ctx, user.Local()); err != nil {
		m.host.Log.Error("invitations of a removed user are still good", "user", user.String(), "error", err)
	}
}

// changed forgets what would change a password once more: whoever has been given it
// was given it for the one before.
func (m *module) changed(ctx context.Context, user xmpp.JID) {
	if err := m.store.removeResets(ctx, user.Local()); err != nil {
		m.host.Log.Error("the password of a user can still be reset", "user", user.String(), "error", err)
	}
}

// Bounds of what users can make.
const (
	maxInvites  = 1000 // invitations of a user, and of all who have accounts through one user
	maxAncestry = 100  // inviters of inviters that are looked for
	breed       = 5 * time.Minute
)

// A refusal is why an invitation is not made, as whoever wants it is told.
type refusal string

func (r refusal) Error() string { return string(r) }

const (
	errName     refusal = "Username invalid"
	errExists   refusal = "User already exists"
	errReserved refusal = "Username is reserved"
	errTooMany  refusal = "Maximum number of invites reached"
)

// create makes an invitation and stores it; inviter is empty for the server itself,
// and so is the name of the account where it does not matter.
func (m *module) create(ctx context.Context, k kind, inviter, account string) (*invite, error) {
	var err error
	if account != "" {
		if account, err = m.free(ctx, account); err != nil {
			return nil, err
		}
	}
	if err := m.limits(ctx, k, inviter); err != nil {
		return nil, err
	}
	i := m.new(k, inviter, account)
	if err := m.store.add(ctx, i); err != nil {
		return nil, err
	}
	// Somebody may have made another one at the same time: then neither stays, as
	// nobody has seen the token yet.
	if err := m.crowded(ctx, i); err != nil {
		_, undone := m.store.delete(ctx, i.token)
		return nil, errors.Join(err, undone)
	}
	return i, nil
}

// free is a name in its normal form, if an account of that name can be made.
func (m *module) free(ctx context.Context, account string) (string, error) {
	user := m.user(account)
	if user.IsZero() || xmpp.CheckName(user.Local()) != nil {
		return "", errName
	}
	there, err := m.host.Auth.Exists(ctx, user)
	if err != nil || there {
		return "", errors.Join(err, when(there, errExists))
	}
	kept, err := m.store.reserved(ctx, user.Local(), "")
	return user.Local(), errors.Join(err, when(kept, errReserved))
}

func when(yes bool, err error) error {
	if yes {
		return err
	}
	return nil
}

// limits refuses what would be too much of a user.
func (m *module) limits(ctx context.Context, k kind, inviter string) error {
	if inviter == "" {
		return nil
	}
	if err := m.store.tidy(ctx, inviter); err != nil {
		return err
	}
	all, accounts, err := m.store.made(ctx, inviter)
	switch {
	case err != nil:
		return err
	case all >= maxInvites:
		return errTooMany
	case k == toContact:
		return nil
	case accounts >= m.most(inviter):
		return errTooMany
	}
	return m.overbred(ctx, inviter)
}

// most is how many accounts a user can invite people to make.
func (m *module) most(inviter string) int {
	if m.host.Rules.In("admin", acl.Subject{JID: m.user(inviter)}) {
		return config.Unlimited
	}
	return m.Max
}

// crowded refuses an invitation that should not have been stored beside another.
func (m *module) crowded(ctx context.Context, i *invite) error {
	if i.account != "" {
		kept, err := m.store.reserved(ctx, i.account, i.token)
		if err != nil || kept {
			return errors.Join(err, when(kept, errReserved))
		}
	}
	if i.inviter == "" || i.kind == toContact {
		return nil
	}
	_, accounts, err := m.store.made(ctx, i.inviter)
	return errors.Join(err, when(accounts > m.most(i.inviter), errTooMany))
}

// overbred refuses a user who, with all those that were invited along with him, has
// made too many invitations for accounts, or whose forebears have followed each other
// too quickly: nobody gets around his limit by inviting himself.
func (m *module) overbred(ctx context.Context, inviter string) error {
	root := m.user(inviter)
	for generation := range maxAncestry {
		parent, at, err := m.store.inviterOf(ctx, root)
		if err != nil {
			return err
		}
		if generation == 2 && parent != "" && time.Since(at) < breed {
			return errTooMany
		}
		up := m.user(parent)
		if up.IsZero() || up == root {
			break
		}
		root = up
	}
	n, err := m.store.descendants(ctx, root)
	return errors.Join(err, when(n >= maxInvites, errTooMany))
}
