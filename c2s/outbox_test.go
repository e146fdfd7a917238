package c2s_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/c2s"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

// stuff fills what the network takes for a client that does not read, until the
// server holds a lot for it or has had enough. It returns how many messages that
// took.
func (h *house) stuff(full string) int {
	h.t.Helper()
	c := h.conn(full)
	for i := 0; ; i++ {
		select {
		case <-c.Done():
			return i
		default:
		}
		if c.Waiting() > c2s.MaxOutbox/2 {
			return i
		}
		h.router.Route(context.Background(), message(full, "", fmt.Sprintf("%d %s", i, strings.Repeat("x", 60_000))))
	}
}

// kept collects what was offered to who stores messages.
type kept struct {
	mu   sync.Mutex
	ids  []string
	came chan struct{}
}

// keep stores what nobody takes, in memory.
func (h *house) keep() *kept {
	k := &kept{came: make(chan struct{}, 1000)}
	sm.Offline.Add(h.hook(), hooks.Normal, func(_ context.Context, _ sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
		k.mu.Lock()
		k.ids = append(k.ids, st.ID)
		k.mu.Unlock()
		k.came <- struct{}{}
		return sm.Stored, hooks.Stop
	})
	return k
}

func TestClientThatNeverReads(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		h := newHouse(t, func(o *c2s.Options) { o.TLS, o.SendTimeout = encrypted, time.Hour })
		s := h.connect()
		if encrypted {
			s.secure(insecure())
		}
		s.open()
		s.login("juliet")
		s.bind("y")
		sess, conn := h.session("juliet@localhost/y"), h.conn("juliet@localhost/y")
		most := 0
		for i := range 100_000 {
			select {
			case <-sess.Done():
				if most > 3*c2s.MaxOutbox {
					t.Errorf("encrypted %v: %d bytes were held", encrypted, most)
				}
				if log := h.log.String(); !strings.Contains(log, "resource-constraint") {
					t.Errorf("encrypted %v: the log: %s", encrypted, log)
				}
				i = -1
			default:
				sess.Send(context.Background(), message("juliet@localhost/y", "", strings.Repeat("x", 10_000)))
				most = max(most, conn.Held())
			}
			if i < 0 {
				break
			}
		}
		if most < c2s.MaxOutbox {
			t.Errorf("encrypted %v: the connection ended with only %d bytes held", encrypted, most)
		}
		<-sess.Done()
	}
}

// The option bounds how long a client may take nothing at all.
func TestSendTimeout(t *testing.T) {
	h := newHouse(t, func(o *c2s.Options) { o.SendTimeout = 50 * time.Millisecond })
	h.client("juliet", "y")
	sess := h.session("juliet@localhost/y")
	h.stuff("juliet@localhost/y")
	<-sess.Done()
	if !strings.Contains(h.log.String(), "timeout") {
		t.Errorf("the log: %s", h.log)
	}
}

// Once a client has taken everything again the time it had is forgotten.
func TestSendTimeoutEndsWithTheCongestion(t *testing.T) {
	h := newHouse(t, func(o *c2s.Options) { o.SendTimeout = 2 * time.Second })
	slow := h.client("juliet", "y")
	h.stuff("juliet@localhost/y")
	h.session("juliet@localhost/y").Send(context.Background(), message("juliet@localhost/y", "last", ""))
	slow.until("id='last'")
	// Somebody else's timeout begins later and ends: so would have this one's.
	h.client("romeo", "x")
	other := h.session("romeo@localhost/x")
	h.stuff("romeo@localhost/x")
	<-other.Done()
	h.session("juliet@localhost/y").Send(context.Background(), message("juliet@localhost/y", "again", ""))
	slow.until("id='again'")
}

