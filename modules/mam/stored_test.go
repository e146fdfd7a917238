package mam_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// A module that is stopped does not wait until a deletion in the background has come
// to its end.
func TestStoppingEndsDeletions(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo := s.Available("romeo@localhost/orchard")
	for i := range 3 {
		romeo.Say(chat("juliet@localhost", fmt.Sprint(i), "x"))
	}
	look(romeo, "")
	if _, err := s.Command("delete_old_mam_messages_batch", "localhost", "chat", "0", "1", "1"); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		s.Stop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(20 * time.Second): // of minutes
		t.Fatal("stopping waits for the deletion")
	}
}

// What is done about a stored message is about what is stored, also where a handler
// has changed that.
func TestJobsAreAboutWhatIsStored(t *testing.T) {
	var got *xmpp.Stanza
	listener := modules.Define("mod_listener", modules.Spec[nothing]{Start: func(h *modules.Host, _ nothing) error {
		mam.StoreMessage.Add(h, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ mam.Storing) (*xmpp.Stanza, hooks.Flow) {
			return xmpp.New(st.Kind, st.Type, st.From, st.To, st.ID, xmpp.TextEl(xmpp.NSClient, "body", "changed")), hooks.Next
		})
		sm.Storing.Add(h, hooks.Normal, func(_ context.Context, jobs []storage.Job, in sm.Storage) ([]storage.Job, hooks.Flow) {
			got = in.Stanza
			return jobs, hooks.Next
		})
		return nil
	}})
	s := modtest.Start(t, keep, mam.Module, listener)
	romeo := s.Available("romeo@localhost/orchard")
	romeo.Say(chat("juliet@localhost", "1", "secret"))
	look(romeo, "")
	if got == nil || got.Body() != "changed" || got.Stamp == 0 {
		t.Errorf("got %v", got)
	}
}
