package roster

import (
	"context"
	"strings"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// commands are what an operator can do about rosters.
func (m *roster) commands() []admin.Command {
	return []admin.Command{
		admin.New("add_rosteritem", "Add an item to a user's roster.", m.addItemOld).Tags("roster").
			Long("Several groups are separated by semicolons: g1;g2;g3.").
			Rename("localserver", "localhost").Rename("server", "host").
			Example("", "user1", "myserver.com", "user2", "myserver.com", "User 2", "Friends", "both"),
		admin.New("add_rosteritem", "Add an item to a user's roster.", m.addItem).Tags("roster").Version(1).
			Rename("localserver", "localhost").Rename("server", "host").Note("updated in 24.02").
			Example("", "user1", "myserver.com", "user2", "myserver.com", "User 2", "Friends", "both"),
		admin.New("delete_rosteritem", "Delete an item from a user's roster.", m.deleteItem).Tags("roster").
			Long("The contact is not told.").
			Rename("localserver", "localhost").Rename("server", "host").
			Example("", "user1", "myserver.com", "user2", "myserver.com"),
		admin.New("get_roster", "List the contacts of a local user.", m.getRoster).Tags("roster").Policy(admin.User).
			Rename("server", "host").Result("contacts", "contact").
			Example("juliet@localhost\tJuliet\tboth\tnone\tFriends", "romeo", "localhost"),
		admin.New("get_roster_count", "Count the contacts of a local user.", m.getCount).Tags("roster").Policy(admin.User).
			Rename("server", "host").Result("value").Note("added in 24.06").Example("5", "romeo", "localhost"),
		admin.New("push_roster", "Put the contacts of a file into a user's roster.", m.pushFile).Tags("roster").
			Long("The file holds an Erlang list of contacts, "+fileForm+" On this host only.").
			Example("", "/home/ejabberd/roster.txt", "user1", "localhost"),
		admin.New("push_roster_all", "Put everybody in a file into everybody's roster.", m.pushFileAll).Tags("roster").
			Long("The file holds an Erlang list of contacts, "+fileForm+" Those who have no account on this server are only put into the others' rosters.").
			EachHost().Example("", "/home/ejabberd/roster.txt"),
		admin.New("push_alltoall", "Put every user of a host into every other's roster.", m.pushAll).Tags("roster").
			Example("", "myserver.com", "Everybody"),
		admin.New("process_rosteritems", "List or delete the contacts that fit.", m.process).Tags("roster").
			Long("Each filter is `any` or words separated by a colon. Action is list or delete; subs are none, from, to, both; asks are none, out, in, both; users and contacts are JIDs in which * stands for any text.").
			EachHost().Result("response", "pairs").
			Example("user1@localhost\tuser2@localhost", "list", "any", "any", "*@localhost", "*@example.org"),
	}
}

type itemArgs struct {
	LocalUser, LocalHost, User, Host, Nick, Subs string
}

func (a *itemArgs) who(f *config.Fields) {
	f.String(&a.LocalUser, "localuser", "", "The user whose roster it is.")
	f.String(&a.LocalHost, "localhost", "", "The user's host.")
	f.String(&a.User, "user", "", "The contact's name; empty for a whole domain.")
	f.String(&a.Host, "host", "", "The contact's host.")
}

func (a *itemArgs) subs(f *config.Fields) {
	f.Enum(&a.Subs, "subs", "none", "Who sees whose presence.", "none", "from", "to", "both")
}

type addOld struct {
	itemArgs
	Group string
}

// Fields declares the arguments.
func (a *addOld) Fields(f *config.Fields) {
	a.who(f)
	f.String(&a.Nick, "nick", "", "The contact's name in the roster.")
	f.String(&a.Group, "group", "", "The groups, separated by semicolons.")
	a.subs(f)
}

type add struct {
	itemArgs
	Groups []string
}

// Fields declares the arguments.
func (a *add) Fields(f *config.Fields) {
	a.who(f)
	f.String(&a.Nick, "nick", "", "The contact's name in the roster.")
	f.Strings(&a.Groups, "groups", nil, "The groups.")
	a.subs(f)
}

type deletion struct{ itemArgs }

// Fields declares the arguments.
func (a *deletion) Fields(f *config.Fields) { a.who(f) }

func (m *roster) addItemOld(ctx context.Context, in addOld) (admin.Rescode, error) {
	return m.addItem(ctx, add{in.itemArgs, strings.Split(in.Group, ";")})
}

func (m *roster) addItem(ctx context.Context, in add) (admin.Rescode, error) {
	user, err := m.account(ctx, in.LocalUser)
	if err != nil {
		return admin.False, err
	}
	contact, err := xmpp.NewJID(in.User, in.Host, "")
	if err != nil {
		return admin.False, admin.Usage.With("add_rosteritem: %q at %q is no address", in.User, in.Host)
	}
	return admin.OK, m.enter(ctx, user, Item{JID: contact, Name: in.Nick, Groups: in.Groups, State: states[in.Subs]})
}

// states are ejabberd's words for subscriptions.
var states = map[string]State{"none": None, "from": From, "to": To, "both": Both}

// enter puts a contact into a roster at an operator's word: nobody is asked.
func (m *roster) enter(ctx context.Context, user xmpp.JID, want Item) error {
	groups := want.Groups[:0:0]
	for _, g := range want.Groups {
		if g != "" {
			groups = append(groups, g)
		}
	}
	c, err := m.change(ctx, change{user: user, contact: want.JID, always: true}, func(old *Item) (*Item, error) {
		return &Item{JID: want.JID, Name: want.Name, Groups: normal(groups), State: want.State, kept: true}, nil
	})
	if err != nil {
		return err
	}
	was, is := c.old.state(), want.State
	if is.Has(From) && !was.Has(From) {
		m.announce(ctx, user, want.JID)
	}
	if was.Has(From) && !is.Has(From) {
		m.retire(ctx, user, want.JID)
	}
	if is.Has(To) && !was.Has(To) {
		m.probe(ctx, user, want.JID)
	}
	return nil
}

// account is the address of a user of this host who exists.
func (m *roster) account(ctx context.Context, name string) (xmpp.JID, error) {
	user, err := m.host.User(name)
	if err != nil {
		return user, admin.Usage.With("%q cannot be a user's name", name)
	}
	ok, err := m.host.Auth.Exists(ctx, user)
	if err == nil && !ok {
		err = admin.NotFound.With("there is no user %s", user)
	}
	return user, err
}

func (m *roster) deleteItem(ctx context.Context, in deletion) (admin.Rescode, error) {
	user, err := m.account(ctx, in.LocalUser)
	if err != nil {
		return admin.False, err
	}
	contact, err := xmpp.NewJID(in.User, in.Host, "")
	if err != nil {
		return admin.False, admin.Usage.With("delete_rosteritem: %q at %q is no address", in.User, in.Host)
	}
	_, err = m.erase(ctx, user, contact)
	return admin.OK, err
}

// erase takes a contact out of a roster at an operator's word: his side of it
// stays as it is.
func (m *roster) erase(ctx context.Context, user, contact xmpp.JID) (found bool, err error) {
	c, err := m.change(ctx, change{user: user, contact: contact}, func(*Item) (*Item, error) { return nil, nil })
	if err != nil || c.old == nil {
		return false, err
	}
	if c.old.State.Has(From) {
		m.retire(ctx, user, contact.Bare())
	}
	return true, nil
}

type userArgs struct{ User, Host string }

// Fields declares the arguments.
func (a *userArgs) Fields(f *config.Fields) {
	f.String(&a.User, "user", "", "The user's name.")
	f.String(&a.Host, "host", "", "The user's host.")
}

type contactRow struct {
	JID          string   `json:"jid"`
	Nick         string   `json:"nick"`
	Subscription string   `json:"subscription"`
	Pending      string   `json:"pending"`
	Groups       []string `json:"groups"`
}

func (m *roster) getRoster(ctx context.Context, in userArgs) ([]contactRow, error) {
	user, err := m.account(ctx, in.User)
	if err != nil {
		return nil, err
	}
	items, err := m.whole(ctx, user)
	rows := make([]contactRow, len(items))
	for i, it := range items {
		rows[i] = contactRow{it.JID.String(), it.Name, it.State.Subscription(), it.State.Pending(), it.Groups}
	}
	return rows, err
}

func (m *roster) getCount(ctx context.Context, in userArgs) (int, error) {
	rows, err := m.getRoster(ctx, in)
	return len(rows), err
}
