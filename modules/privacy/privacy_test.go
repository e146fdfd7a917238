package privacy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/privacy"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "jabber:iq:privacy"

func all() []modules.Module { return []modules.Module{privacy.Module, roster.Module, disco.Module} }

// ask returns the answer to a request about privacy lists: its type, or the
// condition of the error, and what is in the query.
func ask(c *modtest.Client, typ, query string) (string, string) {
	got := c.Ask(`<iq type='` + typ + `' id='q'><query xmlns='` + ns + `'>` + query + `</query></iq>`)
	if e := xmpp.ParseError(got); e != nil {
		return string(e.Condition), ""
	}
	if got.Payload() == nil {
		return got.Type, ""
	}
	return got.Type, string(got.Payload().Inner())
}

func set(t *testing.T, c *modtest.Client, query string) {
	t.Helper()
	if got, _ := ask(c, "set", query); got != "result" {
		t.Fatalf("%s: %s", query, got)
	}
}

// got is what a client was sent, in short: type, sender and body.
func got(c *modtest.Client) []string {
	out := []string{}
	for _, st := range c.Inbox() {
		if st.Kind == xmpp.IQ && st.Type == "set" {
			out = append(out, "push")
			continue
		}
		text := strings.TrimSpace(st.Kind.String() + " " + st.Type + " " + st.From.String() + " " + st.Body())
		if e := xmpp.ParseError(st); e != nil {
			text += string(e.Condition)
		}
		out = append(out, strings.Join(strings.Fields(text), " "))
	}
	return out
}

func expect(t *testing.T, c *modtest.Client, want ...string) {
	t.Helper()
	if in := got(c); !slices.Equal(in, want) && len(in)+len(want) > 0 {
		t.Errorf("%s got %q, want %q", c.JID, in, want)
	}
}

func befriend(t *testing.T, s *modtest.Server, a, b string) {
	t.Helper()
	for _, p := range [][2]string{{a, b}, {b, a}} {
		if _, err := s.Command("add_rosteritem", p[0], "localhost", p[1], "localhost", "", "Friends", "both"); err != nil {
			t.Fatal(err)
		}
	}
}

const deny = `<item type='jid' value='juliet@localhost' action='deny' order='1'/>`

func TestListsAreKeptAndShown(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	romeo, phone := s.Login("romeo@localhost/orchard"), s.Login("romeo@localhost/phone")
	if typ, in := ask(romeo, "get", ""); typ != "result" || in != "" {
		t.Errorf("at first: %s %s", typ, in)
	}
	items := `<item type='group' value='Friends' action='allow' order='1'/>` +
		`<item action='deny' order='2'><message/><presence-out/></item>`
	set(t, romeo, `<list name='one'>`+items+`</list>`)
	expect(t, romeo, "push")
	expect(t, phone, "push")
	set(t, romeo, `<list name='two'>`+deny+`</list>`)
	set(t, romeo, `<default name='two'/>`)
	set(t, romeo, `<active name='one'/>`)
	if _, in := ask(romeo, "get", ""); in != `<active name='one'/><default name='two'/><list name='one'/><list name='two'/>` {
		t.Errorf("names: %s", in)
	}
	if _, in := ask(phone, "get", ""); strings.Contains(in, "active") {
		t.Errorf("the phone has the other's active list: %s", in)
	}
	if _, in := ask(romeo, "get", `<list name='one'/>`); in != `<list name='one'>`+items+`</list>` {
		t.Errorf("items: %s", in)
	}
	for query, want := range map[string]string{
		`<list name='one'/>`:   "result", // his own active one
		`<list name='two'/>`:   "conflict",
		`<list name='three'/>`: "item-not-found",
	} {
		if typ, _ := ask(romeo, "set", query); typ != want {
			t.Errorf("%s: %s", query, typ)
		}
	}
	set(t, phone, `<active name='two'/>`)
	set(t, romeo, `<default/>`)
	if typ, _ := ask(romeo, "set", `<list name='two'/>`); typ != "conflict" {
		t.Errorf("a list that another client uses was removed: %s", typ)
	}
	set(t, phone, `<active/>`)
	set(t, romeo, `<list name='two'/>`)
	if _, in := ask(romeo, "get", ""); in != "" {
		t.Errorf("left: %s", in)
	}
}

