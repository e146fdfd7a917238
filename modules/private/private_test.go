package private_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/private"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "jabber:iq:private"

func iq(typ, to, inner string) string {
	return `<iq type='` + typ + `' id='p' to='` + to + `'><query xmlns='` + ns + `'>` + inner + `</query></iq>`
}

func condition(st *xmpp.Stanza) string {
	if st.Type != "error" {
		return st.Type
	}
	return string(xmpp.ParseError(st).Condition)
}

func TestClientsOfAUserShareData(t *testing.T) {
	s := modtest.Start(t, "", private.Module)
	a, b := s.Login("romeo@localhost/orchard"), s.Login("romeo@localhost/street")

	got := a.Ask(iq("get", "romeo@localhost", `<exodus xmlns='exodus:prefs'/>`))
	if el := got.Payload().Child("exodus:prefs", "exodus"); el == nil || len(el.Inner()) != 0 {
		t.Errorf("before anything is stored: %v", got)
	}
	// Without to it is for the own account.
	if got := a.Ask(`<iq type='set' id='p'><query xmlns='` + ns + `'><exodus xmlns='exodus:prefs'><nick>R &amp; J</nick></exodus><b xmlns='urn:b'/></query></iq>`); got.Type != "result" {
		t.Fatalf("set: %v", got)
	}
	got = b.Ask(iq("get", "romeo@localhost", `<exodus xmlns='exodus:prefs'/>`))
	if nick := got.Payload().Child("exodus:prefs", "exodus").Child("", "nick").Text(); nick != "R & J" {
		t.Errorf("the other client reads %v", got)
	}
	b.Ask(iq("set", "romeo@localhost", `<exodus xmlns='exodus:prefs'/>`))
	got = a.Ask(iq("get", "romeo@localhost", `<exodus xmlns='exodus:prefs'/><b xmlns='urn:b'/>`))
	if el := got.Payload().Child("exodus:prefs", "exodus"); el == nil || len(el.Inner()) != 0 || got.Payload().Child("urn:b", "b") == nil {
		t.Errorf("after it was replaced: %v", got)
	}
}

func TestPrefixesGoWithTheData(t *testing.T) {
	s := modtest.Start(t, "", private.Module)
	a := s.Login("romeo@localhost/orchard")
	a.Ask(`<iq type='set' id='p' xmlns:o='urn:o'><query xmlns='` + ns + `'><o:a at='1'><o:c/></o:a></query></iq>`)
	got := a.Ask(iq("get", "romeo@localhost", `<a xmlns='urn:o'/>`))
	if el := got.Payload().Child("urn:o", "a"); el.Attr("at") != "1" || el.Child("urn:o", "c") == nil {
		t.Errorf("got %v", got)
	}
}

func TestDataIsItsOwnersAlone(t *testing.T) {
	s := modtest.Start(t, "", private.Module)
	romeo, tybalt := s.Login("romeo@localhost/orchard"), s.Login("tybalt@localhost/street")
	romeo.Ask(iq("set", "romeo@localhost", `<a xmlns='urn:a'>secret</a>`))

	for _, attack := range []string{
		iq("get", "romeo@localhost", `<a xmlns='urn:a'/>`),
		iq("set", "romeo@localhost", `<a xmlns='urn:a'>forged</a>`),
	} {
		if got := tybalt.Ask(attack); condition(got) != "forbidden" || strings.Contains(got.String(), "secret") {
			t.Errorf("%s: %v", attack, got)
		}
	}
	// Asking himself, he gets his own nothing.
	if got := tybalt.Ask(iq("get", "tybalt@localhost", `<a xmlns='urn:a'/>`)); strings.Contains(got.String(), "secret") {
		t.Errorf("tybalt reads %v", got)
	}
	if got := romeo.Ask(iq("get", "romeo@localhost", `<a xmlns='urn:a'/>`)); got.Payload().Child("urn:a", "a").Text() != "secret" {
		t.Errorf("romeo reads %v", got)
	}
}

func TestBadRequests(t *testing.T) {
	s := modtest.Start(t, "", private.Module)
	a := s.Login("romeo@localhost/orchard")
	many := strings.Builder{}
	for i := range 65 {
		fmt.Fprintf(&many, `<a xmlns='urn:%d'/>`, i)
	}
	for _, c := range []struct{ xml, want string }{
		{iq("get", "romeo@localhost", ""), "bad-request"},
		{iq("set", "romeo@localhost", "<a/>"), "bad-request"},
		{iq("set", "romeo@localhost", "text"), "bad-request"},
		{iq("set", "romeo@localhost", `<a xmlns='urn:`+strings.Repeat("x", 1000)+`'/>`), "policy-violation"},
		{iq("get", "romeo@localhost", many.String()), "policy-violation"},
		{`<iq type='get' id='p'><other xmlns='` + ns + `'><a xmlns='urn:a'/></other></iq>`, "bad-request"},
	} {
		if got := condition(a.Ask(c.xml)); got != c.want {
			t.Errorf("%.100s: %s, want %s", c.xml, got, c.want)
		}
	}
}

