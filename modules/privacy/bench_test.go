package privacy_test

import (
	"context"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func checks(tb testing.TB) (s *modtest.Server, romeo *modtest.Client, p sm.PrivacyCheck) {
	s = modtest.Start(tb, "", all()...)
	romeo = s.Login("romeo@localhost/orchard")
	st := xmpp.NewMessage("chat", xmpp.MustParse("juliet@localhost/balcony"), romeo.JID, xmpp.TextEl(xmpp.NSClient, "body", "hi"))
	return s, romeo, sm.PrivacyCheck{User: romeo.JID, Stanza: st, Direction: sm.In, Session: romeo.Session}
}

// TestNoListsCostNothing: the way of a message to somebody who has no lists.
func TestNoListsCostNothing(t *testing.T) {
	s, romeo, p := checks(t)
	ctx := context.Background()
	bare := sm.PrivacyCheck{User: romeo.JID.Bare(), Stanza: p.Stanza, Direction: sm.In}
	for name, p := range map[string]sm.PrivacyCheck{"session": p, "bare address": bare} {
		n := testing.AllocsPerRun(100, func() {
			if !sm.Privacy.Run(ctx, s.Parts.Hooks, true, p) {
				t.Fatal("refused")
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	set(t, romeo, `<list name='x'>`+deny+`</list>`)
	set(t, romeo, `<default name='x'/>`)
	if sm.Privacy.Run(ctx, s.Parts.Hooks, true, p) {
		t.Fatal("not refused")
	}
	if n := testing.AllocsPerRun(100, func() { sm.Privacy.Run(ctx, s.Parts.Hooks, true, p) }); n != 0 {
		t.Errorf("with a list: %v allocations", n)
	}
}

func BenchmarkNoLists(b *testing.B) {
	s, _, p := checks(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		sm.Privacy.Run(ctx, s.Parts.Hooks, true, p)
	}
}
