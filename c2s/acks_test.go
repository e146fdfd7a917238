package c2s_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const nsSM = "urn:xmpp:sm:3"

// acks lets clients enable stream management. What else they say of it and nobody
// understands is answered with <failed/>.
func (h *house) acks(how sm.Acks) {
	sm.Nonzas.Add(h.hook(), hooks.Normal, func(_ context.Context, done bool, n sm.Nonza) (bool, hooks.Flow) {
		c := n.Session.Counter()
		if n.Element.NS != nsSM {
			return done, hooks.Next
		}
		if n.Element.Name != "enable" || !c.Count(how, xmpp.El(nsSM, "enabled")) {
			c.Tell(xmpp.El(nsSM, "failed"))
		}
		return true, hooks.Stop
	})
}

// counted is a client that has enabled stream management.
func (h *house) counted(user, resource string) *stranger {
	h.t.Helper()
	s := h.client(user, resource)
	s.enable()
	return s
}

func (s *stranger) enable() {
	s.t.Helper()
	s.send("<enable xmlns='" + nsSM + "'/>")
	s.until("<enabled xmlns='" + nsSM + "'/>")
}

// ask asks how much is handled, and returns the answer.
func (s *stranger) ask() string {
	s.t.Helper()
	s.send("<r xmlns='" + nsSM + "'/>")
	s.until("<a xmlns='" + nsSM + "' h='")
	return strings.TrimSuffix(s.until("'/>"), "'/>")
}

// told waits until the client is told, asked or not, that so much is handled.
func (s *stranger) told(h string) {
	s.t.Helper()
	for {
		s.until("<a xmlns='" + nsSM + "' h='")
		if got := strings.TrimSuffix(s.until("'/>"), "'/>"); got == h {
			return
		}
	}
}

// settles asks until so much is handled.
func (s *stranger) settles(h string) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		got := s.ask()
		if got == h {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("h stays %s and does not become %s", got, h)
		}
	}
}

// handles acknowledges h stanzas.
func (s *stranger) handles(h string) {
	s.t.Helper()
	s.send("<a xmlns='" + nsSM + "' h='" + h + "'/>")
}

const wantsAck = "<r xmlns='" + nsSM + "'/>"

func chat(to, id string) string {
	return "<message to='" + to + "' type='chat' id='" + id + "'><body>" + id + "</body></message>"
}

func TestStanzasAreCounted(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{})
	h.keep()
	romeo := h.client("romeo", "x")
	romeo.send(chat("juliet@localhost", "before") + "<enable xmlns='" + nsSM + "' resume='true'><x xmlns='y'>z</x></enable>")
	romeo.until("<enabled")
	if got := romeo.ask(); got != "0" {
		t.Errorf("h begins at %s", got)
	}
	for i, what := range []string{
		chat("juliet@localhost", "1"), "<message/>", "<iq type='get' id='1'><q xmlns='none'/></iq>",
		"<iq type='result' id='1'/>", "<message to='@@'/>", "<presence to='@@'/>", "<message type='error' to='@@'/>",
		"<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>", "<message to='elsewhere.invalid'/>", "<presence/>",
	} {
		romeo.send(what)
		if got := romeo.ask(); got != fmt.Sprint(i+1) {
			t.Errorf("%s: h is %s, not %d", what, got, i+1)
		}
	}
	romeo.send(farewell)
	if got := romeo.rest(); !strings.Contains(got, "<a xmlns='"+nsSM+"' h='10'/></stream:stream>") {
		t.Errorf("the stream ends with %s", got)
	}
}

// The promise: h stands still until the recipient's client has acknowledged, and
// holds back what came later.
func TestRecipientAcknowledges(t *testing.T) {
	for _, asks := range []bool{true, false} {
		h := newHouse(t, nil)
		h.acks(sm.Acks{})
		romeo, juliet := h.counted("romeo", "x"), h.counted("juliet", "y")
		romeo.send(chat("juliet@localhost/y", "1") + chat("juliet@localhost/y", "2") + "<presence/><iq type='get' id='q'><q xmlns='none'/></iq>")
		if got := bodies(juliet.until(wantsAck)); len(got) != 2 {
			t.Fatalf("juliet has %v", got)
		}
		if asks {
			if got := romeo.ask(); got != "0" {
				t.Errorf("before anything is acknowledged h is %s", got)
			}
		}
		juliet.handles("1")
		romeo.told("1")
		juliet.handles("2")
		romeo.told("4")
	}
}

