package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/cluster"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func TestMessagesSurviveTheDeathOfTheReceiver(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	juliet := b.loginLate("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 50)
	awaitIDs(t, "juliet", series("m", 50), juliet.ids)
	await(t, "a knows that they were received", func() bool { return a.Unreceived() == 0 })
	b.kill()
	for i := range 50 { // some before it is known, some after
		s.send("juliet@localhost/x", fmt.Sprintf("m%d", 50+i))
	}
	awaitIDs(t, "the offline store", series("m", 100), w.offline)
	await(t, "all is handled", s.allHandled)
	await(t, "b is gone for all", func() bool { return a.states() == "a up, c up" && c.states() == "a up, c up" })
	await(t, "all know that they may have missed what b has told", func() bool { return a.missed.Load() > 0 && c.missed.Load() > 0 })
	if got := w.closedSessions(); !slices.Equal(got, []string{"juliet@localhost/x"}) {
		t.Errorf("sessions closed: %v", got)
	}
	if n := a.Counters.Buried.Load() + c.Counters.Buried.Load(); n != 1 {
		t.Errorf("%d nodes have swept", n)
	}
	if st := w.stored[0]; !strings.Contains(st.String(), "urn:xmpp:sid:0") || idOf(st) != idOf(juliet.stanzas()[0]) {
		t.Errorf("not the same stanza-id: %s and %s", st, juliet.stanzas()[0])
	}
}

// idOf is the stanza-id.
func idOf(st *xmpp.Stanza) string { return st.Child("urn:xmpp:sid:0", "stanza-id").Attr("id") }

// befriend has romeo told how everybody is.
func befriend(nodes ...*node) {
	for _, n := range nodes {
		sm.Subscriptions.Add(n, hooks.Normal, func(context.Context, sm.Contacts, xmpp.JID) (sm.Contacts, hooks.Flow) {
			return sm.Contacts{From: []xmpp.JID{xmpp.MustParse("romeo@localhost")}}, hooks.Stop
		})
	}
}

// told is what the client was told of those whose address begins so.
func (c *client) told(front string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var of []string
	for _, p := range c.presence {
		if strings.HasPrefix(p, front) {
			of = append(of, strings.TrimPrefix(p, front))
		}
	}
	return strings.Join(of, ", ")
}

func TestWhoHasComeBackIsNotGone(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	befriend(a, b, c)
	romeo := a.login("romeo@localhost/r")
	b.sees("romeo@localhost/r", "a")
	b.login("juliet@localhost/phone")
	b.login("juliet@localhost/desk")
	told := func() string { return romeo.told("juliet@localhost/") }
	await(t, "romeo is told", func() bool { return told() == "phone, desk" })
	b.kill()
	c.login("juliet@localhost/phone")
	await(t, "b is swept", func() bool { return a.Counters.Swept.Load()+c.Counters.Swept.Load() == 1 })
	await(t, "romeo is told", func() bool { return strings.Contains(told(), "desk unavailable") && a.Unreceived()+c.Unreceived() == 0 })
	if got := told(); strings.Contains(got, "phone unavailable") || strings.Count(got, "phone") != 2 {
		t.Errorf("romeo was told: %s", got)
	}
}

