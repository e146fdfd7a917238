package sharedroster

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/storage/erlterm"
	"github.com/gabberd/gabberd/xmpp"
)

// maxName bounds the texts of a group, in bytes: PostgreSQL has a limit for what
// is in an index.
const maxName = 1000

func (m *shared) commands() []admin.Command {
	c := func(cmd admin.Command) admin.Command { return cmd.Tags("shared_roster_group") }
	return []admin.Command{
		c(admin.New("srg_add", "Make a shared roster group without options.", m.create).Note("added in 24.06").Example("", "group3", "myserver.com")),
		c(admin.New("srg_create", "Make a shared roster group.", m.createOld).Rename("name", "label").
			Long(`Several groups to display are separated by \\n.`).Example("", "group3", "myserver.com", "Group3", "Third group", `group1\\ngroup2`)),
		c(admin.New("srg_create", "Make a shared roster group.", m.createWith).Version(1).Rename("name", "label").Note("updated in 24.02").
			Example("", "group3", "myserver.com", "Group3", "Third group", "group1,group2")),
		c(admin.New("srg_delete", "Delete a shared roster group.", m.delete).Example("", "group3", "myserver.com")),
		c(admin.New("srg_list", "List the shared roster groups of a host.", m.list).Result("groups", "id").Example("group1\ngroup2", "myserver.com")),
		c(admin.New("srg_get_info", "Show the options of a shared roster group.", m.info).Result("informations", "information").
			Example("label\tGroup 3\ndescription\tThird group", "group3", "myserver.com")),
		c(admin.New("srg_set_info", "Set an option of a shared roster group: label, description, all_users or online_users.", m.setInfo).Note("added in 24.06").
			Example("", "group3", "myserver.com", "label", "Family")),
		c(admin.New("srg_get_displayed", "List the groups whose members a group sees.", m.displayed).Result("display", "group").Note("added in 24.06").
			Example("group1\ngroup2", "group3", "myserver.com")),
		c(admin.New("srg_add_displayed", "Have a group see the members of another one.", m.addDisplayed).Note("added in 24.06").
			Example("", "group3", "myserver.com", "group1")),
		c(admin.New("srg_del_displayed", "Have a group not see the members of another one any more.", m.delDisplayed).Note("added in 24.06").
			Example("", "group3", "myserver.com", "group1")),
		c(admin.New("srg_get_members", "List who was put into a shared roster group.", m.membersOf).Result("members", "member").
			Example("user1@localhost\nuser2@localhost", "group3", "myserver.com")),
		c(admin.New("srg_user_add", "Put a user into a shared roster group. @all@ is every account, @online@ everybody who is there.", m.userAdd).HostArg("grouphost").
			Example("", "user1", "myserver.com", "group3", "myserver.com")),
		c(admin.New("srg_user_del", "Take a user, @all@ or @online@ out of a shared roster group.", m.userDel).HostArg("grouphost").
			Example("", "user1", "myserver.com", "group3", "myserver.com")),
	}
}

type ofGroup struct{ Group, Host string }

// Fields declares the arguments.
func (a *ofGroup) Fields(f *config.Fields) {
	f.String(&a.Group, "group", "", "The group's name.")
	f.String(&a.Host, "host", "", "The virtual host.")
}

type created struct {
	ofGroup
	Label, Description, Old string
	Display                 []string
}

func (a *created) texts(f *config.Fields) {
	a.ofGroup.Fields(f)
	f.String(&a.Label, "label", "", "What clients call the group.")
	f.String(&a.Description, "description", "", "What it is for.")
}

type createdOld struct{ created }

// Fields declares the arguments.
func (a *createdOld) Fields(f *config.Fields) {
	a.texts(f)
	f.String(&a.Old, "display", "", "The groups whose members are seen.")
}

type createdNew struct{ created }

// Fields declares the arguments.
func (a *createdNew) Fields(f *config.Fields) {
	a.texts(f)
	f.Strings(&a.Display, "display", nil, "The groups whose members are seen.")
}

