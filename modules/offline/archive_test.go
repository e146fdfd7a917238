package offline_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
)

const fromArchive = "modules: {mod_mam: {default: always}, mod_offline: {use_mam_for_storage: true}}"

// startArchive is start with an archive in which messages are kept.
func startArchive(t *testing.T, yaml string) (s *modtest.Server, romeo *modtest.Client) {
	t.Helper()
	s = modtest.Start(t, yaml+"\n"+fromArchive, disco.Module, mam.Module, offline.Module)
	s.Register("juliet@localhost", "secret")
	return s, s.Available("romeo@localhost/orchard")
}

// spool is what is stored for juliet.
func spool(t *testing.T, s *modtest.Server) (rows []string) {
	t.Helper()
	err := database(t, s).Each(t.Context(), `SELECT xml FROM spool WHERE {host} ORDER BY seq`, nil, func(r storage.Row) error {
		var xml string
		err := r.Scan(&xml)
		rows = append(rows, xml)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// unarchived says something that the archive does not keep.
func unarchived(c *modtest.Client, body string) {
	c.Say(`<message to='juliet@localhost' type='chat'><body>` + body + `</body><no-permanent-store xmlns='urn:xmpp:hints'/></message>`)
}

func TestArchivedMessagesAreStoredOnce(t *testing.T) {
	s, romeo := startArchive(t, "")
	say(romeo, "a", "b")
	unarchived(romeo, "c")
	say(romeo, "d")
	settle(t, s)
	rows := spool(t, s)
	if len(rows) != 4 || !strings.Contains(rows[2], "<body>c</body>") {
		t.Fatalf("stored: %q", rows)
	}
	for _, i := range []int{0, 1, 3} {
		st, err := xmpp.ParseXML([]byte(rows[i]))
		if err != nil || st.Body() != "" || st.Type != "error" || st.ID != "ActivityMarker" ||
			st.Child("urn:xmpp:delay", "delay").Attr("from") != "localhost" || st.From != romeo.JID {
			t.Errorf("ejabberd would not take this for a marker: %s", rows[i])
		}
	}
	if got := count(t, s); got != "4" {
		t.Errorf("counted %s", got)
	}
	juliet := s.Login("juliet@localhost/balcony")
	juliet.Say(`<presence/>`)
	in := juliet.Inbox()
	if len(in) != 5 {
		t.Fatalf("juliet got %v", in)
	}
	for i, body := range []string{"a", "b", "c", "d"} {
		st := in[i]
		if st.Body() != body || st.Type != "chat" || st.Child("urn:xmpp:delay", "delay").Attr("stamp") == "" || st.From != romeo.JID {
			t.Errorf("%d: %v", i, st)
		}
		if got := st.Child("urn:xmpp:sid:0", "stanza-id").Attr("by"); (got == "juliet@localhost") != (body != "c") {
			t.Errorf("%d is by %q in the archive", i, got)
		}
	}
	if rows := spool(t, s); len(rows) != 0 {
		t.Errorf("left: %q", rows)
	}
	juliet.Say(`<presence><priority>-1</priority></presence>`)
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "" {
		t.Errorf("they came again: %q", got)
	}
}

// A message counts as handled when it is in the archive.
func TestArchivedMessageIsHandledWhenItIsCommitted(t *testing.T) {
	s, romeo := startArchive(t, "")
	say(romeo, "first") // preferences are read
	settle(t, s)
	var settled chan struct{}
	err := database(t, s).Tx(t.Context(), func(tx *storage.Tx) error { // nobody else can write meanwhile
		if _, err := tx.Exec(t.Context(), `DELETE FROM spool WHERE 1 = 0`); err != nil {
			return err
		}
		settled = submit(s, romeo, "a")
		if isSettled(settled) {
			t.Error("it counts before it is archived")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-settled
	settle(t, s)
	if got := count(t, s); got != "2" {
		t.Errorf("%s wait", got)
	}
}

// A message that does not get into the archive is stored here as a whole, and counts
// when that is done.
func TestMessageThatWasNotArchivedIsStored(t *testing.T) {
	s, romeo := startArchive(t, "")
	say(romeo, "first")
	settle(t, s)
	if _, err := database(t, s).Exec(t.Context(), `ALTER TABLE archive RENAME TO away`); err != nil {
		t.Fatal(err)
	}
	<-submit(s, romeo, "a")
	settle(t, s)
	if _, err := database(t, s).Exec(t.Context(), `ALTER TABLE away RENAME TO archive`); err != nil {
		t.Fatal(err)
	}
	if in := romeo.Inbox(); len(in) > 0 {
		t.Errorf("romeo was told %v", in)
	}
	juliet := s.Login("juliet@localhost/balcony")
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "first a" {
		t.Errorf("juliet got %q", got)
	}
}

// Nothing is stored and nobody has it: the sender is told, and then it counts.
func TestMessageThatIsNowhereIsRefused(t *testing.T) {
	s, romeo := startArchive(t, "")
	say(romeo, "first")
	settle(t, s)
	for _, table := range []string{"archive", "spool"} {
		if _, err := database(t, s).Exec(t.Context(), `DROP TABLE `+table); err != nil {
			t.Fatal(err)
		}
	}
	<-submit(s, romeo, "a")
	if in := romeo.Inbox(); len(in) != 1 || !xmpp.ParseError(in[0]).Is(xmpp.ResourceConstraint) {
		t.Errorf("romeo was told %v", in)
	}
}

// What a client has not acknowledged when its stream ends comes again, once.
func TestUnacknowledgedMessageOfTheArchiveIsKept(t *testing.T) {
	s, romeo := startArchive(t, "")
	held := phone(s)
	say(romeo, "a", "b", "c")
	settle(t, s)
	first := s.Login("juliet@localhost/phone")
	first.Say(`<presence/>`)
	var got []*xmpp.Stanza
	for _, st := range first.Inbox() {
		if st.Kind == xmpp.Message {
			got = append(got, st)
		}
	}
	if len(got) != 3 || waiting(t, s) != 3 {
		t.Fatalf("the phone got %v, %d wait for an acknowledgement", got, waiting(t, s))
	}
	held()[0].Secure()
	await(t, "two messages to be left", func() bool { return waiting(t, s) == 2 })
	first.Logout()
	for i, r := range held()[1:] {
		s.Sessions.Reroute(sm.WithReceipt(context.Background(), r), got[i+1])
		r.Release()
	}
	await(t, "the old references to go", func() bool {
		rows := spool(t, s)
		return len(rows) == 2 && !strings.Contains(strings.Join(rows, ""), "<body>")
	})
	again := s.Login("juliet@localhost/hall")
	again.Say(`<presence/>`)
	if got := heard(again); got != "b c" {
		t.Errorf("juliet got %q", got)
	}
}

// TestWhatEjabberdLeft: the first message whole, and the rest in the archive alone; or
// a marker.
func TestWhatEjabberdLeft(t *testing.T) {
	for name, first := range map[string]string{
		"message": `<message to='juliet@localhost' from='romeo@localhost/orchard' type='chat'><body>1</body>` +
			`<archived by='juliet@localhost' id='%[1]d' xmlns='urn:xmpp:mam:tmp'/><stanza-id by='juliet@localhost' id='%[1]d' xmlns='urn:xmpp:sid:0'/>` +
			`<delay xmlns='urn:xmpp:delay' from='localhost' stamp='%[2]s'>Offline Storage</delay></message>`,
		"marker": `<message to='juliet@localhost' from='localhost' type='error' id='ActivityMarker'><delay xmlns='urn:xmpp:delay' from='localhost' stamp='%[2]s'/></message>`,
	} {
		t.Run(name, func(t *testing.T) {
			s, romeo := startArchive(t, "")
			db, begun := database(t, s), time.Now().Add(-time.Hour).UnixMicro()
			archive := func(n int64, from, to, inner string) {
				t.Helper()
				peer := from
				if strings.HasPrefix(from, "juliet") {
					peer = to
				}
				if _, err := db.Exec(t.Context(), `INSERT INTO archive ({server_host,} username, timestamp, peer, bare_peer, xml, txt, kind, nick)
					VALUES ({?host,} 'juliet', ?, ?, ?, ?, '', 'chat', '')`, begun+n*1000, peer, strings.Split(peer, "/")[0],
					fmt.Sprintf(`<message to='%s' from='%s' type='chat'>%s</message>`, to, from, inner)); err != nil {
					t.Fatal(err)
				}
			}
			const r, j = "romeo@localhost/orchard", "juliet@localhost"
			archive(-1, r, j, `<body>old</body>`)
			archive(0, r, j, `<body>1</body>`)
			archive(1, j+"/hidden", r, `<body>mine</body>`)
			archive(2, r, j, `<body>2</body>`)
			archive(4, r, j, `<retracted xmlns='urn:xmpp:message-retract:1' stamp='x'/>`)
			archive(5, r, j, `<body>4</body>`)
			stamp := func(n int64) string {
				return time.UnixMicro(begun + n*1000).UTC().Format("2006-01-02T15:04:05.000000Z")
			}
			for _, xml := range []string{
				fmt.Sprintf(first, begun, stamp(0)),
				fmt.Sprintf(`<message to='juliet@localhost' from='romeo@localhost/orchard' type='chat'><body>3</body><delay xmlns='urn:xmpp:delay' from='localhost' stamp='%s'/></message>`, stamp(3)),
			} {
				if _, err := db.Exec(t.Context(), `INSERT INTO spool ({server_host,} username, xml) VALUES ({?host,} 'juliet', ?)`, xml); err != nil {
					t.Fatal(err)
				}
			}
			if got := count(t, s); got != "4" {
				t.Errorf("counted %s", got)
			}
			say(romeo, "5")
			settle(t, s)
			juliet := s.Login("juliet@localhost/balcony")
			juliet.Say(`<presence/>`)
			if got := heard(juliet); got != "1 2 3 4 5" {
				t.Errorf("juliet got %q", got)
			}
			if rows := spool(t, s); len(rows) != 0 {
				t.Errorf("left: %q", rows)
			}
		})
	}
}

// Archived messages are not refused; of too many the newest come.
func TestLimitForArchivedMessages(t *testing.T) {
	s, romeo := startArchive(t, limited)
	say(romeo, "a", "b", "c", "d", "e")
	settle(t, s)
	if in := romeo.Inbox(); len(in) > 0 {
		t.Errorf("romeo was told %v", in)
	}
	unarchived(romeo, "f")
	if in := romeo.Inbox(); len(in) != 1 || !xmpp.ParseError(in[0]).Is(xmpp.ResourceConstraint) {
		t.Errorf("romeo was told %v of what the archive does not have", in)
	}
	juliet := s.Login("juliet@localhost/balcony")
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "c d e" {
		t.Errorf("juliet got %q", got)
	}
	if rows := spool(t, s); len(rows) != 0 {
		t.Errorf("left: %q", rows)
	}
}

func TestClientChoosesAmongArchivedMessages(t *testing.T) {
	s, romeo := startArchive(t, "")
	say(romeo, "a", "b", "c")
	settle(t, s)
	juliet := s.Login("juliet@localhost/balcony")
	nodes := headers(t, juliet)
	if len(nodes) != 3 {
		t.Fatalf("headers %q", nodes)
	}
	for i, action := range []string{
		`<iq type='get' id='x'><offline xmlns='` + ns + `'><item action='view' node='` + nodes[1] + `'/></offline></iq>`,
		`<iq type='set' id='x'><offline xmlns='` + ns + `'><item action='remove' node='` + nodes[0] + `'/></offline></iq>`,
		`<iq type='get' id='x'><offline xmlns='` + ns + `'><fetch/></offline></iq>`,
		`<iq type='set' id='x'><offline xmlns='` + ns + `'><purge/></offline></iq>`,
	} {
		if st := juliet.Ask(action); st.Type != "result" {
			t.Errorf("%s is answered %v", action, st)
		}
		if got, want := heard(juliet), [...]string{"b", "", "b c", ""}[i]; got != want {
			t.Errorf("%s: %q, want %q", action, got, want)
		}
	}
	if got := count(t, s); got != "0" {
		t.Errorf("%s are left", got)
	}
}

// What is in the archive no more is dropped, once it cannot be on its way there.
func TestReferenceToWhatIsGone(t *testing.T) {
	s, romeo := startArchive(t, "")
	say(romeo, "a", "b")
	settle(t, s)
	db := database(t, s)
	if _, err := db.Exec(t.Context(), `DELETE FROM archive WHERE {host} AND username = 'juliet' AND xml LIKE '%<body>a</body>%'`); err != nil {
		t.Fatal(err)
	}
	juliet := s.Login("juliet@localhost/balcony")
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "b" || waiting(t, s) != 1 {
		t.Errorf("juliet got %q, %d are left", got, waiting(t, s))
	}
	year := fmt.Sprint(time.Now().UTC().Year())
	if _, err := db.Exec(t.Context(), `UPDATE spool SET xml = REPLACE(xml, ?, ?)`, "stamp='"+year, "stamp='2001"); err != nil {
		t.Fatal(err)
	}
	juliet.Say(`<presence><priority>-1</priority></presence>`)
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "" || waiting(t, s) != 0 {
		t.Errorf("juliet got %q, %d are left", got, waiting(t, s))
	}
}

// A client that binds by Bind 2 reads the archive and is not given what it has.
func TestBind2AndReferences(t *testing.T) {
	s, romeo := startArchive(t, "")
	say(romeo, "a")
	unarchived(romeo, "b")
	settle(t, s)
	juliet := s.Login("juliet@localhost/balcony")
	sm.InlineBind.Run(t.Context(), s.Parts.Hooks, nil, sm.Binding{Session: juliet.Session, Request: xmpp.El("urn:xmpp:bind:0", "bind")})
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "b" {
		t.Errorf("juliet got %q", got)
	}
}

// Nobody can have others' clients be sent what looks like a reference, or send
// himself the archive of another.
func TestReferencesCannotBeForged(t *testing.T) {
	s, romeo := startArchive(t, "")
	s.Register("tybalt@localhost", "secret")
	romeo.Say(`<message to='tybalt@localhost' type='chat'><body>secret</body></message>`)
	const inner = `<delay xmlns='urn:xmpp:delay' from='localhost' stamp='2001-01-01T00:00:00Z'/><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost' id='1'/>` +
		`<stanza-id xmlns='urn:xmpp:sid:0' by='tybalt@localhost' id='1'/>`
	say(romeo, "before")
	settle(t, s)
	seen := s.Login("juliet@localhost/balcony")
	seen.Say(`<presence/>`)
	seen.Logout()
	romeo.Say(`<message to='juliet@localhost' type='error' id='ActivityMarker'>` + inner + `</message>`)
	romeo.Say(`<message to='juliet@localhost' type='chat' id='ActivityMarker'><body>x</body>` + inner + `<no-permanent-store xmlns='urn:xmpp:hints'/></message>`)
	settle(t, s)
	juliet := s.Login("juliet@localhost/hall")
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "x" {
		t.Errorf("juliet got %q", got)
	}
}

// TestPagesFromTheArchiveAreBounded: references are small, what they stand for is not.
func TestPagesFromTheArchiveAreBounded(t *testing.T) {
	s, romeo := startArchive(t, "")
	const n, atOnce, perPage = 200, 4, 16 // twice so many pages: before its presence and behind it
	big := strings.Repeat("x", 20_000)
	for i := range n {
		romeo.Say(fmt.Sprintf(`<message to='juliet@localhost' type='chat' id='%03d'><body>%s</body></message>`, i, big))
	}
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
			if got = append(got, st.ID); pings == 0 && len(got) > 2*atOnce*perPage {
				t.Fatalf("%d messages come before it is asked whether they were read", len(got))
			}
		}
	}
	if pings == 0 || got[0] != "000" || got[n-1] != fmt.Sprint(n-1) {
		t.Errorf("got %q, asked %d times", got, pings)
	}
}

func TestArchiveThatIsNotThere(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_offline: {use_mam_for_storage: true}}", offline.Module)
	s.Register("juliet@localhost", "secret")
	if !strings.Contains(s.Log(), "has no effect") {
		t.Errorf("nobody is told: %s", s.Log())
	}
	say(s.Available("romeo@localhost/orchard"), "a")
	settle(t, s)
	// Left by a server that had an archive.
	if _, err := database(t, s).Exec(t.Context(), `INSERT INTO spool ({server_host,} username, xml) VALUES ({?host,} 'tybalt', ?)`,
		`<message to='tybalt@localhost' from='romeo@localhost' type='error' id='ActivityMarker'><delay xmlns='urn:xmpp:delay' from='localhost' stamp='2001-01-01T00:00:00Z'/>`+
			`<stanza-id xmlns='urn:xmpp:sid:0' by='tybalt@localhost' id='1'/></message>`); err != nil {
		t.Fatal(err)
	}
	juliet, tybalt := s.Login("juliet@localhost/balcony"), s.Login("tybalt@localhost/street")
	juliet.Say(`<presence/>`)
	tybalt.Say(`<presence/>`)
	if got := heard(juliet) + heard(tybalt); got != "a" || waiting(t, s) != 1 {
		t.Errorf("they got %q, %d are left", got, waiting(t, s))
	}
}
