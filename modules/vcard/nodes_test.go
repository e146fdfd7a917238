package vcard_test

import (
	"context"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/local"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/vcard"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

func startNodes(t *testing.T) *modtest.Nodes {
	t.Helper()
	return modtest.StartNodes(t, 2, "", vcard.Module)
}

// name is the full name in somebody's vCard, as a client sees it.
func name(c *modtest.Client, of string) string {
	return c.Ask(get(of)).Payload().Child("", "FN").Text()
}

func databaseOf(t *testing.T, s *modtest.Server) *storage.DB {
	t.Helper()
	db, err := s.DB(t.Context(), "sql")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// TestVCardIsSeenOnAllNodes: each node remembers what it was asked for.
func TestVCardIsSeenOnAllNodes(t *testing.T) {
	c := startNodes(t)
	romeo, juliet := c.List[0].Login("romeo@localhost/orchard"), c.List[1].Login("juliet@localhost/balcony")
	for _, want := range []string{"Romeo", "R", "Montague"} {
		name(juliet, "romeo@localhost") // also that there is none yet is remembered
		if got := condition(romeo.Ask(set("romeo@localhost", "<FN>"+want+"</FN>"))); got != "result" {
			t.Fatal(got)
		}
		c.Settle()
		if got := name(juliet, "romeo@localhost"); got != want {
			t.Errorf("on the other node it is %q, want %q", got, want)
		}
	}
	if err := c.List[0].Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	c.Settle()
	if got := name(juliet, "romeo@localhost"); got != "" {
		t.Errorf("the vCard of %q is still there, but the account is gone", got)
	}
}

func TestClearCacheIsForAllNodes(t *testing.T) {
	c := startNodes(t)
	romeo, juliet := c.List[0].Login("romeo@localhost/orchard"), c.List[1].Login("juliet@localhost/balcony")
	romeo.Ask(set("romeo@localhost", "<FN>Romeo</FN>"))
	c.Settle()
	both := func(why, want string) {
		t.Helper()
		for _, x := range []*modtest.Client{romeo, juliet} {
			if got := name(x, "romeo@localhost"); got != want {
				t.Errorf("%s: %s sees %q, want %q", why, x.JID, got, want)
			}
		}
	}
	both("at first", "Romeo")
	if _, err := databaseOf(t, c.List[0]).Exec(t.Context(), `UPDATE vcard SET vcard = ? WHERE {host} AND username = 'romeo'`,
		"<vCard xmlns='vcard-temp'><FN>R</FN></vCard>"); err != nil {
		t.Fatal(err)
	}
	both("changed behind the server's back", "Romeo")
	local.ClearCache.Run(t.Context(), c.List[1].Parts.Hooks, c.List[1].Host)
	c.Settle()
	both("when that was said", "R")
}

// TestOperatorChangesWhatIsStored: a field is put into the vCard of the database,
// however old the one in memory is.
func TestOperatorChangesWhatIsStored(t *testing.T) {
	c := startNodes(t)
	romeo, juliet := c.List[0].Login("romeo@localhost/orchard"), c.List[1].Login("juliet@localhost/balcony")
	romeo.Ask(set("romeo@localhost", "<FN>old</FN>"))
	c.Settle()
	name(juliet, "romeo@localhost")
	c.Hold()
	romeo.Ask(set("romeo@localhost", "<FN>new</FN>"))
	if _, err := c.List[1].Command("set_nickname", "romeo", "localhost", "Romy"); err != nil {
		t.Fatal(err)
	}
	c.Settle()
	card := romeo.Ask(get("romeo@localhost")).Payload()
	if got := card.Child("", "FN").Text() + " " + card.Child("", "NICKNAME").Text(); got != "new Romy" {
		t.Errorf("the vCard says %q", got)
	}
}

// listener counts changes.
func listener(heard *[]string) modules.Module {
	return modules.Define("mod_test_listener", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
		vcard.Changed.Add(h, hooks.Normal, func(_ context.Context, user xmpp.JID) { *heard = append(*heard, user.String()) })
		return nil
	}})
}

// TestFailedWriteIsAChange: nobody knows what the database made of it.
func TestFailedWriteIsAChange(t *testing.T) {
	var heard []string
	s := modtest.Start(t, "modules:\n  mod_vcard: {db_type: sql, max_vcard_size: 100}", vcard.Module, listener(&heard))
	romeo := s.Login("romeo@localhost/orchard")
	romeo.Ask(set("romeo@localhost", "<FN>Romeo</FN>"))
	if len(heard) != 1 || heard[0] != "romeo@localhost" {
		t.Errorf("after one change heard of %v", heard)
	}
	if got := condition(romeo.Ask(set("juliet@localhost", "<FN>Romeo</FN>"))); got != "forbidden" || len(heard) != 1 {
		t.Errorf("a change that was refused: %s, heard of %v", got, heard)
	}
	if _, err := databaseOf(t, s).Exec(t.Context(), `ALTER TABLE vcard_search RENAME TO elsewhere`); err != nil {
		t.Fatal(err)
	}
	if got := condition(romeo.Ask(set("romeo@localhost", "<FN>R</FN>"))); got != "internal-server-error" || len(heard) != 2 {
		t.Errorf("a change that failed: %s, heard of %v", got, heard)
	}
}
