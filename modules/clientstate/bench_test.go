package clientstate_test

import (
	"context"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/carboncopy"
	"github.com/gabberd/gabberd/modules/clientstate"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// owner adds hooks for as long as the test runs.
type owner struct{ *modtest.Server }

func (owner) Name() string          { return "test" }
func (o owner) Hooks() *hooks.Table { return o.Parts.Hooks }
func (owner) OnStop(func())         {}

// chatting is two users with a message between them, which is taken away at the very
// end, so that what is measured is the way there.
func chatting(t testing.TB, list ...modules.Module) func() {
	s := modtest.Start(t, "", list...)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/a")
	s.Available("romeo@localhost/phone")
	sm.FilterSend.Add(owner{s}, 1000, func(context.Context, *xmpp.Stanza, *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		return nil, hooks.Stop
	})
	st := xmpp.NewMessage("chat", romeo.JID, juliet.JID.Bare(), xmpp.TextEl(xmpp.NSClient, "body", "It is the east"))
	return func() { s.Sessions.Submit(t.Context(), romeo.Session, st) }
}

// TestActiveClientsPayNothing: a chat between clients that are active, and want no
// copies, allocates as much with the modules as without.
func TestActiveClientsPayNothing(t *testing.T) {
	without := testing.AllocsPerRun(1000, chatting(t))
	if with := testing.AllocsPerRun(1000, chatting(t, carboncopy.Module, clientstate.Module)); with > without {
		t.Errorf("a message allocates %v times with the modules, %v times without", with, without)
	}
}

// BenchmarkChat is a message between clients that have switched on neither copies nor
// the queue of inactive ones.
func BenchmarkChat(b *testing.B) {
	for _, x := range []struct {
		name string
		list []modules.Module
	}{{"without", nil}, {"carbons", []modules.Module{carboncopy.Module}}, {"csi", []modules.Module{clientstate.Module}},
		{"both", []modules.Module{carboncopy.Module, clientstate.Module}}} {
		b.Run(x.name, func(b *testing.B) {
			say := chatting(b, x.list...)
			b.ReportAllocs()
			for b.Loop() {
				say()
			}
		})
	}
}
