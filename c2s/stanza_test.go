package c2s_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func TestStanzasAreStamped(t *testing.T) {
	h := newHouse(t, nil)
	romeo, juliet := h.client("romeo", "x"), h.available("juliet", "y")
	for _, from := range []string{"", " from='romeo@localhost'", " from='romeo@localhost/x'", " from='ROMEO@localhost/x'"} {
		romeo.send("<message to='juliet@localhost' type='chat'" + from + "><body>hi</body></message>")
		if got := juliet.until("</message>"); !strings.Contains(got, "from='romeo@localhost/x'") || !strings.Contains(got, "to='juliet@localhost'") {
			t.Errorf("%q: juliet got %s", from, got)
		}
	}
}

func TestStanzaForNobodyIsForOneself(t *testing.T) {
	h := newHouse(t, nil)
	romeo := h.available("romeo", "x")
	romeo.send("<message><body>note</body></message>")
	if got := romeo.until("</message>"); !strings.Contains(got, "from='romeo@localhost/x'") {
		t.Errorf("got %s", got)
	}
	romeo.send("<iq type='get' id='1'><query xmlns='none'/></iq>")
	if got := romeo.until("</iq>"); !strings.Contains(got, "from='romeo@localhost'") || !strings.Contains(got, "service-unavailable") {
		t.Errorf("got %s", got)
	}
}

func TestMalformedAddresses(t *testing.T) {
	h := newHouse(t, nil)
	s := h.available("romeo", "x")
	for _, to := range []string{"a@b@c", "@localhost", "romeo@", "a b@localhost", "localhost/", strings.Repeat("x", 1024) + "@localhost", "&quot;@localhost"} {
		for _, kind := range []string{"<message to='%s' id='1'><body/></message>", "<iq to='%s' id='1' type='get'><q xmlns='x'/></iq>", "<presence to='%s' id='1'/>"} {
			s.send(fmt.Sprintf(kind, to))
			got := s.until("</error>")
			if !strings.Contains(got, "<jid-malformed") || !strings.Contains(got, "type='error'") || !strings.Contains(got, "from='romeo@localhost'") {
				t.Errorf("%.20q: %s", to, got)
			}
		}
		// What is never answered is not answered here either.
		s.send("<iq to='" + to + "' id='2' type='result'/><message to='" + to + "' id='2' type='error'/><message to='romeo@localhost/x' id='end'/>")
		if got := s.until("id='end'"); strings.Contains(got, "id='2'") {
			t.Errorf("%.20q: an answer to an answer: %s", to, got)
		}
	}
}

func TestOrderHolds(t *testing.T) {
	h := newHouse(t, nil)
	const n = 2000
	juliet := h.available("juliet", "y")
	var wg sync.WaitGroup
	for _, res := range []string{"a", "b"} {
		romeo := h.client("romeo", res)
		wg.Go(func() {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "<message to='juliet@localhost/y' type='chat'><body>%s %d</body></message>", res, i)
				if i%37 == 0 || i == n-1 {
					if err := romeo.try(b.String()); err != nil {
						t.Error(err)
					}
					b.Reset()
				}
			}
		})
	}
	next := map[string]int{}
	for range 2 * n {
		var res string
		var i int
		if _, err := fmt.Sscanf(bodies(juliet.until("</message>"))[0], "%1s %d", &res, &i); err != nil {
			t.Fatal(err)
		}
		if i != next[res] {
			t.Fatalf("%s: message %d came in the place of %d", res, i, next[res])
		}
		next[res]++
	}
	wg.Wait()
}

