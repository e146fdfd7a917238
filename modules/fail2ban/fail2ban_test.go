package fail2ban_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/fail2ban"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp/stream"
)

func port(addr string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(addr), 1234) }

// login tries to log in as romeo and returns why that has failed, nil if it has
// not.
func login(t *testing.T, s *modtest.Server, addr, password string) *auth.Failure {
	t.Helper()
	ex, err := s.Auth.Begin("PLAIN", auth.Stream{Addr: port(addr)})
	if err != nil {
		t.Fatal(err)
	}
	_, done, err := ex.Step(t.Context(), []byte("\x00romeo\x00"+password))
	if err == nil {
		if !done {
			t.Fatal("the login is not over")
		}
		return nil
	}
	var f *auth.Failure
	if !errors.As(err, &f) {
		t.Fatal(err)
	}
	return f
}

// fail has n logins fail.
func fail(t *testing.T, s *modtest.Server, addr string, n int) (last *auth.Failure) {
	t.Helper()
	for range n {
		if last = login(t, s, addr, "wrong"); last == nil {
			t.Fatal("a wrong password is right")
		}
	}
	return last
}

// knock opens a stream and returns the error that ends it.
func knock(t *testing.T, s *modtest.Server, addr string) *stream.Error {
	t.Helper()
	return sm.StreamStarted.Run(t.Context(), s.Hooks, nil, &sm.Stream{Addr: port(addr), Local: s.JID})
}

func begin(t *testing.T, options string) *modtest.Server {
	t.Helper()
	s := modtest.Start(t, "modules:\n  mod_fail2ban: {"+options+"}", fail2ban.Module)
	s.Register("romeo@localhost", "right")
	return s
}

const v4 = "192.0.2.1"

func TestTooManyFailuresKeepAnAddressAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, "c2s_max_auth_failures: 5, c2s_auth_ban_lifetime: 10 minutes")
		if f := fail(t, s, v4, 4); f.End != nil {
			t.Errorf("after four failures: %v", f.End)
		}
		if e := knock(t, s, v4); e != nil {
			t.Errorf("after four failures: %v", e)
		}
		until := time.Now().Add(10 * time.Minute).UTC().Format("15:04:05 02.01.2006")
		f := fail(t, s, v4, 1)
		if !errors.Is(f, auth.ErrNotAuthorized) || f.End == nil || f.End.Condition != "policy-violation" {
			t.Fatalf("after five failures: %v, %v", f, f.End)
		}
		for _, e := range []*stream.Error{f.End, knock(t, s, v4), knock(t, s, "::ffff:"+v4)} {
			// The fifth answer was delayed as none is: the ban is at once.
			if e == nil || e.Condition != "policy-violation" || e.Text != "Too many (5) failed authentications from this IP address ("+v4+"). The address will be unblocked at "+until+" UTC" {
				t.Errorf("the client is told %v", e)
			}
		}
		if e := knock(t, s, "192.0.2.2"); e != nil {
			t.Errorf("somebody else is told %v", e)
		}
		knock(t, s, v4)
		if n := strings.Count(s.Log(), "kept away"); n != 1 {
			t.Errorf("%d lines in the log:\n%s", n, s.Log())
		}
		time.Sleep(10*time.Minute - time.Second)
		if knock(t, s, v4) == nil {
			t.Error("let in a second too early")
		}
		time.Sleep(time.Second)
		if e := knock(t, s, v4); e != nil {
			t.Errorf("when it is over: %v", e)
		}
		if f := fail(t, s, v4, 4); f.End != nil {
			t.Errorf("the old failures still count: %v", f.End)
		}
	})
}

func TestStreamsThatAreOpenAreNoWayAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, "c2s_max_auth_failures: 3")
		fail(t, s, v4, 3)
		for range 3 {
			if f := fail(t, s, v4, 1); f.End == nil {
				t.Error("another stream of the address may go on")
			}
		}
		if n := strings.Count(s.Log(), "kept away"); n != 1 {
			t.Errorf("%d lines in the log", n)
		}
	})
}

func TestALoginForgives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, "c2s_max_auth_failures: 3")
		for range 4 {
			fail(t, s, v4, 2)
			if f := login(t, s, v4, "right"); f != nil {
				t.Fatal(f)
			}
		}
		// One from elsewhere does not.
		fail(t, s, v4, 2)
		login(t, s, "192.0.2.2", "right")
		if f := fail(t, s, v4, 1); f.End == nil {
			t.Error("a login from another address has forgiven this one")
		}
	})
}

func TestIPv6CountsByNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, "c2s_max_auth_failures: 4")
		for _, a := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::ffff:1", "2001:db8::4:3:2:1"} {
			fail(t, s, a, 1)
		}
		if knock(t, s, "2001:db8::5") == nil {
			t.Error("another address of the same network is let in")
		}
		if e := knock(t, s, "2001:db8:0:1::1"); e != nil {
			t.Errorf("another network: %v", e)
		}
	})
}

func TestWhoeverIsNamedInAccessIsNeverKeptAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, "c2s_max_auth_failures: 2, access: [{allow: {ip: 10.0.0.0/8}}]")
		before := time.Now()
		if f := fail(t, s, "10.1.2.3", 10); f.End != nil || knock(t, s, "10.1.2.3") != nil {
			t.Errorf("got %v", f.End)
		}
		if d := time.Since(before); d != 0 {
			t.Errorf("it had to wait for %v", d)
		}
	})
}

