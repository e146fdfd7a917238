package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/xmpp"
)

// of is the instance of a module's commands on a host.
func of(host string) []admin.Command {
	tell := func(_ context.Context, in admin.OnHost) (string, error) { return host + " asked for " + in.Host, nil }
	return []admin.Command{
		admin.New("which", "Say which instance answers", tell).Module("mod_which"),
		admin.New("which_room", "Say which instance answers", func(_ context.Context, in service) (string, error) {
			return host, nil
		}).Module("mod_which").HostArg("service"),
		admin.New("count", "Count", give(len(host))).Module("mod_which").EachHost(),
		admin.New("rooms", "List", give([]string{"a@" + host, "b@" + host})).Module("mod_which").EachHost(),
		admin.New("tidy", "Tidy up", give(admin.Whether(host != "b.example"))).Module("mod_which").EachHost(),
		admin.New("tidy_text", "Tidy up", give(admin.Restuple{Text: host})).Module("mod_which").EachHost(),
		admin.New("size", "Size", func(context.Context, admin.OnHost) (int64, error) { return int64(len(host)), nil }).EachHost(),
		admin.New("hostless", "Anyone's", give(host)).Module("mod_which"),
	}
}

type service struct{ Service string }

func (a *service) Fields(f *config.Fields) { f.String(&a.Service, "service", "", "MUC service.") }

func twoHosts(t *testing.T, hosts []string) *admin.Registry {
	t.Helper()
	r := admin.NewRegistry(admin.Options{Log: slog.New(slog.DiscardHandler), Hosts: func() []string { return hosts }})
	for _, host := range []string{"b.example", "a.example"} {
		for _, c := range of(host) {
			r.AddFor(host, c)
		}
	}
	return r
}

func TestInstanceIsPickedByHost(t *testing.T) {
	r := twoHosts(t, []string{"a.example", "b.example", "c.example"})
	for _, c := range []struct{ call, want string }{
		{"which a.example", "a.example asked for a.example"},
		{"which B.Example", "b.example asked for B.Example"},
		{"which b.example.", "b.example asked for b.example."},
		{"which c.example", "! mod_which is not enabled on c.example"},
		{"which d.example", `! "d.example" is not a virtual host of this server`},
		{"which global", `! "global" is not a virtual host of this server`},
		{"which_room conference.b.example", "b.example"},
		{"which_room room@conference.b.example/nick", "b.example"},
		{"which_room conference.c.example", "! mod_which is not enabled on c.example"},
		{"count", "18"},
		{"rooms", "a@a.example|b@a.example|a@b.example|b@b.example"},
		{"tidy", "Error: false"},
		{"tidy_text", "a.example|b.example"},
		{"size global", "18"},
		{"size a.example", "9"},
		{"hostless", "a.example"},
	} {
		words := strings.Fields(c.call)
		if got := text(t, r, words[0], 0, admin.Words(words[1:]...)); got != c.want {
			t.Errorf("%s: %q, want %q", c.call, got, c.want)
		}
	}
	if got := text(t, r, "which", 0, admin.Words("")); got != "! which.host: must be the name of a host" {
		t.Errorf("empty host: %q", got)
	}
	if got := text(t, r, "which", 0, admin.JSON([]byte(`{"host":["a.example"]}`))); !strings.HasPrefix(got, "! ") {
		t.Errorf("list for a host: %q", got)
	}
}

func TestHostThatIsAVirtualHostDoesNotFallToItsParent(t *testing.T) {
	r := twoHosts(t, []string{"a.example", "sub.a.example"})
	if got := text(t, r, "which_room", 0, admin.Words("sub.a.example")); got != "! mod_which is not enabled on sub.a.example" {
		t.Errorf("got %q", got)
	}
}