func TestEverythingArrivesOnceTheClientReads(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		h := newHouse(t, func(o *c2s.Options) { o.TLS = encrypted })
		s := h.connect()
		if encrypted {
			s.secure(insecure())
		}
		s.open()
		s.login("juliet")
		s.bind("y")
		n := h.stuff("juliet@localhost/y")
		for i := n; i < n+20; i++ {
			h.router.Route(context.Background(), message("juliet@localhost/y", "", fmt.Sprintf("%d small", i)))
		}
		for i := range n + 20 {
			if got := bodies(s.until("</message>"))[0]; !strings.HasPrefix(got, fmt.Sprintf("%d ", i)) {
				t.Fatalf("encrypted %v: message %d is %.20s", encrypted, i, got)
			}
		}
	}
}

// Messages that a dying connection could not be given any more find their way.
func TestRescue(t *testing.T) {
	for _, c := range []struct {
		what  string
		other bool // another device is there
		end   func(*stranger, *c2s.Conn)
	}{
		{"stored, connection closed by the server", false, func(_ *stranger, c *c2s.Conn) { c.Close(stream.PolicyViolation) }},
		{"stored, connection reset by the client", false, func(s *stranger, _ *c2s.Conn) {
			if err := s.tcp.SetLinger(0); err != nil {
				s.t.Fatal(err)
			}
			s.tcp.Close()
		}},
		{"to another device", true, func(_ *stranger, c *c2s.Conn) { c.Close(stream.PolicyViolation) }},
	} {
		t.Run(c.what, func(t *testing.T) {
			h := newHouse(t, func(o *c2s.Options) { o.SendTimeout = time.Hour })
			k := h.keep()
			dying := h.client("juliet", "y")
			conn, sess := h.conn("juliet@localhost/y"), h.session("juliet@localhost/y")
			h.stuff("juliet@localhost/y")
			var alive *stranger
			if c.other {
				alive = h.available("juliet", "z")
			}
			for i := range 3 {
				h.router.Route(context.Background(), message("juliet@localhost/y", fmt.Sprintf("kept-%d", i), "&lt;x/>"))
			}
			c.end(dying, conn)
			<-sess.Done()
			if c.other {
				for i := range 3 {
					alive.until(fmt.Sprintf("id='kept-%d'", i))
				}
				return
			}
			k.mu.Lock()
			defer k.mu.Unlock()
			if got := strings.Join(k.ids, " "); !strings.HasSuffix(got, "kept-0 kept-1 kept-2") {
				t.Errorf("stored: %s", got)
			}
		})
	}
}

// Whoever has found the session before it was closed must not lose his stanza,
// nor wait for it.
func TestStanzasThatComeTooLate(t *testing.T) {
	h := newHouse(t, nil)
	k := h.keep()
	h.client("juliet", "y")
	sess := h.session("juliet@localhost/y")
	// While the session is being closed it is sent to, on the very goroutine
	// that closes it: waiting for the end would be waiting for ever.
	sm.Closed.Add(h.hook(), hooks.Normal, func(ctx context.Context, s *sm.Session) {
		s.Send(ctx, message("juliet@localhost/y", "during", ""))
	})
	sess.Close(stream.PolicyViolation)
	<-sess.Done()
	sess.Send(context.Background(), message("juliet@localhost/y", "after", ""))
	sess.Send(context.Background(), xmpp.NewPresence("", xmpp.MustParse("romeo@localhost/x"), sess.JID))
	sess.Send(context.Background(), xmpp.NewIQ("result", xmpp.MustParse("romeo@localhost/x"), sess.JID, "1", nil))
	k.mu.Lock()
	defer k.mu.Unlock()
	if got := strings.Join(k.ids, " "); got != "during after" {
		t.Errorf("stored: %q", got)
	}
}

func TestRequestToADyingConnectionIsAnswered(t *testing.T) {
	h := newHouse(t, nil)
	romeo, juliet := h.client("romeo", "x"), h.client("juliet", "y")
	sess := h.session("juliet@localhost/y")
	juliet.send(farewell)
	<-sess.Done()
	sess.Send(context.Background(), xmpp.NewIQ("get", xmpp.MustParse("romeo@localhost/x"), sess.JID, "1", xmpp.El("ns", "q")))
	if got := romeo.until("</iq>"); !strings.Contains(got, "service-unavailable") {
		t.Errorf("got %s", got)
	}
}

