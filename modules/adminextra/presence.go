package adminextra

import (
	"context"
	"strconv"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// presenceCommands are about what users show of themselves.
func (m *module) presenceCommands() []admin.Command {
	const which = "A status is available, away, xa, dnd, chat, unavailable, or all for any."
	return []admin.Command{
		admin.New("get_presence", "Tell the presence of a user: that of his session with the highest priority.", m.getPresence).Tags("session").
			Rename("server", "host").Result("presence").
			Example("user1@myserver.com/tka\tdnd\tBusy", "peter", "myexample.com"),
		admin.New("set_presence", "Set the presence of a session, as if its client did.", m.setPresenceOld).Tags("session").
			Example("", "user1", "myserver.com", "tka1", "available", "away", "BB", "7"),
		admin.New("set_presence", "Set the presence of a session, as if its client did.", m.setPresence).Tags("session").Version(1).Note("updated in 24.02").
			Example("", "user1", "myserver.com", "tka1", "available", "away", "BB", "7"),
		admin.New("status_list", "List the sessions with a status.", m.statusListOld).Tags("session").EachHost().Long(which).
			Result("users", "userstatus").Example("peter\tmyserver.com\ttka\t6\tBusy", "dnd"),
		admin.New("status_list", "List the sessions with a status.", m.statusList).Tags("session").Version(3).EachHost().Long(which).
			Note("updated in 24.12").Result("users", "userstatus").Example("peter@myserver.com/tka\t6\tBusy", "dnd"),
		admin.New("status_list_host", "List the sessions of a virtual host with a status.", m.statusListHostOld).Tags("session").Long(which).
			Result("users", "userstatus").Example("peter\tmyserver.com\ttka\t6\tBusy", "myserver.com", "dnd"),
		admin.New("status_list_host", "List the sessions of a virtual host with a status.", m.statusListHost).Tags("session").Version(3).Long(which).
			Note("updated in 24.12").Result("users", "userstatus").Example("peter@myserver.com/tka\t6\tBusy", "myserver.com", "dnd"),
		admin.New("status_num", "Count the sessions with a status.", m.statusNum).Tags("session", "statistics").Policy(admin.Admin).
			EachHost().Long(which).Result("users").Example("23", "dnd"),
		admin.New("status_num_host", "Count the sessions of a virtual host with a status.", m.statusNumHost).Tags("session", "statistics").Policy(admin.Admin).
			Long(which).Result("users").Example("23", "myserver.com", "dnd"),
	}
}

// shownPresence is what get_presence tells.
type shownPresence struct {
	JID    string `json:"jid"`
	Show   string `json:"show"`
	Status string `json:"status"`
}

func (m *module) getPresence(_ context.Context, in admin.OfUser) (shownPresence, error) {
	user, err := m.user(in.User)
	if err != nil {
		return shownPresence{}, err
	}
	var best *sm.Session
	highest := 0
	for _, s := range m.host.Sessions.Available(user) {
		if p, ok := s.Priority(); ok && (best == nil || p > highest) {
			best, highest = s, p
		}
	}
	if best == nil {
		return shownPresence{JID: user.String(), Show: "unavailable"}, nil
	}
	show, text := status(best)
	return shownPresence{best.JID.String(), show, text}, nil
}

// wantedPresence is what set_presence sets.
type wantedPresence struct {
	admin.OfUser
	Resource, Type, Show, Status string
}

// Fields declares the arguments that all versions have.
func (a *wantedPresence) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.Resource, "resource", "", "The resource of the session.")
	f.Enum(&a.Type, "type", "available", "Whether the user is there.", "available", "unavailable", "")
	f.Enum(&a.Show, "show", "", "How much he is there.", "", "available", "away", "chat", "dnd", "xa")
	f.String(&a.Status, "status", "", "What he says to it.")
}

type presenceOld struct {
	wantedPresence
	Priority string
}

// Fields declares the arguments.
func (a *presenceOld) Fields(f *config.Fields) {
	a.wantedPresence.Fields(f)
	f.String(&a.Priority, "priority", "", "From -128 to 127, as text.")
}

