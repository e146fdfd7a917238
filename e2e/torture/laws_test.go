package main

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// story is a ledger, one sender and a recipient with two devices.
type story struct {
	*ledger
	a, b       *device
	onA, onB   *stream // of the recipient's devices, long since there
	from       *stream
	full, bare string // the recipient's addresses
}

func newStory() *story {
	s := &story{ledger: newLedger(), full: "juliet@localhost/a", bare: "juliet@localhost"}
	r := &run{ledger: s.ledger}
	s.a = &device{run: r, user: "juliet", resource: "a", seen: map[string]*view{}}
	s.b = &device{run: r, user: "juliet", resource: "b", seen: map[string]*view{}}
	s.onA, s.onB, s.from = s.stream("juliet@localhost/a"), s.stream("juliet@localhost/b"), s.stream("romeo@localhost/a")
	return s
}

// stream is one that has been there for long.
func (s *story) stream(full string) *stream {
	x := &stream{serial: len(s.streams) + 1, node: &node{name: "one@test"}, full: full, ledger: s.ledger, began: time.Now().Add(-time.Hour)}
	s.connected(x)
	return x
}

// send has Romeo submit the next message.
func (s *story) send(to string) *message {
	m := s.compose("romeo@localhost/a", to)
	s.submitted(m, s.from, false)
	return m
}

// copy has one arrive.
func (s *story) copy(m *message, at *device, on *stream, sid string) *arrival {
	a := &arrival{at: time.Now(), by: at, on: on, sid: sid}
	s.arrive(m.id, a)
	return a
}

func (s *story) acked(m *message) { s.acknowledged([]*message{m}) }

// proven has the recipient acknowledge a copy, long ago as the laws count.
func (s *story) proven(a *arrival) {
	s.toldOf([]*arrival{a})
	s.confirmed([]*arrival{a})
	a.at, a.acked, a.proved = a.at.Add(-time.Minute), a.acked.Add(-time.Minute), a.proved.Add(-time.Minute)
}

// A plot is what happens, and the law that it breaks; empty for none.
type plot struct {
	what   string
	happen func(*story)
	want   string
}

// try has each happen in a story of its own.
func try(t *testing.T, plots []plot) {
	t.Helper()
	for _, c := range plots {
		t.Run(c.what, func(t *testing.T) {
			s := newStory()
			c.happen(s)
			s.judge()
			switch got := strings.Join(s.broken, "\n"); {
			case c.want == "" && got != "":
				t.Errorf("no law was broken, but:\n%s", got)
			case !strings.Contains(got, c.want):
				t.Errorf("got %q, want it to speak of %q", got, c.want)
			}
		})
	}
}

func TestLawsOfArrival(t *testing.T) {
	try(t, []plot{
		{"all is well", func(s *story) {
			for range 3 {
				m := s.send(s.full)
				s.copy(m, s.a, s.onA, m.id)
				s.acked(m)
			}
		}, ""},
		{"an acknowledged message is lost", func(s *story) { s.acked(s.send(s.full)) }, "LOST"},
		{"a message gets nowhere", func(s *story) { s.send(s.full) }, "neither acknowledged nor arrived"},
		{"a message that nobody sent", func(s *story) { s.arrive("x", &arrival{on: s.onA, by: s.a}) }, "nobody sent"},
		{"the second comes first", func(s *story) {
			one, two := s.send(s.full), s.send(s.full)
			s.copy(two, s.a, s.onA, "2")
			s.copy(one, s.a, s.onA, "1")
		}, "out of order"},
		{"the other device had it before its node died", func(s *story) {
			one, two := s.send(s.bare), s.send(s.bare)
			s.begin("kill", "")
			s.copy(one, s.b, s.onB, "1")
			s.copy(two, s.a, s.onA, "2")
			s.copy(one, s.a, s.onA, "1")
		}, ""},
		{"the other device had it, and nothing happened", func(s *story) {
			one, two := s.send(s.bare), s.send(s.bare)
			s.copy(one, s.b, s.onB, "1")
			s.copy(two, s.a, s.onA, "2")
			s.copy(one, s.a, s.onA, "1")
		}, "out of order"},
		{"a fault excuses no disorder", func(s *story) {
			s.begin("kill", "")
			one, two := s.send(s.full), s.send(s.full)
			s.copy(two, s.a, s.onA, "2")
			s.copy(one, s.a, s.onA, "1")
		}, "out of order"},
		{"it goes to another device", func(s *story) { s.copy(s.send(s.full), s.b, s.onB, "1") }, "astray"},
		{"it goes to another device because that one is away", func(s *story) {
			s.disconnected(s.onA, errSilent)
			s.copy(s.send(s.full), s.b, s.onB, "1")
		}, ""},
		{"a refusal for good", func(s *story) { s.bounce(s.send(s.full).id, "service-unavailable") }, "refused for good"},
		{"a friend goes twice", func(s *story) {
			gone := &element{Attrs: attrs("from", "romeo@localhost/a", "type", "unavailable")}
			s.a.presence(&element{Attrs: attrs("from", "romeo@localhost/a")})
			s.a.presence(gone)
			s.a.presence(gone)
		}, "2 times in a row"},
	})
}

