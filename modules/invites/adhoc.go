package invites

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// What clients call (XEP-0401 §3).
const (
	nodeInvite = "urn:xmpp:invite#invite"
	nodeCreate = "urn:xmpp:invite#create-account"
	formInvite = "urn:xmpp:invite#invitation"
)

// menu is the commands of users' clients.
func (m *module) menu() adhoc.Fixed {
	return adhoc.Fixed{
		{Node: nodeInvite, Name: "Invite User", Allowed: m.isUser, Run: m.inviteContact},
		{Node: nodeCreate, Name: "Create Account", Allowed: m.isInviter, Run: func(context.Context, adhoc.Request) (adhoc.Result, error) {
			f := form.New(form.Ask, "", form.TextField("username", "Username", ""), form.BoolField("roster-subscription", "Roster Subscription", false))
			f.Title = "Account Creation Invite"
			return adhoc.Ask(f, m.inviteUser)
		}},
	}
}

// isUser reports whether who asks has an account here.
func (m *module) isUser(_ context.Context, q disco.Query) bool {
	s := m.host.Sessions.Find(q.From)
	return s != nil && !s.Anonymous && q.From.Domain() == m.host.Domain
}

func (m *module) isInviter(ctx context.Context, q disco.Query) bool {
	return m.isUser(ctx, q) && m.mayInvite(q.From.Bare())
}

// inviteContact makes an invitation at once (XEP-0401 §5.1).
func (m *module) inviteContact(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	return m.show(ctx, r, toContact, "")
}

// inviteUser makes an invitation of whoever was named in the form, or anybody
// (XEP-0401 §5.4).
func (m *module) inviteUser(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	k := toAccount
	befriend, err := r.Form.Bool("roster-subscription")
	if err != nil {
		return adhoc.Result{}, err
	}
	if befriend {
		k = toBoth
	}
	return m.show(ctx, r, k, r.Form.Value("username"))
}

// show makes an invitation and shows it to its inviter.
func (m *module) show(ctx context.Context, r adhoc.Request, k kind, account string) (adhoc.Result, error) {
	i, err := m.create(ctx, k, r.From.Local(), account)
	var refused refusal
	if errors.As(err, &refused) {
		return adhoc.Result{}, xmpp.BadRequest.WithText(string(refused))
	}
	if err != nil {
		return adhoc.Result{}, err
	}
	uri := m.uri(ctx, i)
	fields := []form.Field{form.TextField("uri", "Invite URI", uri)}
	if page := m.page(i, uri); page != "" {
		fields = append(fields, form.TextField("landing-url", "Invite Landing Page URL", page))
	}
	f := form.New(form.Result, formInvite, append(fields, form.TextField("expire", "Invite token valid until", stamp(i.expires)))...)
	f.Title = "New Invite Token Created"
	return adhoc.Show(f)
}
