// Package announce sends messages to all users, or to all who are connected,
// and keeps a message of the day for those who log in.
//
// It is told what to send by a message to a resource of the server
// (localhost/announce/online), by an ad-hoc command, or by an operator.
package announce

import (
	"context"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// Module is mod_announce.
var Module = modules.Define("mod_announce", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "mod_announce_sql", Versions: []storage.Version{schema}},
	Doc:      "Sends announcements to users and keeps a message of the day.",
	Commands: (*module)(nil).commands(),
	Start:    start,
})

type options struct {
	modules.Backend
	Access acl.Access
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access", "none", "Who may send announcements and set the message of the day.")
	o.Backend.Fields(f)
}

type module struct {
	options
	host *modules.Host
	motd *motd
	crew *crew
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(o.Backend, "mod_announce_sql", schema)
	if err != nil {
		return err
	}
	m := &module{options: o, host: h, crew: newCrew(h.Context())}
	if m.motd, err = openMOTD(h.Context(), store{db}, h.CacheOf(o.Backend)); err != nil {
		return err
	}
	h.OnStop(m.crew.stop)
	local.ToResource.Add(h, hooks.Normal, m.sent)
	sm.SelfPresent.Add(h, hooks.Normal, m.greet)
	Everywhere.Add(h, hooks.Normal, m.takePart)
	MOTDChanged.AddElsewhere(h, hooks.Normal, func(context.Context, struct{}) { m.crew.greet(m.readMOTD) })
	local.ClearCache.AddEverywhere(h, hooks.Normal, func(context.Context, *local.Host) { m.crew.greet(m.readMOTD) })
	adhoc.Offer(h, adhoc.Server(), hooks.Normal, m.menu())
	h.Command(m.commands()...)
	return nil
}

// An address is what a resource of the server stands for.
type address struct {
	deed       Deed
	everywhere bool
}

func addressOf(resource string) (address, bool) {
	switch resource {
	case "announce/all":
		return address{ToAll, false}, true
	case "announce/all-hosts/all":
		return address{ToAll, true}, true
	case "announce/online":
		return address{ToOnline, false}, true
	case "announce/all-hosts/online":
		return address{ToOnline, true}, true
	case "announce/motd":
		return address{SetMOTD, false}, true
	case "announce/all-hosts/motd":
		return address{SetMOTD, true}, true
	case "announce/motd/update":
		return address{UpdateMOTD, false}, true
	case "announce/all-hosts/motd/update":
		return address{UpdateMOTD, true}, true
	case "announce/motd/delete":
		return address{DeleteMOTD, false}, true
	case "announce/all-hosts/motd/delete":
		return address{DeleteMOTD, true}, true
	}
	return address{}, false
}

// sent takes messages to the server's resources.
func (m *module) sent(ctx context.Context, st *xmpp.Stanza, _ *local.Host) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Kind != xmpp.Message {
		return st, hooks.Next
	}
	a, ok := addressOf(st.To.Resource())
	if !ok {
		return st, hooks.Next
	}
	if err := m.order(ctx, Announcement{st.From, a.deed, st}, a.everywhere); err != nil {
		m.host.Router.Bounce(ctx, st, xmpp.AsError(err))
	}
	return nil, hooks.Stop
}

func (m *module) allowed(by xmpp.JID) bool {
	return m.Access.Allows(m.host.Rules, local.Subject(by))
}

// order has an announcement made, if its author may. It returns before
// everybody has it.
func (m *module) order(ctx context.Context, a Announcement, everywhere bool) error {
	if !m.allowed(a.By) {
		return xmpp.Forbidden.WithText("Access denied by service policy")
	}
	if !everywhere {
		return m.do(ctx, a)
	}
	n := 0
	for _, r := range m.host.Router.Routes() {
		if h, ok := r.Handler.(*local.Host); ok {
			n += Everywhere.Run(ctx, h.Hooks, 0, a)
		}
	}
	if n == 0 {
		return busy()
	}
	return nil
}

func busy() error {
	return xmpp.ResourceConstraint.WithText("Too many announcements are being sent")
}

// takePart makes an announcement that is meant for all hosts on this one. The
// rules of this host decide, whoever has let the author in elsewhere.
func (m *module) takePart(ctx context.Context, n int, a Announcement) (int, hooks.Flow) {
	if !m.allowed(a.By) {
		return n, hooks.Next
	}
	if err := m.do(ctx, a); err != nil {
		m.host.Log.Error("announcement failed", "by", a.By.String(), "error", err)
		return n, hooks.Next
	}
	return n + 1, hooks.Next
}

// do makes an announcement on this host.
func (m *module) do(ctx context.Context, a Announcement) error {
	switch a.Deed {
	case DeleteMOTD:
		return m.setMOTD(ctx, nil)
	case UpdateMOTD:
		return m.setMOTD(ctx, a.Message.Readdressed(m.host.JID, m.host.JID))
	case SetMOTD:
		if err := m.setMOTD(ctx, a.Message.Readdressed(m.host.JID, m.host.JID)); err != nil {
			return err
		}
		return m.later(func(ctx context.Context) { m.toSessions(ctx, a.Message, true) })
	case ToOnline:
		return m.later(func(ctx context.Context) { m.toSessions(ctx, a.Message, false) })
	}
	return m.later(func(ctx context.Context) { m.toAccounts(ctx, a.Message) })
}

