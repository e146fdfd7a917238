package vcard_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/vcard"
	"github.com/gabberd/gabberd/storage"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

const nsSearch = "jabber:iq:search"

func condition(st *xmpp.Stanza) string {
	if st.Type != "error" {
		return st.Type
	}
	return string(xmpp.ParseError(st).Condition)
}

func get(to string) string {
	return `<iq type='get' id='v' to='` + to + `'><vCard xmlns='vcard-temp'/></iq>`
}

func set(to, inner string) string {
	return `<iq type='set' id='v' to='` + to + `'><vCard xmlns='vcard-temp'>` + inner + `</vCard></iq>`
}

func TestEverybodySeesAVCard(t *testing.T) {
	s := modtest.Start(t, "", vcard.Module)
	romeo, juliet := s.Login("romeo@localhost/orchard"), s.Login("juliet@localhost/balcony")
	if got := romeo.Ask(set("romeo@localhost", `<FN>Romeo</FN><PHOTO><BINVAL>AAAA</BINVAL></PHOTO>`)); got.Type != "result" || got.Payload() != nil {
		t.Fatalf("set: %v", got)
	}
	for _, c := range []*modtest.Client{romeo, juliet} {
		got := c.Ask(get("romeo@localhost"))
		if card := got.Payload(); card.Child("", "FN").Text() != "Romeo" || card.Child("", "PHOTO").Child("", "BINVAL").Text() != "AAAA" {
			t.Errorf("%s sees %v", c.JID, got)
		}
	}
	// Without to it is one's own.
	romeo.Ask(`<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>R</FN></vCard></iq>`)
	if got := juliet.Ask(get("romeo@localhost")); got.Payload().Child("", "FN").Text() != "R" {
		t.Errorf("after a change: %v", got)
	}
	// Nobody can tell an account without a vCard from none.
	none, empty := juliet.Ask(get("nobody@localhost")), juliet.Ask(get("juliet@localhost"))
	if none.Type != "result" || none.Payload().XML() != empty.Payload().XML() || empty.Payload().XML() != `<vCard xmlns='vcard-temp'/>` {
		t.Errorf("no account: %v; no vCard: %v", none, empty)
	}
}

func TestOnlyTheOwnerSetsAVCard(t *testing.T) {
	s := modtest.Start(t, "modules:\n  mod_vcard: {max_vcard_size: 100}", vcard.Module)
	romeo, tybalt := s.Login("romeo@localhost/orchard"), s.Login("tybalt@localhost/street")
	romeo.Ask(set("romeo@localhost", `<FN>Romeo</FN>`))
	for _, c := range []struct{ xml, want string }{
		{set("romeo@localhost", `<FN>Villain</FN>`), "forbidden"},
		{set("nobody@localhost", `<FN>Villain</FN>`), "forbidden"},
		{set("localhost", `<FN>Villain</FN>`), "not-allowed"},
		{set("tybalt@localhost", `<FN>`+strings.Repeat("x", 100)+`</FN>`), "policy-violation"},
		{`<iq type='set' id='v' to='tybalt@localhost'><other xmlns='vcard-temp'/></iq>`, "bad-request"},
	} {
		if got := condition(tybalt.Ask(c.xml)); got != c.want {
			t.Errorf("%s: %s, want %s", c.xml, got, c.want)
		}
	}
	// A user of another server.
	iq, err := xmpp.ParseXML([]byte(`<iq xmlns='jabber:client' type='set' id='v' from='romeo@elsewhere.example/x' to='romeo@localhost'><vCard xmlns='vcard-temp'><FN>Villain</FN></vCard></iq>`))
	if err != nil {
		t.Fatal(err)
	}
	s.Send(t.Context(), iq)
	if got := tybalt.Ask(get("romeo@localhost")); got.Payload().Child("", "FN").Text() != "Romeo" {
		t.Errorf("romeo's vCard is now %v", got)
	}
}

