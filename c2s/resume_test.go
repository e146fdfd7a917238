package c2s_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/stream"
)

const streamID = "the-secret-of-romeo"

// resumes lets clients resume their streams, and tells on the channels when a
// session has begun to wait and was resumed.
func (h *house) resumes(how sm.Acks) (pending, resumed chan *sm.Session) {
	how.ID = streamID
	if how.Resume == 0 {
		how.Resume = time.Hour
	}
	h.acks(how)
	sm.EarlyNonzas.Add(h.hook(), hooks.Normal, func(_ context.Context, _ *xmpp.Element, n sm.EarlyNonza) (*xmpp.Element, hooks.Flow) {
		b := xmpp.Build(nsSM, "failed")
		if _, ok := n.Stream.Sessions.Ended(n.Stream.User, n.Element.Attr("previd")); ok {
			b.Attr("known", "yes")
		}
		return b.Done(), hooks.Stop
	})
	pending, resumed = make(chan *sm.Session, 9), make(chan *sm.Session, 9)
	sm.SessionPending.Add(h.hook(), hooks.Normal, func(_ context.Context, s *sm.Session) { pending <- s })
	sm.SessionResumed.Add(h.hook(), hooks.Normal, func(_ context.Context, s *sm.Session) { resumed <- s })
	return pending, resumed
}

// returning is a client that has logged in and asks to resume.
func (h *house) returning(user, id, count string) *stranger {
	h.t.Helper()
	s := h.connect()
	s.open()
	s.login(user)
	s.send("<resume xmlns='" + nsSM + "' previd='" + id + "' h='" + count + "'/>")
	return s
}

func (h *house) away(pending chan *sm.Session) *sm.Session {
	h.t.Helper()
	select {
	case s := <-pending:
		return s
	case <-time.After(patience):
		h.t.Fatal("no session waits to be resumed")
	}
	return nil
}

// What was not acknowledged comes again, then what came meanwhile, in order; the
// session is the same.
func TestResume(t *testing.T) {
	h := newHouse(t, nil)
	pending, resumed := h.resumes(sm.Acks{})
	romeo := h.counted("romeo", "x")
	session := h.session("romeo@localhost/x")
	romeo.send(chat("juliet@localhost/none", "lost"))
	romeo.until("lost")
	for _, id := range []string{"2", "3"} {
		session.Send(t.Context(), message("romeo@localhost/x", id, id))
	}
	romeo.until(">3<")
	romeo.handles("2")
	romeo.ask()
	romeo.reset()
	if h.away(pending) != session {
		t.Fatal("another session waits")
	}
	session.Send(t.Context(), message("romeo@localhost/x", "4", "4"))
	again := h.returning("romeo", streamID, "2")
	again.until("<resumed xmlns='" + nsSM + "' previd='" + streamID + "' h='1'/>")
	if s := h.away(resumed); s != session || h.session("romeo@localhost/x") != session {
		t.Fatal("another session was resumed")
	}
	session.Send(t.Context(), message("romeo@localhost/x", "5", "5"))
	if got := strings.Join(bodies(again.until(">5</body>")), " "); got != "3 4 5" {
		t.Errorf("resumed with %s", got)
	}
	again.handles("5")
	if got := again.ask(); got != "1" {
		t.Errorf("h goes on at %s", got)
	}
	if session.Addr().String() != again.tcp.LocalAddr().String() {
		t.Errorf("the session is at %s", session.Addr())
	}
	if strings.Contains(h.log.String(), streamID) {
		t.Error("the id is in the log")
	}
}

// A client that resumes while its old connection seems to live takes over.
func TestResumeTakesOver(t *testing.T) {
	h := newHouse(t, nil)
	h.resumes(sm.Acks{})
	old := h.counted("romeo", "x")
	session := h.session("romeo@localhost/x")
	for i := range 3 {
		young := h.returning("romeo", streamID, "0")
		young.until("<resumed ")
		if got := old.rest(); !strings.Contains(got, "<conflict ") {
			t.Errorf("%d: the old stream ends with %s", i, got)
		}
		session.Send(t.Context(), message("romeo@localhost/x", "m", "m"))
		young.until("<body>m</body>")
		old = young
	}
}

// Of many who resume the same stream at once one has it in the end; the others are
// told that they have lost it, or that there is nothing to resume.
func TestManyResumeAtOnce(t *testing.T) {
	h := newHouse(t, nil)
	h.resumes(sm.Acks{})
	first := h.counted("romeo", "x")
	session := h.session("romeo@localhost/x")
	session.Send(t.Context(), message("romeo@localhost/x", "m", "m"))
	all := []*stranger{first}
	var wg sync.WaitGroup
	for range 8 {
		s := h.connect()
		s.open()
		s.login("romeo")
		all = append(all, s)
		wg.Go(func() {
			s.send("<resume xmlns='" + nsSM + "' previd='" + streamID + "' h='0'/>")
			if got := s.until("/>"); strings.Contains(got, "<failed") {
				s.send(farewell)
			}
		})
	}
	wg.Wait()
	session.Send(t.Context(), message("romeo@localhost/x", "last", "last"))
	session.Close(stream.PolicyViolation.With("Enough"))
	owners, last := 0, 0
	for _, s := range all {
		got := s.rest()
		last += strings.Count(got, "<body>last</body>")
		switch {
		case strings.Contains(got, "<policy-violation "):
			owners++
		case !strings.Contains(got, "<conflict ") && strings.Contains(got, "<stream:error>"):
			t.Errorf("ended with %s", got)
		}
	}
	if last != 1 || owners != 1 {
		t.Errorf("the last message came %d times, %d have the stream", last, owners)
	}
}

