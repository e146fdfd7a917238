package register_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/register"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// An inviter has invited whoever asks, and remembers what became of it.
type inviter struct {
	register.Invitation
	refused                error
	taken, undone, redeemd int
}

// invite has all strangers of s invited.
func invite(s *modtest.Server, in register.Invitation) *inviter {
	i := &inviter{Invitation: in}
	i.Take = func(context.Context, xmpp.JID) (func(), error) {
		if i.refused != nil {
			return nil, i.refused
		}
		i.taken++
		return func() { i.undone++ }, nil
	}
	i.Redeemed = func(context.Context, xmpp.JID) { i.redeemd++ }
	register.Invited.Add(owner{s.Hooks}, hooks.Normal, func(context.Context, *register.Invitation, *sm.Stream) (*register.Invitation, hooks.Flow) {
		return &i.Invitation, hooks.Next
	})
	return i
}

// counts is how often it was used up, given back and redeemed.
func (i *inviter) counts() string { return fmt.Sprint(i.taken, i.undone, i.redeemd) }

func TestInvited(t *testing.T) {
	s := modtest.Start(t, options("allow_modules: [mod_x]", "access: [{deny: {user: admin}}, {allow: all}]", "password_strength: 30"), register.Module)
	s.Register("juliet@localhost", "hers")
	i := invite(s, register.Invitation{Module: "mod_x"})
	x := newStranger(t, s, "192.0.2.1")
	for _, c := range []struct{ name, password, want, counts string }{
		{"admin", "correct horse battery", "forbidden", "0 0 0"},
		{"romeo", "weak", "not-acceptable", "0 0 0"},
		{"juliet", "correct horse battery", "conflict", "1 1 0"},
		{"romeo", "correct horse battery", "result", "2 1 1"},
		{"tybalt", "correct horse battery", "resource-constraint", "2 1 1"}, // registration_timeout
	} {
		if got := x.make(c.name, c.password); got != c.want || i.counts() != c.counts {
			t.Errorf("%s: %s, %s; want %s, %s", c.name, got, i.counts(), c.want, c.counts)
		}
	}
	i.refused = xmpp.ItemNotFound
	if got := newStranger(t, s, "192.0.2.2").make("tybalt", "correct horse battery"); got != "item-not-found" || logsIn(t, s, "tybalt@localhost", "correct horse battery") {
		t.Errorf("when it is used up already: %s", got)
	}
	i.refused = errors.New("no database")
	if got := newStranger(t, s, "192.0.2.2").make("tybalt", "correct horse battery"); got != "internal-server-error" {
		t.Errorf("when it cannot be used up: %s", got)
	}
	if got := condition(x.ask("set", `<remove/>`)); got != "unexpected-request" {
		t.Errorf("who was invited removes: %s", got)
	}
}

// TestInvitedAreOfferedRegistration: clients give up where they are not, whatever else
// is offered. Who was not invited gets nothing by that.
func TestInvitedAreOfferedRegistration(t *testing.T) {
	for _, text := range []string{"access: none", "allow_modules: [mod_x]", "allow_modules: []"} {
		s := modtest.Start(t, options(text), register.Module)
		if offered(t, s) {
			t.Errorf("%s: offered although nobody can be invited", text)
		}
		register.Invited.Add(owner{s.Hooks}, hooks.Normal, func(_ context.Context, in *register.Invitation, _ *sm.Stream) (*register.Invitation, hooks.Flow) {
			return in, hooks.Next
		})
		if !offered(t, s) {
			t.Errorf("%s: not offered", text)
		}
		x := newStranger(t, s, "192.0.2.1")
		if get, set := condition(x.ask("get", "")), x.make("romeo", "secret"); get != "service-unavailable" || set != "forbidden" {
			t.Errorf("%s: who was not invited: %s, %s", text, get, set)
		}
	}
}

// TestInvitedWhileTheDatabaseFails: where it is not known whether there is an account
// now, there is none by that invitation any more.
func TestInvitedWhileTheDatabaseFails(t *testing.T) {
	s := modtest.Start(t, "", register.Module)
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "ALTER TABLE users RENAME TO away"); err != nil {
		t.Fatal(err)
	}
	i := invite(s, register.Invitation{Module: "mod_x"})
	if got := newStranger(t, s, "192.0.2.1").make("romeo", "secret"); got != "internal-server-error" || i.counts() != "1 0 0" {
		t.Errorf("%s, %s", got, i.counts())
	}
}