func TestAVCardGoesWithTheAccount(t *testing.T) {
	s := modtest.Start(t, "", vcard.Module)
	romeo := s.Login("romeo@localhost/orchard")
	romeo.Ask(set("romeo@localhost", `<FN>Romeo</FN>`))
	romeo.Ask(get("romeo@localhost"))
	if err := s.Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	// A request that is still on its way.
	late, err := xmpp.ParseXML([]byte(`<iq xmlns='jabber:client' type='set' id='v' from='romeo@localhost/orchard' to='romeo@localhost'>` +
		`<vCard xmlns='vcard-temp'><FN>Ghost</FN></vCard></iq>`))
	if err != nil {
		t.Fatal(err)
	}
	s.Send(t.Context(), late)
	if got := s.Login("juliet@localhost/x").Ask(get("romeo@localhost")); got.Payload().Child("", "FN") != nil {
		t.Errorf("left is %v", got)
	}
}

func TestServersOwnVCard(t *testing.T) {
	s := modtest.Start(t, "", vcard.Module)
	if got := s.Login("romeo@localhost/orchard").Ask(get("localhost")); got.Payload().Child("", "FN").Text() != "gabberd" {
		t.Errorf("got %v", got)
	}
	s = modtest.Start(t, `
modules:
  mod_vcard:
    vcard:
      fn: Verona & more
      n: {family: Della Scala}
      adr:
        - {work: true, home: false, street: Elm Street}
      org: {name: Council, units: [Peace, Order]}
      categories: [city, theatre]
      sort_string: verona
      photo: {type: image/png, binval: AAAA}
`, vcard.Module)
	want := `<vCard xmlns='vcard-temp'><FN>Verona &amp; more</FN><N><FAMILY>Della Scala</FAMILY></N><PHOTO><TYPE>image/png</TYPE><BINVAL>AAAA</BINVAL></PHOTO>` +
		`<ADR><WORK/><STREET>Elm Street</STREET></ADR><ORG><ORGNAME>Council</ORGNAME><ORGUNIT>Peace</ORGUNIT><ORGUNIT>Order</ORGUNIT></ORG>` +
		`<CATEGORIES><KEYWORD>city</KEYWORD><KEYWORD>theatre</KEYWORD></CATEGORIES><SORT-STRING>verona</SORT-STRING></vCard>`
	if got := s.Login("romeo@localhost/orchard").Ask(get("localhost")).Payload().XML(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestWrongVCardsAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"vcard: {name: x}":                   "no such part",
		"vcard: [x]":                         "a map such as",
		"vcard: {fn: [a, b]}":                "a text",
		"vcard: {n: Romeo}":                  "a map of family given",
		"vcard: {adr: {home: maybe}}":        "true or false",
		"vcard: {adr: {house: 1}}":           "no such part",
		"vcard: {photo: {binval: '!'}}":      "base64",
		"vcard: {categories: [{a: b}]}":      "a text",
		"db_type: ldap":                      "ldap",
		"matches: 0":                         "at least 1",
		"max_vcard_size: 0":                  "at least 1",
		"host: [a.example, b.example]":       "one domain",
		"hosts: ['not a domain']":            "domain",
		"allow_return_all: sometimes":        "true or false",
		"search_all_hosts: {}":               "true or false",
		"vcard: {fn: a, fn: b}":              "twice",
		"vcard: {geo: {lat: [1, 2]}}":        "a text",
		"vcard: {tel: [{cell: true}, what]}": "a map of",
	} {
		if got := mistakes(t, text); !strings.Contains(got, want) {
			t.Errorf("%s: %q lacks %q", text, got, want)
		}
	}
}

// mistakes is what is wrong with options of the module.
func mistakes(t *testing.T, text string) string {
	t.Helper()
	var all []error
	n, err := config.Parse("test.yml", []byte(text))
	if err != nil {
		return err.Error()
	}
	vcard.Module.Prepare(func(d config.Declarer) { all, _ = config.Decode(n, d) })
	return errors.Join(all...).Error()
}

const searching = `
modules:
  mod_vcard: {search: true, name: Find people, matches: 2}
`

func search(c *modtest.Client, fields ...string) *xmpp.Stanza {
	f := form.New(form.Submit, nsSearch)
	for _, x := range fields {
		k, v, _ := strings.Cut(x, "=")
		f.Fields = append(f.Fields, form.Field{Var: k, Values: strings.Split(v, "|")})
	}
	return c.Ask(`<iq type='set' id='s' to='vjud.localhost'><query xmlns='` + nsSearch + `'>` + f.Element().XML() + `</query></iq>`)
}

