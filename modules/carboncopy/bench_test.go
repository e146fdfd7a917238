package carboncopy_test

import (
	"context"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/carboncopy"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// drop takes the messages away at the very end, so that what is measured is the way
// there.
func drop(s *modtest.Server) {
	sm.FilterSend.Add(owner{s}, hooks.Normal, func(context.Context, *xmpp.Stanza, *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		return nil, hooks.Stop
	})
}

// TestWhoWantsNoCopiesPaysNothing: a chat between users of whom nobody wants copies
// allocates as much with the module as without.
func TestWhoWantsNoCopiesPaysNothing(t *testing.T) {
	measure := func(list ...modules.Module) float64 {
		s := modtest.Start(t, "", list...)
		romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/a")
		s.Available("romeo@localhost/phone")
		drop(s)
		st := xmpp.NewMessage("chat", romeo.JID, juliet.JID, xmpp.TextEl(xmpp.NSClient, "body", "It is the east"))
		bare := st.Readdressed(romeo.JID, juliet.JID.Bare())
		return testing.AllocsPerRun(1000, func() {
			s.Sessions.Submit(t.Context(), romeo.Session, st)
			s.Sessions.Submit(t.Context(), romeo.Session, bare)
		})
	}
	if with, without := measure(carboncopy.Module), measure(); with > without {
		t.Errorf("two messages allocate %v times with the module, %v times without", with, without)
	}
}

func BenchmarkChat(b *testing.B) {
	for _, x := range []struct {
		name   string
		list   []modules.Module
		copied bool
	}{{"without", nil, false}, {"with", []modules.Module{carboncopy.Module}, false}, {"copied", []modules.Module{carboncopy.Module}, true}} {
		b.Run(x.name, func(b *testing.B) {
			s := modtest.Start(b, "", x.list...)
			romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/a")
			phone := s.Available("romeo@localhost/phone")
			s.Sessions.SetCopied(b.Context(), phone.Session, x.copied)
			drop(s)
			st := xmpp.NewMessage("chat", romeo.JID, juliet.JID, xmpp.TextEl(xmpp.NSClient, "body", "It is the east"))
			b.ReportAllocs()
			for b.Loop() {
				s.Sessions.Submit(b.Context(), romeo.Session, st)
			}
		})
	}
}