func TestWhatIsRefused(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	romeo, tybalt := s.Login("romeo@localhost/orchard"), s.Login("tybalt@localhost/x")
	set(t, romeo, `<list name='one'>`+deny+`</list>`)
	var big strings.Builder
	for i := range 2001 {
		fmt.Fprintf(&big, `<item action='deny' order='%d'/>`, i)
	}
	for query, want := range map[string]string{
		``:                          "bad-request",
		`<active/><default/>`:       "bad-request",
		`<other/>`:                  "bad-request",
		`<list>` + deny + `</list>`: "bad-request",
		`<list name='x'><item type='jid' value='@@' action='deny' order='1'/></list>`:         "bad-request",
		`<list name='x'><item type='jid' action='deny' order='1'/></list>`:                    "bad-request",
		`<list name='x'><item type='subscription' value='x' action='deny' order='1'/></list>`: "bad-request",
		`<list name='x'><item type='mood' value='x' action='deny' order='1'/></list>`:         "bad-request",
		`<list name='x'><item action='perhaps' order='1'/></list>`:                            "bad-request",
		`<list name='x'><item action='deny'/></list>`:                                         "bad-request",
		`<list name='x'><item action='deny' order='-1'/></list>`:                              "bad-request",
		`<list name='x'><item action='deny' order='1'><pubsub/></item></list>`:                "bad-request",
		`<list name='x'><other/></list>`:                                                      "bad-request",
		`<list name='x'>` + big.String() + `</list>`:                                          "resource-constraint",
		`<list name='` + strings.Repeat("x", 256) + `'>` + deny + `</list>`:                   "policy-violation",
		`<active name='x'/>`:  "item-not-found",
		`<default name='x'/>`: "item-not-found",
	} {
		if typ, _ := ask(romeo, "set", query); typ != want {
			t.Errorf("%.200s: %s, want %s", query, typ, want)
		}
	}
	for query, want := range map[string]string{
		`<list name='x'/>`: "item-not-found", `<list name='one'/><list name='two'/>`: "bad-request", `<active/>`: "bad-request",
	} {
		if typ, _ := ask(romeo, "get", query); typ != want {
			t.Errorf("get %s: %s, want %s", query, typ, want)
		}
	}
	for _, typ := range []string{"get", "set"} {
		e := xmpp.ParseError(tybalt.Ask(`<iq type='` + typ + `' id='q' to='romeo@localhost'><query xmlns='` + ns + `'><list name='one'/></query></iq>`))
		if e == nil || e.Condition != "forbidden" {
			t.Errorf("%s of another's list: %v", typ, e)
		}
	}
	for i := range 31 {
		set(t, romeo, fmt.Sprintf("<list name='%d'>%s</list>", i, deny))
	}
	if typ, _ := ask(romeo, "set", `<list name='more'>`+deny+`</list>`); typ != "resource-constraint" {
		t.Errorf("one list too many: %s", typ)
	}
	set(t, romeo, `<list name='one'>`+deny+deny+`</list>`) // changes one that is there
}

