// Package blocking lets users block addresses (XEP-0191) and say why (XEP-0377).
//
// What is blocked stands in the user's default privacy list, which mod_privacy
// keeps and applies: both are the same thing for the database, and for ejabberd.
package blocking

import (
	"context"
	"crypto/rand"

	"github.com/gabberd/gabberd/acl"
	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/privacy"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:xmpp:blocking"

// maxAsked bounds the addresses in one request.
const maxAsked = 1000

// Module is mod_blocking.
var Module = modules.Define("mod_blocking", modules.Spec[options]{
	Tables:   modules.Tables{Keeper: "gabberd_spam_report", Versions: []storage.Version{schema}},
	Doc:      "Lets users block addresses and report spam.",
	XEPs:     []string{"0191", "0377"},
	Needs:    []string{"mod_privacy"},
	Start:    start,
	Commands: (*blocking)(nil).commands(),
})

type options struct {
	Access   acl.Access
	ReportTo []string
}

// Fields declares the options.
func (o *options) Fields(f *config.Fields) {
	acl.AccessField(f, &o.Access, "access_report", "all", "Whose reports of spam and abuse (XEP-0377) are kept. Others only block.")
	f.Strings(&o.ReportTo, "report_to", nil, "The JIDs that are sent a message for each report. All reports are also in the log, and in `list_spam_reports`.").
		Must(config.That("a list of JIDs", valid))
}

func valid(list []string) bool {
	for _, text := range list {
		if _, err := xmpp.Parse(text); err != nil {
			return false
		}
	}
	return true
}

// blocking is the module on one virtual host.
type blocking struct {
	options
	host       *modules.Host
	reports    reports
	interested *sm.Slot[struct{}] // sessions that have asked for the blocklist
}

func start(h *modules.Host, o options) error {
	db, err := h.Database(modules.Backend{}, "gabberd_spam_report", schema)
	if err != nil {
		return err
	}
	m := &blocking{options: o, host: h, reports: reports{db}, interested: sm.NewSlot[struct{}]("blocklist interested")}
	sm.MarkTravels(h, m.interested)
	h.UserIQ(ns, m.answer)
	h.Feature(ns)
	h.Feature(nsReporting)
	privacy.Changed.AddEverywhere(h, hooks.Normal, m.push)
	auth.Removed.Add(h, hooks.Normal, m.removed)
	h.Command(m.commands()...)
	return nil
}

// answer reads or changes the user's own blocklist (XEP-0191 §3).
func (m *blocking) answer(ctx context.Context, iq *xmpp.Stanza) (*xmpp.Element, error) {
	user := iq.To.Bare()
	if iq.From.Bare() != user {
		return nil, xmpp.Forbidden.WithText("A blocklist is for its owner")
	}
	switch el := iq.Payload(); {
	case iq.Type == "get" && el.Name == "blocklist":
		return m.list(ctx, user, iq.From)
	case iq.Type == "set" && el.Name == "block":
		list, said, err := readItems(el)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, xmpp.BadRequest.WithText("Nobody is to be blocked")
		}
		if err := m.edit(ctx, privacy.Edit{User: user, Block: list}); err != nil {
			return nil, err
		}
		m.report(ctx, user, said)
		return nil, nil
	case iq.Type == "set" && el.Name == "unblock":
		list, _, err := readItems(el)
		if err != nil {
			return nil, err
		}
		return nil, m.edit(ctx, privacy.Edit{User: user, Unblock: list, All: len(list) == 0})
	}
	return nil, xmpp.BadRequest.WithText("There is no such request about a blocklist")
}

// list answers with the blocklist. Who has asked is told of changes.
func (m *blocking) list(ctx context.Context, user, asker xmpp.JID) (*xmpp.Element, error) {
	for _, s := range m.host.Sessions.Local(user) {
		if s.JID == asker {
			m.interested.Set(s, struct{}{}) // first, so that no change falls between
		}
	}
	l := privacy.Blocked.Run(ctx, m.host.Hooks(), privacy.Blocklist{}, user)
	if l.Err != nil {
		return nil, l.Err
	}
	return element("blocklist", l.JIDs), nil
}

func (m *blocking) edit(ctx context.Context, e privacy.Edit) error {
	return privacy.Block.Run(ctx, m.host.Hooks(), privacy.Outcome{}, e).Err
}

// readItems reads the addresses in a request, and what is said about them.
func readItems(el *xmpp.Element) (list []xmpp.JID, said []report, err error) {
	for c := range el.Children() {
		if !c.Is(ns, "item") {
			return nil, nil, xmpp.BadRequest.WithText("Only items can be blocked")
		}
		if len(list) == maxAsked {
			return nil, nil, xmpp.ResourceConstraint.WithText("Too many addresses at once")
		}
		j, err := xmpp.Parse(c.Attr("jid"))
		if err != nil {
			return nil, nil, xmpp.JIDMalformed.WithText("An item has no valid jid")
		}
		list = append(list, j)
		if r := c.Child(nsReporting, "report"); r != nil {
			said = append(said, readReport(r, j))
		}
	}
	return list, said, nil
}

func element(name string, list []xmpp.JID) *xmpp.Element {
	b := xmpp.Build(ns, name)
	for _, j := range list {
		b.Open("", "item").Attr("jid", j.String()).Close()
	}
	return b.Done()
}

// push tells the user's clients on this node what was blocked or unblocked.
func (m *blocking) push(ctx context.Context, c privacy.Change) {
	switch {
	case len(c.Blocked) > 0:
		m.tell(ctx, c.User, element("block", c.Blocked))
	case len(c.Freed) > 0 || c.All:
		m.tell(ctx, c.User, element("unblock", c.Freed))
	}
}

func (m *blocking) tell(ctx context.Context, user xmpp.JID, el *xmpp.Element) {
	id := "push-" + rand.Text()[:12]
	for _, s := range m.host.Sessions.Local(user) {
		if _, ok := m.interested.Get(s); ok {
			s.Send(ctx, xmpp.NewIQ("set", user, s.JID, id, el))
		}
	}
}

func (m *blocking) commands() []admin.Command {
	return []admin.Command{
		admin.New("list_spam_reports", "List what users have reported when they blocked somebody, newest first.", m.listReports).Tags("spam").
			Result("reports", "report").
			Example("2026-01-02T03:04:05Z\tjuliet@localhost\tspammer@example.org\tspam\tBuy now!", "myserver.com"),
		admin.New("delete_spam_reports", "Forget what users have reported about an address; about everybody if it is empty.", m.deleteReports).Tags("spam").
			Result("deleted").Example("3", "myserver.com", "spammer@example.org"),
	}
}
