package main

import (
	"testing"
	"time"
)

// again has the connection of a stream break, and the stream be resumed.
func (s *story) again(x *stream) *stream {
	s.disconnected(x, errCut)
	y := &stream{serial: x.serial + 100, node: x.node, began: time.Now()}
	y.adopt(x, x.got)
	s.resumed(y)
	return y
}

// Somebody sees a device of Juliet, and is told that it is gone.
func (s *story) told() {
	from := attrs("from", s.full)
	watcher := &device{run: s.a.run, user: "nurse", resource: "a", seen: map[string]*view{}}
	watcher.presence(&element{Attrs: from})
	watcher.seen[s.full].since = time.Now().Add(-time.Minute)
	watcher.presence(&element{Attrs: append(from, attrs("type", "unavailable")...)})
}

func TestLawsOfResumption(t *testing.T) {
	try(t, []plot{
		{"all is well", func(s *story) {
			m := s.send(s.full)
			s.copy(m, s.a, s.again(s.onA), "1")
			s.acked(m)
		}, ""},
		{"a copy of what came before the resumption", func(s *story) {
			m := s.send(s.full)
			s.copy(m, s.a, s.onA, "1")
			s.copy(m, s.a, s.again(s.onA), "1")
		}, "REPEATED on one stream"},
		{"the other device of the user has resumed, so nothing of it went elsewhere", func(s *story) {
			m := s.send(s.bare)
			s.copy(m, s.a, s.onA, "1")
			s.again(s.onB)
			s.copy(m, s.a, s.onA, "1")
		}, "REPEATED on one stream"},
		{"a resumption excuses no disorder", func(s *story) {
			one, two := s.send(s.full), s.send(s.full)
			s.copy(two, s.a, s.onA, "2")
			s.copy(one, s.a, s.again(s.onA), "1")
		}, "out of order"},
		{"a resumption is no reason to go elsewhere", func(s *story) {
			m := s.send(s.full)
			s.again(s.onA)
			s.copy(m, s.b, s.onB, "1")
		}, "astray"},
		{"its sender resumed, and the server took it twice", func(s *story) {
			m := s.send(s.full)
			s.copy(m, s.a, s.onA, "1")
			s.from = s.again(s.from)
			s.submitted(m, s.from, true)
			s.copy(m, s.a, s.onA, "2")
		}, "identities"},
		{"a friend is told that somebody is gone, who resumes", func(s *story) {
			s.told()
			s.again(s.onA)
		}, "who has resumed its stream"},
		{"a friend is told that somebody is gone, whose node died", func(s *story) {
			s.begin("kill", "")
			s.told()
			s.again(s.onA)
		}, ""},
		{"a friend is told that somebody is gone, who does not resume", func(s *story) {
			s.again(s.onA)
			s.told()
		}, ""},
	})
}

// A client that has forgotten what it had not acknowledged must get just that again.
func TestReplayIsCompared(t *testing.T) {
	s := newStory()
	old := s.onA
	old.on, old.id, old.why = true, "secret", errCut
	for _, body := range []string{"1", "2", "3"} {
		old.count(&element{Text: body}, nil, true)
	}
	old.told, old.fresh = 1, old.fresh[1:]
	all, few := &stream{serial: 9}, &stream{serial: 10}
	if h := old.claim(true); h != 1 {
		t.Errorf("claims %d", h)
	}
	few.adopt(old, 1)
	all.adopt(old, old.claim(false))
	if h := old.claim(true); h != 3 {
		t.Errorf("who has said that it has 3 claims %d", h)
	}
	if was, _ := all.replayed(&element{Text: "4"}); was {
		t.Error("something was to be sent again to who has everything")
	}
	for _, c := range []struct {
		body    string
		was, ok bool
	}{{"2", true, true}, {"4", true, false}, {"4", false, true}} {
		if was, complaint := few.replayed(&element{Text: c.body}); was != c.was || (complaint == "") != c.ok {
			t.Errorf("%s: again %t, complaint %q", c.body, was, complaint)
		}
	}
}

// What was written before and after the connection broke is written again, in order.
func TestWhatIsNotHandledIsRepeated(t *testing.T) {
	s := newStory()
	x := s.from
	x.on, x.id, x.why = true, "secret", errCut
	for _, body := range []string{"1", "2", "3"} {
		x.stanza(body, nil)
	}
	y := &stream{serial: 9}
	y.adopt(x, 0)
	if _, err := y.acknowledged(1); err != nil {
		t.Fatal(err)
	}
	if len(y.waiting) != 2 || y.waiting[0].text != "2" || y.sent != 3 {
		t.Errorf("%d sent, and waiting are %v", y.sent, y.waiting)
	}
	if !y.stale(0) || y.stale(1) || y.stale(3) {
		t.Error("a count that goes back is not told from others")
	}
}
