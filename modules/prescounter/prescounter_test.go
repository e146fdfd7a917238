package prescounter_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/prescounter"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

func TestFloods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, "modules: {mod_pres_counter: {count: 3, interval: 10}}", prescounter.Module, roster.Module)
		romeo, juliet := s.Available("romeo@localhost/x"), s.Available("juliet@localhost/x")
		// ask has so many strangers ask juliet, and returns how many she hears of.
		ask := func(from string, n int) int {
			juliet.Inbox()
			for i := range n {
				st := xmpp.NewPresence("subscribe", xmpp.MustParse(fmt.Sprintf("%s%d@away.example", from, i)), juliet.JID.Bare())
				s.Router.Route(t.Context(), st)
			}
			return len(juliet.Inbox())
		}
		if n := ask("a", 5); n != 3 {
			t.Errorf("of five she heard %d", n)
		}
		send := func(n int) (refused int) {
			for i := range n {
				romeo.Say(fmt.Sprintf(`<presence to='u%d@away.example' type='subscribe'/>`, i))
			}
			for _, st := range romeo.Inbox() {
				if e := xmpp.ParseError(st); e != nil && e.Condition == "policy-violation" {
					refused++
				}
			}
			return refused
		}
		if n := send(5); n != 2 {
			t.Errorf("of five %d were refused", n)
		}
		if n := strings.Count(s.Log(), "flood"); n != 2 {
			t.Errorf("%d lines in the log", n)
		}
		time.Sleep(11 * time.Second)
		if n := ask("b", 2); n != 2 {
			t.Errorf("later she heard %d", n)
		}
		if n := send(3); n != 0 {
			t.Errorf("later %d were refused", n)
		}
		romeo.Say(`<presence to='juliet@localhost'/>`)
		if in := romeo.Inbox(); len(in) != 0 {
			t.Errorf("presence was counted: %v", in)
		}
	})
}

func TestFewAreCountedAtOnce(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_pres_counter: {count: 1}}", prescounter.Module)
	s.Register("romeo@localhost", "x")
	romeo := s.Available("romeo@localhost/x")
	for i := range 3 {
		romeo.Say(fmt.Sprintf(`<presence to='u%d@away.example' type='subscribe'/>`, i))
	}
	if n := strings.Count(s.Log(), "flood"); n != 1 {
		t.Errorf("%d lines in the log", n)
	}
}
