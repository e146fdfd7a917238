package last_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/last"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// start starts a host on which juliet sees romeo and tybalt sees nobody.
func start(t *testing.T) (s *modtest.Server, juliet, tybalt *modtest.Client) {
	t.Helper()
	s = modtest.Start(t, "", last.Module, roster.Module)
	s.Register("romeo@localhost", "secret")
	juliet, tybalt = s.Available("juliet@localhost/balcony"), s.Available("tybalt@localhost/street")
	if _, err := s.Command("add_rosteritem", "romeo", "localhost", "juliet", "localhost", "", "", "from"); err != nil {
		t.Fatal(err)
	}
	return s, juliet, tybalt
}

// ask returns the seconds and the status, or the condition of the error.
func ask(c *modtest.Client, to string) string {
	st := c.Ask(`<iq type='get' id='1' to='` + to + `'><query xmlns='jabber:iq:last'/></iq>`)
	if e := xmpp.ParseError(st); e != nil {
		return string(e.Condition)
	}
	return strings.TrimSpace(st.Payload().Attr("seconds") + " " + st.Payload().Text())
}

func TestLastActivityIsForThoseWhoSeeTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, juliet, tybalt := start(t)
		if got := ask(juliet, "romeo@localhost"); got != "0 Registered but didn't login" {
			t.Errorf("before romeo ever came: %q", got)
		}
		romeo := s.Available("romeo@localhost/orchard")
		time.Sleep(time.Minute)
		if got := ask(juliet, "romeo@localhost"); got != "0" {
			t.Errorf("while romeo is there: %q", got)
		}
		romeo.Say(`<presence type='unavailable'><status>to bed</status></presence>`)
		time.Sleep(time.Hour)
		for _, c := range []*modtest.Client{juliet, romeo} {
			if got := ask(c, "romeo@localhost"); got != "3600 to bed" {
				t.Errorf("%s learns %q", c.JID, got)
			}
		}
		for _, to := range []string{"romeo@localhost", "nobody@localhost", "juliet@localhost"} {
			if got := ask(tybalt, to); got != "forbidden" {
				t.Errorf("tybalt learns %q about %s", got, to)
			}
		}
		if got := ask(tybalt, "localhost"); got != "3660" {
			t.Errorf("the server is up for %q", got)
		}
	})
}

func TestClientIsNotAskedByStrangers(t *testing.T) {
	s, juliet, tybalt := start(t)
	romeo := s.Available("romeo@localhost/orchard")
	question := `<iq type='get' id='1' to='romeo@localhost/orchard'><query xmlns='jabber:iq:last'/></iq>`
	if st := tybalt.Ask(question); st.Type != "error" {
		t.Errorf("tybalt is answered %v", st)
	}
	if in := romeo.Inbox(); len(in) > 0 {
		t.Errorf("romeo is asked %v", in)
	}
	juliet.Say(question)
	if in := romeo.Inbox(); len(in) != 1 || in[0].From != juliet.JID {
		t.Errorf("romeo is asked %v, want juliet's question", in)
	}
}

type owner struct{ s *modtest.Server }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.s.Parts.Hooks }
func (owner) OnStop(func())         {}

func TestWhoGetsNoPresenceLearnsNothing(t *testing.T) {
	s, juliet, _ := start(t)
	sm.Privacy.Add(owner{s}, hooks.Normal, func(_ context.Context, ok bool, p sm.PrivacyCheck) (bool, hooks.Flow) {
		blocked := p.User.Local() == "romeo" && p.Direction == sm.Out && p.Stanza.To.Local() == "juliet"
		return ok && !blocked, hooks.Next
	})
	if got := ask(juliet, "romeo@localhost"); got != "forbidden" {
		t.Errorf("juliet learns %q", got)
	}
}

func TestBadRequests(t *testing.T) {
	_, juliet, _ := start(t)
	for _, to := range []string{"localhost", "juliet@localhost"} {
		for inner, typ := range map[string]string{"<query xmlns='jabber:iq:last'/>": "set", "<other xmlns='jabber:iq:last'/>": "get"} {
			if st := juliet.Ask(`<iq type='` + typ + `' id='1' to='` + to + `'>` + inner + `</iq>`); st.Type != "error" {
				t.Errorf("%s %s is answered %v", typ, inner, st)
			}
		}
	}
}

func TestCommands(t *testing.T) {
	s, _, _ := start(t)
	get := func() (when time.Time, status string) {
		t.Helper()
		out, err := s.Command("get_last", "romeo", "localhost")
		if err != nil {
			t.Fatal(err)
		}
		stamp, status, _ := strings.Cut(out, "\t")
		when, err = time.Parse(time.RFC3339, stamp)
		if err != nil {
			t.Fatal(err)
		}
		return when, status
	}
	if _, status := get(); status != "Registered but didn't login" {
		t.Errorf("status %q", status)
	}
	if _, err := s.Command("set_last", "romeo", "localhost", strconv.Itoa(1_500_045_311), "GoSleeping"); err != nil {
		t.Fatal(err)
	}
	if when, status := get(); when.Unix() != 1_500_045_311 || status != "GoSleeping" {
		t.Errorf("%v %q", when, status)
	}
	romeo := s.Login("romeo@localhost/orchard")
	if _, status := get(); status != "ONLINE" {
		t.Errorf("status %q", status)
	}
	romeo.Logout()
	if out, err := s.Command("set_last", "nobody", "localhost", "1", "x"); err == nil {
		t.Errorf("set for nobody: %q", out)
	}
	if out, err := s.Command("get_last", "nobody", "localhost"); err != nil || !strings.HasSuffix(out, "\tNOT FOUND") {
		t.Errorf("nobody: %q, %v", out, err)
	}
}

func TestRemovedUserLeavesNothing(t *testing.T) {
	s, _, _ := start(t)
	romeo := s.Available("romeo@localhost/orchard")
	if err := s.Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	romeo.Logout()
	if out, err := s.Command("get_last", "romeo", "localhost"); err != nil || !strings.HasSuffix(out, "\tNOT FOUND") {
		t.Errorf("%q, %v", out, err)
	}
}