// TestActiveListIsOfOneSession: the other ones go by the default.
func TestActiveListIsOfOneSession(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	romeo, phone := s.Available("romeo@localhost/orchard"), s.Available("romeo@localhost/phone")
	juliet := s.Available("juliet@localhost/balcony")
	set(t, romeo, `<list name='no juliet'>`+deny+`</list>`)
	set(t, romeo, `<active name='no juliet'/>`)
	romeo.Inbox()
	phone.Inbox()
	juliet.Say(`<message to='romeo@localhost' type='chat'><body>hi</body></message>`)
	expect(t, romeo)
	expect(t, phone, "message chat juliet@localhost/balcony hi")
	expect(t, juliet)
	juliet.Say(`<message to='romeo@localhost/orchard' type='chat'><body>hi</body></message>`)
	expect(t, juliet, "message error romeo@localhost/orchard hiservice-unavailable")
	romeo.Say(`<message to='juliet@localhost' type='chat'><body>out</body></message>`)
	expect(t, romeo, "message error juliet@localhost outnot-acceptable")
	phone.Say(`<message to='juliet@localhost' type='chat'><body>out</body></message>`)
	expect(t, juliet, "message chat romeo@localhost/phone out")
	romeo.Say(`<message to='romeo@localhost/phone' type='chat'><body>me</body></message>`)
	expect(t, phone, "message chat romeo@localhost/orchard me")
}

// TestPresenceFollowsTheLists: contacts who are not to have it any more hear that
// the user is gone, and that he is there when they may have it again.
func TestPresenceFollowsTheLists(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	s.Register("romeo@localhost", "x")
	s.Register("juliet@localhost", "x")
	befriend(t, s, "romeo", "juliet")
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	romeo.Inbox()
	set(t, romeo, `<list name='hide'><item type='group' value='Friends' action='deny' order='1'><presence-out/></item></list>`)
	expect(t, juliet)
	const gone, there = "presence unavailable romeo@localhost/orchard", "presence romeo@localhost/orchard"
	set(t, romeo, `<default name='hide'/>`)
	expect(t, juliet, gone)
	set(t, romeo, `<list name='show'><item action='allow' order='1'/></list>`)
	set(t, romeo, `<active name='show'/>`)
	expect(t, juliet, there)
	set(t, romeo, `<active/>`)
	expect(t, juliet, gone)
	set(t, romeo, `<list name='hide'><item action='allow' order='1'/></list>`)
	expect(t, juliet, there)
	set(t, romeo, `<list name='hide'>`+deny+`</list>`)
	expect(t, juliet, gone)
	romeo.Say(`<presence><show>away</show></presence>`)
	juliet.Say(`<presence to='romeo@localhost' type='probe'/>`)
	romeo.Logout()
	expect(t, juliet)
}

func TestOperatorSetsAList(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	s.Register("romeo@localhost", "x")
	if _, err := s.Command("privacy_set", "romeo", "localhost", `<query xmlns='jabber:iq:privacy'><list name='one'>`+deny+`</list></query>`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Command("privacy_set", "romeo", "localhost", `<query xmlns='other'/>`); err == nil {
		t.Error("any query is taken")
	}
	if _, err := s.Command("privacy_set", "nobody", "localhost", `<query xmlns='jabber:iq:privacy'><list name='one'>`+deny+`</list></query>`); err == nil {
		t.Error("a list of nobody was stored")
	}
	romeo := s.Login("romeo@localhost/orchard")
	if _, in := ask(romeo, "get", ""); in != `<list name='one'/>` {
		t.Errorf("got %s", in)
	}
	if err := s.Auth.Remove(context.Background(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	if _, in := ask(s.Login("romeo@localhost/new"), "get", ""); in != "" {
		t.Errorf("a new user has the lists of an old one: %s", in)
	}
}

// TestDatabaseAway: where it cannot be told who is blocked, nobody comes through.
func TestDatabaseAway(t *testing.T) {
	s := modtest.Start(t, "", all()...)
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	s.Register("nurse@localhost", "x")
	db, err := s.DB(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "DROP TABLE privacy_list_data"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), "ALTER TABLE privacy_list RENAME TO lost"); err != nil {
		t.Fatal(err)
	}
	romeo.Say(`<message to='juliet@localhost'><body>known to have no lists</body></message>`)
	if in := juliet.Inbox(); len(in) != 1 {
		t.Errorf("juliet got %v", in)
	}
	romeo.Say(`<message to='nurse@localhost'><body>hi</body></message>`)
	expect(t, romeo, "message error nurse@localhost hiservice-unavailable")
	if !strings.Contains(s.Log(), "cannot be read") {
		t.Error("nothing in the log")
	}
}