// rows are the addresses in an answer.
func rows(t *testing.T, st *xmpp.Stanza) []string {
	t.Helper()
	f, err := form.Find(st.Payload())
	if err != nil || f == nil || f.Kind != form.Result {
		t.Fatalf("no result in %v: %v", st, err)
	}
	var out []string
	for _, row := range f.Items {
		out = append(out, row[0].Values[0])
	}
	return out
}

func TestSearchService(t *testing.T) {
	s := modtest.Start(t, searching, vcard.Module, disco.Module)
	var c *modtest.Client
	for _, u := range []string{"romeo", "romeus", "romana"} {
		c = s.Login(u + "@localhost/x")
		c.Ask(set(u+"@localhost", `<FN>`+u+`</FN><ADR><CTRY>Italy</CTRY></ADR>`))
	}
	got := c.Ask(`<iq type='get' id='s' to='vjud.localhost'><query xmlns='` + nsSearch + `'/></iq>`)
	f, err := form.Find(got.Payload())
	if err != nil || f == nil || f.Kind != form.Ask || f.FormType() != nsSearch || !f.Has("locality") || !f.Has("user") {
		t.Errorf("the form is %v, %v", got, err)
	}
	if got := rows(t, search(c, "fn=Romeo")); !slices.Equal(got, []string{"romeo@localhost"}) {
		t.Errorf("found %v", got)
	}
	if got := rows(t, search(c, "ctry=ITALY", "fn=")); len(got) != 2 {
		t.Errorf("matches is 2, found %v", got)
	}
	for _, nothing := range [][]string{nil, {"fn="}, {"fn=*"}, {"fn=romeo|romeus"}, {"unknown=romeo"}, {"fn=nobody"}} {
		if got := rows(t, search(c, nothing...)); len(got) != 0 {
			t.Errorf("%v finds %v", nothing, got)
		}
	}
	result, err := form.Find(search(c, "fn=Romeo").Payload())
	if err != nil {
		t.Fatal(err)
	}
	if result.Reported[0].Var != "jid" || len(result.Reported) != len(result.Items[0]) {
		t.Errorf("the table is %v", result.Element())
	}
	for i, x := range result.Reported {
		if result.Items[0][i].Var != x.Var {
			t.Errorf("column %d is %s with %s", i, x.Var, result.Items[0][i].Var)
		}
	}
	for _, bad := range []string{
		`<iq type='set' id='s' to='vjud.localhost'><query xmlns='` + nsSearch + `'><first>Romeo</first></query></iq>`,
		`<iq type='set' id='s' to='vjud.localhost'><query xmlns='` + nsSearch + `'><x xmlns='jabber:x:data' type='form'/></query></iq>`,
		`<iq type='set' id='s' to='vjud.localhost'><query xmlns='` + nsSearch + `'><x xmlns='jabber:x:data' type='cancel'/></query></iq>`,
		`<iq type='get' id='s' to='vjud.localhost'><what xmlns='` + nsSearch + `'/></iq>`,
	} {
		if got := condition(c.Ask(bad)); got != "bad-request" {
			t.Errorf("%s: %s", bad, got)
		}
	}
}

func TestEverybodyIsShownIfThatIsAllowed(t *testing.T) {
	s := modtest.Start(t, "modules:\n  mod_vcard: {search: true, allow_return_all: true, matches: infinity}", vcard.Module)
	c := s.Login("romeo@localhost/x")
	c.Ask(set("romeo@localhost", ""))
	if got := rows(t, search(c)); !slices.Equal(got, []string{"romeo@localhost"}) {
		t.Errorf("found %v", got)
	}
}

