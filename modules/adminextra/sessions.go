package adminextra

import (
	"context"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// sessionCommands are about who is connected, and how.
func (m *module) sessionCommands() []admin.Command {
	return []admin.Command{
		admin.New("num_resources", "Count the sessions of a user.", m.numResources).Tags("session").
			Result("resources").Example("5", "peter", "myserver.com"),
		admin.New("resource_num", "Name one of a user's resources, by its number.", m.resourceNum).Tags("session").
			Result("resource").Example("Psi", "peter", "myserver.com", "2"),
		admin.New("kick_session", "End a session.", m.kickSession).Tags("session").
			Example("", "peter", "myserver.com", "Psi", "Stuck connection"),
		admin.New("connected_users_info", "List all sessions with what is known of them.", m.connectedInfo).Tags("session").
			EachHost().Result("connected_users_info", "session").
			Example("user1@myserver.com/tka\tc2s_tls\t127.0.0.1\t42656\t8\tgabberd@atlas\t231\tdnd\ttka\tAt the office"),
		admin.New("connected_users_vhost", "List the sessions of a virtual host.", m.connectedOf).Tags("session").
			Result("connected_users_vhost", "sessions").Example("user1@myserver.com/tka\nuser2@localhost/tka", "myexample.com"),
		admin.New("user_sessions_info", "List the sessions of a user with what is known of them.", m.userInfo).Tags("session").
			Result("sessions_info", "session").
			Example("c2s\t127.0.0.1\t42656\t8\tgabberd@atlas\t231\tdnd\ttka\tAt the office", "peter", "myserver.com"),
	}
}

func (m *module) numResources(_ context.Context, in admin.OfUser) (int, error) {
	user, err := m.user(in.User)
	return len(m.host.Sessions.User(user)), err
}

type numbered struct {
	admin.OfUser
	Num int
}

// Fields declares the arguments.
func (a *numbered) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.Int(&a.Num, "num", 0, "Which one, from 1.")
}

func (m *module) resourceNum(_ context.Context, in numbered) (string, error) {
	user, err := m.user(in.User)
	if err != nil {
		return "", err
	}
	list := byAddress(m.host.Sessions.User(user))
	if in.Num < 1 || in.Num > len(list) {
		return "", admin.NotFound.With("wrong resource number %d: %s has %d", in.Num, user, len(list))
	}
	return list[in.Num-1].JID.Resource(), nil
}

type ofSession struct {
	admin.OfUser
	Resource, Reason string
}

// Fields declares the arguments.
func (a *ofSession) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.String(&a.Resource, "resource", "", "The resource of the session.")
	f.String(&a.Reason, "reason", "", "Why; the client is told.")
}

func (m *module) kickSession(_ context.Context, in ofSession) (admin.Rescode, error) {
	s, err := m.session(in.User, in.Resource)
	if err != nil {
		return admin.False, err
	}
	kick([]*sm.Session{s}, in.Reason)
	return admin.OK, nil
}

func (m *module) connectedOf(context.Context, admin.OnHost) ([]string, error) {
	list := byAddress(m.host.Sessions.All())
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = s.JID.String()
	}
	return out, nil
}

// sessionLine is what is shown of a session.
type sessionLine struct {
	Connection string `json:"connection"`
	IP         string `json:"ip"`
	Port       int    `json:"port"`
	Priority   int    `json:"priority"`
	Node       string `json:"node"`
	Uptime     int    `json:"uptime"`
	Status     string `json:"status"`
	Resource   string `json:"resource"`
	StatusText string `json:"statustext"`
}

// connectedLine is what is shown of a session among those of everybody.
type connectedLine struct {
	JID string `json:"jid"`
	sessionLine
}

// noPriority is the priority of a client that has sent no presence.
const noPriority = -1

func (m *module) line(s *sm.Session) sessionLine {
	l := sessionLine{
		Connection: s.Transport(), Port: int(s.Addr().Port()), Priority: noPriority, Node: m.nodeOf(s),
		Uptime: int(time.Since(s.Opened) / time.Second), Resource: s.JID.Resource(),
	}
	if s.Addr().IsValid() {
		l.IP = s.Addr().Addr().Unmap().String()
	}
	if p, ok := s.Priority(); ok {
		l.Priority = p
	}
	l.Status, l.StatusText = status(s)
	return l
}

// everybody is all sessions in order of address, with their presence. The list of
// all has none of those on other nodes: it is asked for, user by user.
func (m *module) everybody() []*sm.Session {
	list := byAddress(m.host.Sessions.All())
	for i, s := range list {
		_, available := s.Priority()
		if p, _ := s.Presence(); p != nil || !available || !s.Remote() {
			continue
		}
		for _, o := range m.host.Sessions.User(s.JID.Bare()) {
			if o.ID == s.ID {
				list[i] = o
			}
		}
	}
	return list
}

// nodeOf is the node to which the client is connected.
func (m *module) nodeOf(s *sm.Session) string {
	if s.ID.Node != "" {
		return s.ID.Node
	}
	return m.node
}

// status is a session's presence in a word, and what the user says to it.
func status(s *sm.Session) (show, text string) {
	st, _ := s.Presence()
	if st == nil {
		return "unavailable", ""
	}
	if show = st.Child(xmpp.NSClient, "show").Text(); show == "" {
		show = "available"
	}
	return show, st.Child(xmpp.NSClient, "status").Text()
}

func (m *module) connectedInfo(context.Context, admin.NoArgs) ([]connectedLine, error) {
	out := []connectedLine{}
	for _, s := range m.everybody() {
		out = append(out, connectedLine{s.JID.String(), m.line(s)})
	}
	return out, nil
}

func (m *module) userInfo(_ context.Context, in admin.OfUser) ([]sessionLine, error) {
	user, err := m.user(in.User)
	if err != nil {
		return nil, err
	}
	out := []sessionLine{}
	for _, s := range byAddress(m.host.Sessions.User(user)) {
		out = append(out, m.line(s))
	}
	return out, nil
}
