package mam_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// submit has a client send juliet a message that somebody waits for.
func submit(s *modtest.Server, c *modtest.Client, id string) (settled chan struct{}) {
	settled = make(chan struct{})
	r := sm.NewReceipt(func() { close(settled) })
	st := xmpp.New(xmpp.Message, "chat", c.JID, xmpp.MustParse("juliet@localhost"), id, xmpp.TextEl(xmpp.NSClient, "body", id))
	s.Sessions.Submit(sm.WithReceipt(context.Background(), r), c.Session, st)
	r.Release()
	return settled
}

func database(t *testing.T, s *modtest.Server) *storage.DB {
	t.Helper()
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// With the database away messages are delivered all the same, and count as handled
// when they are committed.
func TestMessageIsHandledWhenItIsCommitted(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	look(romeo, "") // preferences are read
	look(juliet, "")
	submit(s, romeo, "first")
	look(romeo, "")
	juliet.Inbox()
	var settled chan struct{}
	err := database(t, s).Tx(t.Context(), func(tx *storage.Tx) error { // nobody else can write meanwhile
		if _, err := tx.Exec(t.Context(), `DELETE FROM archive WHERE 1 = 0`); err != nil {
			return err
		}
		settled = submit(s, romeo, "second")
		select {
		case <-settled:
			t.Error("it counts before it is archived")
		default:
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if in := juliet.Inbox(); len(in) != 1 || in[0].Body() != "second" {
		t.Errorf("juliet got %v", in)
	}
	<-settled
}

// A message that cannot be archived is delivered, and counts.
func TestMessageThatWasNotArchivedIsDelivered(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	if _, err := database(t, s).Exec(t.Context(), `DROP TABLE archive`); err != nil {
		t.Fatal(err)
	}
	<-submit(s, romeo, "x")
	if in := juliet.Inbox(); len(in) != 1 || in[0].Body() != "x" {
		t.Errorf("juliet got %v", in)
	}
}

// A retraction and what it empties are written together or not at all.
func TestRetractionIsOneWrite(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo := s.Available("romeo@localhost/orchard")
	romeo.Say(chat("juliet@localhost", "m1", "shame"))
	look(romeo, "")
	exec := func(text string) {
		t.Helper()
		if _, err := database(t, s).Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TRIGGER stop BEFORE UPDATE ON archive BEGIN SELECT RAISE(ABORT, 'the lights go out'); END`)
	romeo.Say(retract("juliet@localhost", "r1", "m1"))
	if list, _ := look(romeo, ""); bodies(list) != "shame" {
		t.Errorf("one was written without the other: %v", list)
	}
	exec(`DROP TRIGGER stop`)
	romeo.Say(retract("juliet@localhost", "r2", "m1"))
	if list, _ := look(romeo, ""); bodies(list) != " fallback" || !strings.Contains(list[0].xml, "id='r2'") {
		t.Errorf("found %v", list)
	}
	if list, _ := look(romeo, fields("{urn:xmpp:fulltext:0}fulltext", "shame")); len(list) > 0 {
		t.Errorf("its words are found: %v", list)
	}
}

// One that is still on its way when it is taken back is emptied when it is there.
func TestRetractionOvertakesNothing(t *testing.T) {
	s := modtest.Start(t, keep, mam.Module)
	romeo := s.Available("romeo@localhost/orchard")
	look(romeo, "") // preferences are read
	romeo.Say(chat("juliet@localhost", "m0", "before"))
	look(romeo, "")
	err := database(t, s).Tx(t.Context(), func(tx *storage.Tx) error { // nobody else can write meanwhile
		if _, err := tx.Exec(t.Context(), `DELETE FROM archive WHERE 1 = 0`); err != nil {
			return err
		}
		romeo.Say(chat("juliet@localhost", "m1", "shame"))
		romeo.Say(retract("juliet@localhost", "r1", "m1"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if list, _ := look(romeo, ""); bodies(list) != "before  fallback" {
		t.Errorf("found %v", list)
	}
}

type nothing struct{}

func (*nothing) Fields(*config.Fields) {}

// TestOthersTakePart: they are told what is archived and can keep it out, and add
// jobs.
func TestOthersTakePart(t *testing.T) {
	var rows []string
	listener := modules.Define("mod_test_listener", modules.Spec[nothing]{Start: func(h *modules.Host, _ nothing) error {
		mam.StoreMessage.Add(h, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ mam.Storing) (*xmpp.Stanza, hooks.Flow) {
			if st.ID == "not" {
				return nil, hooks.Stop
			}
			return st, hooks.Next
		})
		sm.Storing.Add(h, hooks.Normal, func(_ context.Context, l []storage.Job, x sm.Storage) ([]storage.Job, hooks.Flow) {
			rows = append(rows, x.Table+" "+x.User.String()+" "+x.Peer.String()+" "+x.Stanza.ID)
			if x.Stanza.Stamp == 0 {
				t.Error("no stamp")
			}
			return l, hooks.Next
		})
		return nil
	}})
	s := modtest.Start(t, keep, mam.Module, listener)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	submit(s, romeo, "yes")
	submit(s, romeo, "not")
	if got := strings.Join(rows, ", "); got != "archive romeo@localhost juliet@localhost yes, archive juliet@localhost romeo@localhost/orchard yes" {
		t.Errorf("got %s", got)
	}
	in := juliet.Inbox()
	if len(in) != 2 || !in[0].Has(nsSID, "stanza-id") || in[1].Has(nsSID, "stanza-id") {
		t.Errorf("juliet got %v", in)
	}
	for _, c := range []*modtest.Client{romeo, juliet} {
		if list, _ := look(c, ""); bodies(list) != "yes" {
			t.Errorf("%s has %v", c.JID, list)
		}
	}
}

// TestArchivedIsSaidOfWhatIsThere, if clients are taken to look, and of nothing else.
func TestArchivedIsSaidOfWhatIsThere(t *testing.T) {
	for _, assume := range []bool{true, false} {
		yaml := keep
		if assume {
			yaml = "modules: {mod_mam: {default: always, assume_mam_usage: true}}"
		}
		s := modtest.Start(t, yaml, mam.Module)
		romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
		submit(s, romeo, "x")
		romeo.Say(`<message to='juliet@localhost' type='chat' id='y'><body>y</body><no-store xmlns='urn:xmpp:hints'/><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='1'/></message>`)
		for i, st := range juliet.Inbox() {
			if got := sm.IsArchived.Run(t.Context(), s.Parts.Hooks, false, st); got != (assume && i == 0) {
				t.Errorf("assume %v: %v of %v", assume, got, st)
			}
		}
	}
}
