package push

import (
	"context"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// maxDays keeps a number of days from becoming a date in the future.
const maxDays = 100 * 365

// commands are what an operator can do about notifications.
func (m *push) commands() []admin.Command {
	return []admin.Command{
		admin.New("delete_old_push_sessions", "Disable the notifications of clients that have not come for some days.", m.deleteOld).
			Tags("purge").EachHost().Endless().Example("", "31"),
		admin.New("push_explain", "Say why the last messages for a user were told to his push services, or were not.", m.explain).
			Tags("push").
			Long("First the nodes that his clients have enabled, then step by step what was decided about the last messages that had to do with notifications, since the server has started. Other nodes of a cluster have their own; gabberdctl users may write: push explain user@host.").
			Result("steps").Example("", "romeo", "localhost"),
	}
}

type daysArgs struct{ Days int }

// Fields declares the arguments.
func (a *daysArgs) Fields(f *config.Fields) {
	f.Int(&a.Days, "days", 0, "How old they are at least.").Must(config.AtLeast(0), config.AtMost(maxDays))
}

func (m *push) deleteOld(ctx context.Context, in daysArgs) (admin.Rescode, error) {
	err := m.store.removeOld(ctx, time.Now().AddDate(0, 0, -in.Days))
	m.cache.Clear()
	return admin.Whether(err == nil), err
}

type userArgs struct{ User, Host string }

// Fields declares the arguments.
func (a *userArgs) Fields(f *config.Fields) {
	f.String(&a.User, "user", "", "The user's name.")
	f.String(&a.Host, "host", "", "The user's host.")
}

func (m *push) explain(ctx context.Context, in userArgs) ([]string, error) {
	user, err := m.host.User(in.User)
	if err != nil {
		return nil, admin.Usage.With("%q cannot be a user's name", in.User)
	}
	list, err := m.store.list(ctx, user)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, t := range list {
		out = append(out, cut(fmt.Sprintf("node %q of %s, enabled by %s", t.Node, t.Service, m.whose(user, t))))
	}
	if len(out) == 0 {
		out = append(out, "no client has enabled notifications")
	}
	if r := m.round.Load(); r != nil {
		out = append(out, r.line())
	}
	pages := m.books.lines(user)
	if len(pages) == 0 {
		pages = []string{"nothing had to be decided since the server has started"}
	}
	return append(out, pages...), nil
}

// whose says which client has enabled t.
func (m *push) whose(user xmpp.JID, t target) string {
	for _, s := range m.host.Sessions.User(user) {
		if t.of(s.ID.Time) {
			if within, ok := s.Waits(); ok {
				return fmt.Sprintf("%s, whose connection has broken: the session waits %v for its client", s.JID, within)
			}
			return s.JID.String() + ", which is connected"
		}
	}
	return "a client that came at " + time.UnixMicro(t.Since).UTC().Format("2006-01-02T15:04:05Z") + " and is not connected"
}