func TestOurOwnFailureKeepsNobodyAway(t *testing.T) {
	s := begin(t, "c2s_max_auth_failures: 1")
	a := auth.Attempt{Addr: port(v4), Failure: &auth.Failure{Condition: "temporary-auth-failure"}}
	if e := auth.Result.Run(t.Context(), s.Hooks, nil, a); e != nil || knock(t, s, v4) != nil {
		t.Errorf("got %v", e)
	}
}

func TestFailuresAreAnsweredEverMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, "c2s_max_auth_failures: 20")
		var waits []time.Duration
		for range 19 {
			before := time.Now()
			fail(t, s, v4, 1)
			waits = append(waits, time.Since(before))
		}
		for i, d := range waits {
			switch {
			case i < 3 && d != 0:
				t.Errorf("failure %d waits for %v", i+1, d)
			case i >= 3 && (d <= 0 || d < waits[i-1] || d > 5*time.Second):
				t.Errorf("failure %d waits for %v, the one before for %v", i+1, d, waits[i-1])
			}
		}
		if waits[18] != 5*time.Second {
			t.Errorf("the last waits for %v", waits[18])
		}
		// Nobody else waits, nor does a login.
		before := time.Now()
		fail(t, s, "192.0.2.2", 1)
		login(t, s, v4, "right")
		if d := time.Since(before); d != 0 {
			t.Errorf("others wait for %v", d)
		}
	})
}

func TestNobodyWaitsForWhatIsOver(t *testing.T) {
	for _, how := range []string{"client", "module"} {
		synctest.Test(t, func(t *testing.T) {
			s := begin(t, "")
			fail(t, s, v4, 10)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			before, over := time.Now(), make(chan time.Time, 1)
			go func() {
				auth.Result.Run(ctx, s.Hooks, nil, auth.Attempt{Addr: port(v4), Failure: &auth.Failure{Condition: "not-authorized"}})
				over <- time.Now()
			}()
			synctest.Wait()
			if how == "client" {
				leave()
			} else {
				s.Stop()
			}
			if d := (<-over).Sub(before); d != 0 {
				t.Errorf("after the %s has gone it waits for %v", how, d)
			}
		})
	}
}

func TestUnban(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, "c2s_max_auth_failures: 2")
		all := []string{"192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1", "2001:db8:1::1"}
		for _, a := range all {
			fail(t, s, a, 2)
		}
		for _, c := range []struct{ address, want string }{
			{"192.0.2.3", "0"}, {"::FFFF:192.0.2.1/128", "1"}, {"192.0.2.0/24", "1"}, {"2001:db8::77", "1"},
		} {
			if got, err := s.Command("unban_ip", c.address); err != nil || got != c.want {
				t.Errorf("%s: %q, %v; want %s", c.address, got, err, c.want)
			}
		}
		for i, a := range all {
			if banned := knock(t, s, a) != nil; banned != (i == 2 || i == 4) {
				t.Errorf("%s is kept away: %v", a, banned)
			}
		}
		if got, err := s.Command("unban_ip", "0.0.0.0/0"); err != nil || got != "1" || knock(t, s, all[2]) != nil {
			t.Errorf("all of IPv4: %q, %v", got, err)
		}
		for _, bad := range []string{"nonsense", "192.0.2.1/33", ""} {
			if got, err := s.Command("unban_ip", bad); err == nil {
				t.Errorf("%q: %q and no error", bad, got)
			}
		}
	})
}

// owner is a part of the server.
type owner struct{ t *hooks.Table }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.t }
func (owner) OnStop(func())         {}

func TestVirtualHostsShareWhatTheyKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, "c2s_max_auth_failures: 5")
		other := fail2ban.Record{Count: 3, Until: time.Now().Add(time.Hour)}
		forgiven := 0
		fail2ban.Failures.Add(owner{s.Global}, hooks.Normal, func(_ context.Context, r fail2ban.Record, p netip.Prefix) (fail2ban.Record, hooks.Flow) {
			if p == netip.MustParsePrefix(v4+"/32") {
				r.Count, r.Until, r.Banned = r.Count+other.Count, other.Until, other.Banned
			}
			return r, hooks.Next
		})
		fail2ban.Forgiven.Add(owner{s.Global}, hooks.Normal, func(context.Context, netip.Prefix) { forgiven++ })
		if f := fail(t, s, v4, 1); f.End != nil {
			t.Errorf("four in all: %v", f.End)
		}
		if f := fail(t, s, v4, 1); f.End == nil {
			t.Error("five in all are not enough")
		}
		if login(t, s, "192.0.2.9", "right"); forgiven != 1 {
			t.Errorf("the others hear of %d logins", forgiven)
		}
		if f := fail(t, s, "192.0.2.7", 1); f.End != nil {
			t.Errorf("another address: %v", f.End)
		}
		login(t, s, v4, "right")
		other.Banned = true
		if knock(t, s, v4) == nil {
			t.Error("whom another host keeps away is let in")
		}
	})
}
