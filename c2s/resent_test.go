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

// A slow store keeps messages, and does not say that they are safe before it is told to.
type slow struct {
	mu      sync.Mutex
	ids     []string
	tickets []*sm.Receipt
}

func (h *house) slow() *slow {
	k := new(slow)
	sm.Offline.Add(h.hook(), hooks.Normal, func(ctx context.Context, _ sm.Fate, st *xmpp.Stanza) (sm.Fate, hooks.Flow) {
		r := sm.ReceiptOf(ctx)
		r.Hold()
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ids, k.tickets = append(k.ids, st.ID), append(k.tickets, r)
		return sm.Stored, hooks.Stop
	})
	return k
}

func (k *slow) has() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.ids, " ")
}

func (k *slow) secure(i int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tickets[i].Secure()
}

const anIQ = "<iq type='get' id='q' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"

// What a client sends again after it has resumed, and has come before, is neither
// routed nor counted twice, however often the connection breaks.
func TestWhatIsSentAgainCountsOnce(t *testing.T) {
	h := newHouse(t, nil)
	pending, resumed := h.resumes(sm.Acks{})
	k := h.slow()
	romeo := h.counted("romeo", "x")
	romeo.send(chat("juliet@localhost", "1") + anIQ + chat("juliet@localhost", "2") + chat("juliet@localhost", "3"))
	if got := romeo.ask(); got != "0" {
		t.Fatalf("h is %s", got)
	}
	for i := range 3 { // each time the client sends more of what it has to
		romeo.reset()
		h.away(pending)
		romeo = h.returning("romeo", streamID, "0")
		romeo.until("<resumed xmlns='" + nsSM + "' previd='" + streamID + "' h='0'/>")
		h.away(resumed)
		romeo.send(strings.Join([]string{chat("juliet@localhost", "1"), anIQ, chat("juliet@localhost", "2")}[:i+1], ""))
		if got := romeo.ask(); got != "0" {
			t.Errorf("h is %s", got)
		}
	}
	k.secure(0)
	romeo.told("2")
	k.secure(2) // the third is not due yet
	k.secure(1)
	romeo.told("3")
	for i, id := range []string{"3", "4"} {
		romeo.send(chat("juliet@localhost", id))
		if got := romeo.ask(); got != "4" {
			t.Errorf("%d: h is %s", i, got)
		}
	}
	if got := k.has(); got != "1 2 3 4" {
		t.Errorf("what was kept: %s", got)
	}
}

// A client that resumes need not send everything again, or anything: what it leaves
// out does not count for it.
func TestNotEverythingIsSentAgain(t *testing.T) {
	h := newHouse(t, nil)
	pending, _ := h.resumes(sm.Acks{})
	k := h.slow()
	romeo := h.counted("romeo", "x")
	for i := range 4 {
		romeo.send(chat("juliet@localhost", fmt.Sprint(i)))
	}
	romeo.ask()
	romeo.reset()
	h.away(pending)
	romeo = h.returning("romeo", streamID, "0")
	romeo.until("h='0'/>")
	romeo.send(chat("juliet@localhost", "2") + chat("juliet@localhost", "new") + chat("juliet@localhost", "0"))
	romeo.ask()
	if got := k.has(); got != "0 1 2 3 new 0" {
		t.Errorf("what was kept: %s", got)
	}
	for i := range 6 {
		k.secure(i)
	}
	romeo.told("3")
	if got := romeo.ask(); got != "3" {
		t.Errorf("h is %s", got)
	}
}

// When the stream ends, what was handled while the client was away counts.
func TestEndedStreamKnowsWhatWasHandledMeanwhile(t *testing.T) {
	h := newHouse(t, nil)
	pending, resumed := h.resumes(sm.Acks{})
	k := h.slow()
	romeo := h.counted("romeo", "x")
	romeo.send(chat("juliet@localhost", "1") + anIQ + chat("juliet@localhost", "2"))
	romeo.ask()
	romeo.reset()
	h.away(pending)
	romeo = h.returning("romeo", streamID, "0")
	romeo.until("h='0'/>")
	h.away(resumed)
	k.secure(0)
	session := h.session("romeo@localhost/x")
	romeo.reset()
	h.away(pending)
	h.client("romeo", "x") // takes its place
	<-session.Done()
	if n, ok := h.first().Sessions.Ended(session.JID.Bare(), streamID); !ok || n != 2 {
		t.Errorf("of its stanzas %d were handled (%t), want 2", n, ok)
	}
}
