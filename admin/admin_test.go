package admin_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The commands of these tests have ejabberd's declarations and fixed answers.

type account struct {
	admin.OfUser
	Password string
}

func (a *account) Fields(f *config.Fields) {
	a.OfUser.Fields(f)
	f.Secret(&a.Password, "password", "", "Password.")
}

func register(_ context.Context, in account) (admin.Restuple, error) {
	if in.User == "romeo" {
		return admin.Restuple{}, admin.Conflict.With("User %s@%s already registered", in.User, in.Host).WithCode(10090)
	}
	return admin.Restuple{Text: "User " + in.User + "@" + in.Host + " successfully registered"}, nil
}

type contact struct {
	JID    string   `json:"jid"`
	Nick   string   `json:"nick"`
	Groups []string `json:"groups"`
}

func roster(context.Context, admin.OfUser) ([]contact, error) {
	return []contact{
		{"tybalt@localhost", "Ty", nil},
		{"juliet@localhost", "J", []string{"Lovers", "Capulets"}},
	}, nil
}

type activity struct {
	Timestamp time.Time `json:"timestamp"`
	Status    string    `json:"status"`
}

func lastActivity(context.Context, admin.OfUser) (activity, error) {
	return activity{time.Date(2017, 6, 30, 14, 32, 16, 999, time.FixedZone("", 7200)), "ONLINE"}, nil
}

func checkAccount(_ context.Context, in admin.OfUser) (admin.Rescode, error) {
	return admin.Whether(in.User == "romeo"), nil
}

type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func banDetails(context.Context, admin.OfUser) ([]pair, error) {
	return []pair{{"reason", "Spam"}, {"bandate", "2024-04-22"}}, nil
}

type node struct {
	Name   admin.Atom `json:"name"`
	Uptime int        `json:"uptime"`
}

type nodeInDetail struct {
	Name    admin.Atom    `json:"name"`
	Running bool          `json:"running"`
	Uptime  time.Duration `json:"uptime_seconds"`
}

type rosterItemV0 struct {
	Localuser, Localhost, User, Host, Nick, Group, Subs string
}

func (a *rosterItemV0) Fields(f *config.Fields) {
	a.parties(f)
	f.String(&a.Group, "group", "", "Group.")
	f.String(&a.Subs, "subs", "", "Subscription.")
}

func (a *rosterItemV0) parties(f *config.Fields) {
	f.String(&a.Localuser, "localuser", "", "User name.")
	f.String(&a.Localhost, "localhost", "", "Server name.")
	f.String(&a.User, "user", "", "Contact's user name.")
	f.String(&a.Host, "host", "", "Contact's server name.")
	f.String(&a.Nick, "nick", "", "Nickname.")
}

type rosterItemV1 struct {
	rosterItemV0
	Groups []string
}

func (a *rosterItemV1) Fields(f *config.Fields) {
	a.parties(f)
	f.Strings(&a.Groups, "groups", nil, "Groups.")
	f.String(&a.Subs, "subs", "", "Subscription.")
}

type option struct{ Name, Value string }

func (o *option) Fields(f *config.Fields) {
	f.String(&o.Name, "name", "", "Option.")
	f.String(&o.Value, "value", "", "Value.")
}

type roomWithOpts struct {
	Room, Service, Host string
	Options             []option
}

func (a *roomWithOpts) Fields(f *config.Fields) {
	f.String(&a.Room, "room", "", "Room name.")
	f.String(&a.Service, "service", "", "MUC service.")
	f.String(&a.Host, "host", "", "Server host.")
	config.List(f, &a.Options, "options", "List of options.")
}

type number struct{ N int }

func (a *number) Fields(f *config.Fields) { f.Int(&a.N, "n", 0, "A number.") }

type hookRun struct {
	Hook string
	Host string
	Args []string
}

func (a *hookRun) Fields(f *config.Fields) {
	f.String(&a.Hook, "hook", "", "Name of the hook.")
	f.String(&a.Host, "host", "localhost", "Virtual host.").Optional()
	f.Strings(&a.Args, "args", nil, "Arguments.").Optional()
}

// give makes a command's function of a fixed answer.
func give[Out any](out Out) func(context.Context, admin.NoArgs) (Out, error) {
	return func(context.Context, admin.NoArgs) (Out, error) { return out, nil }
}

func fail(err error) func(context.Context, admin.NoArgs) (admin.Rescode, error) {
	return func(context.Context, admin.NoArgs) (admin.Rescode, error) { return admin.OK, err }
}