func (m *shared) createOld(ctx context.Context, in createdOld) (admin.Rescode, error) {
	for name := range strings.SplitSeq(in.Old, `\n`) {
		if name = strings.TrimSpace(strings.Trim(name, `\`)); name != "" {
			in.Display = append(in.Display, name)
		}
	}
	return m.make(ctx, in.created)
}

func (m *shared) createWith(ctx context.Context, in createdNew) (admin.Rescode, error) {
	return m.make(ctx, in.created)
}

func (m *shared) create(ctx context.Context, in ofGroup) (admin.Rescode, error) {
	return m.make(ctx, created{ofGroup: in})
}

func (m *shared) make(ctx context.Context, in created) (admin.Rescode, error) {
	g := &group{name: in.Group, label: cmp.Or(in.Label, in.Group), about: in.Description, displayed: in.Display}
	if g.name == "" || len(g.name) > maxName || len(g.label) > maxName || len(g.about) > maxName {
		return admin.False, admin.Usage.With("srg_create: a group has a name, and no text of more than %d bytes", maxName)
	}
	err := m.store.create(ctx, g)
	if errors.Is(err, storage.ErrExists) {
		return admin.False, admin.Usage.With("srg_create: there is a group %q already", in.Group)
	}
	return m.done(ctx, in.Group, err)
}

// done has everybody take up a change of a group.
func (m *shared) done(ctx context.Context, name string, err error) (admin.Rescode, error) {
	if errors.Is(err, storage.ErrNotFound) {
		return admin.False, admin.Usage.With("there is no group %q", name)
	}
	if err != nil {
		return admin.False, err
	}
	Changed.Run(ctx, m.host.Hooks(), Change{Group: name})
	return admin.OK, nil
}

func (m *shared) edit(ctx context.Context, name string, f func(*group)) (admin.Rescode, error) {
	return m.done(ctx, name, m.store.edit(ctx, name, f))
}

func (m *shared) delete(ctx context.Context, in ofGroup) (admin.Rescode, error) {
	_, err := m.store.group(ctx, in.Group)
	if err == nil {
		err = m.store.delete(ctx, in.Group)
	}
	return m.done(ctx, in.Group, err)
}

func (m *shared) list(ctx context.Context, _ admin.OnHost) ([]string, error) {
	all, err := m.store.groups(ctx)
	return append([]string{}, slices.Sorted(maps.Keys(all))...), err
}

// find is the group of a command.
func (m *shared) find(ctx context.Context, name string) (*group, error) {
	g, err := m.store.group(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, admin.Usage.With("there is no group %q", name)
	}
	return g, err
}

type information struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (m *shared) info(ctx context.Context, in ofGroup) ([]information, error) {
	g, err := m.find(ctx, in.Group)
	if err != nil {
		return nil, err
	}
	out := []information{}
	for _, o := range g.options() {
		key, value := option(o)
		text, ok := erlterm.Text(value)
		if !ok || key == "displayed_groups" {
			text = erlterm.Format(value)
		}
		out = append(out, information{key, text})
	}
	return out, nil
}

type setting struct {
	ofGroup
	Key, Value string
}

// Fields declares the arguments.
func (a *setting) Fields(f *config.Fields) {
	a.ofGroup.Fields(f)
	f.Enum(&a.Key, "key", "label", "Which option.", "label", "description", "all_users", "online_users")
	f.String(&a.Value, "value", "", "Its value.")
}

func (m *shared) setInfo(ctx context.Context, in setting) (admin.Rescode, error) {
	if len(in.Value) > maxName {
		return admin.False, admin.Usage.With("srg_set_info: the value is too long")
	}
	return m.edit(ctx, in.Group, func(g *group) {
		switch in.Key {
		case "label":
			g.label = cmp.Or(in.Value, g.name)
		case "description":
			g.about = in.Value
		case "all_users":
			g.all = in.Value == "true"
		case "online_users":
			g.online = in.Value == "true"
		}
	})
}

func (m *shared) displayed(ctx context.Context, in ofGroup) ([]string, error) {
	g, err := m.find(ctx, in.Group)
	if err != nil {
		return nil, err
	}
	return append([]string{}, g.displayed...), nil
}

type adding struct {
	ofGroup
	Add string
}

// Fields declares the arguments.
func (a *adding) Fields(f *config.Fields) {
	a.ofGroup.Fields(f)
	f.String(&a.Add, "add", "", "The group whose members are to be seen.")
}

type taking struct {
	ofGroup
	Del string
}

// Fields declares the arguments.
func (a *taking) Fields(f *config.Fields) {
	a.ofGroup.Fields(f)
	f.String(&a.Del, "del", "", "The group whose members are to be seen no more.")
}

func (m *shared) addDisplayed(ctx context.Context, in adding) (admin.Rescode, error) {
	if _, err := m.find(ctx, in.Add); err != nil {
		return admin.False, err
	}
	return m.edit(ctx, in.Group, func(g *group) {
		if !slices.Contains(g.displayed, in.Add) {
			g.displayed = append(g.displayed, in.Add)
		}
	})
}

func (m *shared) delDisplayed(ctx context.Context, in taking) (admin.Rescode, error) {
	return m.edit(ctx, in.Group, func(g *group) {
		g.displayed = slices.DeleteFunc(g.displayed, func(s string) bool { return s == in.Del })
	})
}

func (m *shared) membersOf(ctx context.Context, in ofGroup) ([]string, error) {
	if _, err := m.find(ctx, in.Group); err != nil {
		return nil, err
	}
	out := []string{}
	err := m.store.members(ctx, func(user xmpp.JID, group string) {
		if group == in.Group {
			out = append(out, user.String())
		}
	})
	slices.Sort(out)
	return out, err
}

type membership struct{ User, Host, Group, GroupHost string }

// Fields declares the arguments.
func (a *membership) Fields(f *config.Fields) {
	f.String(&a.User, "user", "", "The user's name, @all@ or @online@.")
	f.String(&a.Host, "host", "", "The user's host.")
	f.String(&a.Group, "group", "", "The group's name.")
	f.String(&a.GroupHost, "grouphost", "", "The virtual host that has the group.")
}

func (m *shared) userAdd(ctx context.Context, in membership) (admin.Rescode, error) {
	return m.enter(ctx, in, true)
}

func (m *shared) userDel(ctx context.Context, in membership) (admin.Rescode, error) {
	return m.enter(ctx, in, false)
}

func (m *shared) enter(ctx context.Context, in membership, there bool) (admin.Rescode, error) {
	switch in.User {
	case "@all@":
		return m.edit(ctx, in.Group, func(g *group) { g.all = there })
	case "@online@":
		return m.edit(ctx, in.Group, func(g *group) { g.online = there })
	}
	user, err := xmpp.NewJID(in.User, in.Host, "")
	if err != nil || in.User == "" {
		return admin.False, admin.Usage.With("%q at %q is no user", in.User, in.Host)
	}
	if _, err := m.find(ctx, in.Group); err != nil {
		return admin.False, err
	}
	if there {
		err = m.store.add(ctx, user, in.Group)
	} else {
		err = m.store.take(ctx, user, in.Group)
	}
	if err != nil {
		return admin.False, err
	}
	Changed.Run(ctx, m.host.Hooks(), Change{Group: in.Group, User: user})
	return admin.OK, nil
}