// It is said at once that a message was handled if nobody will ever say more.
func TestHandedOverToWhoAcknowledgesNothing(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{})
	romeo, juliet := h.counted("romeo", "x"), h.client("juliet", "y")
	romeo.send(chat("juliet@localhost/y", "1"))
	if got := romeo.ask(); got != "1" {
		t.Errorf("h is %s", got)
	}
	juliet.until("</message>")
}

// Whoever stores a message makes h wait for the disk.
func TestStoredMessageCountsWhenItIsCommitted(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{})
	var tickets []*sm.Receipt
	sm.Offline.Add(h.hook(), hooks.Normal, func(ctx context.Context, _ sm.Fate, _ *xmpp.Stanza) (sm.Fate, hooks.Flow) {
		r := sm.ReceiptOf(ctx)
		r.Hold()
		tickets = append(tickets, r)
		return sm.Stored, hooks.Stop
	})
	romeo := h.counted("romeo", "x")
	for i := range 3 {
		romeo.send(chat("juliet@localhost", fmt.Sprint(i)))
		if got := romeo.ask(); got != "0" {
			t.Fatalf("with %d messages in the queue h is %s", i+1, got)
		}
	}
	tickets[1].Secure()
	if got := romeo.ask(); got != "0" {
		t.Errorf("the second is committed, not the first: h is %s", got)
	}
	tickets[0].Secure()
	romeo.told("2")
	romeo.ask()
	tickets[2].Release() // it failed, and romeo was told
	romeo.told("3")
}

// What a client says of acknowledgements that makes no sense, and what becomes of
// the stream.
func TestNonsense(t *testing.T) {
	a := func(h string) string { return "<a xmlns='" + nsSM + "' h='" + h + "'/>" }
	for what, want := range map[string]string{
		a("0"):                           "goes on",
		a("2"):                           "goes on",
		a("1") + a("1") + a("0"):         "goes on",
		a("3"):                           "undefined-condition",
		a("4294967295"):                  "undefined-condition",
		a("2") + a("4294967294"):         "undefined-condition",
		a("4294967296"):                  "failed",
		a("99999999999999999999"):        "failed",
		a("-1"):                          "failed",
		a("+1"):                          "failed",
		a("1.0"):                         "failed",
		a("0x1"):                         "failed",
		a(""):                            "failed",
		a("&lt;"):                        "failed",
		"<a xmlns='" + nsSM + "'/>":      "failed",
		"<b xmlns='" + nsSM + "'/>":      "failed",
		"<r xmlns='urn:xmpp:sm:2'/>":     "unsupported-stanza-type",
		"<resume xmlns='" + nsSM + "'/>": "failed",
		"<r xmlns='" + nsSM + "' h='7'><a/>text</r><a xmlns='" + nsSM + "' h='1'><r/></a>": "goes on",
	} {
		h := newHouse(t, nil)
		h.acks(sm.Acks{})
		juliet := h.counted("juliet", "y")
		for range 2 {
			h.router.Route(context.Background(), message("juliet@localhost/y", "", "x"))
		}
		juliet.until("</message>")
		juliet.until("</message>")
		juliet.send(what)
		juliet.try("<iq type='get' id='alive'><q xmlns='none'/></iq>")
		switch want {
		case "goes on":
			if got := juliet.until("id='alive'"); strings.Contains(got, "<failed") {
				t.Errorf("%s: %s", what, got)
			}
		case "failed":
			if got := juliet.until("id='alive'"); !strings.Contains(got, "<failed") {
				t.Errorf("%s: %s", what, got)
			}
		default:
			got := juliet.rest()
			if ended(t, got) != want {
				t.Errorf("%s: %s", what, got)
			}
			if want == "undefined-condition" && !strings.Contains(got, "<handled-count-too-high xmlns='"+nsSM+"' h='") {
				t.Errorf("%s: %s", what, got)
			}
		}
	}
}

