package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMessagesCountWhenTheOtherClientHasThem(t *testing.T) {
	w := newWorld(t)
	a, b, _ := w.three()
	plain, late := b.login("plain@localhost/x"), b.loginLate("late@localhost/x")
	a.sees("plain@localhost/x", "b")
	a.sees("late@localhost/x", "b")

	one := a.sender("romeo@localhost/r")
	one.sendMany("plain@localhost/x", "p", 100)
	awaitIDs(t, "the client without acknowledgements", series("p", 100), plain.ids)
	await(t, "all is handled", one.allHandled)

	two := a.sender("romeo@localhost/r")
	two.sendMany("late@localhost/x", "l", 100)
	awaitIDs(t, "the client with acknowledgements", series("l", 100), late.ids)
	await(t, "the sender knows that all was received", func() bool { return a.Unreceived() == 0 })
	if n := two.handled.Load(); n != 0 {
		t.Fatalf("%d messages count as handled, but the client has acknowledged none", n)
	}
	if n, _ := a.Waiting(); n != 100 {
		t.Fatalf("%d copies are kept", n)
	}
	late.ack()
	await(t, "all is handled", two.allHandled)
	await(t, "nothing is kept", func() bool { n, _ := a.Waiting(); return n == 0 })
	await(t, "the inboxes are empty", func() bool {
		for _, s := range a.Nodes(t.Context()) {
			if s.Inbox != 0 {
				return false
			}
		}
		return true
	})
}

func TestOrderHoldsWithManySendersWhenMuchIsSentAgain(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	const senders, each = 8, 300
	var to []*client
	for i := range senders {
		to = append(to, b.loginLate(fmt.Sprintf("to%d@localhost/x", i)))
	}
	stop := make(chan struct{})
	var storm, work sync.WaitGroup
	storm.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
				a.Storm()
				b.Storm()
				for _, cl := range to[:senders/2] {
					cl.ack()
				}
			}
		}
	})
	var all []*sender
	for i := range senders {
		n := []*node{a, c}[i%2]
		n.sees(fmt.Sprintf("to%d@localhost/x", i), "b")
		s := n.sender(fmt.Sprintf("from%d@localhost/x", i))
		all = append(all, s)
		work.Go(func() {
			for m := range each {
				s.send(fmt.Sprintf("to%d@localhost/x", i), fmt.Sprintf("m%d", m))
				if m%50 == 0 {
					time.Sleep(time.Millisecond) // so that storms come between
				}
			}
		})
	}
	work.Wait()
	for i, cl := range to {
		awaitIDs(t, fmt.Sprintf("client %d", i), series("m", each), cl.ids)
	}
	close(stop)
	storm.Wait()
	for _, cl := range to {
		cl.ack()
	}
	for _, s := range all {
		await(t, "all is handled", s.allHandled)
	}
	for i, cl := range to {
		if got := cl.ids(); !slices.Equal(got, series("m", each)) {
			t.Errorf("client %d in the end: %s", i, short(got))
		}
	}
	if a.Counters.Resent.Load()+b.Counters.Repeated.Load() == 0 {
		t.Error("nothing was sent again, so nothing was tested")
	}
}

func TestWhatIsLostOnTheWayIsSentAgain(t *testing.T) {
	w := newWorld(t)
	a := w.join("a")
	b, err := w.open("b") // it does not receive yet
	if err != nil {
		t.Fatal(err)
	}
	juliet := b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 100)
	await(t, "all is in the inbox", func() bool { return a.Counters.Sent.Load() >= 100 && a.inboxLen("b") > 0 })
	w.redis.Do("DEL", a.InboxKey("b"))
	b.Start()
	awaitIDs(t, "juliet", series("m", 100), juliet.ids)
	await(t, "all is handled", s.allHandled)
}

func TestOverTheBoundStanzasBounce(t *testing.T) {
	w := newWorld(t)
	a := w.join("a")
	b, err := w.open("b") // it does not receive
	if err != nil {
		t.Fatal(err)
	}
	b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	romeo := a.login("romeo@localhost/r")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 10_000+7)
	awaitIDs(t, "errors", series("m", 10_007)[10_000:], romeo.ids)
	for _, st := range romeo.stanzas() {
		if st.Type != "error" || !strings.Contains(st.String(), "<resource-constraint ") {
			t.Fatalf("got %s", st)
		}
	}
	if n, _ := a.Waiting(); n != 10_000 {
		t.Errorf("%d copies are kept", n)
	}
	if n := s.handled.Load(); n != 7 {
		t.Errorf("%d count as handled, not those 7 that were answered", n)
	}
	b.Start()
	await(t, "all others are handled", s.allHandled)
}

func TestSessionsAreClosedFromOtherNodes(t *testing.T) {
	w := newWorld(t)
	a, b, _ := w.three()
	old := b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	a.login("juliet@localhost/x")
	await(t, "the old one is told", func() bool { return old.why() == "conflict" })
	b.sees("juliet@localhost/x", "a")
}

func TestEventsReachAllOtherNodesInOrder(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	var want []string
	for i := range 200 {
		a.Spread("localhost", "remove_user", fmt.Appendf(nil, `{"n":%d}`, i))
		want = append(want, fmt.Sprintf(`localhost remove_user {"n":%d}`, i))
		if i%20 == 0 {
			a.Storm()
		}
	}
	for _, n := range []*node{b, c} {
		awaitIDs(t, n.Name(), want, func() []string {
			n.mu.Lock()
			defer n.mu.Unlock()
			return slices.Clone(n.heard)
		})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.heard) > 0 {
		t.Errorf("who spreads hears himself: %v", a.heard)
	}
}
