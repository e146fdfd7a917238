// Package configure lets administrators look after accounts and sessions from
// their clients (XEP-0133).
package configure

import (
	"context"
	"errors"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// ns is the kind of all forms here, and what the nodes of the commands begin
// with.
const ns = "http://jabber.org/protocol/admin"

// Module is mod_configure.
var Module = modules.Define("mod_configure", modules.Spec[options]{
	Doc:   "Lets administrators look after users and their sessions from their clients. It needs mod_adhoc.",
	XEPs:  []string{"0133 partial"},
	Needs: []string{"mod_adhoc"},
	Start: start,
})

type options struct{ Access acl.Access }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access", "configure", "Who may use these commands.")
}

type module struct {
	options
	host *modules.Host
}

func start(h *modules.Host, o options) error {
	m := &module{o, h}
	var menu adhoc.Fixed
	for _, t := range m.tasks() {
		menu = append(menu, adhoc.Command{Node: ns + "#" + t.name, Name: t.title, Allowed: m.allowed, Run: t.step()})
	}
	adhoc.Offer(h, adhoc.Server(), hooks.Normal, menu)
	m.grow()
	adhoc.Offer(h, adhoc.Account(), hooks.Normal, adhoc.Fixed{
		{Node: "config", Name: "User management", Allowed: m.allowed, Run: m.account},
	})
	return nil
}

func (m *module) allowed(_ context.Context, q disco.Query) bool {
	return m.Access.Allows(m.host.Rules, local.Subject(q.From))
}

// A task is something that administrators do: after a form was filled in, if it
// has fields.
type task struct {
	name, title string
	fields      []form.Field
	do          adhoc.Step
}

// tasks are all there are, under the names of XEP-0133.
func (m *module) tasks() []task {
	user := form.JIDField("accountjid", "Jabber ID", xmpp.JID{}).Require()
	users := form.JIDsField("accountjids", "Jabber IDs").Require()
	most := form.ListField("max_items", "Maximum number of items to show", "100",
		form.Option{Value: "25"}, form.Option{Value: "50"}, form.Option{Value: "75"}, form.Option{Value: "100"},
		form.Option{Value: "150"}, form.Option{Value: "200"}, form.Option{Label: "as many as possible", Value: "none"})
	return []task{
		{"add-user", "Add User", []form.Field{user, form.PrivateField("password", "Password").Require(), form.PrivateField("password-verify", "Password Verification").Require()}, m.addUser},
		{"delete-user", "Delete User", []form.Field{users}, m.deleteUsers},
		{"disable-user", "Disable User", []form.Field{users}, m.disableUsers},
		{"reenable-user", "Re-Enable User", []form.Field{users}, m.reenableUsers},
		{"end-user-session", "End User Session", []form.Field{users}, m.endSessions},
		{"change-user-password", "Change User Password", []form.Field{user, form.PrivateField("password", "Password").Require()}, m.changePassword},
		{"get-user-roster", "Get User Roster", []form.Field{user}, m.userRoster},
		{"get-user-lastlogin", "Get User Last Login Time", []form.Field{user}, m.lastLogin},
		{"user-stats", "Get User Statistics", []form.Field{user}, m.userStats},
		{"get-registered-users-num", "Get Number of Registered Users", nil, m.registeredNumber},
		{"get-online-users-num", "Get Number of Online Users", nil, m.onlineNumber},
		{"get-registered-users-list", "Get List of Registered Users", []form.Field{most}, m.registeredList},
		{"get-online-users-list", "Get List of Online Users", []form.Field{most}, m.onlineList},
	}
}

// step is the first step of the task.
func (t task) step() adhoc.Step {
	if t.fields == nil {
		return t.do
	}
	return func(context.Context, adhoc.Request) (adhoc.Result, error) {
		f := form.New(form.Ask, ns, t.fields...)
		f.Title = t.title
		return adhoc.Ask(f, t.do)
	}
}

// show is the result of a task that tells something.
func show(title string, fields ...form.Field) (adhoc.Result, error) {
	f := form.New(form.Result, ns, fields...)
	f.Title = title
	return adhoc.Show(f)
}

// user is the address in a field, which must be that of a user of this host.
func (m *module) user(r adhoc.Request) (xmpp.JID, error) {
	j, err := r.Form.JID("accountjid")
	if err != nil {
		return j, err
	}
	return j, m.mine("accountjid", j)
}

// users are the addresses in a field, all of users of this host.
func (m *module) users(r adhoc.Request) ([]xmpp.JID, error) {
	list, err := r.Form.JIDs("accountjids")
	if err != nil {
		return nil, err
	}
	for _, j := range list {
		if err := m.mine("accountjids", j); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (m *module) mine(field string, j xmpp.JID) error {
	if j.Domain() != m.host.Domain || j.Local() == "" {
		return &form.Mistake{Var: field, Text: "must have users of " + m.host.Domain + " only"}
	}
	return nil
}

// accountError is what an administrator is told when an account cannot be made
// or changed.
func accountError(err error) error {
	switch {
	case errors.Is(err, auth.ErrExists), errors.Is(err, auth.ErrTaken):
		return xmpp.Conflict.WithText("The account exists already")
	case errors.Is(err, auth.ErrNoUser):
		return xmpp.ItemNotFound.WithText("There is no such account")
	case errors.Is(err, auth.ErrName):
		return &form.Mistake{Var: "accountjid", Text: "cannot be the name of an account"}
	case errors.Is(err, auth.ErrPassword):
		return &form.Mistake{Var: "password", Text: "cannot be a password"}
	case errors.Is(err, auth.ErrRefused):
		return xmpp.NotAllowed.WithText("The account was refused")
	case errors.Is(err, auth.ErrNoStore):
		return xmpp.NotAllowed.WithText("This server keeps no accounts")
	}
	return err
}
