package modules_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/admin"
	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// everything is a module that adds one of each kind of thing.
func everything(fail error) modules.Module {
	return modules.Define("mod_everything", modules.Spec[none]{
		Start: func(h *modules.Host, _ none) error {
			answer := func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) { return nil, nil }
			h.IQ("test:server", answer)
			h.UserIQ("test:user", answer)
			h.Feature("test:server")
			h.UserFeature("test:user")
			h.Serve("service.localhost", h.Host)
			h.Command(admin.New("test_command", "Do nothing.", func(context.Context, none) (string, error) { return "done", nil }))
			sm.UserSend.Add(h, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ *sm.Session) (*xmpp.Stanza, hooks.Flow) {
				return st, hooks.Next
			})
			return fail
		},
	})
}

// traces is what of mod_everything is there.
func traces(s *modtest.Server) string {
	var found []string
	add := func(ok bool, what string) {
		if ok {
			found = append(found, what)
		}
	}
	add(len(s.Features()) > 0, "feature")
	add(len(s.UserFeatures()) > 0, "user feature")
	add(len(s.Sessions.UserIQ.Namespaces()) > 0, "user iq")
	add(s.Router.Serves("service.localhost"), "route")
	add(sm.UserSend.Heard(s.Parts.Hooks), "hook")
	_, err := s.Command("test_command")
	add(err == nil, "command")
	c := s.Login("romeo@localhost/x")
	add(c.Ask(`<iq type='get' id='1' to='localhost'><q xmlns='test:server'/></iq>`).Type == "result", "iq")
	c.Logout()
	return strings.Join(found, ", ")
}

func TestModuleLeavesNoTrace(t *testing.T) {
	s := modtest.Start(t, "", everything(nil))
	if got := traces(s); got != "feature, user feature, user iq, route, hook, command, iq" {
		t.Fatalf("while it runs: %s", got)
	}
	s.Stop()
	if got := traces(s); got != "" {
		t.Errorf("it left: %s", got)
	}
}

func TestModuleThatFailsToStartLeavesNoTrace(t *testing.T) {
	s := modtest.Start(t, "")
	failure := errors.New("no luck")
	h := modules.NewHost(context.Background(), "mod_everything", s.Host, func(string) bool { return true })
	err := everything(failure).Prepare(func(config.Declarer) {}).Start(h)
	if !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	if got := traces(s); got != "" {
		t.Errorf("it left: %s", got)
	}
	if h.Context().Err() == nil {
		t.Error("its context goes on")
	}
}

func TestStopGoesBackwards(t *testing.T) {
	s := modtest.Start(t, "")
	h := modules.NewHost(context.Background(), "mod_x", s.Host, func(name string) bool { return name == "mod_y" })
	var got []string
	h.OnStop(func() { got = append(got, "first") })
	h.OnStop(func() {
		got = append(got, "second")
		if h.Context().Err() != nil {
			t.Error("the context ended before what was added in it")
		}
	})
	if h.Name() != "mod_x" || !h.Loaded("mod_y") || h.Loaded("mod_z") || h.Context().Err() != nil {
		t.Error("the host does not know itself")
	}
	h.Stop()
	h.Stop() // is nothing
	if strings.Join(got, " ") != "second first" || h.Context().Err() == nil {
		t.Errorf("stopped %q", got)
	}
}

func TestAfter(t *testing.T) {
	s := modtest.Start(t, "")
	synctest.Test(t, func(t *testing.T) {
		h := modules.NewHost(context.Background(), "mod_x", s.Host, func(string) bool { return false })
		ran := ""
		h.After(time.Minute, func() { ran += "a" })
		stop := h.After(time.Minute, func() { ran += "b" })
		h.After(time.Hour, func() { ran += "c" })
		stop()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if ran != "a" {
			t.Errorf("ran %q, want a", ran)
		}
		h.Stop()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if ran != "a" {
			t.Errorf("ran %q after the module has stopped", ran)
		}
	})
}

// backed is options with a database.
type backed struct{ modules.Backend }

func (o *backed) Fields(f *config.Fields) { o.Backend.Fields(f) }

func TestBackend(t *testing.T) {
	for _, c := range []struct {
		yaml        string
		use, missed bool
		size        int
		life        time.Duration
		dbType      string
	}{
		{"", true, true, 1000, time.Hour, ""},
		{"modules: {mod_x: {use_cache: false, cache_size: 5}}", false, true, 5, time.Hour, ""},
		{"modules: {mod_x: {cache_missed: false, cache_life_time: 5, db_type: sql}}", true, false, 1000, 5 * time.Second, "sql"},
	} {
		m := modules.Define("mod_x", modules.Spec[backed]{Start: func(h *modules.Host, o backed) error {
			got := h.CacheOf(o.Backend)
			if got.Use != c.use || got.Missed != c.missed || got.Size != c.size || got.LifeTime != c.life || o.DBType != c.dbType {
				t.Errorf("%q: %+v, %q", c.yaml, got, o.DBType)
			}
			_, err := h.Database(o.Backend, "mod_x_sql")
			return err
		}})
		modtest.Start(t, c.yaml, m)
	}
}
