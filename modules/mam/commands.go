package mam

import (
	"context"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

// commands are what an operator can do about archives.
func (m *mam) commands() []admin.Command {
	return []admin.Command{
		admin.New("get_mam_count", "Count the messages in a user's archive.", m.getCount).
			Tags("mam").Policy(admin.User).Result("value").Note("added in 24.10").Example("5", "diana", "example.com"),
		admin.New("get_mam_messages", "Show the messages in a user's archive.", m.getMessages).
			Tags("internal", "mam").Policy(admin.User).Result("archive", "messages"),
		admin.New("remove_mam_for_user", "Remove a user's archive.", m.removeForUser).
			Tags("mam").Rename("server", "host").Result("res").Example("MAM archive removed", "bob", "example.com"),
		admin.New("remove_mam_for_user_with_peer", "Remove from a user's archive what was said with somebody.", m.removeWithPeer).
			Tags("mam").Rename("server", "host").Result("res").Example("MAM archive removed", "bob", "example.com", "anne@example.com"),
		admin.New("delete_old_mam_messages", "Delete archived messages that are older than some days.", m.deleteOld).
			Tags("mam", "purge").EachHost().Endless().Long("Types are chat, groupchat and all.").Example("", "all", "31"),
		admin.New("delete_old_mam_messages_batch", "Delete archived messages that are older than some days, a few at a time.", m.startPurge).
			Tags("mam", "purge").Note("added in 22.05").
			Long("Messages are deleted in batches, so many a minute that the rate is kept. Types are chat, groupchat and all. See delete_old_mam_messages_status and abort_delete_old_mam_messages.").
			Example("Removal of 5000 messages in progress", "localhost", "all", "31", "1000", "10000"),
		admin.New("delete_old_mam_messages_status", "Say how far the deletion of old archived messages is.", m.purgeStatus).
			Tags("mam", "purge").Result("status").Note("added in 22.05").
			Example("Operation in progress, deleted 5000 messages", "localhost"),
		admin.New("abort_delete_old_mam_messages", "Stop the deletion of old archived messages.", m.abortPurge).
			Tags("mam", "purge").Result("status").Note("added in 22.05").
			Example("Operation aborted", "localhost"),
	}
}

type userArgs struct{ User, Host string }

// Fields declares the arguments.
func (a *userArgs) Fields(f *config.Fields) {
	f.String(&a.User, "user", "", "The user's name.")
	f.String(&a.Host, "host", "", "The user's host.")
}

type peerArgs struct {
	userArgs
	With string
}

// Fields declares the arguments.
func (a *peerArgs) Fields(f *config.Fields) {
	a.userArgs.Fields(f)
	f.String(&a.With, "with", "", "The address of the other.")
}

type hostArgs struct{ Host string }

// Fields declares the arguments.
func (a *hostArgs) Fields(f *config.Fields) { f.String(&a.Host, "host", "", "The virtual host.") }

type oldArgs struct {
	Type string
	Days int
}

// Fields declares the arguments.
func (a *oldArgs) Fields(f *config.Fields) {
	f.Enum(&a.Type, "type", "all", "Which messages: chat, groupchat or all.", "chat", "groupchat", "all")
	f.Int(&a.Days, "days", 0, "How old they are at least.").Must(config.AtLeast(0), config.AtMost(maxDays))
}

// maxDays keeps a number of days from becoming a date in the future.
const maxDays = 100 * 365

// before is the time so many days ago.
func (a oldArgs) before() time.Time { return time.Now().AddDate(0, 0, -a.Days) }

// kind is that of the rows, empty for all.
func (a oldArgs) kind() string {
	if a.Type == "all" {
		return ""
	}
	return a.Type
}

func (m *mam) user(name string) (xmpp.JID, error) {
	user, err := m.host.User(name)
	if err != nil {
		return user, admin.Usage.With("%q cannot be a user's name", name)
	}
	return user, nil
}

func (m *mam) getCount(ctx context.Context, in userArgs) (int, error) {
	user, err := m.user(in.User)
	if err != nil {
		return 0, err
	}
	n, err := m.store.count(ctx, user)
	return int(n), err
}

type shown struct {
	Time   string `json:"time"`
	From   string `json:"from"`
	To     string `json:"to"`
	Packet string `json:"packet"`
}

func (m *mam) getMessages(ctx context.Context, in userArgs) ([]shown, error) {
	user, err := m.user(in.User)
	if err != nil {
		return nil, err
	}
	out := []shown{}
	for p := (page{max: pageMost, index: -1}); ; {
		r, err := m.store.find(ctx, filter{user: user}, p)
		if err != nil {
			return nil, err
		}
		for _, x := range r.rows {
			p.after = x.stamp
			if st, err := xmpp.ParseXML([]byte(x.xml)); err == nil {
				out = append(out, shown{x.time().Format(stampFormat), st.From.String(), st.To.String(), x.xml})
			}
		}
		if r.complete || len(r.rows) == 0 {
			return out, nil
		}
	}
}

func (m *mam) removeForUser(ctx context.Context, in userArgs) (admin.Restuple, error) {
	user, err := m.user(in.User)
	if err != nil {
		return admin.Restuple{}, err
	}
	if err := m.clear(ctx, user, nil); err != nil {
		return admin.Restuple{}, err
	}
	return admin.Restuple{Text: "MAM archive removed"}, nil
}

func (m *mam) removeWithPeer(ctx context.Context, in peerArgs) (admin.Restuple, error) {
	user, err := m.user(in.User)
	if err != nil {
		return admin.Restuple{}, err
	}
	peer, err := xmpp.Parse(in.With)
	if err != nil {
		return admin.Restuple{}, admin.Usage.With("%q is not an address", in.With)
	}
	if err := m.clear(ctx, user, &peer); err != nil {
		return admin.Restuple{}, err
	}
	return admin.Restuple{Text: "MAM archive removed"}, nil
}

func (m *mam) deleteOld(ctx context.Context, in oldArgs) (admin.Rescode, error) {
	t := in.before()
	err := modules.PurgeAll(func(limit int) (int64, error) { return m.store.deleteOld(ctx, t, in.kind(), limit) })
	return admin.Whether(err == nil), err
}

type purgeArgs struct {
	Host string
	Old  oldArgs
	modules.Batches
}

// Fields declares the arguments.
func (a *purgeArgs) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	a.Old.Fields(f)
	a.Batches.Fields(f)
}

func (m *mam) startPurge(ctx context.Context, in purgeArgs) (admin.Restuple, error) {
	t := in.Old.before()
	n, err := m.store.countOld(ctx, t, in.Old.kind())
	if err == nil {
		err = m.purge.Start(m.life, &m.later, in.Batches, func(ctx context.Context, limit int) (int64, error) {
			return m.store.deleteOld(ctx, t, in.Old.kind(), limit)
		})
	}
	if err != nil {
		return admin.Restuple{}, err
	}
	return admin.Restuple{Text: fmt.Sprintf("Removal of %d messages in progress", n)}, nil
}

func (m *mam) purgeStatus(context.Context, hostArgs) (string, error) { return m.purge.Status(), nil }

func (m *mam) abortPurge(context.Context, hostArgs) (string, error) { return m.purge.Abort(), nil }