// setMOTD replaces the message of the day on all nodes. Nil removes it.
func (m *module) setMOTD(ctx context.Context, st *xmpp.Stanza) error {
	if err := m.motd.set(ctx, st); err != nil {
		return err
	}
	MOTDChanged.Run(ctx, m.host.Hooks(), struct{}{})
	return nil
}

// readMOTD reads the message of the day anew, which somebody else has changed. It
// waits for the database, which who brings the news does not.
func (m *module) readMOTD(ctx context.Context) {
	if err := m.motd.reload(ctx); err != nil {
		m.host.Log.Error("the message of the day may be an old one", "error", err)
	}
}

// later has f done beside the stanzas: nobody waits until everybody was told.
func (m *module) later(f func(context.Context)) error {
	if !m.crew.announce(f) {
		return busy()
	}
	return nil
}

func (m *module) toAccounts(ctx context.Context, st *xmpp.Stanza) {
	for j, err := range m.host.Auth.Users(ctx, "") {
		if err != nil {
			m.host.Log.Error("announcement has not reached everybody", "error", err)
			return
		}
		m.host.Send(ctx, st.Readdressed(m.host.JID, j))
	}
}

// toSessions sends st to every session; seen says that it is the message of
// the day, which its users then have seen.
func (m *module) toSessions(ctx context.Context, st *xmpp.Stanza, seen bool) {
	for _, s := range m.host.Sessions.All() {
		if ctx.Err() != nil {
			return
		}
		if seen {
			if _, err := m.motd.show(ctx, s.JID.Bare()); err != nil {
				m.host.Log.Error("who has seen the message of the day cannot be stored", "error", err)
			}
		}
		m.host.Send(ctx, st.Readdressed(m.host.JID, s.JID))
	}
}

// greet shows the message of the day to users who have become available and
// have not seen it.
func (m *module) greet(_ context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
	if st == nil || st.Type != "" || m.motd.message() == nil {
		return st, hooks.Next
	}
	if p, _ := s.Presence(); p == nil {
		m.crew.greet(func(ctx context.Context) { m.show(ctx, s) })
	}
	return st, hooks.Next
}

func (m *module) show(ctx context.Context, s *sm.Session) {
	message, err := m.motd.show(ctx, s.JID.Bare())
	switch {
	case err != nil:
		m.host.Log.Error("who has seen the message of the day cannot be found out", "error", err)
	case message != nil:
		m.host.Send(ctx, message.Readdressed(m.host.JID, s.JID))
	}
}

// compose makes the message of a form or a command.
func compose(d Deed, subject, body string) *xmpp.Stanza {
	var children []*xmpp.Element
	if subject != "" {
		children = append(children, xmpp.TextEl(xmpp.NSClient, "subject", subject))
	}
	children = append(children, xmpp.TextEl(xmpp.NSClient, "body", body))
	if d != ToAll {
		return xmpp.NewMessage("headline", xmpp.JID{}, xmpp.JID{}, children...)
	}
	// A headline would not be kept for those who are away.
	return xmpp.NewMessage("", xmpp.JID{}, xmpp.JID{}, append(children, xmpp.El("urn:xmpp:hints", "store"))...)
}

type toHost struct{ Host string }

// Fields declares the arguments.
func (a *toHost) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host, or `global` for all of them.")
}

type text struct{ Host, Subject, Body string }

// Fields declares the arguments.
func (a *text) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host, or `global` for all of them.")
	f.String(&a.Subject, "subject", "", "The subject of the message.")
	f.String(&a.Body, "body", "", "The text of the message.")
}

type content struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// commands are what an operator can announce.
func (m *module) commands() []admin.Command {
	send := func(name, doc string, d Deed) admin.Command {
		return admin.New(name, doc, func(ctx context.Context, a text) (admin.Rescode, error) {
			return admin.OK, m.do(ctx, Announcement{m.host.JID, d, compose(d, a.Subject, a.Body)})
		}).Tags("announce").Note("added in 25.10").EachHost()
	}
	return []admin.Command{
		send("announce_send_all", "Send a message to all registered users.", ToAll),
		send("announce_send_online", "Send a message to all connected users.", ToOnline),
		send("announce_motd_set_online", "Set the message of the day and send it to all connected users.", SetMOTD),
		send("announce_motd_update", "Set the message of the day for those who will log in.", UpdateMOTD),
		admin.New("announce_motd_delete", "Delete the message of the day.", func(ctx context.Context, _ toHost) (admin.Rescode, error) {
			return admin.OK, m.do(ctx, Announcement{By: m.host.JID, Deed: DeleteMOTD})
		}).Tags("announce").Note("added in 25.10").EachHost(),
		admin.New("announce_motd_get", "Show the message of the day.", func(context.Context, toHost) (content, error) {
			if st := m.motd.message(); st != nil {
				return content{st.Child(xmpp.NSClient, "subject").Text(), st.Body()}, nil
			}
			return content{}, nil
		}).Tags("announce").Note("added in 25.10").Result("motd"),
	}
}
