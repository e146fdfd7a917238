// Package register lets people make accounts with their clients, change their
// passwords and remove their accounts (XEP-0077).
//
// An account can be made before logging in, on a stream that is encrypted where
// the listener wants that; whoever has made one may log in on the same stream.
package register

import (
	"context"
	"errors"
	"slices"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	ns        = "jabber:iq:register"
	nsFeature = "http://jabber.org/features/iq-register"
)

// name is ejabberd's for the module.
const name = "mod_register"

// Module is mod_register.
var Module = modules.Define(name, modules.Spec[options]{
	Doc:   "Lets people make, change and remove accounts with their clients.",
	XEPs:  []string{"0077"},
	Start: start,
})

type options struct {
	Access       acl.Access
	AccessFrom   acl.Access
	AccessRemove acl.Access
	IPAccess     acl.Access
	Modules      []string // nil: all
	Captcha      bool
	Strength     float64
	Watchers     []xmpp.JID
	Redirect     string
	Welcome      welcome
}

// welcome is what new users are told.
type welcome struct{ Subject, Body string }

// Fields declares the options.
func (w *welcome) Fields(f *config.Fields) {
	f.String(&w.Subject, "subject", "", "The subject.")
	f.String(&w.Body, "body", "", "The text.")
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access", "all", "Which names accounts may have; `none` ends the making of accounts.")
	acl.AccessField(f, &o.AccessFrom, "access_from", "none", "Who may make another account after logging in, here or on another server.")
	acl.AccessField(f, &o.AccessRemove, "access_remove", "all", "Who may remove the own account.")
	acl.AccessField(f, &o.IPAccess, "ip_access", "all", "From which addresses accounts may be made.")
	config.Value(f, &o.Modules, "allow_modules", "all | list of modules", nil, "Which modules may make accounts.", decodeModules).
		DefaultText("all").Example("[mod_register]")
	f.Bool(&o.Captcha, "captcha_protected", false, "Ask for a CAPTCHA before an account is made.").
		Must(config.That("false: CAPTCHAs are not built, and without them robots would get accounts; use access, ip_access or redirect_url", func(v bool) bool { return !v }))
	f.Float(&o.Strength, "password_strength", 0, "How strong a password must be, in bits of entropy; from 32 on it is some use.").Must(config.AtLeast(0.0))
	config.Value(f, &o.Watchers, "registration_watchers", "list of addresses", nil, "Who gets a message about each new account.", decodeJIDs).
		DefaultText("[]").Example("[admin@example.org]")
	f.URL(&o.Redirect, "redirect_url", "", "A web page to which clients that want to make an account are sent.")
	config.Sub(f, &o.Welcome, "welcome_message", "A message for new users.").Example("{subject: Welcome!, body: Hello and welcome.}")
}

// texts reads one text or a list of texts.
func texts(n *config.Node) (list []string, err error) {
	items := []*config.Node{n}
	if n.Kind() == config.KindList {
		items = n.List()
	}
	for _, item := range items {
		text, ok := item.Scalar()
		if !ok || text == "" {
			err = errors.Join(err, item.Wanted("a name"))
		}
		list = append(list, text)
	}
	return list, err
}

func decodeModules(n *config.Node) ([]string, error) {
	list, err := texts(n)
	if err == nil && n.Kind() == config.KindScalar && list[0] == "all" {
		return nil, nil
	}
	if list == nil {
		list = []string{} // nobody
	}
	return list, err
}

func decodeJIDs(n *config.Node) ([]xmpp.JID, error) {
	if n.Kind() == config.KindNull {
		return nil, nil
	}
	list, err := texts(n)
	if err != nil {
		return nil, err
	}
	var out []xmpp.JID
	for _, text := range list {
		j, e := xmpp.Parse(text)
		if e != nil {
			err = errors.Join(err, n.Errorf("%v", e))
		}
		out = append(out, j)
	}
	return out, err
}

// module is mod_register on one virtual host.
type module struct {
	options
	host   *modules.Host
	recent *recent
}

func start(h *modules.Host, o options) error {
	m := &module{options: o, host: h, recent: newRecent()}
	h.IQ(ns, m.answer)
	h.UserIQ(ns, m.answer)
	h.Feature(ns)
	sm.PreAuth.Add(h, hooks.Normal, m.offer)
	sm.Unauthed.Add(h, hooks.Normal, m.stranger)
	auth.Removed.Add(h, hooks.First, m.removed)
	Recent.Add(server{h}, hooks.Normal, m.isRecent)
	Made.AddElsewhere(h, hooks.Normal, m.madeElsewhere)
	Accepts.Add(h, hooks.Normal, m.accepts)
	return nil
}

// server is the module as the owner of handlers in the table of the server,
// where the instances on all virtual hosts meet.
type server struct{ *modules.Host }

// Hooks is the table of the server.
func (s server) Hooks() *hooks.Table { return s.Global }

// open reports whether accounts are made here at all, through a module.
func (o *options) open(module string) bool {
	return o.Access.String() != "none" && o.IPAccess.String() != "none" && o.through(module)
}

// through reports whether a module may make accounts.
func (o *options) through(module string) bool {
	return o.Modules == nil || slices.Contains(o.Modules, module)
}

// offer announces that accounts can be made (XEP-0077 §6), be it by those alone who
// were invited: their clients look for it, too (XEP-0445 §3).
func (m *module) offer(_ context.Context, list []*xmpp.Element, _ *sm.Stream) ([]*xmpp.Element, hooks.Flow) {
	if m.open(name) || m.Redirect != "" || Invited.Heard(m.host.Hooks()) {
		list = append(list, xmpp.El(nsFeature, "register"))
	}
	return list, hooks.Next
}

// stranger answers those who have not logged in.
func (m *module) stranger(ctx context.Context, done bool, u sm.Unauthenticated) (bool, hooks.Flow) {
	iq := u.Stanza
	if done || !iq.IsRequest() || !iq.Payload().Is(ns, "query") || !iq.To.IsZero() && iq.To != m.host.JID {
		return done, hooks.Next
	}
	r := request{iq: iq, query: iq.Payload(), addr: u.Stream.Addr.Addr(), stranger: true}
	r.source = AddressKey(r.addr)
	r.invitation = Invited.Run(ctx, m.host.Hooks(), nil, u.Stream)
	payload, err := m.do(ctx, r)
	if err != nil {
		u.Stream.Reply(m.refusal(iq.Readdressed(xmpp.JID{}, m.host.JID), err))
		return true, hooks.Stop
	}
	u.Stream.Reply(xmpp.NewIQ("result", m.host.JID, xmpp.JID{}, iq.ID, payload))
	return true, hooks.Stop
}