func TestCommandsGoWithTheirOwner(t *testing.T) {
	r := admin.NewRegistry(admin.Options{Log: slog.New(slog.DiscardHandler)})
	inst := func(host string, version int) admin.Command {
		return admin.New("x", host, give(host)).Version(version)
	}
	gone := []func(){r.AddFor("a", inst("a", 0)), r.AddFor("b", inst("b", 0)), r.AddFor("b", inst("b2", 2))}
	about := func(version int) string {
		d, ok := r.Lookup("x", version)
		if !ok {
			return "none"
		}
		return d.Doc
	}
	steps := []string{about(1) + about(2)}
	for _, i := range []int{0, 2, 1} {
		gone[i]()
		gone[i]() // does nothing
		steps = append(steps, about(1)+about(2))
	}
	if want := []string{"ab2", "bb2", "bb", "nonenone"}; !reflect.DeepEqual(steps, want) {
		t.Errorf("got %q, want %q", steps, want)
	}
	r.Add(inst("again", 0))
	if got := about(0); got != "again" {
		t.Errorf("after all are gone: %q", got)
	}
}

func TestCommandDeclaredTwicePanics(t *testing.T) {
	for name, add := range map[string]func(*admin.Registry, admin.Command){
		"for the server":             func(r *admin.Registry, c admin.Command) { r.Add(c); r.Add(c) },
		"for a host":                 func(r *admin.Registry, c admin.Command) { r.AddFor("a", c); r.AddFor("A", c) },
		"for the server and a host":  func(r *admin.Registry, c admin.Command) { r.Add(c); r.AddFor("a", c) },
		"for a host and the server":  func(r *admin.Registry, c admin.Command) { r.AddFor("a", c); r.Add(c) },
		"to be joined but cannot be": func(_ *admin.Registry, c admin.Command) { c.EachHost() },
		"with a host it lacks":       func(_ *admin.Registry, c admin.Command) { c.HostArg("host") },
		"with a name it lacks":       func(_ *admin.Registry, c admin.Command) { c.Rename("server", "host") },
		"with a rest it lacks":       func(_ *admin.Registry, c admin.Command) { c.RestOfWords() },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			add(admin.NewRegistry(admin.Options{}), admin.New("x", "", give("")))
		}()
	}
}

type onDefault struct{ Host string }

func (a *onDefault) Fields(f *config.Fields) {
	f.String(&a.Host, "host", "secret.example", "Virtual host.").Optional()
}

// guard lets alice do everything on her host and records what it was asked.
type guard struct {
	mu    sync.Mutex
	asked []string
}

func (g *guard) Permit(who admin.Caller, d admin.Description, host string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, fmt.Sprintf("%v by %v for %q", d.Name, who.String(), host))
	if who.Account.Local() == "alice" && host == who.Account.Domain() {
		return nil
	}
	return admin.Denied.With("not for %v", who.String())
}

func (g *guard) Authenticate(_ context.Context, user, host, password string) (xmpp.JID, error) {
	if password != "wonderland" {
		return xmpp.JID{}, admin.Unauthenticated.With("wrong password")
	}
	return xmpp.NewJID(user, host, "")
}

func TestPermissionIsAskedOnceWithTheHostActedOn(t *testing.T) {
	g := &guard{}
	r := house(t, admin.Options{Guard: g, Hosts: func() []string { return []string{"localhost", "secret.example"} }})
	r.Add(admin.New("on_default", "", func(context.Context, onDefault) (string, error) { return "", nil }))
	alice := admin.Caller{Door: admin.DoorHTTP, Account: xmpp.MustParse("alice@localhost")}
	rosteritem := func(local, contact string) string {
		return fmt.Sprintf(`{"localuser":"a","localhost":%s,"user":"b","host":%s,"nick":"","subs":"both"}`, local, contact)
	}
	for _, c := range []struct {
		name, body string
		asked      string
		denied     bool
	}{
		{"get_roster", `{"user":"bob","host":"localhost"}`, `"localhost"`, false},
		{"get_roster", `{"user":"bob","server":"LocalHost"}`, `"localhost"`, false},
		{"get_roster", `{"user":"bob","host":"secret.example"}`, `"secret.example"`, true},
		{"get_roster", `{"user":"bob","ho\u0073t":"secret.example"}`, `"secret.example"`, true},
		{"get_roster", `{"user":"bob","host":"alice@secret.example/localhost"}`, `"secret.example"`, true},
		{"get_roster", `{"user":"bob","host":17}`, `"17"`, true},
		{"on_default", `{}`, `"secret.example"`, true},
		{"on_default", `{"host":"localhost"}`, `"localhost"`, false},
		{"add_rosteritem", rosteritem(`"localhost"`, `"secret.example"`), `"localhost"`, false},
		{"add_rosteritem", rosteritem(`"secret.example"`, `"localhost"`), `"secret.example"`, true},
		{"stop", `{}`, `""`, true},
		{"get_roster", `{"user":"bob","host":""}`, "", true},
		{"get_roster", `{"user":"bob","host":"."}`, "", true},
		{"get_roster", `{"user":"bob","host":"bob@/localhost"}`, "", true},
		{"get_roster", `{"user":"bob","host":["localhost"]}`, "", true},
	} {
		g.asked = nil
		_, err := r.Call(t.Context(), alice, c.name, admin.Latest, admin.JSON([]byte(c.body)))
		if c.asked == "" { // refused before anybody is asked
			if !errors.Is(err, admin.Usage) || len(g.asked) > 0 {
				t.Errorf("%s %s: %v, asked %q", c.name, c.body, err, g.asked)
			}
			continue
		}
		if errors.Is(err, admin.Denied) != c.denied || err != nil && !c.denied {
			t.Errorf("%s %s: %v, want denied: %v", c.name, c.body, err, c.denied)
		}
		if want := []string{c.name + " by alice@localhost for " + c.asked}; !slices.Equal(g.asked, want) {
			t.Errorf("%s %s: asked %q, want %q", c.name, c.body, g.asked, want)
		}
	}
}