func commands() []admin.Command {
	type messages struct {
		Room  string   `json:"room"`
		Nodes []string `json:"nodes" item:"node"`
	}
	return []admin.Command{
		admin.New("register", "Register a user", register).Tags("accounts").Policy(admin.Admin).
			Example("User bob@example.com successfully registered", "bob", "example.com", "SomEPass 44"),
		admin.New("check_account", "Check if an account exists or not", checkAccount).Tags("accounts"),
		admin.New("get_roster", "Get list of contacts in a local user roster", roster).Tags("roster").
			Policy(admin.User).Result("contacts", "contact").Rename("server", "host").Note("improved in 23.10"),
		admin.New("get_last", "Get last activity information", lastActivity).Tags("last").Result("last_activity"),
		admin.New("get_ban_details", "Get ban details about an account", banDetails).Tags("accounts").
			Version(2).Result("ban_details", "detail"),
		admin.New("connected_users", "List all established sessions", give([]string{"romeo@localhost/b", "juliet@localhost/a"})).
			Tags("session").Result("connected_users", "sessions"),
		admin.New("connected_users_number", "Get the number of established sessions", give(2)).
			Tags("session", "statistics").Result("num_sessions"),
		admin.New("registered_vhosts", "List all registered vhosts", give([]string{})).Tags("server").Result("vhosts"),
		admin.New("get_loglevel", "Get the current loglevel", give(admin.Atom("info"))).Tags("logs").Result("levelatom"),
		admin.New("get_cookie", "Get the Erlang cookie of this node", give("MWTAVMODFELNLSMYXPPD")).Tags("erlang").Result("cookie"),
		admin.New("get_master", "Get master node", give(admin.Atom("none-yet"))).Tags("cluster").Result("nodename"),
		admin.New("list_cluster", "List running nodes", give([]admin.Atom{"b@two", "a@one"})).Tags("cluster").Result("nodes"),
		admin.New("uptimes", "Uptime of nodes", give([]node{{"b@two", 7}, {"a@one", 12}})).Tags("cluster").Result("uptimes"),
		admin.New("list_cluster_detailed", "List nodes with details", give([]nodeInDetail{{"b@two", true, 90 * time.Second}})).
			Tags("cluster").Result("nodes"),
		admin.New("get_user_subscriptions", "Get rooms a user subscribed to", give([]messages{
			{"b@muc", []string{"z", "a"}}, {"a@muc", []string{"x"}}})).Tags("muc").Result("rooms"),
		admin.New("get_vcard", "Get content from a vCard field", give("")).Tags("vcard").Result("content"),
		admin.New("stop", "Stop the server", give(admin.OK)).Tags("server"),
		admin.New("bad_weather", "Fail", fail(errors.New("the sky is down"))).Tags("server"),
		admin.New("no_such", "Fail", fail(admin.NotFound.With("no such room"))).Tags("server"),
		admin.New("panics", "Panic", func(context.Context, admin.NoArgs) (int, error) { panic("secret detail") }).Tags("server"),
		admin.New("double", "Twice as much", func(_ context.Context, in number) (int, error) { return 2 * in.N, nil }).Tags("server"),
		admin.New("add_rosteritem", "Add an item to a user's roster", func(_ context.Context, in rosterItemV0) (string, error) {
			return "v0 " + in.Localuser + " " + in.Group, nil
		}).Tags("roster").Rename("localserver", "localhost").Rename("server", "host"),
		admin.New("add_rosteritem", "Add an item to a user's roster", func(_ context.Context, in rosterItemV1) ([]string, error) {
			return in.Groups, nil
		}).Tags("roster").Version(1).Rename("localserver", "localhost").Rename("server", "host"),
		admin.New("create_room_with_opts", "Create a MUC room with options", func(_ context.Context, in roomWithOpts) ([]option, error) {
			return in.Options, nil
		}).Tags("muc_room").Rename("name", "room"),
		admin.New("run_hook", "Run a hook", func(_ context.Context, in hookRun) ([]string, error) {
			return append([]string{in.Hook, in.Host}, in.Args...), nil
		}).Tags("hooks").RestOfWords().HostArg(""),
		admin.New("echo", "Echo", give("hi")).Tags("internal"),
	}
}

// house is a registry with commands, and who calls them.
func house(t *testing.T, opt admin.Options) *admin.Registry {
	t.Helper()
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	r := admin.NewRegistry(opt)
	for _, c := range commands() {
		r.Add(c)
	}
	return r
}

var console = admin.Caller{Door: admin.DoorCtl}
