// Package adminextra has the commands with which operators look after accounts,
// bans and sessions, beyond what every server has.
package adminextra

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// Module is mod_admin_extra.
var Module = modules.Define("mod_admin_extra", modules.Spec[options]{
	Doc:      "Many more commands for operators: bans, passwords, sessions, presence, messages and statistics.",
	Start:    start,
	Commands: (*module)(nil).commands(),
})

type options struct{}

// Fields declares nothing.
func (*options) Fields(*config.Fields) {}

// module is the commands on one virtual host.
type module struct {
	host *modules.Host
	node string // as which ejabberd's commands would know this server
	bans bans
	seen []activities

	mu     sync.Mutex
	banned map[xmpp.JID]bool // since the start
}

func start(h *modules.Host, _ options) error {
	m := &module{host: h, node: nodeName(), banned: map[xmpp.JID]bool{}}
	var err error
	if m.bans, m.seen, err = open(h); err != nil {
		return err
	}
	auth.Disabled.Add(h, hooks.Normal, m.refuse)
	auth.Removed.Add(h, hooks.Normal, m.removed)
	sm.Opened.Add(h, hooks.First, m.opened)
	BanChanged.AddElsewhere(h, hooks.Normal, m.banElsewhere)
	Submitted.AddElsewhere(h, hooks.Normal, m.submitHere)
	h.Command(m.commands()...)
	return nil
}

func nodeName() string {
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	return "gabberd@" + name
}

// commands are all commands of the module. Those of a nil module are for the
// manual.
func (m *module) commands() []admin.Command {
	return slices.Concat(m.accountCommands(), m.banCommands(), m.sessionCommands(), m.presenceCommands(), m.stanzaCommands(), m.statisticsCommands())
}

// user is the address of a user of this virtual host.
func (m *module) user(name string) (xmpp.JID, error) {
	j, err := m.host.User(name)
	if err != nil || j.Local() == "" {
		return xmpp.JID{}, admin.Usage.With("%q cannot be a user's name", name)
	}
	return j, nil
}

// account is user for somebody who must have an account.
func (m *module) account(ctx context.Context, name string) (xmpp.JID, error) {
	j, err := m.user(name)
	if err != nil {
		return j, err
	}
	there, err := m.host.Auth.Exists(ctx, j)
	if err == nil && !there {
		err = admin.NotFound.With("there is no account %s", j)
	}
	return j, err
}

// hosts is every virtual host of the server.
func (m *module) hosts() []*local.Host {
	var out []*local.Host
	for _, r := range m.host.Router.Routes() {
		if h, ok := r.Handler.(*local.Host); ok {
			out = append(out, h)
		}
	}
	return out
}

// session finds one session of a user.
func (m *module) session(name, resource string) (*sm.Session, error) {
	j, err := m.user(name)
	if err == nil {
		j, err = j.WithResource(resource)
	}
	if errors.Is(err, xmpp.ErrJID) || err == nil && j.IsBare() {
		return nil, admin.Usage.With("%q cannot be a resource", resource)
	}
	if err != nil {
		return nil, err
	}
	s := m.host.Sessions.Find(j)
	if s == nil {
		return nil, admin.NotFound.With("there is no session %s", j)
	}
	return s, nil
}

// kick ends sessions at an operator's word. It does not wait for the clients.
func kick(list []*sm.Session, reason string) {
	if reason == "" {
		reason = "Kicked by administrator"
	}
	for _, s := range list {
		s.Close(stream.PolicyViolation.With(reason))
	}
}

// byAddress puts sessions in order of their addresses.
func byAddress(list []*sm.Session) []*sm.Session {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *sm.Session) int {
		switch {
		case a.JID.String() < b.JID.String():
			return -1
		case a.JID.String() > b.JID.String():
			return 1
		}
		return 0
	})
	return list
}