func TestLawsOfRepetition(t *testing.T) {
	try(t, []plot{
		{"a bare address goes to both devices", func(s *story) {
			m := s.send(s.bare)
			s.copy(m, s.a, s.onA, "1")
			s.copy(m, s.b, s.onB, "1")
		}, ""},
		{"a copy for no reason", func(s *story) {
			m := s.send(s.full)
			s.copy(m, s.a, s.onA, "1")
			s.copy(m, s.a, s.onA, "1")
		}, "REPEATED on one stream"},
		{"a copy after the recipient's stream broke", func(s *story) {
			m := s.send(s.full)
			s.copy(m, s.a, s.onA, "1")
			s.disconnected(s.onA, errSilent)
			s.copy(m, s.a, s.stream(s.full), "1")
		}, ""},
		{"a copy of what was acknowledged, after the stream broke", func(s *story) {
			m := s.send(s.full)
			s.proven(s.copy(m, s.a, s.onA, "1"))
			s.disconnected(s.onA, errSilent)
			s.copy(m, s.a, s.stream(s.full), "1")
		}, "REPEATED although its recipient had acknowledged"},
		{"a copy of what was acknowledged long before a node died", func(s *story) {
			m := s.send(s.full)
			s.proven(s.copy(m, s.a, s.onA, "1"))
			s.begin("kill", "")
			s.copy(m, s.a, s.onA, "1")
		}, "REPEATED although its recipient had acknowledged"},
		{"a copy of what was not, when a node died", func(s *story) {
			m := s.send(s.full)
			s.copy(m, s.a, s.onA, "1")
			s.begin("kill", "")
			s.copy(m, s.a, s.onA, "1")
		}, ""},
		{"the copy that the other device of the user has lost", func(s *story) {
			m := s.send(s.bare)
			s.copy(m, s.a, s.onA, "1")
			s.copy(m, s.b, s.onB, "1")
			s.disconnected(s.onB, errVanished)
			s.copy(m, s.a, s.onA, "1")
		}, ""},
		{"a copy that cannot be told from another message", func(s *story) {
			s.begin("kill", "")
			m := s.send(s.full)
			s.copy(m, s.a, s.onA, "1")
			s.copy(m, s.a, s.onA, "2")
		}, "identities"},
		{"a copy without a stanza-id", func(s *story) {
			s.begin("kill", "")
			m := s.send(s.full)
			s.copy(m, s.a, s.onA, "")
			s.copy(m, s.a, s.onA, "")
		}, "identities"},
		{"its sender did not know and sent it again", func(s *story) {
			m := s.send(s.full)
			s.copy(m, s.a, s.onA, "1")
			s.submitted(m, s.from, false)
			s.copy(m, s.a, s.onA, "2")
		}, ""},
	})
}

func TestServerMayNotAcknowledgeTooMuch(t *testing.T) {
	s := newStory()
	s.from.on, s.from.why = true, errLeft // nothing is written
	s.from.sent, s.from.waiting = 1, make([]outgoing, 1)
	if _, err := s.from.acknowledged(2); err == nil {
		t.Error("it was believed")
	}
	if _, err := s.from.acknowledged(1); err != nil {
		t.Error(err)
	}
	if _, err := s.from.acknowledged(0); err == nil {
		t.Error("a count that goes back was believed")
	}
}

func TestListsAreCompared(t *testing.T) {
	for _, c := range []struct{ have, want, diff string }{
		{"a b", "a b", ""},
		{"a b ghost", "a b", " too much ghost"},
		{"a a b", "a b", " too much a"},
		{"a", "a b", " not b"},
	} {
		if got := difference(strings.Fields(c.have), strings.Fields(c.want)); got != c.diff {
			t.Errorf("%s, %s: got %q, want %q", c.have, c.want, got, c.diff)
		}
	}
}