// Nobody resumes the stream of another account, or with a guess, or one that has
// ended.
func TestResumeIsRefused(t *testing.T) {
	h := newHouse(t, nil)
	pending, _ := h.resumes(sm.Acks{})
	romeo := h.counted("romeo", "x")
	romeo.reset()
	h.away(pending)
	thief := h.returning("juliet", streamID, "0")
	thief.until("<failed xmlns='" + nsSM + "'/>")
	if got := thief.bind("y"); !strings.Contains(got, "juliet@localhost/y") {
		t.Errorf("bind after a failure: %s", got)
	}
	for _, guess := range []string{"guess", "", strings.Repeat("x", 4096), streamID + " ", "*", "&lt;&#10;"} {
		h.returning("romeo", guess, "0").until("<failed xmlns='" + nsSM + "'/>")
	}
	for _, count := range []string{"", "-1", "+0", "4294967296", "99999999999999999999", "0x0", "h"} {
		h.returning("romeo", streamID, count).until("<failed xmlns='" + nsSM + "'/>")
	}
	for _, count := range []string{"1", "7", "2147483648", "4294967295"} { // never so many were sent
		got := h.returning("romeo", streamID, count).rest()
		if ended(t, got) != "undefined-condition" || !strings.Contains(got, "<handled-count-too-high xmlns='"+nsSM+"' h='"+count+"' send-count='0'/>") {
			t.Errorf("h %s: %s", count, got)
		}
	}
	back := h.returning("romeo", streamID, "0")
	back.until("<resumed ")
	back.send(farewell)
	back.rest()
	h.returning("romeo", streamID, "0").until("<failed xmlns='" + nsSM + "' known='yes'/>")
}

// A session that nobody resumes ends, and what waits is routed again.
func TestResumeTooLate(t *testing.T) {
	h := newHouse(t, nil)
	pending, _ := h.resumes(sm.Acks{Resend: sm.ResendAlways})
	kept := h.keep()
	h.counted("romeo", "x").reset()
	session := h.away(pending)
	session.Send(t.Context(), message("romeo@localhost/x", "1", "1"))
	if !session.ResumeWithin(time.Millisecond) {
		t.Fatal("the time cannot be changed")
	}
	<-session.Done()
	<-kept.came
	if session.ResumeWithin(time.Hour) {
		t.Error("a session that is over can be resumed")
	}
}

// What waits for a client is bounded.
func TestTooMuchWaits(t *testing.T) {
	h := newHouse(t, nil)
	pending, _ := h.resumes(sm.Acks{MaxQueue: 2, Resend: sm.ResendAlways})
	kept := h.keep()
	h.counted("romeo", "x").reset()
	session := h.away(pending)
	for _, id := range []string{"1", "2", "3"} {
		session.Send(t.Context(), message("romeo@localhost/x", id, id))
	}
	<-session.Done()
	for range 3 {
		<-kept.came
	}
}

// Counters wrap around while the client is away.
func TestResumeWrapsAround(t *testing.T) {
	h := newHouse(t, nil)
	pending, _ := h.resumes(sm.Acks{})
	romeo := h.counted("romeo", "x")
	h.conn("romeo@localhost/x").Sent(1<<32 - 1)
	h.conn("romeo@localhost/x").SetHandled(1<<32 - 1)
	romeo.reset()
	session := h.away(pending)
	for _, id := range []string{"1", "2"} {
		session.Send(t.Context(), message("romeo@localhost/x", id, id))
	}
	back := h.returning("romeo", streamID, "0")
	back.until("h='4294967295'/>")
	if got := strings.Join(bodies(back.until(">2</body>")), " "); got != "2" {
		t.Errorf("got %s", got)
	}
	back.send("<presence to='elsewhere.invalid' type='unavailable'/>")
	back.settles("0")
}

// A session that waits for its client ends like any other: when the server goes, when
// an operator or a newer session ends it. What it has not given to its client finds
// another way.
func TestWhatWaitsEndsLikeOthers(t *testing.T) {
	for name, end := range map[string]func(*house, *sm.Session){
		"shutdown": func(h *house, _ *sm.Session) { h.down() },
		"kicked":   func(_ *house, s *sm.Session) { s.Close(stream.PolicyViolation.With("Kicked")) },
		"replaced": func(h *house, _ *sm.Session) { h.client("romeo", "x") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil)
			pending, _ := h.resumes(sm.Acks{Resend: sm.ResendAlways})
			kept := h.keep()
			h.counted("romeo", "x").reset()
			session := h.away(pending)
			session.Send(t.Context(), message("romeo@localhost/x", "1", "1"))
			end(h, session)
			<-session.Done()
			if name != "replaced" { // there the new session gets it
				<-kept.came
			}
			if h.first().Sessions.Find(session.JID) == session {
				t.Error("the session is still known")
			}
			if h.first().Sessions.Resumes(session.JID.Bare(), streamID) != nil {
				t.Error("its stream can still be resumed")
			}
		})
	}
}