func TestWithoutAGuardOnlyTheConsoleGetsIn(t *testing.T) {
	r := house(t, admin.Options{})
	for _, who := range []admin.Caller{
		{}, {Door: admin.DoorHTTP}, {Door: admin.DoorAdhoc, Account: xmpp.MustParse("admin@localhost")},
		{Door: admin.DoorCtl, Account: xmpp.MustParse("admin@localhost")}, {Door: admin.DoorWebAdmin},
	} {
		if _, err := r.Call(t.Context(), who, "stop", 0, admin.Words()); !errors.Is(err, admin.Denied) {
			t.Errorf("%+v: %v, want Denied", who, err)
		}
	}
	if _, err := r.Call(t.Context(), console, "stop", 0, admin.Words()); err != nil {
		t.Errorf("console: %v", err)
	}
}

func TestAuditLogNamesWhoAndWhatButNoSecrets(t *testing.T) {
	var out bytes.Buffer
	r := house(t, admin.Options{Guard: &guard{}, Log: slog.New(slog.NewTextHandler(&out, nil))})
	alice := admin.Caller{Door: admin.DoorHTTP, Account: xmpp.MustParse("alice@localhost")}
	for _, c := range []struct {
		who  admin.Caller
		name string
		args admin.Args
		want []string
	}{
		{alice, "register", admin.Words("bob", "localhost", "hunter2"), []string{
			"level=INFO", "command=register", "by=alice@localhost", "door=mod_http_api", "host=localhost", "user=bob", "outcome=done"}},
		{alice, "register", admin.Words("romeo", "localhost", "hunter2"), []string{"outcome=conflict"}},
		{alice, "register", admin.JSON([]byte(`{"user":"bob","host":"localhost","password":["hunter2"]}`)), []string{"outcome=invalid_parameter"}},
		{alice, "register", admin.JSON([]byte(`{"user":"bob","host":"localhost","passwd":"hunter2"}`)), []string{"outcome=invalid_parameter"}},
		{alice, "register", admin.Words("bob", "localhost", "hunter2", "hunter2"), []string{"outcome=invalid_parameter"}},
		{console, "register", admin.Words("bob", "localhost", "hunter2"), []string{
			"level=WARN", "by=console", "door=ejabberd_ctl", "outcome=access_rules_unauthorized"}},
	} {
		out.Reset()
		_, err := r.Call(t.Context(), c.who, c.name, admin.Latest, c.args)
		line := out.String()
		for _, w := range c.want {
			if !strings.Contains(line, w) {
				t.Errorf("%s as %v: %q lacks %s", c.name, c.who.String(), line, w)
			}
		}
		if strings.Contains(line, "hunter2") || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the secret is told: %q, %v", line, err)
		}
	}
}

