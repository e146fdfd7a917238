package c2s_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// TestPausedClientIsReadLater: a handler that is behind has its client wait, and
// nobody else.
func TestPausedClientIsReadLater(t *testing.T) {
	h := newHouse(t, nil)
	h.listener.SetLongestRest(time.Hour)
	stored, seen := make(chan struct{}), new(atomic.Int32)
	sm.UserSend.Add(h.hook(), hooks.Normal, func(ctx context.Context, st *xmpp.Stanza, s *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if st.Kind == xmpp.Message && s.JID.Local() == "romeo" {
			seen.Add(1)
			sm.BurstOf(ctx).Pause(stored)
		}
		return st, hooks.Next
	})
	romeo, other, juliet := h.available("romeo", "x"), h.client("juliet", "z"), h.available("juliet", "y")
	romeo.send("<message to='juliet@localhost' id='one'/>")
	juliet.until("id='one'")
	romeo.send("<message to='juliet@localhost' id='two'/>")
	other.send("<message to='juliet@localhost' id='other'/>")
	if got := juliet.until("id='other'"); strings.Contains(got, "id='two'") || seen.Load() != 1 {
		t.Errorf("a client that was to wait was read: %s", got)
	}
	close(stored)
	juliet.until("id='two'")
	romeo.send("<message to='juliet@localhost' id='three'/>") // what was waited for is over
	juliet.until("id='three'")
}

// TestPauseIsBounded, and does not keep a stream from ending.
func TestPauseIsBounded(t *testing.T) {
	h := newHouse(t, nil)
	h.listener.SetLongestRest(time.Millisecond)
	sm.UserSend.Add(h.hook(), hooks.Normal, func(ctx context.Context, st *xmpp.Stanza, _ *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if st.Kind == xmpp.Message {
			sm.BurstOf(ctx).Pause(make(chan struct{}))
		}
		return st, hooks.Next
	})
	romeo, juliet := h.available("romeo", "x"), h.available("juliet", "y")
	for _, id := range []string{"one", "two"} {
		romeo.send("<message to='juliet@localhost' id='" + id + "'/>")
		juliet.until("id='" + id + "'")
	}
}
