package configure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
	"github.com/gabberd/gabberd/xmpp/stream"
)

func (m *module) addUser(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	j, err := m.user(r)
	if err != nil {
		return adhoc.Result{}, err
	}
	password := r.Form.Value("password")
	if password != r.Form.Value("password-verify") {
		return adhoc.Result{}, &form.Mistake{Var: "password-verify", Text: "is not the same password"}
	}
	if err := m.host.Auth.Register(ctx, j.Bare(), password); err != nil {
		return adhoc.Result{}, accountError(err)
	}
	return adhoc.Done("The account was made")
}

func (m *module) deleteUsers(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	list, err := m.existing(ctx, r)
	if err != nil {
		return adhoc.Result{}, err
	}
	for _, j := range list {
		if err := m.remove(ctx, j); err != nil {
			return adhoc.Result{}, err
		}
	}
	return adhoc.Done("The accounts were deleted")
}

// existing are the users in a form, of whom each must have an account: nothing
// is done by halves because of a slip.
func (m *module) existing(ctx context.Context, r adhoc.Request) ([]xmpp.JID, error) {
	list, err := m.users(r)
	if err != nil {
		return nil, err
	}
	for _, j := range list {
		switch ok, err := m.host.Auth.Exists(ctx, j.Bare()); {
		case err != nil:
			return nil, fmt.Errorf("look for the account: %w", err)
		case !ok:
			return nil, xmpp.ItemNotFound.WithText("There is no account " + j.Bare().String())
		}
	}
	return list, nil
}

// remove deletes an account and ends its sessions.
func (m *module) remove(ctx context.Context, j xmpp.JID) error {
	if err := m.host.Auth.Remove(ctx, j.Bare()); err != nil {
		return accountError(err)
	}
	m.end(ctx, j.Bare(), "User removed")
	return nil
}

// end closes the sessions of a user, or the one with a full address, and
// returns how many there were.
func (m *module) end(ctx context.Context, j xmpp.JID, text string) int {
	n := 0
	for _, s := range m.host.Sessions.User(j.Bare()) {
		if j.IsBare() || s.JID == j {
			n++
			s.Close(stream.Conflict.With(text))
		}
	}
	if n > 0 {
		sm.Kicked.Run(ctx, m.host.Hooks(), j.Bare())
	}
	return n
}

func (m *module) endSessions(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	list, err := m.users(r)
	if err != nil {
		return adhoc.Result{}, err
	}
	n := 0
	for _, j := range list {
		n += m.end(ctx, j, "The session was ended by an administrator")
	}
	return adhoc.Done(fmt.Sprintf("%d sessions were ended", n))
}

func (m *module) changePassword(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	j, err := m.user(r)
	if err != nil {
		return adhoc.Result{}, err
	}
	if err := m.host.Auth.SetPassword(ctx, j.Bare(), r.Form.Value("password")); err != nil {
		return adhoc.Result{}, accountError(err)
	}
	return adhoc.Done("The password was changed")
}

// account is the command on a user's own address.
func (m *module) account(_ context.Context, r adhoc.Request) (adhoc.Result, error) {
	f := form.New(form.Ask, ns,
		form.ListField("action", "Action on user", "edit",
			form.Option{Label: "Change the password", Value: "edit"}, form.Option{Label: "Remove the account", Value: "remove"}).Require(),
		form.PrivateField("password", "Password"))
	f.Title = "Administration of " + r.To.Local()
	return adhoc.Ask(f, m.setAccount)
}

func (m *module) setAccount(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	if r.Form.Value("action") == "remove" {
		if err := m.remove(ctx, r.To); err != nil {
			return adhoc.Result{}, err
		}
		return adhoc.Done("The account was deleted")
	}
	password := r.Form.Value("password")
	if password == "" {
		return adhoc.Result{}, &form.Mistake{Var: "password", Text: "is required"}
	}
	if err := m.host.Auth.SetPassword(ctx, r.To.Bare(), password); err != nil {
		return adhoc.Result{}, accountError(err)
	}
	return adhoc.Done("The password was changed")
}

