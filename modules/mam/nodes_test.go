package mam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/storage"
)

// startNodes starts two nodes with romeo on the one and juliet on the other.
func startNodes(t *testing.T) (c *modtest.Nodes, romeo, juliet *modtest.Client) {
	t.Helper()
	c = modtest.StartNodes(t, 2, keep, mam.Module)
	romeo, juliet = c.List[0].Available("romeo@localhost/orchard"), c.List[1].Available("juliet@localhost/balcony")
	c.Settle()
	romeo.Inbox()
	juliet.Inbox()
	return c, romeo, juliet
}

// rows is what is in all archives, in order.
func rows(t *testing.T, s *modtest.Server) (list []string) {
	t.Helper()
	db, err := s.DB(t.Context(), "sql")
	if err == nil {
		err = db.Each(t.Context(), `SELECT username, timestamp, txt FROM archive WHERE {host} ORDER BY timestamp, username`, nil, func(r storage.Row) error {
			var user, text string
			var stamp int64
			err := r.Scan(&user, &stamp, &text)
			list = append(list, fmt.Sprint(user, " ", stamp, " ", text))
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// heard waits for a message and is its ID in the client's archive.
func heard(c *modtest.Nodes, who *modtest.Client, body string) (id string) {
	c.Await(who.JID.String()+" hears "+body, func() bool {
		for _, st := range who.Inbox() {
			if st.Body() == body {
				id = st.Child(nsSID, "stanza-id").Attr("id")
				return true
			}
		}
		return false
	})
	return id
}

// TestTwoNodesArchiveOnce: each side has a message once, under the same ID, however
// many of the user's devices are on whichever node.
func TestTwoNodesArchiveOnce(t *testing.T) {
	c, romeo, juliet := startNodes(t)
	second := c.List[0].Available("juliet@localhost/chamber")
	c.Settle()
	var want []string
	say := func(from, to *modtest.Client, body string) {
		t.Helper()
		from.Say(chat(to.JID.Bare().String(), body, body))
		id := heard(c, to, body)
		if id == "" {
			t.Fatalf("%s has no ID", body)
		}
		want = append(want, "juliet "+id+" "+body, "romeo "+id+" "+body)
		c.Await("both sides have "+body, func() bool { return slices.Equal(rows(t, c.List[0]), want) })
	}
	say(romeo, juliet, "one")
	say(juliet, romeo, "two")
	say(second, romeo, "three")
	say(romeo, juliet, "four")
	for _, x := range []*modtest.Client{romeo, juliet, second} {
		if list, fin := look(x, ""); bodies(list) != "one two three four" || fin.Attr("complete") != "true" {
			t.Errorf("%s finds %v", x.JID, list)
		}
	}
}

// TestIDFromAnotherNodeIsKnown: who has just been sent a message knows its ID before
// the other node has written it.
func TestIDFromAnotherNodeIsKnown(t *testing.T) {
	c, romeo, juliet := startNodes(t)
	look(juliet, "") // preferences are read
	romeo.Say(chat("juliet@localhost", "1", "zero"))
	heard(c, juliet, "zero")
	c.Await("it is written", func() bool { return len(rows(t, c.List[0])) == 2 })
	for i := range 20 {
		body := fmt.Sprint("m", i)
		romeo.Say(chat("juliet@localhost", body, body))
		id := heard(c, juliet, body)
		if list, e := look(juliet, set("<after>"+id+"</after>")); len(list) > 0 || strings.Contains(e.XML(), "item-not-found") {
			t.Fatalf("%s: behind it is %v, %v", body, list, e)
		}
	}
}

// TestPreferencesOfAnotherNode: what a user wants to be archived counts on all nodes.
func TestPreferencesOfAnotherNode(t *testing.T) {
	c, romeo, juliet := startNodes(t)
	change := func(want string) {
		t.Helper()
		if got := juliet.Ask(`<iq type='set' id='p'><prefs xmlns='` + ns + `' default='` + want + `'><always/><never/></prefs></iq>`); got.Type != "result" {
			t.Fatalf("preferences: %v", got)
		}
		c.Settle()
	}
	romeo.Say(chat("juliet@localhost", "a", "a")) // the node has read what she wants
	heard(c, juliet, "a")
	change("never")
	romeo.Say(chat("juliet@localhost", "b", "b"))
	if id := heard(c, juliet, "b"); id != "" {
		t.Errorf("it is archived as %s", id)
	}
	change("always")
	romeo.Say(chat("juliet@localhost", "c", "c"))
	if id := heard(c, juliet, "c"); id == "" {
		t.Error("it is not archived")
	}
	c.Await("all is written", func() bool { return len(rows(t, c.List[0])) == 5 })
	if list, _ := look(juliet, ""); bodies(list) != "a c" {
		t.Errorf("juliet finds %v", list)
	}
	if list, _ := look(romeo, ""); bodies(list) != "a b c" {
		t.Errorf("romeo finds %v", list)
	}
}

// TestRetractionOnAnotherNode: a message that was archived by the one node is taken
// back from the other, on both sides, and only by who has sent it.
func TestRetractionOnAnotherNode(t *testing.T) {
	c, romeo, juliet := startNodes(t)
	phone := c.List[1].Available("romeo@localhost/phone")
	c.Settle()
	romeo.Say(chat("juliet@localhost", "m1", "regrets"))
	heard(c, juliet, "regrets")
	c.Await("it is written", func() bool { return len(rows(t, c.List[0])) == 2 })
	take := `<message to='%s' type='chat' id='r'><retract xmlns='urn:xmpp:message-retract:1' id='m1'/><fallback xmlns='urn:xmpp:fallback:0'/><store xmlns='urn:xmpp:hints'/></message>`
	juliet.Say(fmt.Sprintf(take, "romeo@localhost"))
	c.Await("her attempt is archived", func() bool { return len(rows(t, c.List[0])) == 4 })
	look(juliet, "")
	if got := strings.Join(rows(t, c.List[0]), ", "); strings.Count(got, "regrets") != 2 {
		t.Errorf("it was taken back by another: %s", got)
	}
	phone.Say(fmt.Sprintf(take, "juliet@localhost"))
	c.Await("it is gone on both sides", func() bool { return !strings.Contains(strings.Join(rows(t, c.List[0]), ", "), "regrets") })
	for _, x := range []*modtest.Client{romeo, juliet} {
		list, _ := look(x, "")
		if len(list) != 3 || list[0].body != "" || !strings.Contains(list[0].xml, "<retracted") {
			t.Errorf("%s finds %v", x.JID, list)
		}
	}
}
