package skeleton_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/skeleton"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "urn:gabberd:skeleton"

const hello = `<iq type='set' id='1' to='localhost'><hello xmlns='` + ns + `'/></iq>`

func TestGreetingsAreCounted(t *testing.T) {
	s := modtest.Start(t, "", skeleton.Module)
	romeo := s.Login("romeo@localhost/orchard")
	for range 2 {
		if got := romeo.Ask(hello); got.Type != "result" {
			t.Fatalf("got %v", got)
		}
	}
	got := romeo.Ask(`<iq type='get' id='1' to='localhost'><hello xmlns='` + ns + `'/></iq>`)
	if n := got.Payload().Attr("count"); n != "2" {
		t.Errorf("got %v, want 2", got)
	}
	if out, err := s.Command("get_greetings", "romeo", "localhost"); out != "2" || err != nil {
		t.Errorf("the command says %q, %v", out, err)
	}
	if got, want := s.Metrics(), "gabberd_skeleton_greetings_total{host=\"localhost\"} 2\n"; !strings.Contains(got, want) {
		t.Errorf("the metrics are\n%s, want %s", got, want)
	}
	if err := s.Auth.Remove(context.Background(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Command("get_greetings", "romeo", "localhost"); out != "0" || err != nil {
		t.Errorf("after the user was removed the command says %q, %v", out, err)
	}
}

func TestWhoMayNotGreet(t *testing.T) {
	s := modtest.Start(t, `
acl: {villain: {user: [tybalt@localhost]}}
access_rules: {polite: [{deny: villain}, {allow: all}]}
modules: {mod_skeleton: {access: polite}}
`, skeleton.Module)
	for who, want := range map[string]string{"romeo@localhost/x": "result", "tybalt@localhost/x": "error"} {
		if got := s.Login(who).Ask(hello); got.Type != want {
			t.Errorf("%s: got %v, want %s", who, got, want)
		}
	}
	if _, err := s.Command("get_greetings", "@", "localhost"); err == nil {
		t.Error("a name that is none was taken")
	}
}

// Time in a bubble passes when everybody waits: nothing here takes a minute.
func TestWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := modtest.Start(t, "modules: {mod_skeleton: {welcome: Good day, welcome_delay: 60}}", skeleton.Module)
		romeo := s.Available("romeo@localhost/orchard")
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if got := romeo.Inbox(); len(got) != 0 {
			t.Fatalf("too early: %v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := romeo.Inbox(); len(got) != 1 || got[0].Body() != "Good day" {
			t.Fatalf("got %v", got)
		}
		romeo.Say(`<presence><show>away</show></presence>`)
		romeo.Inbox()
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := romeo.Inbox(); len(got) != 0 {
			t.Errorf("welcomed twice: %v", got)
		}
	})
}

type none struct{}

func (*none) Fields(*config.Fields) {}

func TestOthersAreTold(t *testing.T) {
	var told []xmpp.JID
	listener := modules.Define("mod_test_listener", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
		skeleton.Greeted.Add(h, hooks.Normal, func(_ context.Context, j xmpp.JID) { told = append(told, j) })
		return nil
	}})
	s := modtest.Start(t, "", skeleton.Module, listener)
	s.Login("romeo@localhost/orchard").Ask(hello)
	if len(told) != 1 || told[0].String() != "romeo@localhost" {
		t.Errorf("told %v", told)
	}
}

func TestDiscoveryAndAdhocCommand(t *testing.T) {
	s := modtest.Start(t, "", disco.Module, adhoc.Module, skeleton.Module)
	romeo := s.Login("romeo@localhost/orchard")
	info := romeo.Ask(`<iq type='get' id='d' to='localhost'><query xmlns='` + disco.NSInfo + `'/></iq>`).Payload().XML()
	if !strings.Contains(info, ns) || !strings.Contains(info, "Greetings") {
		t.Errorf("the server says of itself: %s", info)
	}
	romeo.Ask(hello)
	got := romeo.Ask(`<iq type='set' id='c' to='localhost'><command xmlns='` + adhoc.NS + `' node='` + ns + `'>
		<x xmlns='jabber:x:data' type='submit'><field var='sure'><value>1</value></field></x></command></iq>`)
	if got.Payload().Attr("status") != "completed" || got.Payload().Child("jabber:x:data", "x").Child("", "field") == nil || !strings.Contains(got.String(), "<value>1</value>") {
		t.Errorf("got %v", got)
	}
}

func TestNothingIsLeftWhenItStops(t *testing.T) {
	s := modtest.Start(t, "", skeleton.Module)
	romeo := s.Login("romeo@localhost/orchard")
	s.Stop()
	if got := romeo.Ask(hello); got.Type != "error" {
		t.Errorf("a module that has stopped answers %v", got)
	}
	if _, err := s.Command("get_greetings", "romeo", "localhost"); err == nil {
		t.Error("a module that has stopped has a command")
	}
	if got := s.Metrics(); got != "" {
		t.Errorf("metrics left: %s", got)
	}
	if got := s.Features(); len(got) != 0 {
		t.Errorf("features left: %v", got)
	}
}
