package cluster_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/xmpp"
)

// Handled is how many of its client's stanzas are handled.
func (c *client) Handled() uint32 { return c.handled.Load() }

// How many stanzas of a client are handled is known when its node is dead, to the
// client alone that knows the stream's id.
func TestHandledIsKnownAfterDeath(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.three()
	user := xmpp.MustParse("juliet@localhost")
	asks := func(n *node, user xmpp.JID, id string) (uint32, bool) {
		if s := n.ss.Fetch(t.Context(), user, id); s != nil {
			t.Fatalf("%s has come", s)
		}
		return n.ss.Ended(user, id)
	}
	juliet := b.login("juliet@localhost/x")
	b.ss.CanResume("secret", juliet.Session)
	juliet.handled.Store(7)
	await(t, "it stands in Redis", func() bool { h, ok := asks(c, user, "secret"); return ok && h == 7 })
	juliet.handled.Store(1<<32 - 1)
	left := b.login("juliet@localhost/y")
	b.ss.CanResume("another", left.Session)
	b.ss.StreamEnded("another", user, 3)
	await(t, "that of a stream that was over at once, too", func() bool { h, ok := asks(c, user, "another"); return ok && h == 3 })
	await(t, "it stands in Redis", func() bool {
		for _, key := range w.redis.Do("KEYS", "gabberd:stream:*").([]any) {
			if w.redis.Do("GET", key) == "4294967295" {
				return true
			}
		}
		return false
	})
	b.kill()
	if h, ok := asks(a, user, "secret"); !ok || h != 1<<32-1 {
		t.Errorf("after the death of its node: %d, %v", h, ok)
	}
	for _, guess := range []string{"", "secre", "secret2"} {
		if h, ok := asks(a, user, guess); ok {
			t.Errorf("%q is answered by %d", guess, h)
		}
	}
	if h, ok := asks(a, xmpp.MustParse("romeo@localhost"), "secret"); ok {
		t.Errorf("somebody else hears %d", h)
	}
	for _, key := range w.redis.Do("KEYS", "*").([]any) {
		if text, _ := key.(string); strings.Contains(text, "secret") {
			t.Errorf("the id is in Redis: %s", text)
		}
	}
}

// What others have written in the place of a move is not taken for one.
func TestMalformedMoves(t *testing.T) {
	w := newWorld(t)
	a, b := w.join("a"), w.join("b")
	await(t, "they know each other", func() bool { return a.states() == "a up, b up" && b.states() == "a up, b up" })
	before := b.Counters.Foreign.Load()
	for _, kind := range "wnmt" {
		for _, body := range []string{"", "\xff", "\x09localhost", "\x01\x05\x00"} {
			a.Say("b", byte(kind), []byte(body))
		}
	}
	a.Say("b", 'm', []byte("\x09localhost\x01\x00{\"record\": 7}"))
	a.Say("b", 'm', []byte("\x09localhost\x01\x00{}"))
	a.Say("b", 'a', []byte("\x09localhost\x09localhost<message/>"))
	await(t, "all were looked at", func() bool { return a.Unreceived() == 0 })
	if b.Counters.Foreign.Load() < before+8 {
		t.Errorf("%d frames were found to be malformed", b.Counters.Foreign.Load()-before)
	}
	romeo, juliet := a.sender("romeo@localhost/r"), b.login("juliet@localhost/x")
	a.sees("juliet@localhost/x", "b")
	romeo.sendMany("juliet@localhost/x", "m", 3)
	awaitIDs(t, "juliet", series("m", 3), juliet.ids)
}