func TestANodeThatStartsAgainAtOnceIsNew(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	juliet := b.loginLate("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 20)
	awaitIDs(t, "juliet", series("m", 20), juliet.ids)
	b.kill()
	began := time.Now()
	b2 := w.join("b")
	if took := time.Since(began); took > lease {
		t.Errorf("the same instance had to wait for its own lease")
	}
	awaitIDs(t, "the offline store", series("m", 20), w.offline)
	juliet = b2.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	s.sendMany("juliet@localhost/x", "n", 20)
	awaitIDs(t, "juliet", series("n", 20), juliet.ids)
	await(t, "all is handled", s.allHandled)
	if c.Counters.Buried.Load()+a.Counters.Buried.Load() != 0 {
		t.Error("it was buried, though it lives")
	}
	if got := w.closedSessions(); !slices.Equal(got, []string{"juliet@localhost/x"}) {
		t.Errorf("sessions closed: %v", got)
	}
}

func TestFramesOfADeadSenderAreTaken(t *testing.T) {
	w := newWorld(t)
	a, c := w.join("a"), w.join("c")
	b, err := w.open("b")
	if err != nil {
		t.Fatal(err)
	}
	juliet := b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	a.sender("romeo@localhost/r").sendMany("juliet@localhost/x", "m", 100)
	await(t, "all is in the inbox", func() bool { return a.Counters.Sent.Load() >= 100 && a.inboxLen("b") > 0 })
	a.kill()
	b.Start()
	awaitIDs(t, "juliet", series("m", 100), juliet.ids)
	await(t, "a is swept", func() bool { return c.states() == "b up, c up" })
	if len(w.offline()) > 0 {
		t.Errorf("stored as well: %v", w.offline())
	}
}

// inboxLen is how many letters there are for a node.
func (n *node) inboxLen(of string) int {
	for _, s := range n.Nodes(n.w.t.Context()) {
		if s.Name == of {
			return s.Inbox
		}
	}
	return -1
}

func TestMessagesSurviveTheDeathOfBoth(t *testing.T) {
	w := newWorld(t)
	a := w.join("a")
	b, err := w.open("b") // it takes nothing out of its inbox
	if err != nil {
		t.Fatal(err)
	}
	b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	a.sender("romeo@localhost/r").sendMany("juliet@localhost/x", "m", 100)
	await(t, "all is in the inbox", func() bool { return a.Counters.Sent.Load() >= 100 && a.inboxLen("b") > 0 })
	a.kill()
	b.kill()
	c := w.join("c")
	awaitIDs(t, "the offline store", series("m", 100), w.offline)
	await(t, "all are gone", func() bool { return c.states() == "c up" })
	await(t, "the inbox is empty", func() bool { return w.redis.Do("XLEN", c.InboxKey("b")) == int64(0) })
}

// Who lives has copies: what the dead one has in its inbox is thrown away.
func TestWhatALivingNodeHasSentIsRoutedOnce(t *testing.T) {
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprintf("the receiver starts again %t", again), func(t *testing.T) {
			w := newWorld(t)
			a := w.join("a")
			b, err := w.open("b")
			if err != nil {
				t.Fatal(err)
			}
			b.login("juliet@localhost/x")
			a.sees("juliet@localhost/x", "b")
			s := a.sender("romeo@localhost/r")
			s.sendMany("juliet@localhost/x", "m", 100)
			await(t, "all is in the inbox", func() bool { return a.Counters.Sent.Load() >= 100 && a.inboxLen("b") > 0 })
			b.kill()
			if again {
				w.join("b")
			}
			await(t, "all is handled", s.allHandled)
			await(t, "the inbox is empty", func() bool { return w.redis.Do("XLEN", a.InboxKey("b")) == int64(0) })
			if !again {
				await(t, "b is swept", func() bool { return a.Counters.Swept.Load() == 1 })
			}
			awaitIDs(t, "the offline store", series("m", 100), w.offline)
		})
	}
}

func TestAllNodesStartAgainWithFullInboxes(t *testing.T) {
	w := newWorld(t)
	a := w.join("a")
	b, err := w.open("b")
	if err != nil {
		t.Fatal(err)
	}
	b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	a.sender("romeo@localhost/r").sendMany("juliet@localhost/x", "m", 100)
	await(t, "all is in the inbox", func() bool { return a.Counters.Sent.Load() >= 100 && a.inboxLen("b") > 0 })
	a.kill()
	b.kill()
	w.join("b")
	w.join("a")
	awaitIDs(t, "the offline store", series("m", 100), w.offline)
}

func TestASweeperMayDie(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	// Somebody has declared b dead, and is about to die himself.
	epoch := b.Epoch()
	b.kill()
	key := a.NodesKey()
	w.redis.Do("SET", key+":lease:b", epoch)
	w.redis.Do("SET", key+":claim:b", "ghost")
	w.redis.Do("SET", key+":epoch:b", epoch+1)
	w.redis.Do("HSET", key, "b", fmt.Sprintf(`{"v":1,"epoch":%d,"state":"dead","by":"ghost"}`, epoch))
	w.redis.Do("DEL", key+":lease:b")
	beats := a.Counters.Beats.Load() + 5
	await(t, "a has looked at it", func() bool { return a.Counters.Beats.Load() > beats })
	if a.Counters.Buried.Load()+c.Counters.Buried.Load() > 0 {
		t.Error("a second one sweeps while the first one lives")
	}
	w.redis.Do("DEL", key+":claim:b")
	await(t, "b is swept", func() bool { return a.states() == "a up, c up" })
	if got := w.closedSessions(); !slices.Equal(got, []string{"juliet@localhost/x"}) {
		t.Errorf("sessions closed: %v", got)
	}
}

