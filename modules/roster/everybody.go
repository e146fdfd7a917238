package roster

import (
	"context"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

type allArgs struct{ Host, Group string }

// Fields declares the arguments.
func (a *allArgs) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "", "The virtual host.")
	f.String(&a.Group, "group", "", "The group in which everybody appears.")
}

// pushAll makes all users of the host contacts of each other.
func (m *roster) pushAll(ctx context.Context, in allArgs) (admin.Rescode, error) {
	var everybody []Item
	for user, err := range m.host.Auth.Users(ctx, "") {
		if err != nil {
			return admin.False, err
		}
		everybody = append(everybody, Item{JID: user, Name: user.Local(), Groups: []string{in.Group}, State: Both})
	}
	for i := range everybody {
		if err := m.enterAll(ctx, everybody[i].JID, everybody); err != nil {
			return admin.False, err
		}
	}
	return admin.OK, nil
}

// enterAll puts all contacts but himself into user's roster.
func (m *roster) enterAll(ctx context.Context, user xmpp.JID, contacts []Item) error {
	for _, c := range contacts {
		if c.JID == user {
			continue
		}
		if err := m.enter(ctx, user, c); err != nil {
			return err
		}
	}
	return nil
}