// Both counters begin again behind 4294967295.
func TestCountersWrapAround(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{})
	romeo, juliet := h.counted("romeo", "x"), h.counted("juliet", "y")
	h.conn("romeo@localhost/x").SetHandled(1<<32 - 2)
	h.conn("juliet@localhost/y").Sent(1<<32 - 2)
	for i, want := range []string{"4294967295", "0", "1"} {
		romeo.send(chat("juliet@localhost/y", fmt.Sprint(i)))
		juliet.until("</message>")
		romeo.ask()
		juliet.handles(want)
		romeo.told(want)
	}
	romeo.send(chat("juliet@localhost/y", "3") + chat("juliet@localhost/y", "4"))
	juliet.until("</message>")
	juliet.until("</message>")
	juliet.handles("4294967295") // old
	juliet.handles("3")
	romeo.told("3")
	juliet.handles("4")
	if got := ended(t, juliet.rest()); got != "undefined-condition" {
		t.Errorf("too many acknowledged: %s", got)
	}
}

// We ask once, and again when there is something new and the answer has come.
func TestOneRequestAtATime(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{})
	juliet := h.counted("juliet", "y")
	say := func(id string) { h.router.Route(context.Background(), message("juliet@localhost/y", id, "x")) }
	say("1")
	juliet.until(wantsAck)
	say("2")
	say("3")
	if got := juliet.until("id='3'"); strings.Contains(got, wantsAck) {
		t.Errorf("asked again before the answer: %s", got)
	}
	juliet.handles("1")
	juliet.until(wantsAck)
	juliet.handles("2")
	juliet.handles("3")
	say("4")
	if got := juliet.until("id='4'"); strings.Contains(got, wantsAck) {
		t.Errorf("asked although there was nothing new: %s", got)
	}
	juliet.until(wantsAck)
}

func TestAckTimeout(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{Timeout: 100 * time.Millisecond, Resend: sm.ResendAlways})
	k := h.keep()
	juliet := h.counted("juliet", "y")
	for _, id := range []string{"1", "2"} {
		h.router.Route(context.Background(), message("juliet@localhost/y", id, "x"))
	}
	juliet.until(wantsAck)
	juliet.handles("1") // it answers, but has not handled everything: it is asked again
	juliet.until(wantsAck)
	if got := ended(t, juliet.rest()); got != "connection-timeout" {
		t.Errorf("ended with %s", got)
	}
	<-k.came
	k.mu.Lock()
	defer k.mu.Unlock()
	if got := strings.Join(k.ids, " "); got != "2" {
		t.Errorf("stored: %s", got)
	}
}

func TestQueueOfUnacknowledgedIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		queue, size, n int
	}{"number": {10, 10, 11}, "size": {0, 1 << 20, 16}} {
		h := newHouse(t, func(o *c2s.Options) { o.SendTimeout = time.Hour })
		h.acks(sm.Acks{MaxQueue: c.queue, Resend: sm.ResendAlways})
		k := h.keep()
		juliet := h.counted("juliet", "y")
		sess := h.session("juliet@localhost/y")
		for i := range c.n { // it reads, and never acknowledges
			select {
			case <-sess.Done():
				t.Fatalf("%s: the stream has ended after %d", name, i)
			default:
			}
			sess.Send(context.Background(), message("juliet@localhost/y", fmt.Sprint(i), strings.Repeat("x", c.size)))
			if i < c.n-1 {
				juliet.until("</message>")
			}
		}
		if got := ended(t, juliet.rest()); got != "policy-violation" {
			t.Errorf("%s: ended with %s", name, got)
		}
		<-sess.Done()
		k.mu.Lock()
		var want []string
		for i := range c.n {
			want = append(want, fmt.Sprint(i))
		}
		if got := strings.Join(k.ids, " "); got != strings.Join(want, " ") {
			t.Errorf("%s: stored %s", name, got)
		}
		k.mu.Unlock()
	}
}