func TestInvitedThroughAModuleThatMayNot(t *testing.T) {
	for _, text := range []string{"allow_modules: [mod_register]", "access: none", "ip_access: none"} {
		s := modtest.Start(t, options(text), register.Module)
		i := invite(s, register.Invitation{Module: "mod_x"})
		if got := newStranger(t, s, "192.0.2.1").make("romeo", "secret"); got != "forbidden" || i.counts() != "0 0 0" {
			t.Errorf("%s: %s, %s", text, got, i.counts())
		}
		if register.Accepts.Run(t.Context(), s.Hooks, false, "mod_x") {
			t.Errorf("%s: accepted", text)
		}
	}
	s := modtest.Start(t, "", register.Module)
	if !register.Accepts.Run(t.Context(), s.Hooks, false, "mod_x") {
		t.Error("not accepted although all modules may")
	}
}

func TestInvitedUnderAName(t *testing.T) {
	s := modtest.Start(t, "", register.Module)
	register.Reserved.Add(owner{s.Hooks}, hooks.Normal, func(_ context.Context, _ bool, j xmpp.JID) (bool, hooks.Flow) {
		return strings.HasPrefix(j.Local(), "kept"), hooks.Next
	})
	if got := newStranger(t, s, "192.0.2.1").make("kept1", "secret"); got != "not-allowed" {
		t.Errorf("nobody invited: %s", got)
	}
	i := invite(s, register.Invitation{Module: "mod_x"})
	if got := newStranger(t, s, "192.0.2.1").make("kept1", "secret"); got != "not-allowed" || i.counts() != "0 0 0" {
		t.Errorf("by any invitation: %s, %s", got, i.counts())
	}
	i.Name = "kept2"
	if got := newStranger(t, s, "192.0.2.1").make("kept1", "secret"); got != "not-allowed" || i.counts() != "0 0 0" {
		t.Errorf("by an invitation for another: %s, %s", got, i.counts())
	}
	if got := newStranger(t, s, "192.0.2.1").ask("get", "").Payload().Child(ns, "username").Text(); got != "kept2" {
		t.Errorf("the form is for %q", got)
	}
	if got := newStranger(t, s, "192.0.2.1").make("Kept2", "secret"); got != "result" || i.counts() != "1 0 1" {
		t.Errorf("by its own: %s, %s", got, i.counts())
	}
	if strings.Contains(s.Log(), "secret") {
		t.Error("a password is in the log")
	}
}

func TestReset(t *testing.T) {
	s := modtest.Start(t, options("allow_modules: [mod_register]", "password_strength: 30"), register.Module)
	s.Register("romeo@localhost", "old one")
	s.Register("juliet@localhost", "hers")
	i := invite(s, register.Invitation{Module: "mod_x", Name: "romeo", Reset: true})
	x := newStranger(t, s, "192.0.2.1")
	for _, c := range []struct{ name, password, want, counts string }{
		{"juliet", "correct horse battery", "not-allowed", "0 0 0"},
		{"romeo", "weak", "not-acceptable", "0 0 0"},
		{"romeo", "correct horse \u0085 battery", "not-acceptable", "1 1 0"},
		{"ROMEO", "correct horse battery", "result", "2 1 1"},
	} {
		if got := x.make(c.name, c.password); got != c.want || i.counts() != c.counts {
			t.Errorf("%s: %s, %s; want %s, %s", c.name, got, i.counts(), c.want, c.counts)
		}
	}
	if !logsIn(t, s, "romeo@localhost", "correct horse battery") || !logsIn(t, s, "juliet@localhost", "hers") {
		t.Error("the passwords are not right")
	}
	i.Name = "nobody"
	if got := x.make("nobody", "correct horse battery"); got != "not-allowed" || logsIn(t, s, "nobody@localhost", "correct horse battery") || i.counts() != "3 2 1" {
		t.Errorf("an account that is not there: %s, %s", got, i.counts())
	}
}

func TestTriesHaveAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for timeout, pause := range map[time.Duration]time.Duration{time.Minute: time.Minute, 0: 10 * time.Minute, config.Infinity: 10 * time.Minute} {
			tries := register.NewTries()
			for i := range 20 {
				if tries.Spent("a", timeout) {
					t.Fatalf("%v: after %d", timeout, i)
				}
				tries.Failed("a", timeout)
			}
			if !tries.Spent("a", timeout) || tries.Spent("b", timeout) {
				t.Errorf("%v: not only a has to wait", timeout)
			}
			time.Sleep(pause - time.Second)
			if !tries.Spent("a", timeout) {
				t.Errorf("%v: too early", timeout)
			}
			time.Sleep(time.Second)
			if tries.Spent("a", timeout) {
				t.Errorf("%v: still", timeout)
			}
			// A crowd pushes the oldest out; there is no end to memory otherwise.
			for range 20 {
				tries.Failed("old", timeout)
			}
			for i := range 10_000 {
				tries.Failed(fmt.Sprint(i), timeout)
			}
			if tries.Spent("old", timeout) {
				t.Errorf("%v: everybody is remembered", timeout)
			}
		}
	})
}