func TestAFrozenNodeBeginsAnew(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	befriend(a, b, c)
	romeo := a.login("romeo@localhost/r")
	b.sees("romeo@localhost/r", "a")
	juliet := b.loginLate("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	await(t, "romeo is told", func() bool { return romeo.told("juliet@localhost/") == "x" })
	epoch := b.Epoch()
	thaw := b.Freeze()
	defer thaw()
	await(t, "b is taken for dead", func() bool { return a.states() == "a up, c up" && c.states() == "a up, c up" })
	late := xmpp.NewMessage("chat", xmpp.MustParse("romeo@localhost/r"), juliet.JID).WithID("late")
	if err := a.SlipIn("b", epoch, 1, late); err != nil {
		t.Fatal(err)
	}
	before := len(juliet.ids())
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 20)
	awaitIDs(t, "the offline store", series("m", 20), w.offline)
	// What its own clients say now waits until it knows how it stands: those who
	// wait for an acknowledgement say it again elsewhere, the others cannot know.
	nurse := b.sender("nurse@localhost/x")
	nurse.send("tybalt@localhost", "stale")
	b.router.Route(t.Context(), xmpp.NewMessage("chat", nurse.from, xmpp.MustParse("tybalt@localhost")).WithID("kept"))
	thaw()
	await(t, "its clients are told", func() bool { return juliet.why() == "reset" })
	await(t, "it has begun anew", func() bool { return b.Epoch() > epoch && b.fenced.Load() == 1 })
	if got := juliet.ids(); len(got) != before {
		t.Errorf("it has delivered after its lease: %v", got)
	}
	await(t, "b is back", func() bool { return a.states() == "a up, b up, c up" })
	awaitIDs(t, "the offline store", append(series("m", 20), "kept"), w.offline)
	if nurse.handled.Load() != 0 {
		t.Error("what was thrown away counts as handled")
	}
	juliet = b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	s.sendMany("juliet@localhost/x", "n", 20)
	awaitIDs(t, "juliet", series("n", 20), juliet.ids)
	await(t, "all is handled", s.allHandled)
	await(t, "romeo is told", func() bool { return strings.HasSuffix(romeo.told("juliet@localhost/"), ", x") })
	if got := romeo.told("juliet@localhost/"); got != "x, x unavailable, x" {
		t.Errorf("romeo was told %s", got)
	}
	back := b.sender("juliet@localhost/x")
	b.sees("romeo@localhost/r", "a")
	back.sendMany("romeo@localhost/r", "o", 20)
	awaitIDs(t, "romeo", series("o", 20), romeo.ids)
}

