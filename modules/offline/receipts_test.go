package offline_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// submit has romeo send juliet a message that somebody waits for.
func submit(s *modtest.Server, romeo *modtest.Client, body string) (settled chan struct{}) {
	settled = make(chan struct{})
	r := sm.NewReceipt(func() { close(settled) })
	st := xmpp.New(xmpp.Message, "chat", romeo.JID, xmpp.MustParse("juliet@localhost"), body, xmpp.TextEl(xmpp.NSClient, "body", body))
	s.Sessions.Submit(sm.WithReceipt(context.Background(), r), romeo.Session, st)
	r.Release()
	return settled
}

func isSettled(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// With the database away a message does not count as handled; it does as soon as
// it is committed.
func TestMessageIsHandledWhenItIsCommitted(t *testing.T) {
	s, romeo := start(t, "")
	var settled []chan struct{}
	err := database(t, s).Tx(t.Context(), func(tx *storage.Tx) error { // nobody else can write meanwhile
		if _, err := tx.Exec(t.Context(), `DELETE FROM spool WHERE 1 = 0`); err != nil {
			return err
		}
		settled = append(settled[:0], submit(s, romeo, "a"), submit(s, romeo, "b"))
		for i, c := range settled {
			if isSettled(c) {
				t.Errorf("message %d counts before it is stored", i)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range settled {
		<-c
	}
	if got := count(t, s); got != "2" {
		t.Errorf("%s messages are stored", got)
	}
}

// A message that cannot be stored counts when its sender has been told.
func TestMessageThatWasNotStoredIsHandledWhenItsSenderKnows(t *testing.T) {
	s, romeo := start(t, "")
	if _, err := database(t, s).Exec(t.Context(), `DROP TABLE spool`); err != nil {
		t.Fatal(err)
	}
	<-submit(s, romeo, "a")
	in := romeo.Inbox()
	if len(in) != 1 || in[0].Type != "error" {
		t.Errorf("it counts, and romeo was told %v", in)
	}
}

// phone has juliet's phone acknowledge what it is sent, as XEP-0198 does: by hand.
func phone(s *modtest.Server) func() []*sm.Receipt {
	var mu sync.Mutex
	var held []*sm.Receipt
	sm.FilterSend.Add(owner{s}, hooks.Last, func(ctx context.Context, st *xmpp.Stanza, se *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if se.JID.Resource() == "phone" && st.Kind == xmpp.Message {
			r := sm.ReceiptOf(ctx)
			r.Hold()
			mu.Lock()
			held = append(held, r)
			mu.Unlock()
		}
		return st, hooks.Next
	})
	return func() []*sm.Receipt {
		mu.Lock()
		defer mu.Unlock()
		return held
	}
}

// What was handed over stays in the database until the client has acknowledged it,
// and is given to nobody else meanwhile.
func TestMessagesAreDeletedWhenTheyAreAcknowledged(t *testing.T) {
	s, romeo := start(t, "")
	held := phone(s)
	say(romeo, "a", "b", "c")
	settle(t, s)
	first, second := s.Login("juliet@localhost/phone"), s.Login("juliet@localhost/balcony")
	first.Say(`<presence/>`)
	if got := heard(first); got != "a b c" {
		t.Fatalf("the phone got %q", got)
	}
	second.Say(`<presence><priority>1</priority></presence>`)
	first.Say(`<presence/>`)
	if got := heard(second) + heard(first); got != "" {
		t.Errorf("others got %q", got)
	}
	if got := waiting(t, s); got != 3 {
		t.Errorf("%d messages wait for an acknowledgement", got)
	}
	r := held()
	if len(r) != 3 || r[0] == nil {
		t.Fatalf("receipts: %v", r)
	}
	for i, n := range []int{0, 2, 1} {
		r[n].Secure()
		await(t, fmt.Sprintf("%d messages to be left", 2-i), func() bool { return waiting(t, s) == 2-i })
	}
	if log := s.Log(); len(log) > 0 {
		t.Errorf("the log: %s", log)
	}
}

// waiting is how many rows there are.
func waiting(t *testing.T, s *modtest.Server) int {
	t.Helper()
	var n int64
	if err := database(t, s).Get(t.Context(), []any{&n}, `SELECT COUNT(*) FROM spool`); err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// await waits for what will be so.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A message whose connection broke before it was acknowledged is stored again, and
// only then are the old words deleted: it never is nowhere, and comes once.
func TestUnacknowledgedMessageIsKept(t *testing.T) {
	s, romeo := start(t, "")
	held := phone(s)
	say(romeo, "a")
	settle(t, s)
	first := s.Login("juliet@localhost/phone")
	first.Say(`<presence/>`)
	var got *xmpp.Stanza
	for _, st := range first.Inbox() {
		if st.Kind == xmpp.Message {
			got = st
		}
	}
	first.Logout()
	r := held()[0]
	s.Sessions.Reroute(sm.WithReceipt(context.Background(), r), got)
	r.Release()
	await(t, "one message to be left", func() bool { return waiting(t, s) == 1 })
	settle(t, s)
	again := s.Login("juliet@localhost/hall")
	again.Say(`<presence/>`)
	if got := heard(again); got != "a" {
		t.Errorf("juliet got %q", got)
	}
}

// A message that becomes safe while another client is being given what waits is not
// given to that one.
func TestMessageThatBecomesSafeMeanwhileIsNotGivenTwice(t *testing.T) {
	s, romeo := start(t, "")
	held := phone(s)
	say(romeo, "a", "b")
	settle(t, s)
	s.Login("juliet@localhost/phone").Say(`<presence><priority>1</priority></presence>`)
	// The privacy rules are asked of what was read, before it is given.
	var once sync.Once
	sm.Privacy.Add(owner{s}, hooks.Normal, func(_ context.Context, ok bool, p sm.PrivacyCheck) (bool, hooks.Flow) {
		if p.Stanza.Kind == xmpp.Message && p.Session != nil && p.Session.JID.Resource() == "balcony" {
			once.Do(func() {
				for _, r := range held() {
					r.Secure()
				}
				// Until they are deleted, or, as they should, wait for their turn.
				for end := time.Now().Add(100 * time.Millisecond); waiting(t, s) > 0 && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
			})
		}
		return ok, hooks.Next
	})
	second := s.Login("juliet@localhost/balcony")
	second.Say(`<presence/>`)
	if got := heard(second); got != "" {
		t.Errorf("the second client got %q", got)
	}
	await(t, "the messages to go", func() bool { return waiting(t, s) == 0 })
}