func TestPanicIsAnErrorAndIsLogged(t *testing.T) {
	var out bytes.Buffer
	r := house(t, admin.Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	_, err := r.Call(t.Context(), console, "panics", 0, admin.Words())
	if !errors.Is(err, admin.Internal) || strings.Contains(err.Error(), "secret detail") {
		t.Errorf("caller is told %v", err)
	}
	if !strings.Contains(out.String(), "secret detail") || !strings.Contains(out.String(), "command=panics") {
		t.Errorf("log has %q", out.String())
	}
}

func TestCallEndsWithItsLimitOrItsCaller(t *testing.T) {
	hang := func(ctx context.Context, _ admin.NoArgs) (admin.Rescode, error) {
		<-ctx.Done()
		return admin.OK, ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		r := admin.NewRegistry(admin.Options{Log: slog.New(slog.DiscardHandler), Limit: time.Minute})
		r.Add(admin.New("hang", "", hang))
		r.Add(admin.New("hang_long", "", hang).Endless())
		if _, err := r.Call(t.Context(), console, "hang", 0, admin.Words()); !errors.Is(err, admin.Failed) || err.Error() != "hang was given up after 1m0s" {
			t.Errorf("limit: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		if _, err := r.Call(ctx, console, "hang_long", 0, admin.Words()); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("endless: %v after %v", err, time.Since(start))
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := r.Call(ctx, console, "hang", 0, admin.Words()); !errors.Is(err, context.Canceled) {
			t.Errorf("caller gone: %v", err)
		}
	})
}

func TestCallsWhileModulesComeAndGo(t *testing.T) {
	r := admin.NewRegistry(admin.Options{Log: slog.New(slog.DiscardHandler)})
	var callers, modules sync.WaitGroup
	stop := make(chan struct{})
	for _, host := range []string{"a.example", "b.example"} {
		modules.Go(func() {
			for {
				var gone []func()
				for _, c := range of(host) {
					gone = append(gone, r.AddFor(host, c))
				}
				for _, f := range gone {
					f()
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 4 {
		callers.Go(func() {
			for range 300 {
				for _, words := range [][]string{{"which", "a.example"}, {"rooms"}, {"hostless"}} {
					res, err := r.Call(t.Context(), console, words[0], 0, admin.Words(words[1:]...))
					if err != nil && !errors.Is(err, admin.Unknown) && !errors.Is(err, admin.NotEnabled) {
						t.Errorf("%q: %v", words, err)
					}
					if err == nil && res.Text() == "" {
						t.Errorf("%q: empty result", words)
					}
				}
				r.List(admin.Latest)
			}
		})
	}
	callers.Wait()
	close(stop)
	modules.Wait()
}

func TestListShowsTheNewestFormsThatAVersionHas(t *testing.T) {
	r := house(t, admin.Options{})
	find := func(version int, name string) (int, bool) {
		for _, d := range r.List(version) {
			if d.Name == name {
				return d.Version, true
			}
		}
		return 0, false
	}
	if v, ok := find(0, "add_rosteritem"); v != 0 || !ok {
		t.Errorf("add_rosteritem in 0: %d, %v", v, ok)
	}
	if v, ok := find(admin.Latest, "add_rosteritem"); v != 1 || !ok {
		t.Errorf("add_rosteritem in the newest: %d, %v", v, ok)
	}
	if _, ok := find(1, "get_ban_details"); ok {
		t.Error("get_ban_details is listed before it came")
	}
	if _, ok := find(admin.Latest, "echo"); ok {
		t.Error("an internal command is listed")
	}
	if names := r.Names(admin.Latest); !slices.IsSorted(names) || len(names) < 20 {
		t.Errorf("names: %q", names)
	}
}

func TestAddressOfAnAccount(t *testing.T) {
	for _, c := range []struct{ user, host, want string }{
		{"Romeo", "localhost", "romeo@localhost"},
		{"", "localhost", ""},
		{"ro meo", "localhost", ""},
		{"romeo", "", ""},
	} {
		j, err := (&admin.OfUser{User: c.user, Host: c.host}).JID()
		if (err == nil) != (c.want != "") || err == nil && j.String() != c.want {
			t.Errorf("%q at %q: %v, %v; want %q", c.user, c.host, j, err, c.want)
		}
		if err != nil && !errors.Is(err, admin.Usage) {
			t.Errorf("%q at %q: %v, want a case of Usage", c.user, c.host, err)
		}
	}
}
