package offline_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

// start starts a host on which juliet has an account and nobody is there but
// romeo.
func start(t *testing.T, yaml string) (s *modtest.Server, romeo *modtest.Client) {
	t.Helper()
	s = modtest.Start(t, yaml, disco.Module, offline.Module)
	s.Register("juliet@localhost", "secret")
	return s, s.Available("romeo@localhost/orchard")
}

// settle waits until everything that was queued so far is in the database and
// the module knows.
func settle(t *testing.T, s *modtest.Server) {
	t.Helper()
	db := database(t, s)
	ticket, err := db.Queue(`DELETE FROM spool WHERE 1 = 0`)
	if err == nil {
		err = ticket.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func database(t *testing.T, s *modtest.Server) *storage.DB {
	t.Helper()
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func say(c *modtest.Client, bodies ...string) {
	for _, b := range bodies {
		c.Say(`<message to='juliet@localhost' type='chat' id='` + b + `'><body>` + b + `</body></message>`)
	}
}

// heard is the bodies of the messages that a client has got.
func heard(c *modtest.Client) string {
	var out []string
	for _, st := range c.Inbox() {
		if st.Kind == xmpp.Message {
			out = append(out, st.Body())
		}
	}
	return strings.Join(out, " ")
}

func count(t *testing.T, s *modtest.Server) string {
	t.Helper()
	out, err := s.Command("get_offline_count", "juliet", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type owner struct{ s *modtest.Server }

func (owner) Name() string          { return "mod_a_test" }
func (o owner) Hooks() *hooks.Table { return o.s.Parts.Hooks }
func (owner) OnStop(func())         {}

// arrivals has every stanza that a client of user gets also come out of a
// channel.
func arrivals(s *modtest.Server, user string) <-chan *xmpp.Stanza {
	c := make(chan *xmpp.Stanza, 1000)
	sm.UserReceive.Add(owner{s}, hooks.Last, func(_ context.Context, st *xmpp.Stanza, se *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if se.JID.Local() == user {
			c <- st
		}
		return st, hooks.Next
	})
	return c
}

func TestMessagesWaitForTheUser(t *testing.T) {
	s, romeo := start(t, "")
	say(romeo, "a", "b", "c")
	settle(t, s)
	if got := romeo.Inbox(); len(got) > 0 {
		t.Fatalf("romeo got %v", got)
	}
	shy := s.Login("juliet@localhost/cellar")
	shy.Say(`<presence><priority>-1</priority></presence>`)
	if got := heard(shy); got != "" {
		t.Errorf("a client that wants no messages got %q", got)
	}
	juliet := s.Login("juliet@localhost/balcony")
	if got := heard(juliet); got != "" {
		t.Errorf("before her presence juliet got %q", got)
	}
	juliet.Say(`<presence/>`)
	in := juliet.Inbox()
	if len(in) != 5 || in[0].Body() != "a" || in[1].Body() != "b" || in[2].Body() != "c" {
		t.Fatalf("juliet got %v, want three messages and then presence", in)
	}
	delay := in[0].Child("urn:xmpp:delay", "delay")
	if delay.Attr("from") != "localhost" || delay.Attr("stamp") == "" || in[0].From != romeo.JID || in[0].ID != "a" {
		t.Errorf("juliet got %v", in[0])
	}
	if got := count(t, s); got != "0" {
		t.Errorf("%s messages are left", got)
	}
	juliet.Say(`<presence><show>away</show></presence>`)
	again := s.Login("juliet@localhost/hall")
	again.Say(`<presence/>`)
	if got := heard(juliet) + heard(again); got != "" {
		t.Errorf("they came again: %q", got)
	}
}

func TestPriorityThatRisesGetsTheMessages(t *testing.T) {
	s, romeo := start(t, "")
	juliet := s.Login("juliet@localhost/balcony")
	for i := range 2 {
		juliet.Say(`<presence><priority>-5</priority></presence>`)
		say(romeo, fmt.Sprint(i))
		settle(t, s)
		if got := heard(juliet); got != "" {
			t.Errorf("round %d: too early: %q", i, got)
		}
		juliet.Say(`<presence><priority>5</priority></presence>`)
		if got := heard(juliet); got != fmt.Sprint(i) {
			t.Errorf("round %d: got %q", i, got)
		}
	}
}

const limited = `
shaper_rules:
  max_user_offline_messages: 3
`

func TestFullQueueIsBounced(t *testing.T) {
	s, romeo := start(t, limited)
	say(romeo, "a", "b", "c", "d")
	in := romeo.Inbox()
	if len(in) != 1 || in[0].ID != "d" || !xmpp.ParseError(in[0]).Is(xmpp.ResourceConstraint) || in[0].From.String() != "juliet@localhost" {
		t.Fatalf("romeo got %v", in)
	}
	settle(t, s)
	juliet := s.Available("juliet@localhost/balcony")
	if got := count(t, s); got != "0" {
		t.Fatalf("%s messages are left", got)
	}
	juliet.Logout()
	say(romeo, "e")
	if in := romeo.Inbox(); len(in) > 0 {
		t.Errorf("romeo got %v, although there is room again", in)
	}
}

func TestLimitHoldsForManySenders(t *testing.T) {
	s, _ := start(t, strings.Replace(limited, "3", "20", 1))
	const senders, each = 8, 10
	var clients []*modtest.Client
	for i := range senders {
		clients = append(clients, s.Available(fmt.Sprintf("user%d@localhost/x", i)))
	}
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			for i := range each {
				say(c, fmt.Sprint(i))
			}
		})
	}
	all.Wait()
	settle(t, s)
	bounced := 0
	for _, c := range clients {
		bounced += len(c.Inbox())
	}
	if got := count(t, s); got != "20" || bounced != senders*each-20 {
		t.Errorf("%s stored, %d bounced", got, bounced)
	}
}

func TestFailedWriteIsBouncedLater(t *testing.T) {
	s, romeo := start(t, "")
	in := arrivals(s, "romeo")
	if _, err := database(t, s).Exec(t.Context(), `DROP TABLE spool`); err != nil {
		t.Fatal(err)
	}
	say(romeo, "a")
	st := <-in
	if st.Type != "error" || st.ID != "a" || !xmpp.ParseError(st).Is(xmpp.ResourceConstraint) {
		t.Errorf("romeo got %v", st)
	}
}

// A message that is on its way to the disk when the user comes is in no page
// yet, and must not wait for the next time.
func TestMessageThatIsStoredAfterTheLoginArrives(t *testing.T) {
	s, romeo := start(t, "")
	in := arrivals(s, "juliet")
	db := database(t, s)
	err := db.Tx(t.Context(), func(tx *storage.Tx) error { // nobody else can write meanwhile
		if _, err := tx.Exec(t.Context(), `DELETE FROM spool WHERE 1 = 0`); err != nil {
			return err
		}
		say(romeo, "late")
		juliet := s.Login("juliet@localhost/balcony")
		juliet.Say(`<presence/>`)
		if got := heard(juliet); got != "" {
			t.Errorf("juliet got %q before it was stored", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for st := range in {
		if st.Body() == "late" {
			break
		}
	}
	s.Stop() // waits for the deletion
	var n int64
	if err := db.Get(t.Context(), []any{&n}, `SELECT COUNT(*) FROM spool`); err != nil || n != 0 {
		t.Errorf("%d messages are left, %v", n, err)
	}
}

// What comes when she is there does not overtake what is on its way to the disk.
func TestWhatIsBeingStoredIsNotOvertaken(t *testing.T) {
	s, romeo := start(t, "")
	in := arrivals(s, "juliet")
	err := database(t, s).Tx(t.Context(), func(tx *storage.Tx) error { // nobody else can write meanwhile
		if _, err := tx.Exec(t.Context(), `DELETE FROM spool WHERE 1 = 0`); err != nil {
			return err
		}
		say(romeo, "first", "second")
		s.Login("juliet@localhost/balcony").Say(`<presence/>`)
		say(romeo, "third", "fourth")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(got) < 4 {
		if st := <-in; st.Body() != "" {
			got = append(got, st.Body())
		}
	}
	if strings.Join(got, " ") != "first second third fourth" {
		t.Errorf("juliet got %q", got)
	}
}

// With the disk away for long, who is there goes on.
func TestDiskThatHangsHoldsNobodyUp(t *testing.T) {
	s, romeo := start(t, "")
	in := arrivals(s, "juliet")
	err := database(t, s).Tx(t.Context(), func(tx *storage.Tx) error {
		if _, err := tx.Exec(t.Context(), `DELETE FROM spool WHERE 1 = 0`); err != nil {
			return err
		}
		say(romeo, "first")
		s.Login("juliet@localhost/balcony").Say(`<presence/>`)
		say(romeo, "second")
		for st := range in {
			if st.Body() == "second" {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for st := range in {
		if st.Body() == "first" {
			break
		}
	}
}

func TestConnectionThatBreaksLosesNothing(t *testing.T) {
	s, romeo := start(t, "")
	say(romeo, "a", "b", "c")
	settle(t, s)
	juliet := s.Login("juliet@localhost/balcony")
	var once sync.Once
	sm.UserReceive.Add(owner{s}, hooks.Last, func(_ context.Context, st *xmpp.Stanza, se *sm.Session) (*xmpp.Stanza, hooks.Flow) {
		if st.Body() == "b" {
			once.Do(juliet.Logout)
		}
		return st, hooks.Next
	})
	juliet.Say(`<presence/>`)
	if got := count(t, s); got != "3" {
		t.Errorf("%s messages are left of three", got)
	}
	again := s.Login("juliet@localhost/hall")
	again.Say(`<presence/>`)
	if got := heard(again); got != "a b c" {
		t.Errorf("juliet got %q", got)
	}
}

func TestManyMessagesComeAsTheClientReads(t *testing.T) {
	s, romeo := start(t, "")
	const n = 600
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	say(romeo, want...)
	settle(t, s)
	juliet := s.Login("juliet@localhost/balcony")
	in := arrivals(s, "juliet")
	juliet.Say(`<presence/>`)
	var got []string
	pings := 0
	for len(got) < n {
		st := <-in
		switch {
		case st.IsRequest():
			pings++
			juliet.Say(`<iq type='result' id='` + st.ID + `' to='` + st.From.String() + `'/>`)
		case st.Kind == xmpp.Message:
			got = append(got, st.Body())
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") || pings == 0 {
		t.Errorf("got %q, asked %d times whether they were read", got, pings)
	}
	s.Stop()
	var left int64
	if err := database(t, s).Get(t.Context(), []any{&left}, `SELECT COUNT(*) FROM spool`); err != nil || left != 0 {
		t.Errorf("%d messages are left, %v", left, err)
	}
}

func TestTwoClientsShareTheMessages(t *testing.T) {
	s, romeo := start(t, "")
	say(romeo, "a", "b", "c", "d", "e")
	settle(t, s)
	var clients []*modtest.Client
	for i := range 4 {
		clients = append(clients, s.Login(fmt.Sprintf("juliet@localhost/%d", i)))
	}
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() { c.Say(`<presence/>`) })
	}
	all.Wait()
	total := 0
	for _, c := range clients {
		total += len(strings.Fields(heard(c)))
	}
	if total != 5 {
		t.Errorf("%d messages were handed over, want each of five once", total)
	}
}

func TestBlockedSenderIsNotHeardLater(t *testing.T) {
	s, romeo := start(t, "")
	say(romeo, "a")
	settle(t, s)
	sm.Privacy.Add(owner{s}, hooks.Normal, func(_ context.Context, ok bool, p sm.PrivacyCheck) (bool, hooks.Flow) {
		return ok && (p.Direction == sm.Out || p.Stanza.From.Local() != "romeo"), hooks.Next
	})
	juliet := s.Login("juliet@localhost/balcony")
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "" || count(t, s) != "0" {
		t.Errorf("juliet got %q, %s are left", got, count(t, s))
	}
}

func TestMessagesOfRooms(t *testing.T) {
	for yaml, want := range map[string]string{"": "0", "modules: {mod_offline: {store_groupchat: true}}": "1"} {
		s, romeo := start(t, yaml)
		romeo.Say(`<message to='juliet@localhost' type='groupchat'><body>a</body></message>`)
		romeo.Say(`<message to='nobody@localhost' type='groupchat'><body>a</body></message>`)
		settle(t, s)
		if got := count(t, s); got != want {
			t.Errorf("%q: %s stored, want %s", yaml, got, want)
		}
		if out, err := s.Command("get_offline_count", "nobody", "localhost"); err != nil || out != "0" {
			t.Errorf("%q: %s stored for nobody, %v", yaml, out, err)
		}
	}
}

func TestWhatIsNotKeptIsBounced(t *testing.T) {
	_, romeo := start(t, "")
	romeo.Say(`<message to='juliet@localhost' type='chat' id='1'><body>a</body><no-store xmlns='urn:xmpp:hints'/></message>`)
	romeo.Say(`<message to='juliet@localhost' type='headline' id='2'><body>a</body></message>`)
	if in := romeo.Inbox(); len(in) != 1 || in[0].ID != "1" || in[0].Type != "error" {
		t.Errorf("romeo got %v", in)
	}
}

func TestRemovedUser(t *testing.T) {
	s, romeo := start(t, "")
	say(romeo, "a")
	settle(t, s)
	if err := s.Auth.Remove(t.Context(), xmpp.MustParse("juliet@localhost")); err != nil {
		t.Fatal(err)
	}
	if got := count(t, s); got != "0" {
		t.Errorf("%s messages are left", got)
	}
}

func TestMessageThatExpiresIsNotDelivered(t *testing.T) {
	s, romeo := start(t, "")
	romeo.Say(`<message to='juliet@localhost'><body>dead</body><x xmlns='jabber:x:expire' seconds='60'/>` +
		`<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2001-01-01T00:00:00Z'/></message>`)
	say(romeo, "alive")
	settle(t, s)
	juliet := s.Login("juliet@localhost/balcony")
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "alive" {
		t.Errorf("juliet got %q", got)
	}
}

func TestMessagesWithoutTextAsConfigured(t *testing.T) {
	for value, want := range map[string]string{"true": "2", "false": "0", "unless_chat_state": "1"} {
		s, romeo := start(t, "modules: {mod_offline: {store_empty_body: "+value+"}}")
		romeo.Say(`<message to='juliet@localhost' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>`)
		romeo.Say(`<message to='juliet@localhost' type='chat'><received xmlns='urn:xmpp:receipts' id='1'/></message>`)
		settle(t, s)
		if got := count(t, s); got != want {
			t.Errorf("%s: %s stored, want %s", value, got, want)
		}
	}
}