func TestThereIsAnEndToWhatIsKept(t *testing.T) {
	s := modtest.Start(t, "", private.Module)
	a := s.Login("romeo@localhost/orchard")
	half := strings.Repeat("x", 500_000)
	for i, want := range []string{"result", "result", "resource-constraint"} {
		if got := condition(a.Ask(iq("set", "romeo@localhost", fmt.Sprintf(`<a xmlns='urn:%d'>%s</a>`, i, half)))); got != want {
			t.Errorf("piece %d: %s, want %s", i, got, want)
		}
	}
	// What was refused is not there, and there is room after something has gone.
	if got := a.Ask(iq("get", "romeo@localhost", `<a xmlns='urn:2'/>`)); got.Payload().Child("urn:2", "a").Text() != "" {
		t.Error("what was refused is stored")
	}
	for _, i := range []int{0, 2} {
		text := map[int]string{2: half}[i]
		if got := condition(a.Ask(iq("set", "romeo@localhost", fmt.Sprintf(`<a xmlns='urn:%d'>%s</a>`, i, text)))); got != "result" {
			t.Errorf("afterwards, piece %d: %s", i, got)
		}
	}
	// A short question has no long answer many times over.
	got := a.Ask(iq("get", "romeo@localhost", strings.Repeat(`<a xmlns='urn:1'/>`, 64)))
	if n := len(got.String()); n > 600_000 {
		t.Errorf("the answer has %d bytes", n)
	}
}

func TestDataGoesWithTheAccount(t *testing.T) {
	s := modtest.Start(t, "", private.Module)
	a := s.Login("romeo@localhost/orchard")
	a.Ask(iq("set", "romeo@localhost", `<a xmlns='urn:a'>old</a>`))
	if err := s.Auth.Remove(t.Context(), a.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	// A request of his that is still on its way must not leave something for
	// whoever comes next.
	late, err := xmpp.ParseXML([]byte(`<iq xmlns='jabber:client' type='set' id='p' from='romeo@localhost/orchard' to='romeo@localhost'>` +
		`<query xmlns='` + ns + `'><a xmlns='urn:a'>trap</a></query></iq>`))
	if err != nil {
		t.Fatal(err)
	}
	s.Send(t.Context(), late)
	s.Register("romeo@localhost", "other")
	if got := s.Login("romeo@localhost/new").Ask(iq("get", "romeo@localhost", `<a xmlns='urn:a'/>`)); got.Payload().Child("urn:a", "a").Text() != "" {
		t.Errorf("the new owner of the name reads %v", got)
	}
}

func TestCommands(t *testing.T) {
	s := modtest.Start(t, "", private.Module)
	s.Register("romeo@localhost", "secret")
	if got, err := s.Command("private_set", "romeo", "localhost", `<aa xmlns='bb'>Cluth</aa>`); err != nil || got != "" {
		t.Fatalf("private_set: %q, %v", got, err)
	}
	want := `<query xmlns='jabber:iq:private'><aa xmlns='bb'>Cluth</aa></query>`
	if got, err := s.Command("private_get", "romeo", "localhost", "aa", "bb"); err != nil || got != want {
		t.Errorf("private_get: %q, %v", got, err)
	}
	want = `<query xmlns='jabber:iq:private'><x xmlns='none'/></query>`
	if got, err := s.Command("private_get", "romeo", "localhost", "x", "none"); err != nil || got != want {
		t.Errorf("private_get of nothing: %q, %v", got, err)
	}
	for _, words := range [][]string{
		{"private_set", "romeo", "localhost", `<aa xmlns='bb'>`},
		{"private_set", "romeo", "localhost", `<aa/>`},
		{"private_set", "nobody", "localhost", `<aa xmlns='bb'/>`},
		{"private_get", "romeo", "localhost", "a><b", "bb"},
		{"private_get", "romeo", "localhost", "a", ""},
	} {
		if got, err := s.Command(words[0], words[1:]...); err == nil {
			t.Errorf("%v: %q and no error", words, got)
		}
	}
}

// What operators keep of a user is not the user's to write or to read.
func TestBansAreOutOfReach(t *testing.T) {
	s := modtest.Start(t, "", private.Module)
	romeo := s.Available("romeo@localhost/orchard")
	for _, typ := range []string{"set", "get"} {
		got := romeo.Ask(`<iq type='` + typ + `' id='b'><query xmlns='jabber:iq:private'><banned xmlns='ejabberd:banned'/></query></iq>`)
		if e := xmpp.ParseError(got); !errors.Is(e, xmpp.NotAllowed) {
			t.Errorf("%s: %v", typ, got)
		}
	}
}
