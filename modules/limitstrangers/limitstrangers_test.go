package limitstrangers_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/modules/limitstrangers"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, `
acl: {desk: {user: [desk@localhost]}}
access_rules: {many: [{allow: desk}]}
modules: {mod_limit_strangers: {count: 2, interval: 60, access: many}}`, limitstrangers.Module, roster.Module)
		romeo, desk := s.Available("romeo@localhost/x"), s.Available("desk@localhost/x")
		if _, err := s.Command("add_rosteritem", "romeo", "localhost", "friend", "localhost", "", "", "to"); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			s.Register(fmt.Sprintf("u%d@localhost", i), "x")
			s.Available(fmt.Sprintf("u%d@localhost/x", i))
		}
		s.Available("friend@localhost/x")
		// passes sends a message and reports whether it was not refused.
		passes := func(c *modtest.Client, to, typ string) bool {
			c.Inbox()
			c.Say(`<message to='` + to + `' type='` + typ + `'><body>hi</body></message>`)
			for _, st := range c.Inbox() {
				if e := xmpp.ParseError(st); e != nil && e.Condition == "policy-violation" {
					return false
				}
			}
			return true
		}
		for i, c := range []struct {
			to, typ string
			want    bool
		}{
			{"u0@localhost", "chat", true}, {"u1@localhost/x", "", true}, {"u2@localhost", "chat", false}, {"u2@localhost", "headline", false},
			{"u0@localhost/x", "chat", true}, {"friend@localhost", "chat", true}, {"u2@localhost", "groupchat", true}, {"localhost", "chat", true},
			{"romeo@localhost/y", "chat", true},
		} {
			if got := passes(romeo, c.to, c.typ); got != c.want {
				t.Errorf("%d: %s %s: %v", i, c.to, c.typ, got)
			}
		}
		for i := range 5 {
			if !passes(desk, fmt.Sprintf("u%d@localhost", i), "chat") {
				t.Error("who can write to many was refused")
			}
		}
		if n := strings.Count(s.Log(), "too many strangers"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
		time.Sleep(61 * time.Second)
		if !passes(romeo, "u3@localhost", "chat") {
			t.Error("refused for ever")
		}
	})
}
