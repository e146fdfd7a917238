package offline_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "http://jabber.org/protocol/offline"

// chooser starts a host on which three messages wait for juliet, who has logged
// in but sent no presence.
func chooser(t *testing.T) (s *modtest.Server, juliet *modtest.Client) {
	t.Helper()
	s, romeo := start(t, "")
	say(romeo, "a", "b", "c")
	settle(t, s)
	return s, s.Login("juliet@localhost/balcony")
}

func headers(t *testing.T, c *modtest.Client) (nodes []string) {
	t.Helper()
	q := c.Ask(`<iq type='get' id='h'><query xmlns='http://jabber.org/protocol/disco#items' node='` + ns + `'/></iq>`).Payload()
	for item := range q.Children() {
		if item.Attr("name") != "romeo@localhost/orchard" || item.Attr("jid") != "juliet@localhost" {
			t.Errorf("header %s", item)
		}
		nodes = append(nodes, item.Attr("node"))
	}
	return nodes
}

func TestClientThatChoosesIsNotFlooded(t *testing.T) {
	s, juliet := chooser(t)
	info := juliet.Ask(`<iq type='get' id='1'><query xmlns='http://jabber.org/protocol/disco#info' node='` + ns + `'/></iq>`).Payload()
	for _, want := range []string{"category='automation' type='message-list'", "var='" + ns + "'", "<value>3</value>"} {
		if !strings.Contains(info.XML(), want) {
			t.Errorf("no %s in %s", want, info)
		}
	}
	juliet.Say(`<presence/>`)
	if got := heard(juliet); got != "" || count(t, s) != "3" {
		t.Errorf("juliet got %q, %s are left", got, count(t, s))
	}
}

func TestClientChoosesItsMessages(t *testing.T) {
	s, juliet := chooser(t)
	nodes := headers(t, juliet)
	if len(nodes) != 3 {
		t.Fatalf("headers %q", nodes)
	}
	if st := juliet.Ask(`<iq type='get' id='v'><offline xmlns='` + ns + `'><item action='view' node='` + nodes[1] + `'/></offline></iq>`); st.Type != "result" {
		t.Errorf("view is answered %v", st)
	}
	in := juliet.Inbox()
	if len(in) != 1 || in[0].Body() != "b" || in[0].Child(ns, "offline").Child(ns, "item").Attr("node") != nodes[1] {
		t.Fatalf("juliet got %v", in)
	}
	if st := juliet.Ask(`<iq type='set' id='r'><offline xmlns='` + ns + `'><item action='remove' node='` + nodes[1] + `'/></offline></iq>`); st.Type != "result" {
		t.Errorf("remove is answered %v", st)
	}
	if st := juliet.Ask(`<iq type='get' id='f'><offline xmlns='` + ns + `'><fetch/></offline></iq>`); st.Type != "result" {
		t.Errorf("fetch is answered %v", st)
	}
	if got := heard(juliet); got != "a c" || count(t, s) != "2" {
		t.Errorf("fetched %q, %s are left", got, count(t, s))
	}
	if st := juliet.Ask(`<iq type='set' id='p'><offline xmlns='` + ns + `'><purge/></offline></iq>`); st.Type != "result" || count(t, s) != "0" {
		t.Errorf("purge is answered %v, %s are left", st, count(t, s))
	}
}

func TestBadChoices(t *testing.T) {
	s, juliet := chooser(t)
	node := headers(t, juliet)[0]
	for _, x := range []struct{ typ, inner, want string }{
		{"get", ``, "bad-request"},
		{"get", `<purge/>`, "bad-request"},
		{"set", `<fetch/>`, "bad-request"},
		{"get", `<item action='remove' node='` + node + `'/>`, "bad-request"},
		{"set", `<item action='view' node='` + node + `'/>`, "bad-request"},
		{"get", `<item action='view' node='99999999999'/>`, "item-not-found"},
		{"get", `<item action='view' node='x'/>`, "item-not-found"},
		{"set", `<item action='remove' node='99999999999'/>`, "item-not-found"},
		{"set", strings.Repeat(`<item action='remove' node='1'/>`, 257), "resource-constraint"},
	} {
		st := juliet.Ask(`<iq type='` + x.typ + `' id='x'><offline xmlns='` + ns + `'>` + x.inner + `</offline></iq>`)
		if e := xmpp.ParseError(st); e == nil || string(e.Condition) != x.want {
			t.Errorf("%s %.60s is answered %v, want %s", x.typ, x.inner, st, x.want)
		}
	}
	if got := heard(juliet); got != "" || count(t, s) != "3" {
		t.Errorf("juliet got %q, %s are left", got, count(t, s))
	}
}

func TestMessagesAreForWhomTheyWereSentTo(t *testing.T) {
	s, juliet := chooser(t)
	node := headers(t, juliet)[0]
	tybalt := s.Available("tybalt@localhost/street")
	for _, attack := range []string{
		`<iq type='get' id='x' to='juliet@localhost'><offline xmlns='` + ns + `'><fetch/></offline></iq>`,
		`<iq type='set' id='x' to='juliet@localhost'><offline xmlns='` + ns + `'><purge/></offline></iq>`,
		`<iq type='get' id='x' to='juliet@localhost'><offline xmlns='` + ns + `'><item action='view' node='` + node + `'/></offline></iq>`,
		`<iq type='get' id='x'><offline xmlns='` + ns + `'><item action='view' node='` + node + `'/></offline></iq>`,
		`<iq type='set' id='x'><offline xmlns='` + ns + `'><item action='remove' node='` + node + `'/></offline></iq>`,
		`<iq type='get' id='x' to='juliet@localhost'><query xmlns='http://jabber.org/protocol/disco#items' node='` + ns + `'/></iq>`,
		`<iq type='get' id='x' to='juliet@localhost'><query xmlns='http://jabber.org/protocol/disco#info' node='` + ns + `'/></iq>`,
	} {
		if st := tybalt.Ask(attack); st.Type != "error" {
			t.Errorf("%s is answered %v", attack, st)
		}
	}
	if got := heard(tybalt); got != "" || count(t, s) != "3" {
		t.Errorf("tybalt got %q, %s are left", got, count(t, s))
	}
}

func TestForeignMarkDoesNotReachTheStore(t *testing.T) {
	s, romeo := start(t, "")
	romeo.Say(`<message to='juliet@localhost'><body>a</body><offline xmlns='` + ns + `'><item node='1'/></offline></message>`)
	settle(t, s)
	if got := count(t, s); got != "0" {
		t.Errorf("%s stored", got)
	}
}