// What a burst has for others is written at its end at the latest, and in order
// with what somebody else sends meanwhile.
func TestSlowBurstKeepsNobodyElseWaiting(t *testing.T) {
	h := newHouse(t, nil)
	romeo, juliet, other := h.client("romeo", "x"), h.available("juliet", "y"), h.client("juliet", "z")
	slow := make(chan struct{})
	h.first().Handle("slow", func(context.Context, *xmpp.Stanza) (*xmpp.Element, error) {
		<-slow
		return nil, nil
	})
	// In one packet: a message for juliet, and a request that takes its time.
	romeo.send("<message to='juliet@localhost/y' id='1'/><iq type='get' id='q' to='localhost'><q xmlns='slow'/></iq>")
	defer close(slow)
	for h.waiting("juliet@localhost/y") == 0 {
		// Until the first message is in her outbox.
	}
	other.send("<message to='juliet@localhost/y' id='2'/>")
	got := juliet.until("id='2'")
	if !strings.Contains(got, "id='1'") {
		t.Errorf("got %s", got)
	}
}

func TestHooksOfTheDevice(t *testing.T) {
	h := newHouse(t, nil)
	romeo, juliet := h.client("romeo", "x"), h.available("juliet", "y")
	sm.UserReceive.Add(h.hook(), hooks.Normal, func(_ context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if st.ID == "first" || s.JID.String() != "juliet@localhost/y" {
			return nil, hooks.Stop
		}
		return st.WithID(st.ID + "-received"), hooks.Next
	})
	sm.FilterSend.Add(h.hook(), hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if st.ID == "second-received" {
			return nil, hooks.Stop
		}
		return st.WithID(st.ID + "-sent"), hooks.Next
	})
	for _, id := range []string{"first", "second", "third"} {
		romeo.send("<message to='juliet@localhost/y' id='" + id + "'/>")
	}
	if got := juliet.until("/>"); !strings.Contains(got, "id='third-received-sent'") {
		t.Errorf("got %s", got)
	}
}

func TestNonzasGoToModules(t *testing.T) {
	h := newHouse(t, nil)
	seen := make(chan string, 1)
	sm.Nonzas.Add(h.hook(), hooks.Normal, func(_ context.Context, done bool, n sm.Nonza) (bool, hooks.Flow) {
		seen <- n.Element.NS + " " + n.Element.Name + " of " + n.Session.JID.String()
		return true, hooks.Stop
	})
	s := h.client("romeo", "x")
	s.send("<r xmlns='urn:xmpp:sm:3'/>")
	if got := <-seen; got != "urn:xmpp:sm:3 r of romeo@localhost/x" {
		t.Errorf("got %s", got)
	}
}

func TestStanzasBeforeTheLogin(t *testing.T) {
	h := newHouse(t, nil)
	sm.Unauthed.Add(h.hook(), hooks.Normal, func(_ context.Context, done bool, u sm.Unauthenticated) (bool, hooks.Flow) {
		if !u.Stanza.Has("jabber:iq:register", "query") {
			return done, hooks.Next
		}
		u.Stream.Reply(u.Stanza.Reply(nil))
		return true, hooks.Stop
	})
	s := h.connect()
	s.open()
	s.send("<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>")
	if got := s.until("/>"); !strings.Contains(got, "id='r'") {
		t.Errorf("got %s", got)
	}
	s.send("<iq type='get' id='r'><query xmlns='other'/></iq>")
	if got := ended(t, s.rest()); got != "not-authorized" {
		t.Errorf("ended with %s", got)
	}
}

// A bug that one client meets ends that client's stream and nobody else's.
func TestPanicEndsOneStreamOnly(t *testing.T) {
	h := newHouse(t, nil)
	bystander := h.available("juliet", "y")
	h.router.Register("broken.example", "", brokenDomain{})
	s := h.client("romeo", "x")
	s.send("<message to='broken.example'/>")
	if got := ended(t, s.rest()); got != "internal-server-error" {
		t.Errorf("ended with %s", got)
	}
	bystander.send("<message to='juliet@localhost/y' id='1'/>")
	bystander.until("id='1'")
	if log := h.log.String(); !strings.Contains(log, "on purpose") || !strings.Contains(log, "stanza_test.go") {
		t.Errorf("logged:\n%s", log)
	}
}

type brokenDomain struct{}

func (brokenDomain) Route(context.Context, *xmpp.Stanza) { panic("on purpose") }
