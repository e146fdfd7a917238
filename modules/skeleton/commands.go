package skeleton

import (
	"context"
	"strconv"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// account is the arguments of a command, declared as options are.
type account struct{ User, Host string }

// Fields declares the arguments.
func (a *account) Fields(f *config.Fields) {
	f.String(&a.User, "user", "", "The name of the user.")
	f.String(&a.Host, "host", "", "The virtual host.")
}

// commands are what an operator can ask: with gabberdctl, over HTTP, and with
// mod_adhoc_api from a client.
func (m *module) commands() []admin.Command {
	return []admin.Command{
		admin.New("get_greetings", "Show how often a user has greeted the server.", m.getGreetings).
			Tags("skeleton").Result("greetings").Example("3", "romeo", "localhost"),
	}
}

func (m *module) getGreetings(ctx context.Context, in account) (int, error) {
	user, err := m.host.User(in.User)
	if err != nil {
		return 0, admin.Usage.With("%v", err)
	}
	return m.store.count(ctx, user)
}

// menu is the commands that are for clients only, with a form and a second
// step.
func (m *module) menu() adhoc.Fixed {
	return adhoc.Fixed{{Node: ns, Name: "Greetings", Run: func(context.Context, adhoc.Request) (adhoc.Result, error) {
		return adhoc.Ask(form.New(form.Ask, ns, form.BoolField("sure", "Tell me how often I have greeted", true)), m.told)
	}}}
}

func (m *module) told(ctx context.Context, r adhoc.Request) (adhoc.Result, error) {
	if sure, err := r.Form.Bool("sure"); err != nil || !sure {
		return adhoc.Result{}, err
	}
	if r.From.Domain() != m.host.Domain {
		return adhoc.Result{}, xmpp.Forbidden
	}
	n, err := m.store.count(ctx, r.From.Bare())
	if err != nil {
		return adhoc.Result{}, err
	}
	return adhoc.Show(form.New(form.Result, ns, form.TextField("count", "Greetings", strconv.Itoa(n))))
}
