package c2s_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// reset breaks the connection as a network does.
func (s *stranger) reset() {
	s.t.Helper()
	if err := s.tcp.SetLinger(0); err != nil {
		s.t.Fatal(err)
	}
	s.tcp.Close()
}

// What is not acknowledged when a stream ends goes where the option says.
func TestUnacknowledged(t *testing.T) {
	for _, c := range []struct {
		resend sm.Resend
		other  string // another device of juliet
		end    string
		want   string
	}{
		{sm.ResendAlways, "", "reset", "stored"},
		{sm.ResendAlways, "", "farewell", "stored"},
		{sm.ResendAlways, "", "kick", "stored"},
		{sm.ResendAlways, "z", "reset", "other"},
		{sm.ResendIfOffline, "", "reset", "stored"},
		{sm.ResendIfOffline, "z", "reset", "bounced"},
		{sm.ResendIfOffline, "y", "replaced", "other"},
		{sm.ResendNever, "", "reset", "bounced"},
		{sm.ResendNever, "z", "kick", "bounced"},
	} {
		t.Run(fmt.Sprintf("%s-%s-%s", c.resend, c.other, c.end), func(t *testing.T) {
			h := newHouse(t, nil)
			h.acks(sm.Acks{Resend: c.resend})
			k := h.keep()
			romeo, juliet := h.counted("romeo", "x"), h.counted("juliet", "y")
			sess := h.session("juliet@localhost/y")
			var other *stranger
			if c.other == "z" {
				other = h.available("juliet", "z")
			}
			for i := range 4 {
				romeo.send(chat("juliet@localhost/y", fmt.Sprint(i)))
			}
			romeo.send("<presence to='juliet@localhost/y'/><message type='error' to='juliet@localhost/y' id='e'/>" +
				"<iq type='get' id='question' to='juliet@localhost/y'><q xmlns='none'/></iq><iq type='result' id='answer' to='juliet@localhost/y'/>")
			juliet.until("id='answer'")
			romeo.ask()
			juliet.handles("1")
			romeo.told("1")
			switch c.end {
			case "reset":
				juliet.reset()
			case "farewell":
				juliet.send(farewell)
			case "kick":
				sess.Close(stream.Conflict)
			case "replaced":
				other = h.client("juliet", c.other)
			}
			<-sess.Done()
			switch c.want {
			case "stored":
				k.mu.Lock()
				if got := strings.Join(k.ids, " "); got != "1 2 3" {
					t.Errorf("stored: %s", got)
				}
				k.mu.Unlock()
			case "other":
				got := other.until("id='3'")
				if !strings.Contains(got, "id='1'") || !strings.Contains(got, "id='2'") || strings.Contains(got, "id='0'") || !strings.Contains(got, "<delay xmlns='urn:xmpp:delay' from='localhost'") {
					t.Errorf("the other device got %s", got)
				}
			case "bounced":
				got := ""
				for range 3 {
					got += romeo.until("</message>")
				}
				for _, id := range []string{"1", "2", "3"} {
					if !strings.Contains(got, "id='"+id+"' type='error'") {
						t.Errorf("romeo got %s", got)
					}
				}
			}
			romeo.settles("8")
		})
	}
}

// A request that was not acknowledged is answered, and nothing else but messages
// comes back.
func TestUnacknowledgedRequestIsAnswered(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{Resend: sm.ResendAlways})
	romeo, juliet := h.counted("romeo", "x"), h.counted("juliet", "y")
	romeo.send("<iq type='result' id='answer' to='juliet@localhost/y'/><iq type='get' id='question' to='juliet@localhost/y'><q xmlns='none'/></iq>")
	juliet.until("id='question'")
	juliet.reset()
	if got := romeo.until("</iq>"); !strings.Contains(got, "id='question' type='error'") || strings.Contains(got, "answer") {
		t.Errorf("got %s", got)
	}
}

