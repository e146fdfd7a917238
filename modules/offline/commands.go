package offline

import (
	"context"
	"fmt"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/xmpp"
)

// countAll is a limit that no count reaches.
const countAll = 1 << 31

// commands are what an operator can do about waiting messages.
func (m *offline) commands() []admin.Command {
	return []admin.Command{
		admin.New("get_offline_count", "Count the messages that wait for a user.", m.getCount).
			Tags("offline").Policy(admin.User).Rename("server", "host").Result("value").Example("5", "user1", "myserver.com"),
		admin.New("get_offline_messages", "Show the messages that wait for a user.", m.getMessages).
			Tags("internal", "offline").Policy(admin.User).Rename("server", "host").Result("queue", "messages"),
		admin.New("delete_expired_messages", "Delete waiting messages whose time is over (XEP-0023).", m.deleteExpired).
			Tags("offline", "purge").EachHost().Endless(),
		admin.New("delete_old_messages", "Delete waiting messages that are older than some days.", m.deleteOld).
			Tags("offline", "purge").EachHost().Endless().Example("", "31"),
		admin.New("delete_old_messages_batch", "Delete waiting messages that are older than some days, a few at a time.", m.startPurge).
			Tags("offline", "purge").Note("added in 22.05").
			Long("Messages are deleted in batches, so many a minute that the rate is kept. See delete_old_messages_status and abort_delete_old_messages.").
			Example("Removal of 5000 messages in progress", "localhost", "31", "1000", "10000"),
		admin.New("delete_old_messages_status", "Say how far the deletion of old waiting messages is.", m.purgeStatus).
			Tags("offline", "purge").Result("status").Note("added in 22.05").
			Example("Operation in progress, deleted 5000 messages", "localhost"),
		admin.New("abort_delete_old_messages", "Stop the deletion of old waiting messages.", m.abortPurge).
			Tags("offline", "purge").Result("status").Note("added in 22.05").
			Example("Operation aborted", "localhost"),
	}
}

type userArgs struct{ User, Host string }

// Fields declares the arguments.
func (a *userArgs) Fields(f *config.Fields) {
	f.String(&a.User, "user", "", "The user's name.")
	f.String(&a.Host, "host", "", "The user's host.")
}

type hostArgs struct{ Host string }

// Fields declares the arguments.
func (a *hostArgs) Fields(f *config.Fields) { f.String(&a.Host, "host", "", "The virtual host.") }

type daysArgs struct{ Days int }

// Fields declares the arguments.
func (a *daysArgs) Fields(f *config.Fields) {
	f.Int(&a.Days, "days", 0, "How old they are at least.").Must(config.AtLeast(0), config.AtMost(maxDays))
}

// maxDays keeps a number of days from becoming a date in the future.
const maxDays = 100 * 365

// before is the time so many days ago.
func (a daysArgs) before() time.Time { return time.Now().AddDate(0, 0, -a.Days) }

func (m *offline) user(name string) (xmpp.JID, error) {
	user, err := m.host.User(name)
	if err != nil {
		return user, admin.Usage.With("%q cannot be a user's name", name)
	}
	return user, nil
}

func (m *offline) getCount(ctx context.Context, in userArgs) (int, error) {
	user, err := m.user(in.User)
	if err != nil {
		return 0, err
	}
	if err := m.takeAll(ctx, user); err != nil {
		return 0, err
	}
	return m.store.count(ctx, user, countAll)
}

type waiting struct {
	Time   string `json:"time"`
	From   string `json:"from"`
	To     string `json:"to"`
	Packet string `json:"packet"`
}

func (m *offline) getMessages(ctx context.Context, in userArgs) ([]waiting, error) {
	user, err := m.user(in.User)
	if err != nil {
		return nil, err
	}
	out := []waiting{}
	for last, more := int64(0), true; more; {
		var page []message
		if page, more, err = m.next(ctx, user, last); err != nil {
			return nil, err
		}
		for _, w := range page {
			last = max(last, w.seq)
			if w.stanza != nil && !w.absent {
				out = append(out, waiting{w.stanza.Child(nsDelay, "delay").Attr("stamp"),
					w.stanza.From.String(), w.stanza.To.String(), w.text})
			}
		}
	}
	return out, nil
}

func (m *offline) deleteExpired(ctx context.Context, _ admin.NoArgs) (admin.Rescode, error) {
	defer m.counts.allChanged()
	dead := func(st *xmpp.Stanza) bool { return expired(st, m.host.JID, time.Now()) }
	for after := int64(0); ; {
		seqs, last, err := m.store.expired(ctx, after, dead)
		if err == nil && len(seqs) > 0 {
			err = m.store.deleteSeqs(ctx, seqs)
		}
		if err != nil || last == 0 {
			return admin.Whether(err == nil), err
		}
		after = last
	}
}

func (m *offline) deleteOld(ctx context.Context, in daysArgs) (admin.Rescode, error) {
	defer m.counts.allChanged()
	t := in.before()
	err := modules.PurgeAll(func(limit int) (int64, error) { return m.store.deleteOld(ctx, t, limit) })
	return admin.Whether(err == nil), err
}

type purgeArgs struct {
	Host string
	Days daysArgs
	modules.Batches
}

// Fields declares the arguments.
func (a *purgeArgs) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	a.Days.Fields(f)
	a.Batches.Fields(f)
}

func (m *offline) startPurge(ctx context.Context, in purgeArgs) (admin.Restuple, error) {
	t := in.Days.before()
	n, err := m.store.countOld(ctx, t)
	if err == nil {
		err = m.purge.Start(m.ctx, &m.later, in.Batches, func(ctx context.Context, limit int) (int64, error) {
			defer m.counts.allChanged()
			return m.store.deleteOld(ctx, t, limit)
		})
	}
	if err != nil {
		return admin.Restuple{}, err
	}
	return admin.Restuple{Text: fmt.Sprintf("Removal of %d messages in progress", n)}, nil
}

func (m *offline) purgeStatus(context.Context, hostArgs) (string, error) {
	return m.purge.Status(), nil
}

func (m *offline) abortPurge(context.Context, hostArgs) (string, error) { return m.purge.Abort(), nil }