func TestSearchInServiceDiscovery(t *testing.T) {
	s := modtest.Start(t, searching, vcard.Module, disco.Module)
	c := s.Login("romeo@localhost/x")
	ask := func(typ, to, ns, attr string) *xmpp.Stanza {
		return c.Ask(`<iq type='` + typ + `' id='d' to='` + to + `'><query xmlns='` + ns + `' ` + attr + `/></iq>`)
	}
	if got := ask("get", "localhost", disco.NSItems, ""); got.Payload().Child("", "item").Attr("jid") != "vjud.localhost" {
		t.Errorf("the server's items are %v", got)
	}
	e := disco.ParseEntity(ask("get", "vjud.localhost", disco.NSInfo, "").Payload())
	if len(e.Identities) != 1 || e.Identities[0] != (disco.Identity{Category: "directory", Type: "user", Name: "Find people"}) {
		t.Errorf("identities are %v", e.Identities)
	}
	if !slices.Equal(e.Features, []string{disco.NSInfo, disco.NSItems, nsSearch, vcard.NS}) {
		t.Errorf("features are %v", e.Features)
	}
	if got := ask("get", "vjud.localhost", disco.NSItems, ""); got.Type != "result" || got.Payload().Child("", "") != nil {
		t.Errorf("items are %v", got)
	}
	for _, c := range []struct{ typ, to, ns, attr, want string }{
		{"get", "vjud.localhost", disco.NSInfo, "node='x'", "item-not-found"},
		{"get", "vjud.localhost", disco.NSItems, "node='x'", "item-not-found"},
		{"set", "vjud.localhost", disco.NSInfo, "", "not-allowed"},
		{"get", "vjud.localhost", "urn:other", "", "service-unavailable"},
		{"get", "somebody@vjud.localhost", disco.NSInfo, "", "service-unavailable"},
	} {
		if got := condition(ask(c.typ, c.to, c.ns, c.attr)); got != c.want {
			t.Errorf("%v: %s", c, got)
		}
	}
	if got := c.Ask(get("vjud.localhost")); got.Payload().Child("", "FN").Text() != "gabberd/mod_vcard" {
		t.Errorf("its vCard is %v", got)
	}
	if got := condition(c.Ask(set("vjud.localhost", "<FN>x</FN>"))); got != "not-allowed" {
		t.Errorf("its vCard can be set: %s", got)
	}
	s.Stop()
	if s.Router.Serves("vjud.localhost") {
		t.Error("the service is still there when the module is not")
	}
}

func TestThereIsNoSearchUnlessItIsWanted(t *testing.T) {
	s := modtest.Start(t, "modules:\n  mod_vcard: {hosts: [find.@HOST@]}", vcard.Module)
	if s.Router.Serves("vjud.localhost") || s.Router.Serves("find.localhost") {
		t.Error("there is a search")
	}
	s = modtest.Start(t, "modules:\n  mod_vcard: {search: true, hosts: [find.@HOST@, who.example]}", vcard.Module)
	if s.Router.Serves("vjud.localhost") || !s.Router.Serves("find.localhost") || !s.Router.Serves("who.example") {
		t.Errorf("routes are %v", s.Router.Routes())
	}
}

type none struct{}

func (*none) Fields(*config.Fields) {}

// watcher changes names to Bob, refuses Eve and remembers what was stored.
func watcher(seen *[]string) modules.Module {
	return modules.Define("mod_test_watcher", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
		vcard.Set.Add(h, 30, func(_ context.Context, u vcard.Update, s vcard.Setting) (vcard.Update, hooks.Flow) {
			if u.Card.Child("", "FN").Text() == "Eve" {
				return vcard.Update{Err: xmpp.NotAcceptable}, hooks.Stop
			}
			u.Card = xmpp.El(vcard.NS, "vCard", xmpp.TextEl(vcard.NS, "FN", "Bob"))
			return u, hooks.Next
		})
		vcard.Set.Add(h, 90, func(_ context.Context, u vcard.Update, s vcard.Setting) (vcard.Update, hooks.Flow) {
			*seen = append(*seen, s.User.String()+" "+u.Card.Child("", "FN").Text())
			return u, hooks.Next
		})
		return nil
	}})
}

func TestHookChangesAndRefuses(t *testing.T) {
	var seen []string
	s := modtest.Start(t, "", vcard.Module, watcher(&seen))
	c := s.Login("romeo@localhost/x")
	if got := condition(c.Ask(set("romeo@localhost", "<FN>Romeo</FN>"))); got != "result" {
		t.Errorf("set: %s", got)
	}
	if got := condition(c.Ask(set("romeo@localhost", "<FN>Eve</FN>"))); got != "not-acceptable" {
		t.Errorf("a refused one: %s", got)
	}
	if !slices.Equal(seen, []string{"romeo@localhost Bob"}) {
		t.Errorf("seen was %v", seen)
	}
	card, err := vcard.Of(t.Context(), s.Hooks, c.JID.Bare())
	if err != nil || card.Child("", "FN").Text() != "Bob" {
		t.Errorf("stored is %v, %v", card, err)
	}
	if _, err := vcard.Of(t.Context(), s.Hooks, xmpp.MustParse("nobody@localhost")); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
}
