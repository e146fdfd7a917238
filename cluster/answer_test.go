package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/xmpp"
)

// An answer reaches the node that has asked; one by somebody else, or to nobody's
// question, does nothing.
func TestAnswersReachWhoHasAsked(t *testing.T) {
	w := newWorld(t)
	a, b, _ := w.three()
	juliet := b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	type outcome struct {
		st  *xmpp.Stanza
		err error
	}
	answer := make(chan outcome, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		ping := xmpp.NewIQ("get", xmpp.MustParse("localhost"), juliet.JID, "", xmpp.El("urn:xmpp:ping", "ping"))
		st, err := a.router.Ask(ctx, ping)
		answer <- outcome{st, err}
	}()
	var asked *xmpp.Stanza
	await(t, "juliet is asked", func() bool {
		for _, st := range juliet.stanzas() {
			if st.Kind == xmpp.IQ {
				asked = st
			}
		}
		return asked != nil
	})
	says := func(from, id string) {
		st := xmpp.NewIQ("result", xmpp.MustParse(from), xmpp.MustParse("localhost"), id, nil)
		router.Unasked.Run(t.Context(), b.table, st)
	}
	says("romeo@localhost/r", asked.ID)
	for _, id := range []string{"", "gd-", "gd--", "gd-" + router.Mark("b") + "-X", "gd-" + router.Mark("nobody") + "-X", asked.ID + "x"} {
		says("juliet@localhost/x", id)
	}
	says("juliet@localhost/x", asked.ID)
	if got := <-answer; got.err != nil || got.st.From != juliet.JID {
		t.Errorf("the answer is %v, %v", got.st, got.err)
	}
	if strings.Contains(asked.ID, "-a-") {
		t.Errorf("a client is told the name of a node: %s", asked.ID)
	}
}

// A client that floods the others with answers keeps no event from being heard.
func TestFloodOfAnswers(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("a"), w.join("b")
	await(t, "they know each other", func() bool { return a.states() == "a up, b up" && b.states() == "a up, b up" })
	w.redis.Freeze()
	front := "gd-" + router.Mark("a") + "-"
	from, to := xmpp.MustParse("romeo@localhost/r"), xmpp.MustParse("localhost")
	for i := range 25_000 {
		router.Unasked.Run(t.Context(), b.table, xmpp.NewIQ("result", from, to, fmt.Sprint(front, i), nil))
	}
	if n := b.Unreceived(); n > 10_100 {
		t.Errorf("%d frames wait", n)
	}
	b.Spread("localhost", "flood_is_over", []byte("{}"))
	w.redis.Thaw()
	await(t, "the event is heard", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return slices.ContainsFunc(a.heard, func(s string) bool { return strings.Contains(s, "flood_is_over") })
	})
}