// Messages reach somebody once: what is in the outbox is in the queue as well.
func TestNothingComesTwice(t *testing.T) {
	for _, when := range []string{"before", "after", "both"} {
		h := newHouse(t, func(o *c2s.Options) { o.SendTimeout = time.Hour })
		h.acks(sm.Acks{Resend: sm.ResendAlways})
		k := h.keep()
		juliet := h.client("juliet", "y")
		conn, sess := h.conn("juliet@localhost/y"), h.session("juliet@localhost/y")
		enable := func() {
			juliet.send("<enable xmlns='" + nsSM + "'/><presence id='barrier'/>")
			for !isAvailable(sess) {
				time.Sleep(time.Millisecond)
			}
		}
		n := 0
		say := func() {
			for range 50 {
				h.router.Route(context.Background(), message("juliet@localhost/y", fmt.Sprint(n), "x"))
				n++
			}
		}
		if when == "before" {
			enable()
		}
		h.stuff("juliet@localhost/y")
		say()
		if when != "before" {
			enable()
		}
		if when == "both" {
			say()
		}
		juliet.reset()
		conn.Close(stream.PolicyViolation)
		<-sess.Done()
		k.mu.Lock()
		var got []string
		for _, id := range k.ids {
			if id != "" {
				got = append(got, id)
			}
		}
		k.mu.Unlock()
		for i, id := range got {
			if id != fmt.Sprint(i) {
				t.Fatalf("enabled %s: number %d is %s of %v", when, i, id, got)
			}
		}
		if len(got) != n {
			t.Errorf("enabled %s: %d of %d were stored", when, len(got), n)
		}
	}
}

func isAvailable(s *sm.Session) bool {
	_, ok := s.Priority()
	return ok
}

// Whoever carries a message that came too late for the connection holds its
// receipt until it has found another way.
func TestLateMessageHoldsItsReceipt(t *testing.T) {
	h := newHouse(t, nil)
	k := h.keep()
	h.client("juliet", "y")
	sess := h.session("juliet@localhost/y")
	settled := make(chan struct{})
	r := sm.NewReceipt(func() { close(settled) })
	sm.Closed.Add(h.hook(), hooks.Normal, func(ctx context.Context, s *sm.Session) {
		s.Send(sm.WithReceipt(ctx, r), message("juliet@localhost/y", "late", ""))
		r.Release()
		if r.Settled() {
			t.Error("settled although the message is nowhere yet")
		}
	})
	sess.Close(stream.PolicyViolation)
	<-sess.Done()
	<-settled
	k.mu.Lock()
	defer k.mu.Unlock()
	if got := strings.Join(k.ids, " "); got != "late" {
		t.Errorf("stored: %q", got)
	}
}

// A client that the server leaves may still acknowledge, and gets nothing twice.
func TestLastAcknowledgements(t *testing.T) {
	for _, answers := range []bool{true, false} {
		h := newHouse(t, nil)
		h.acks(sm.Acks{Resend: sm.ResendAlways})
		k := h.keep()
		juliet := h.counted("juliet", "y")
		for _, id := range []string{"1", "2"} {
			h.router.Route(context.Background(), message("juliet@localhost/y", id, "x"))
		}
		juliet.until("id='2'")
		down := make(chan struct{})
		go func() {
			defer close(down)
			h.down()
		}()
		juliet.until(farewell)
		want := "1 2"
		if answers {
			want = ""
			juliet.send("<presence/><a xmlns='" + nsSM + "' ")
			juliet.send("h='1'/><message to='romeo@localhost'/><a xmlns='" + nsSM + "' h='2'/>" + farewell)
		}
		<-down
		k.mu.Lock()
		if got := strings.Join(k.ids, " "); got != want {
			t.Errorf("answers %v: stored %q, want %q", answers, got, want)
		}
		k.mu.Unlock()
	}
}

// What is sent while a session is being closed does not overtake what its client
// has not acknowledged.
func TestUnacknowledgedIsNotOvertaken(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{Resend: sm.ResendAlways})
	k := h.keep()
	juliet := h.counted("juliet", "y")
	sess := h.session("juliet@localhost/y")
	say := func(id string) { h.router.Route(context.Background(), message("juliet@localhost/y", id, "x")) }
	sm.Closed.Add(h.hook(), hooks.Normal, func(context.Context, *sm.Session) { say("3"); say("4") })
	say("1")
	say("2")
	juliet.until("id='2'")
	juliet.reset()
	<-sess.Done()
	k.mu.Lock()
	if got := strings.Join(k.ids, " "); got != "1 2 3 4" {
		t.Errorf("stored: %s", got)
	}
	k.mu.Unlock()
	if n := h.first().Sessions.Parked(); n != 0 {
		t.Errorf("%d stanzas wait for ever", n)
	}
	say("5")
	if len(k.ids) != 5 {
		t.Errorf("stored: %v", k.ids)
	}
}
