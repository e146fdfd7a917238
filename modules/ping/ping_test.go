package ping_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/ping"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:xmpp:ping"

func TestServerAndAccountAnswerPing(t *testing.T) {
	s := modtest.Start(t, "", ping.Module)
	romeo := s.Login("romeo@localhost/orchard")
	for _, to := range []string{"localhost", "romeo@localhost"} {
		if got := romeo.Ask(`<iq type='get' id='1' to='` + to + `'><ping xmlns='` + ns + `'/></iq>`); got.Type != "result" || got.Payload() != nil {
			t.Errorf("%s answers %v", to, got)
		}
		for _, bad := range []string{
			`<iq type='set' id='1' to='` + to + `'><ping xmlns='` + ns + `'/></iq>`,
			`<iq type='get' id='1' to='` + to + `'><pong xmlns='` + ns + `'/></iq>`,
		} {
			if got := romeo.Ask(bad); got.Type != "error" {
				t.Errorf("%s is answered %v", bad, got)
			}
		}
	}
}

const sending = `
modules:
  mod_ping: {send_pings: true, ping_interval: 60, ping_ack_timeout: 32, timeout_action: `

// pings are those that a client has got.
func pings(c *modtest.Client) (out []*xmpp.Stanza) {
	for _, st := range c.Inbox() {
		if st.Has(ns, "ping") {
			out = append(out, st)
		}
	}
	return out
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestSilentClientIsPingedThenClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, sending+"kill}", ping.Module)
		romeo := s.Login("romeo@localhost/orchard")
		pass(59 * time.Second)
		romeo.Say(`<message to='romeo@localhost'/>`)
		pass(59 * time.Second)
		if got := pings(romeo); len(got) != 0 {
			t.Fatalf("got %v from a server with no reason to speak", got)
		}
		pass(time.Second)
		if got := pings(romeo); len(got) != 1 || got[0].From != s.JID || got[0].Type != "get" {
			t.Fatalf("got %v, want a ping", got)
		}
		pass(31 * time.Second)
		if got := romeo.Closed(); got != "" {
			t.Fatalf("closed with %q too early", got)
		}
		pass(time.Second)
		if got := romeo.Closed(); got != "connection-timeout" {
			t.Errorf("closed with %q, want connection-timeout", got)
		}
	})
}

func TestClientThatAnswersStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, sending+"kill}", ping.Module)
		romeo := s.Login("romeo@localhost/orchard")
		for i, answer := range []string{"result", "error", "result"} {
			pass(time.Minute)
			got := pings(romeo)
			if len(got) != 1 {
				t.Fatalf("minute %d: got %v, want a ping", i, got)
			}
			romeo.Say(`<iq type='` + answer + `' id='` + got[0].ID + `' to='localhost'/>`)
		}
		pass(50 * time.Second)
		if got := romeo.Closed(); got != "" {
			t.Errorf("closed with %q", got)
		}
	})
}

type none struct{}

func (*none) Fields(*config.Fields) {}

func TestTimeoutIsToldAndNothingElseDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []xmpp.JID
		listener := modules.Define("mod_test_listener", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
			ping.TimedOut.Add(h, hooks.Normal, func(_ context.Context, j xmpp.JID) { told = append(told, j) })
			return nil
		}})
		s := modtest.Start(t, sending+"none}", ping.Module, listener)
		romeo := s.Login("romeo@localhost/orchard")
		pass(92 * time.Second)
		if len(told) != 1 || told[0] != romeo.JID || romeo.Closed() != "" {
			t.Errorf("told %v, closed with %q", told, romeo.Closed())
		}
		if got := pings(romeo); len(got) != 1 {
			t.Errorf("got %v, want one ping", got)
		}
		pass(60 * time.Second)
		if got := pings(romeo); len(got) != 1 {
			t.Errorf("got %v, want the next ping", got)
		}
	})
}

func TestNoPingsAfterLogoutOrStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, sending+"kill}", ping.Module)
		gone, stays := s.Login("romeo@localhost/gone"), s.Login("romeo@localhost/stays")
		gone.Logout()
		pass(time.Minute)
		if got := pings(gone); len(got) != 0 {
			t.Errorf("a client that is gone got %v", got)
		}
		if got := pings(stays); len(got) != 1 {
			t.Errorf("a client that stays got %v", got)
		}
		s.Stop()
		pass(10 * time.Minute)
		if got := stays.Closed(); got != "" {
			t.Errorf("closed with %q by a module that has stopped", got)
		}
		if got := pings(stays); len(got) != 0 {
			t.Errorf("pinged by a module that has stopped: %v", got)
		}
	})
}

func TestAnswerOfSomebodyElseIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, sending+"kill}", ping.Module)
		romeo, paris := s.Login("romeo@localhost/orchard"), s.Login("paris@localhost/street")
		pass(50 * time.Second)
		paris.Say(`<message to='paris@localhost'/>`)
		pass(10 * time.Second)
		got := pings(romeo)
		if len(got) != 1 {
			t.Fatalf("got %v, want a ping", got)
		}
		paris.Say(`<iq type='result' id='` + got[0].ID + `' to='localhost'/>`)
		pass(32 * time.Second)
		if got := romeo.Closed(); got != "connection-timeout" {
			t.Errorf("closed with %q: an answer of paris kept romeo alive", got)
		}
	})
}