type presence struct {
	wantedPresence
	Priority int
}

// Fields declares the arguments.
func (a *presence) Fields(f *config.Fields) {
	a.wantedPresence.Fields(f)
	f.Int(&a.Priority, "priority", 0, "From -128 to 127.").Must(config.AtLeast(-128), config.AtMost(127))
}

func (m *module) setPresenceOld(ctx context.Context, in presenceOld) (admin.Rescode, error) {
	p, err := strconv.ParseInt(in.Priority, 10, 8)
	if err != nil {
		return admin.False, admin.Usage.With("set_presence.priority: must be a number from -128 to 127, not %q", in.Priority)
	}
	return m.setPresence(ctx, presence{in.wantedPresence, int(p)})
}

func (m *module) setPresence(ctx context.Context, in presence) (admin.Rescode, error) {
	s, err := m.session(in.User, in.Resource)
	if err != nil {
		return admin.False, err
	}
	typ := in.Type
	if typ == "available" {
		typ = ""
	}
	st := xmpp.NewPresence(typ, s.JID, xmpp.JID{})
	if typ == "" && in.Show != "" && in.Show != "available" {
		st = st.With(xmpp.TextEl(xmpp.NSClient, "show", in.Show))
	}
	if in.Status != "" {
		st = st.With(xmpp.TextEl(xmpp.NSClient, "status", clean(in.Status)))
	}
	if typ == "" {
		st = st.With(xmpp.TextEl(xmpp.NSClient, "priority", strconv.Itoa(in.Priority)))
	}
	m.submit(ctx, s, Submission{Session: s.JID, ID: s.ID.String(), Stanza: st, Sets: true})
	return admin.OK, nil
}

type withStatus struct{ Status string }

// Fields declares the arguments.
func (a *withStatus) Fields(f *config.Fields) { f.String(&a.Status, "status", "", "The status.") }

type statusOnHost struct {
	admin.OnHost
	withStatus
}

// Fields declares the arguments.
func (a *statusOnHost) Fields(f *config.Fields) {
	a.OnHost.Fields(f)
	a.withStatus.Fields(f)
}

// userStatusOld is a line of status_list before version 3.
type userStatusOld struct {
	User     string `json:"user"`
	Host     string `json:"host"`
	Resource string `json:"resource"`
	Priority int    `json:"priority"`
	Status   string `json:"status"`
}

// userStatus is a line of status_list.
type userStatus struct {
	JID      string `json:"jid"`
	Priority int    `json:"priority"`
	Status   string `json:"status"`
}

// with is the sessions that have a status, in order of address.
func (m *module) with(want string) (out []*sm.Session) {
	for _, s := range m.everybody() {
		if show, _ := status(s); want == "all" || show == want {
			out = append(out, s)
		}
	}
	return out
}

func (m *module) statusListOld(_ context.Context, in withStatus) ([]userStatusOld, error) {
	out := []userStatusOld{}
	for _, s := range m.with(in.Status) {
		l := m.line(s)
		out = append(out, userStatusOld{s.JID.Local(), s.JID.Domain(), s.JID.Resource(), l.Priority, l.StatusText})
	}
	return out, nil
}

func (m *module) statusListHostOld(ctx context.Context, in statusOnHost) ([]userStatusOld, error) {
	return m.statusListOld(ctx, in.withStatus)
}

func (m *module) statusList(_ context.Context, in withStatus) ([]userStatus, error) {
	out := []userStatus{}
	for _, s := range m.with(in.Status) {
		l := m.line(s)
		out = append(out, userStatus{s.JID.String(), l.Priority, l.StatusText})
	}
	return out, nil
}

func (m *module) statusListHost(ctx context.Context, in statusOnHost) ([]userStatus, error) {
	return m.statusList(ctx, in.withStatus)
}

func (m *module) statusNum(_ context.Context, in withStatus) (int, error) {
	return len(m.with(in.Status)), nil
}

func (m *module) statusNumHost(ctx context.Context, in statusOnHost) (int, error) {
	return m.statusNum(ctx, in.withStatus)
}
