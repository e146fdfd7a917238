package offline_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/modules/modtest"
)

// age makes all messages that wait older by a hundred days.
func age(t *testing.T, s *modtest.Server) {
	t.Helper()
	if _, err := database(t, s).Exec(t.Context(), `UPDATE spool SET created_at = ?`, time.Now().AddDate(0, 0, -100)); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, s *modtest.Server, words ...string) string {
	t.Helper()
	out, err := s.Command(words[0], words[1:]...)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return out
}

func TestOldMessagesGo(t *testing.T) {
	s, romeo := start(t, limited)
	say(romeo, "a", "b", "c")
	settle(t, s)
	age(t, s)
	command(t, s, "delete_old_messages", "101")
	if got := count(t, s); got != "3" {
		t.Errorf("%s are left of three that are young enough", got)
	}
	command(t, s, "delete_old_messages", "99")
	if got := count(t, s); got != "0" {
		t.Errorf("%s are left", got)
	}
	say(romeo, "d")
	if in := romeo.Inbox(); len(in) > 0 {
		t.Errorf("there is room again, but romeo got %v", in)
	}
}

func TestExpiredMessagesGo(t *testing.T) {
	s, romeo := start(t, "")
	romeo.Say(`<message to='juliet@localhost'><body>dead</body><x xmlns='jabber:x:expire' seconds='60'/>` +
		`<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2001-01-01T00:00:00Z'/></message>`)
	say(romeo, "alive")
	settle(t, s)
	command(t, s, "delete_expired_messages")
	if got := count(t, s); got != "1" {
		t.Errorf("%s are left", got)
	}
}

func TestOldMessagesGoInBatches(t *testing.T) {
	s, romeo := start(t, "")
	say(romeo, "a", "b", "c", "d", "e")
	settle(t, s)
	age(t, s)
	if got := command(t, s, "delete_old_messages_status", "localhost"); got != "Operation not started" {
		t.Errorf("status %q", got)
	}
	if got := command(t, s, "abort_delete_old_messages", "localhost"); got != "No task running" {
		t.Errorf("abort of nothing: %q", got)
	}
	// Two now, the next two in an hour.
	if got := command(t, s, "delete_old_messages_batch", "localhost", "99", "2", "1"); got != "Removal of 5 messages in progress" {
		t.Errorf("started with %q", got)
	}
	if out, err := s.Command("delete_old_messages_batch", "localhost", "99", "2", "1"); err == nil {
		t.Errorf("a second one starts: %q", out)
	}
	if got := command(t, s, "abort_delete_old_messages", "localhost"); got != "Operation aborted" {
		t.Errorf("abort: %q", got)
	}
	if got := command(t, s, "delete_old_messages_status", "localhost"); !strings.HasPrefix(got, "Operation aborted, deleted ") {
		t.Errorf("status %q", got)
	}
}