// Strangers get no memory for reading nothing: replies before the login are
// bounded much tighter.
func TestStrangerThatDoesNotRead(t *testing.T) {
	h := newHouse(t, func(o *c2s.Options) { o.SendTimeout = time.Hour })
	most := 0
	over := make(chan struct{})
	reply := xmpp.TextEl("ns", "form", strings.Repeat("x", 5000))
	sm.Unauthed.Add(h.hook(), hooks.Normal, func(_ context.Context, _ bool, u sm.Unauthenticated) (bool, hooks.Flow) {
		u.Stream.Reply(u.Stanza.Reply(reply))
		for _, c := range h.listener.Conns() {
			most = max(most, c.Waiting())
		}
		return true, hooks.Stop
	})
	sm.StreamFinished.Add(h.hook(), hooks.Normal, func(context.Context, *sm.Stream) { close(over) })
	s := h.connect()
	s.open()
	for s.try("<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>") == nil {
		select {
		case <-over:
			if most > c2s.EarlyOutbox+10_000 {
				t.Errorf("%d bytes waited for a stranger", most)
			}
			return
		default:
		}
	}
	<-over
}

func TestShutdown(t *testing.T) {
	h := newHouse(t, starttls)
	early := h.connect()
	silent := h.connect()
	early.open()
	shaking := h.connect()
	shaking.open()
	shaking.send(askTLS)
	shaking.until("<proceed")
	shaking.until("/>")
	bound := h.available("romeo", "x")
	secure := h.connect()
	secure.open()
	secure.send(askTLS)
	secure.until("/>")
	secure.secure(insecure())
	secure.open()
	secure.login("juliet")
	secure.bind("y")
	sess := h.session("romeo@localhost/x")
	sess.Send(context.Background(), message("romeo@localhost/x", "last", "words"))
	h.down()
	for what, s := range map[string]*stranger{"before the header": silent, "before the login": early, "with a session": bound, "encrypted": secure} {
		got := s.rest()
		if ended(t, got) != "system-shutdown" {
			t.Errorf("%s: %s", what, got)
		}
		if what == "with a session" && !strings.Contains(got, "id='last'") {
			t.Errorf("what was under way did not arrive: %s", got)
		}
	}
	if got := shaking.rest(); got != "" {
		t.Errorf("in the middle of a handshake: %q", got)
	}
	<-sess.Done()
	if n := h.first().Sessions.Count(); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// Kicks, logins and messages at once: the race detector is the judge.
func TestManyAtOnce(t *testing.T) {
	h := newHouse(t, starttls)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for k := range 5 {
				s := h.connect()
				s.open()
				if k%2 == 1 {
					s.send(askTLS)
					s.until("<proceed")
					s.until("/>")
					s.secure(insecure())
					s.open()
				}
				s.login([]string{"romeo", "juliet"}[i%2])
				s.bind("x")
				s.send("<presence/><message to='romeo@localhost' type='chat'><body>x</body></message>")
				s.send("<iq type='get' id='1' to='localhost'><q xmlns='none'/></iq>" + farewell)
				s.rest()
			}
		})
	}
	for range 200 {
		for _, s := range h.first().Sessions.All() {
			s.Send(context.Background(), message(s.JID.String(), "", "hi"))
		}
		h.listener.Trim()
		runtime.Gosched()
	}
	wg.Wait()
}

// A client that rests goes on as if nothing had been.
func TestTrim(t *testing.T) {
	h := newHouse(t, direct)
	s := h.connect()
	s.secure(insecure())
	s.open()
	s.login("romeo")
	s.bind("x")
	for i := range 20 {
		h.listener.Trim()
		s.send(fmt.Sprintf("<message to='romeo@localhost/x' id='%d'", i))
		h.listener.Trim()
		s.send("/>")
		s.until(fmt.Sprintf("id='%d'", i))
	}
	h.listener.Trim()
	s.send(farewell)
	if got := ended(t, s.rest()); got != "no error" {
		t.Errorf("ended with %s", got)
	}
}