// What a frozen node has sent and has not seen received is nobody's any more: its
// clients were told nothing.
func TestAFencedNodeCountsNothingAsHandled(t *testing.T) {
	w := newWorld(t)
	a, b, _ := w.three()
	juliet := b.loginLate("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 20)
	await(t, "b has them", func() bool { n, _ := a.Waiting(); return n == 20 })
	thaw := a.Freeze()
	defer thaw()
	await(t, "a is taken for dead", func() bool { return b.states() == "b up, c up" })
	late := xmpp.NewMessage("chat", s.from, juliet.JID).WithID("late")
	if err := a.SlipIn("b", b.Epoch(), 21, late); err != nil {
		t.Fatal(err)
	}
	await(t, "b has seen the late one", func() bool { return b.Counters.Late.Load() > 0 })
	if got := juliet.ids(); !slices.Equal(got, series("m", 20)) {
		t.Errorf("juliet has got %v", got)
	}
	thaw()
	await(t, "it has begun anew", func() bool { return a.fenced.Load() == 1 })
	await(t, "a is back", func() bool { return b.states() == "a up, b up, c up" })
	if n := s.handled.Load(); n != 0 {
		t.Errorf("%d count as handled", n)
	}
	if n, held := a.Waiting(); n+held != 0 {
		t.Errorf("%d copies are left", n)
	}
}

// otherInstance is a world in which each node is somewhere else.
func TestTheSameNameElsewhereIsRefused(t *testing.T) {
	w := newWorld(t)
	a := w.join("a")
	_, err := cluster.Open(t.Context(), cluster.Options{Redis: a.client, Log: discard, Name: "a", Instance: "elsewhere", Lease: lease, Beat: beat})
	if err == nil || !strings.Contains(err.Error(), "lives elsewhere") || !strings.Contains(err.Error(), "directory of a") {
		t.Fatalf("got %v", err)
	}
	a.kill()
	second := w.client()
	began := time.Now()
	b, err := cluster.Open(t.Context(), cluster.Options{Redis: second, Log: discard, Name: "a", Instance: "elsewhere", Lease: lease, Beat: beat})
	if err != nil {
		t.Fatalf("when the first is dead: %v", err)
	}
	if time.Since(began) > 2*lease {
		t.Error("it has waited longer than the lease")
	}
	b.Abandon()
}

func TestNamesOfNodes(t *testing.T) {
	for _, name := range []string{"", "a b", "{a}"} {
		if _, err := cluster.Open(t.Context(), cluster.Options{Name: name}); err == nil || errors.Is(err, sm.ErrAway) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What a node has taken charge of is not routed again when it is gone, even if its
// last words are read only after that is known.
func TestTheLastWordsOfADeadNodeAreHeard(t *testing.T) {
	w := newWorld(t)
	b, c := w.join("b"), w.join("c")
	a, err := w.open("a") // it does not receive yet
	if err != nil {
		t.Fatal(err)
	}
	juliet := b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 100)
	awaitIDs(t, "juliet", series("m", 100), juliet.ids)
	await(t, "b has said so", func() bool { return b.Told() && a.inboxLen("a") > 0 })
	b.kill()
	await(t, "b is gone for all", func() bool { return a.states() == "a up, c up" && c.states() == "a up, c up" })
	a.Start()
	await(t, "all is handled", s.allHandled)
	if got := w.offline(); len(got) > 0 {
		t.Errorf("routed again: %s", short(got))
	}
}

func TestLeavingLosesNothing(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	juliet, nurse := b.login("juliet@localhost/x"), c.login("nurse@localhost/x")
	for _, n := range []*node{a, b} {
		n.sees("nurse@localhost/x", "c")
	}
	a.sees("juliet@localhost/x", "b")
	s, s2 := a.sender("romeo@localhost/r"), b.sender("juliet@localhost/x")
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			s.send("juliet@localhost/x", fmt.Sprintf("m%d", i))
			if i%20 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	s2.sendMany("nurse@localhost/x", "n", 500)
	await(t, "juliet has some", func() bool { return len(juliet.ids()) > 200 })
	juliet.logout()
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	b.kill()
	await(t, "b is gone for all", func() bool { return a.states() == "a up, c up" && c.states() == "a up, c up" })
	close(stop)
	<-ended
	await(t, "all is handled", s.allHandled)
	awaitIDs(t, "juliet, and the offline store", series("m", s.sent), func() []string { return append(juliet.ids(), w.offline()...) })
	awaitIDs(t, "nurse", series("n", 500), nurse.ids)
	if !s2.allHandled() {
		t.Errorf("%d of what b has sent are handled", s2.handled.Load())
	}
	if a.Counters.Buried.Load()+c.Counters.Buried.Load() > 0 {
		t.Error("it was buried, though it has left")
	}
}

func TestOrderHoldsWhenASessionMoves(t *testing.T) {
	for _, where := range []string{"to a third node", "to the sender's node"} {
		t.Run(where, func(t *testing.T) {
			w := newWorld(t)
			a, b, c := w.three()
			first := b.loginLate("juliet@localhost/x")
			a.sees("juliet@localhost/x", "b")
			s := a.sender("romeo@localhost/r")
			s.sendMany("juliet@localhost/x", "m", 20)
			awaitIDs(t, "juliet", series("m", 20), first.ids)
			to := c
			if where != "to a third node" {
				to = a
			}
			second := to.login("juliet@localhost/x")
			a.sees("juliet@localhost/x", to.Name())
			for i := range 20 {
				s.send("juliet@localhost/x", fmt.Sprintf("m%d", 20+i))
			}
			// The first session ends with conflict, and what it has not acknowledged
			// is routed again, before the others.
			awaitIDs(t, "juliet elsewhere", series("m", 40), second.ids)
			await(t, "all is handled", s.allHandled)
			if first.why() != "conflict" {
				t.Errorf("the first session: %q", first.why())
			}
		})
	}
}

// A node dies while Redis is away, and a user of it comes back on the sender's own:
// what waits for the dead node must not be overtaken when the sender has waited for
// longer than for a node that lives.
func TestOrderHoldsWhenANodeDiesDuringAnOutage(t *testing.T) {
	w := newWorld(t)
	w.hold = lease + beat
	a, b := w.join("a"), w.join("b")
	first := b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 10)
	awaitIDs(t, "juliet", series("m", 10), first.ids)
	w.redis.Stop()
	for i := range 10 {
		s.send("juliet@localhost/x", fmt.Sprintf("m%d", 10+i))
	}
	b.kill()
	second := a.login("juliet@localhost/x")
	for i := range 10 {
		s.send("juliet@localhost/x", fmt.Sprintf("m%d", 20+i))
	}
	time.Sleep(w.hold + 5*beat) // the outage
	if got := second.ids(); len(got) > 0 {
		t.Errorf("they have overtaken what waits for the dead node: %s", short(got))
	}
	w.redis.Resume()
	awaitIDs(t, "juliet elsewhere", series("m", 30)[10:], second.ids)
	await(t, "all is handled", s.allHandled)
}

// The same, and the user comes back when Redis is back, but nobody has found out yet
// that the node has died.
func TestOrderHoldsAfterAnOutageInWhichANodeHasDied(t *testing.T) {
	w := newWorld(t)
	w.hold = lease + 10*beat
	a, b := w.join("a"), w.join("b")
	first := b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	s := a.sender("romeo@localhost/r")
	s.sendMany("juliet@localhost/x", "m", 10)
	awaitIDs(t, "juliet", series("m", 10), first.ids)
	w.redis.Stop()
	b.kill()
	for i := range 10 {
		s.send("juliet@localhost/x", fmt.Sprintf("m%d", 10+i))
	}
	w.redis.Resume()
	await(t, "the session to be forgotten", func() bool { return a.ss.Find(first.JID) == nil })
	second := a.login("juliet@localhost/x")
	for i := range 10 {
		s.send("juliet@localhost/x", fmt.Sprintf("m%d", 20+i))
	}
	awaitIDs(t, "juliet elsewhere", series("m", 30)[10:], second.ids)
	await(t, "all is handled", s.allHandled)
}

// Who was sent presence by somebody whom he is not subscribed to, as rooms and
// chats with strangers do, hears of the end as well.
func TestDirectedPresenceEndsWithItsNode(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("a"), w.join("b")
	nurse, paris := a.login("nurse@localhost/x"), a.login("paris@localhost/x")
	juliet := b.login("juliet@localhost/x")
	b.sees("nurse@localhost/x", "a")
	for _, to := range []*client{nurse, paris} {
		b.ss.SentPresence(t.Context(), juliet.Session, xmpp.NewPresence("", juliet.JID, to.JID))
	}
	b.ss.SentPresence(t.Context(), juliet.Session, xmpp.NewPresence("unavailable", juliet.JID, paris.JID))
	heard := func(c *client) func() []string {
		return func() []string {
			c.mu.Lock()
			defer c.mu.Unlock()
			return slices.DeleteFunc(slices.Clone(c.presence), func(p string) bool { return !strings.HasPrefix(p, "juliet") })
		}
	}
	awaitIDs(t, "paris", []string{"juliet@localhost/x", "juliet@localhost/x unavailable"}, heard(paris))
	awaitIDs(t, "nurse", []string{"juliet@localhost/x"}, heard(nurse))
	b.kill()
	awaitIDs(t, "nurse", []string{"juliet@localhost/x", "juliet@localhost/x unavailable"}, heard(nurse))
	if got := heard(paris)(); len(got) != 2 {
		t.Errorf("paris has not juliet's presence any more, and hears %q", got)
	}
}
