package stats_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/stats"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "http://jabber.org/protocol/stats"

func ask(c *modtest.Client, inner string) *xmpp.Stanza {
	return c.Ask(`<iq type='get' id='1' to='localhost'><query xmlns='` + ns + `'>` + inner + `</query></iq>`)
}

func TestNumbers(t *testing.T) {
	s := modtest.Start(t, "", stats.Module)
	c := s.Login("romeo@localhost/orchard")
	s.Login("romeo@localhost/phone")
	s.Register("juliet@localhost", "secret")

	var names []string
	for st := range ask(c, "").Payload().Children() {
		names = append(names, st.Attr("name"))
	}
	if got := strings.Join(names, " "); got != "users/online users/total users/all-hosts/online users/all-hosts/total" {
		t.Errorf("the names are %s", got)
	}
	for name := range strings.FieldsSeq("users/online users/total users/all-hosts/online users/all-hosts/total") {
		got := ask(c, `<stat name='`+name+`'/>`).Payload().Child(ns, "stat")
		if got.Attr("name") != name || got.Attr("value") != "2" || got.Attr("units") != "users" {
			t.Errorf("%s: got %v, want 2", name, got)
		}
	}
}

func TestUnknownNumberCarriesAnError(t *testing.T) {
	s := modtest.Start(t, "", stats.Module)
	c := s.Login("romeo@localhost/orchard")
	q := ask(c, `<stat name='nonsense'/><stat name='users/online'/>`).Payload()
	var got []*xmpp.Element
	for st := range q.Children() {
		got = append(got, st)
	}
	if len(got) != 2 || got[0].Child(ns, "error").Attr("code") != "404" || got[1].Attr("value") != "1" {
		t.Errorf("got %v", q)
	}
}

func TestRefusals(t *testing.T) {
	s := modtest.Start(t, "", stats.Module)
	c := s.Login("romeo@localhost/orchard")
	for bad, want := range map[string]string{
		`<iq type='set' id='1' to='localhost'><query xmlns='` + ns + `'/></iq>`:                "not-allowed",
		`<iq type='get' id='1' to='localhost'><stat xmlns='` + ns + `'/></iq>`:                 "bad-request",
		`<iq type='get' id='1' to='localhost'><query node='running' xmlns='` + ns + `'/></iq>`: "item-not-found",
	} {
		if got := xmpp.ParseError(c.Ask(bad)); got == nil || string(got.Condition) != want {
			t.Errorf("%s: got %v, want %s", bad, got, want)
		}
	}
	if got := ask(c, strings.Repeat(`<stat name='users/total'/>`, 1000)); got.Type != "error" {
		t.Error("a thousand numbers were counted for one request")
	}
}