// call has a command of another module done, with the permissions that
// api_permissions gives to who asks.
func (m *module) call(ctx context.Context, r adhoc.Request, name string, args map[string][]string) (*admin.Result, error) {
	who := admin.Caller{Door: admin.DoorAdhoc, Account: r.From.Bare()}
	res, err := m.host.Commands.Call(ctx, who, name, admin.Latest, admin.Named(args))
	switch {
	case errors.Is(err, admin.Unknown), errors.Is(err, admin.NotEnabled):
		return nil, xmpp.FeatureNotImplemented.WithText("This needs a module that is not enabled")
	case errors.Is(err, admin.Denied), errors.Is(err, admin.Unprivileged):
		return nil, xmpp.Forbidden.WithText("api_permissions do not let you call " + name)
	case errors.Is(err, admin.NotFound):
		return nil, xmpp.ItemNotFound.WithText(err.Error())
	case err != nil:
		return nil, fmt.Errorf("call %s: %w", name, err)
	case res.Exit() != admin.ExitOK:
		return nil, xmpp.UndefinedCondition.WithText(res.Text())
	}
	return res, nil
}

func named(j xmpp.JID) map[string][]string {
	return map[string][]string{"user": {j.Local()}, "host": {j.Domain()}}
}

func (m *module) disableUsers(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	list, err := m.existing(ctx, r)
	if err != nil {
		return adhoc.Result{}, err
	}
	for _, j := range list {
		args := named(j)
		args["reason"] = []string{"Disabled by " + r.From.Bare().String()}
		if _, err := m.call(ctx, r, "ban_account", args); err != nil {
			return adhoc.Result{}, err
		}
	}
	return adhoc.Done("The accounts were disabled")
}

func (m *module) reenableUsers(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	list, err := m.existing(ctx, r)
	if err != nil {
		return adhoc.Result{}, err
	}
	for _, j := range list {
		if _, err := m.call(ctx, r, "unban_account", named(j)); err != nil {
			return adhoc.Result{}, err
		}
	}
	return adhoc.Done("The accounts were enabled again")
}

func (m *module) lastLogin(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	j, err := m.user(r)
	if err != nil {
		return adhoc.Result{}, err
	}
	res, err := m.call(ctx, r, "get_last", named(j))
	if err != nil {
		return adhoc.Result{}, err
	}
	body, err := res.JSON()
	if err != nil {
		return adhoc.Result{}, err
	}
	var last struct{ Timestamp, Status string }
	if err := json.Unmarshal(body, &last); err != nil {
		return adhoc.Result{}, fmt.Errorf("read the answer of get_last: %w", err)
	}
	when := last.Timestamp
	switch last.Status {
	case "ONLINE":
		when = "Online"
	case "NEVER", "NOT FOUND":
		when = "Never"
	}
	return show("Last login", form.JIDField("accountjid", "Jabber ID", j.Bare()), form.TextField("lastlogin", "Last login", when))
}

func (m *module) userRoster(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	j, err := m.user(r)
	if err != nil {
		return adhoc.Result{}, err
	}
	c := roster.Get.Run(ctx, m.host.Hooks(), roster.Contents{}, j.Bare())
	if c.Err != nil {
		return adhoc.Result{}, c.Err
	}
	f := form.New(form.Result, ns, form.JIDField("accountjid", "Jabber ID", j.Bare()))
	f.Title = "Roster of " + j.Bare().String()
	f.Reported = []form.Field{
		{Var: "jid", Type: form.JIDSingle, Label: "Jabber ID"},
		{Var: "name", Type: form.TextSingle, Label: "Name"},
		{Var: "groups", Type: form.TextMulti, Label: "Groups"},
	}
	for _, i := range c.Items {
		f.Items = append(f.Items, []form.Field{
			{Var: "jid", Values: []string{i.JID.String()}}, {Var: "name", Values: []string{i.Name}}, {Var: "groups", Values: i.Groups},
		})
	}
	return adhoc.Show(f)
}

func (m *module) userStats(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	j, err := m.user(r)
	if err != nil {
		return adhoc.Result{}, err
	}
	c := roster.Get.Run(ctx, m.host.Hooks(), roster.Contents{}, j.Bare())
	if c.Err != nil {
		return adhoc.Result{}, c.Err
	}
	addresses := form.Field{Var: "ipaddresses", Type: form.TextMulti, Label: "IP addresses"}
	resources := form.Field{Var: "onlineresources", Type: form.TextMulti, Label: "Resources"}
	for _, s := range m.host.Sessions.User(j.Bare()) {
		addresses.Values = append(addresses.Values, s.Addr().String())
		resources.Values = append(resources.Values, s.JID.Resource())
	}
	return show("User statistics", form.JIDField("accountjid", "Jabber ID", j.Bare()),
		form.TextField("rostersize", "Roster size", strconv.Itoa(len(c.Items))), addresses, resources)
}
