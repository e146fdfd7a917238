// Package scramupgrade has clients make the forms of their password that the server
// does not have (XEP-0480): a server that stores SCRAM keys cannot make keys of
// another hash from them, but who knows the password can.
package scramupgrade

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	nsUpgrade = "urn:xmpp:sasl:upgrade:0"
	nsScram   = "urn:xmpp:scram-upgrade:0"
	prefix    = "UPGR-"
)

// Module is mod_scram_upgrade.
var Module = modules.Define("mod_scram_upgrade", modules.Spec[options]{
	Doc:   "Stores passwords in better forms when their users log in.",
	XEPs:  []string{"0480"},
	Start: start,
})

type options struct{ Offered []string }

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	f.Enums(&o.Offered, "offered_upgrades", []string{"sha256", "sha512"}, "Hashes for which clients may store their password.", "sha256", "sha512")
}

// upgrade is the module on one virtual host.
type upgrade struct {
	host    *modules.Host
	offered []string // mechanisms
}

func start(h *modules.Host, o options) error {
	m := &upgrade{host: h}
	for _, hash := range o.Offered {
		m.offered = append(m.offered, "SCRAM-SHA-"+strings.TrimPrefix(hash, "sha"))
	}
	sm.InlineFeatures.Add(h, hooks.Normal, m.offer)
	sm.Tasks.Add(h, 10, m.tasks) // ejabberd's
	return nil
}

// offer names all upgrades that there are. Which of them an account lacks is for
// who has logged in to it.
func (m *upgrade) offer(_ context.Context, f sm.Inline, _ *sm.Stream) (sm.Inline, hooks.Flow) {
	for _, mechanism := range m.offered {
		f.Other = append(f.Other, xmpp.TextEl(nsUpgrade, "upgrade", prefix+mechanism))
	}
	return f, hooks.Next
}

// tasks are the upgrades that the client wants, as far as its account lacks them. Who
// did not prove a password has none that could be stored.
func (m *upgrade) tasks(ctx context.Context, list []sm.Task, l *sm.Login) ([]sm.Task, hooks.Flow) {
	if l.Anonymous || l.Mechanism != "PLAIN" && !strings.HasPrefix(l.Mechanism, "SCRAM-") {
		return list, hooks.Next
	}
	for _, mechanism := range m.offered {
		if !wants(l.Request, prefix+mechanism) {
			continue
		}
		u, err := m.host.Auth.Upgrade(ctx, l.Stream.User, mechanism)
		if err != nil {
			m.host.Log.Error("a password cannot be upgraded", "user", l.Stream.User.String(), "error", err)
			continue
		}
		if u != nil {
			user := l.Stream.User
			list = append(list, sm.Task{Name: prefix + mechanism, Begin: func(ctx context.Context, _ *xmpp.Element) (*xmpp.Element, sm.TaskFunc, error) {
				return m.begin(ctx, user, mechanism)
			}})
		}
	}
	return list, hooks.Next
}

// wants reports whether a request asks for an upgrade.
func wants(request *xmpp.Element, name string) bool {
	for el := range request.Children() {
		if el.Is(nsUpgrade, "upgrade") && strings.TrimSpace(el.Text()) == name {
			return true
		}
	}
	return false
}

// begin asks for a hash of the password. It looks at the account once more: another
// task may have changed it.
func (m *upgrade) begin(ctx context.Context, user xmpp.JID, mechanism string) (*xmpp.Element, sm.TaskFunc, error) {
	u, err := m.host.Auth.Upgrade(ctx, user, mechanism)
	if err != nil || u == nil {
		return nil, nil, err
	}
	salt := xmpp.Build(nsScram, "salt").Attr("iterations", strconv.Itoa(u.Iterations)).
		Text(base64.StdEncoding.EncodeToString(u.Salt)).Done()
	return salt, func(ctx context.Context, el *xmpp.Element) (*xmpp.Element, sm.TaskFunc, error) {
		hash := el.Child(nsScram, "hash").Text()
		salted, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(hash))
		if err != nil {
			return nil, nil, &auth.Failure{Condition: "incorrect-encoding"}
		}
		return nil, nil, u.Finish(ctx, salted)
	}, nil
}
