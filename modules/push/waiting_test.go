package push_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/xmpp"
)

// TestASessionThatWaits: its client is told once of what it has not acknowledged, then
// of what comes, and of nothing when it is back.
func TestASessionThatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "include_body: true")
		phone := w.Available("juliet@localhost/phone")
		w.enable(phone, "n1", "")
		phone.Inbox()
		w.chat("m1", "one")
		w.chat("m2", "two")
		if got := w.app.told(); len(got) != 0 {
			t.Fatalf("while it is connected, told %v", got)
		}
		phone.Break(time.Hour)
		if got := w.app.told(); len(got) != 1 || field(got[0], "last-message-body") != "one" {
			t.Errorf("of what is unacknowledged, told %v", got)
		}
		w.chat("m3", "three")
		if got := w.app.told(); len(got) != 1 || field(got[0], "last-message-body") != "three" {
			t.Errorf("of what has come, told %v", got)
		}
		if text := w.explain(); !strings.Contains(text, "the session waits 1h0m0s for its client") || !strings.Contains(text, "juliet@localhost/phone is not connected") {
			t.Errorf("explained:\n%s", text)
		}
		phone.Resume()
		w.chat("m4", "four")
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("it is back, told %v", got)
		}
	})
}

// TestWhatIsNotTold: to clients that have nothing to get, or have not enabled it.
func TestWhatIsNotTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "notify_on: messages")
		phone, other := w.Available("juliet@localhost/phone"), w.Available("juliet@localhost/other")
		w.enable(phone, "n1", "")
		phone.Inbox()
		phone.Break(time.Hour)
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("nothing is unacknowledged, told %v", got)
		}
		w.romeo.Say(`<message to='juliet@localhost/phone' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`)
		w.romeo.Say(`<message to='juliet@localhost/other' type='chat'><body>x</body></message>`)
		other.Break(time.Hour)
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("of a chat state, and for a client without notifications, told %v", got)
		}
		if got := other.Ask(`<iq type='set' id='d'><disable xmlns='urn:xmpp:push:0' jid='push.localhost'/></iq>`); got.Type != "result" {
			t.Fatal(got)
		}
		w.romeo.Say(`<message to='juliet@localhost/phone' type='chat'><body>x</body></message>`)
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("another client has disabled it, told %v", got)
		}
	})
}

// TestAWaitingSessionAndABadService: one that refuses is told nothing more, one that
// never answers delays nobody.
func TestAWaitingSessionAndABadService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		phone := w.Available("juliet@localhost/phone")
		w.enable(phone, "n1", "")
		phone.Inbox()
		phone.Break(time.Hour)
		w.app.set(nil, true)
		begin := time.Now()
		for range 100 {
			w.chat("m", "x")
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("chat was delayed by %v", d)
		}
		if n := len(phone.Inbox()); n != 100 {
			t.Errorf("%d messages wait", n)
		}
		if n := len(w.app.told()); n != 1 {
			t.Errorf("told %d times without an answer", n)
		}
		w.app.set(xmpp.ItemNotFound, false)
		time.Sleep(time.Minute)
		w.app.told()
		w.chat("m", "x")
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("a service that has refused was told %v", got)
		}
	})
}