// A sender whose messages nobody makes safe gets errors beyond a bound.
func TestOpenMessagesAreBounded(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{})
	var mu sync.Mutex
	var tickets []*sm.Receipt
	sm.Offline.Add(h.hook(), hooks.Normal, func(ctx context.Context, _ sm.Fate, _ *xmpp.Stanza) (sm.Fate, hooks.Flow) {
		r := sm.ReceiptOf(ctx)
		r.Hold()
		mu.Lock()
		defer mu.Unlock()
		tickets = append(tickets, r)
		return sm.Stored, hooks.Stop
	})
	romeo := h.counted("romeo", "x")
	romeo.send(strings.Repeat(chat("juliet@localhost", "m"), c2s.MaxOpen))
	if got := romeo.ask(); got != "0" {
		t.Errorf("h is %s", got)
	}
	romeo.send(chat("juliet@localhost", "more") + "<presence/>")
	if got := romeo.until("</message>"); !strings.Contains(got, "resource-constraint") || !strings.Contains(got, "id='more'") {
		t.Errorf("got %s", got)
	}
	for _, r := range tickets {
		r.Secure()
	}
	romeo.told(fmt.Sprint(c2s.MaxOpen + 2))
}

// Two that write to each other without end, and one whose connection breaks again
// and again: the race detector is the judge, and h comes to where it must.
func TestManyAcknowledge(t *testing.T) {
	h := newHouse(t, nil)
	h.acks(sm.Acks{Timeout: time.Minute, Resend: sm.ResendAlways})
	h.keep()
	const n = 200
	var wg sync.WaitGroup
	pairs := [][2]*stranger{{h.counted("romeo", "a"), h.counted("juliet", "b")}, {h.counted("juliet", "c"), h.counted("romeo", "d")}}
	peers := []string{"juliet@localhost/b", "romeo@localhost/d"}
	for i, p := range pairs {
		wg.Go(func() {
			for k := range n {
				p[0].send(chat(peers[i], fmt.Sprint(k)) + wantsAck)
			}
			p[0].settles(fmt.Sprint(n))
		})
		wg.Go(func() {
			for k := range n {
				p[1].until("</message>")
				p[1].handles(fmt.Sprint(k + 1))
			}
		})
	}
	for range 10 {
		s := h.counted("romeo", "e")
		sess := h.session("romeo@localhost/e")
		for k := range 20 {
			h.router.Route(context.Background(), message("romeo@localhost/e", fmt.Sprint(k), "x"))
		}
		s.reset()
		<-sess.Done()
	}
	wg.Wait()
}

// Modules may answer elements of those who have no session; others end the stream.
func TestElementsBeforeTheSession(t *testing.T) {
	h := newHouse(t, nil)
	sm.EarlyNonzas.Add(h.hook(), hooks.Normal, func(_ context.Context, answer *xmpp.Element, n sm.EarlyNonza) (*xmpp.Element, hooks.Flow) {
		if n.Element.NS == nsSM {
			answer = xmpp.TextEl(nsSM, "failed", n.Stream.User.String())
		}
		return answer, hooks.Next
	})
	s := h.connect()
	s.open()
	s.send("<enable xmlns='" + nsSM + "'/>")
	s.until("<failed xmlns='" + nsSM + "'/>")
	s.login("romeo")
	s.send("<enable xmlns='" + nsSM + "'><bind/></enable>")
	s.until("<failed xmlns='" + nsSM + "'>romeo@localhost</failed>")
	s.bind("x")
	for _, loggedIn := range []bool{false, true} {
		s := h.connect()
		s.open()
		if loggedIn {
			s.login("juliet")
		}
		s.send("<enable xmlns='other'/>")
		if got := ended(t, s.rest()); got != "unsupported-stanza-type" {
			t.Errorf("logged in %v: %s", loggedIn, got)
		}
	}
}
