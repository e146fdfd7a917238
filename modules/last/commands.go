package last

import (
	"context"
	"errors"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// commands are what an operator can do about last activity.
func (m *last) commands() []admin.Command {
	return []admin.Command{
		admin.New("get_last", "Show when a user was last connected.", m.getLast).Tags("last").
			Long("The timestamp is the time now and the status ONLINE if the user is connected. For somebody who never was, the status is NOT FOUND.").
			Result("last_activity").
			Example("2017-06-30T14:32:16Z\tGood night", "user1", "myserver.com"),
		admin.New("set_last", "Set when a user was last connected.", m.setLast).Tags("last").
			Long("The timestamp is in seconds since 1970-01-01 00:00:00 UTC. ejabberdctl users may write: set_last user1 localhost $(date +%s) Away").
			Example("", "user1", "myserver.com", "1500045311", "GoSleeping"),
	}
}

type userArgs struct{ User, Host string }

// Fields declares the arguments.
func (a *userArgs) Fields(f *config.Fields) {
	f.String(&a.User, "user", "", "The user's name.")
	f.String(&a.Host, "host", "", "The user's host.")
}

type setArgs struct {
	userArgs
	Timestamp int64
	Status    string
}

// Fields declares the arguments.
func (a *setArgs) Fields(f *config.Fields) {
	a.userArgs.Fields(f)
	f.Int64(&a.Timestamp, "timestamp", 0, "Seconds since 1970.")
	f.String(&a.Status, "status", "", "What the user said when leaving.")
}

type lastSeen struct {
	Timestamp time.Time `json:"timestamp"`
	Status    string    `json:"status"`
}

func (m *last) getLast(ctx context.Context, in userArgs) (lastSeen, error) {
	user, err := m.user(in.User)
	if err != nil {
		return lastSeen{}, err
	}
	if len(m.host.Sessions.User(user)) > 0 {
		return lastSeen{time.Now(), "ONLINE"}, nil
	}
	a, err := m.get(ctx, user)
	if errors.Is(err, storage.ErrNotFound) {
		return lastSeen{time.Now(), "NOT FOUND"}, nil
	}
	return lastSeen{a.Seen, a.Status}, err
}

func (m *last) setLast(ctx context.Context, in setArgs) (admin.Rescode, error) {
	user, err := m.user(in.User)
	if err != nil {
		return admin.False, err
	}
	ok, err := m.host.Auth.Exists(ctx, user)
	switch {
	case err != nil:
		return admin.False, err
	case !ok:
		return admin.False, admin.NotFound.With("there is no user %s", user)
	}
	ticket, err := m.store.set(user, Activity{time.Unix(in.Timestamp, 0), clip(in.Status)})
	if err == nil {
		err = ticket.Wait(ctx)
	}
	return admin.Whether(err == nil), err
}

func (m *last) user(name string) (xmpp.JID, error) {
	user, err := m.host.User(name)
	if err != nil {
		return user, admin.Usage.With("%q cannot be a user's name", name)
	}
	return user, nil
}
