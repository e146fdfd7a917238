package pushkeepalive_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/push"
	"github.com/gabberd/gabberd/modules/pushkeepalive"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

// service counts what it is told.
type service struct {
	s    *modtest.Server
	told atomic.Int32

	silent atomic.Bool // it does not answer
}

// Route takes a notification.
func (x *service) Route(ctx context.Context, iq *xmpp.Stanza) {
	if iq.IsRequest() {
		x.told.Add(1)
		if x.silent.Load() {
			return
		}
		x.s.Router.Route(ctx, iq.Reply(nil))
	}
}

// world runs f with a phone that has enabled notifications, and romeo.
func world(t *testing.T, options string, f func(t *testing.T, s *modtest.Server, x *service, phone, romeo *modtest.Client)) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, "modules: {mod_push_keepalive: {"+options+"}}", disco.Module, roster.Module, push.Module, pushkeepalive.Module)
		x := &service{s: s}
		t.Cleanup(s.Router.Register("push.localhost", "localhost", x))
		romeo, phone := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/phone")
		if got := phone.Ask(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n1'/></iq>`); got.Type != "result" {
			t.Fatal(got)
		}
		phone.Inbox()
		f(t, s, x, phone, romeo)
	})
}

const text = `<message to='juliet@localhost/phone' type='chat'><body>x</body></message>`

func within(t *testing.T, c *modtest.Client, want time.Duration) {
	t.Helper()
	if d, _ := c.Session.Waits(); d != want {
		t.Errorf("%s waits %v, want %v", c.JID, d, want)
	}
}

func TestASessionWaitsLongerUntilATextComes(t *testing.T) {
	world(t, "", func(t *testing.T, s *modtest.Server, x *service, phone, romeo *modtest.Client) {
		phone.Break(5 * time.Minute)
		within(t, phone, 72*time.Hour)
		romeo.Say(`<message to='juliet@localhost/phone' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`)
		within(t, phone, 72*time.Hour)
		romeo.Say(text)
		within(t, phone, 5*time.Minute)
		synctest.Wait()
		told := x.told.Load()
		time.Sleep(73 * time.Hour)
		synctest.Wait()
		if n := x.told.Load(); n != told {
			t.Error("woken although its session waits no longer")
		}
		other := s.Available("tybalt@localhost/x")
		other.Break(5 * time.Minute)
		within(t, other, 5*time.Minute)
	})
}

func TestATextThatIsNotAcknowledged(t *testing.T) {
	world(t, "", func(t *testing.T, _ *modtest.Server, _ *service, phone, romeo *modtest.Client) {
		romeo.Say(text)
		phone.Break(5 * time.Minute)
		within(t, phone, 5*time.Minute)
	})
}

func TestWakeOnTimeout(t *testing.T) {
	for options, want := range map[string]int32{"resume_timeout: 1 hour": 1, "resume_timeout: 1 hour, wake_on_timeout: false": 0, "resume_timeout: 2 minutes": 0} {
		world(t, options, func(t *testing.T, _ *modtest.Server, x *service, phone, _ *modtest.Client) {
			phone.Break(5 * time.Minute)
			time.Sleep(57 * time.Minute)
			synctest.Wait()
			if n := x.told.Load(); n != 0 {
				t.Errorf("%s: woken too early", options)
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if n := x.told.Load(); n != want {
				t.Errorf("%s: woken %d times, want %d", options, n, want)
			}
		})
	}
}

func TestWhoIsBackIsNotWoken(t *testing.T) {
	for name, back := range map[string]func(*modtest.Client){"resumed": (*modtest.Client).Resume, "closed": (*modtest.Client).Logout} {
		world(t, "resume_timeout: 1 hour", func(t *testing.T, _ *modtest.Server, x *service, phone, _ *modtest.Client) {
			phone.Break(5 * time.Minute)
			back(phone)
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if n := x.told.Load(); n != 0 {
				t.Errorf("%s: woken %d times", name, n)
			}
		})
	}
}

func TestItIsSwitchedOffAndStopped(t *testing.T) {
	world(t, "resume_timeout: 0", func(t *testing.T, _ *modtest.Server, _ *service, phone, _ *modtest.Client) {
		phone.Break(5 * time.Minute)
		within(t, phone, 5*time.Minute)
	})
	world(t, "", func(t *testing.T, s *modtest.Server, _ *service, phone, _ *modtest.Client) {
		phone.Break(5 * time.Minute)
		s.Stop()
		within(t, phone, 5*time.Minute)
	})
}

// TestWakeOnStart: who has no session when the server has been up for a while is woken,
// once, with all that he has enabled, and told of no message.
func TestWakeOnStart(t *testing.T) {
	for options, want := range map[string]int32{"wake_on_start: true": 2, "wake_on_start: true, resume_timeout: 0": 2, "": 0} {
		world(t, options, func(t *testing.T, s *modtest.Server, x *service, phone, _ *modtest.Client) {
			tablet := s.Login("juliet@localhost/tablet")
			tablet.Ask(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n2'/></iq>`)
			nurse := s.Login("nurse@localhost/x")
			nurse.Ask(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n3'/></iq>`)
			tablet.Logout()
			phone.Logout()
			time.Sleep(29 * time.Second)
			synctest.Wait()
			if n := x.told.Load(); n != 0 {
				t.Errorf("%q: woken before others could come back", options)
			}
			time.Sleep(2 * time.Second)
			nurse.Logout() // the round has been there
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := x.told.Load(); n != want {
				t.Errorf("%q: told %d times, want %d", options, n, want)
			}
		})
	}
}

// TestAReloadWakesNobody: nor does another host that comes up.
func TestAReloadWakesNobody(t *testing.T) {
	world(t, "wake_on_start: true", func(t *testing.T, s *modtest.Server, x *service, phone, _ *modtest.Client) {
		phone.Logout()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := x.told.Load(); n != 1 {
			t.Fatalf("told %d times at the start", n)
		}
		local.Up.Run(t.Context(), s.Global, local.New(xmpp.MustParse("other.example"), local.Parts{}))
		time.Sleep(time.Minute)
		s.Restart()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := x.told.Load(); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// TestAStopWhileClientsAreWoken: it waits for no service, and nobody is told any more.
func TestAStopWhileClientsAreWoken(t *testing.T) {
	for name, after := range map[string]time.Duration{"before": 10 * time.Second, "in the middle": 30*time.Second + 50*time.Millisecond} {
		world(t, "wake_on_start: true", func(t *testing.T, s *modtest.Server, x *service, phone, _ *modtest.Client) {
			for i := range 9 {
				phone.Ask(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='m` + strconv.Itoa(i) + `'/></iq>`)
			}
			phone.Logout()
			x.silent.Store(true)
			time.Sleep(after)
			synctest.Wait()
			told, begin := x.told.Load(), time.Now()
			s.Stop()
			if d := time.Since(begin); d != 0 {
				t.Errorf("%s: the stop took %v", name, d)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if n := x.told.Load(); n != told || told == 10 || (told == 0) != (name == "before") {
				t.Errorf("%s: told %d times, then %d", name, told, n)
			}
		})
	}
}
