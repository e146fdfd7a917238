package mam_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/xmpp"
)

// refuses checks that a request is refused with that condition, and that nothing else
// comes.
func refuses(t *testing.T, c *modtest.Client, iq, want string) {
	t.Helper()
	c.Inbox()
	got := c.Ask(iq)
	if e := xmpp.ParseError(got); e == nil || string(e.Condition) != want {
		t.Errorf("%.300s: got %.300s, want %s", iq, got.Element().XML(), want)
	}
	if in := c.Inbox(); len(in) != 0 {
		t.Errorf("%.300s: besides, %d stanzas", iq, len(in))
	}
}

func query(inner string) string {
	return `<iq type='set' id='q'><query xmlns='` + ns + `' queryid='f'>` + inner + `</query></iq>`
}

// form is a form of that type with these fields.
func form(typ, inner string) string {
	return `<x xmlns='jabber:x:data' type='` + typ + `'>` + inner + `</x>`
}

const formType = `<field var='FORM_TYPE' type='hidden'><value>` + ns + `</value></field>`

// many is text n times, with a number in the place of #.
func many(n int, text string) string {
	b := &strings.Builder{}
	for i := range n {
		b.WriteString(strings.ReplaceAll(text, "#", strconv.Itoa(i)))
	}
	return b.String()
}

// dialogue is a server with an archive: romeo and juliet have each other's "1" to "3".
func dialogue(t *testing.T) (romeo, juliet *modtest.Client) {
	t.Helper()
	s := modtest.Start(t, keep, mam.Module)
	romeo, juliet = s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	for _, id := range []string{"1", "2", "3"} {
		romeo.Say(chat("juliet@localhost", id, id))
	}
	return romeo, juliet
}

func TestBadQueries(t *testing.T) {
	romeo, _ := dialogue(t)
	for inner, want := range map[string]string{
		// Pages (XEP-0059).
		set("<max>many</max>"):                                   "bad-request",
		set("<max>-1</max>"):                                     "bad-request",
		set("<max>1.5</max>"):                                    "bad-request",
		set("<max>0x10</max>"):                                   "bad-request",
		set("<max>99999999999999999999</max>"):                   "bad-request",
		set("<max/>"):                                            "bad-request",
		set("<after>123</after>"):                                "item-not-found",
		set("<after>' OR 1=1 --</after>"):                        "item-not-found",
		set("<after>99999999999999999999</after>"):               "item-not-found",
		set("<after>9223372036854775807</after>"):                "item-not-found",
		set("<after>-1</after>"):                                 "item-not-found",
		set("<after>0</after>"):                                  "item-not-found",
		set("<after/>"):                                          "item-not-found",
		set("<before>x</before>"):                                "item-not-found",
		set("<before>1</before><after>1</after>"):                "item-not-found",
		set("<index>x</index>"):                                  "bad-request",
		set("<index>-1</index>"):                                 "bad-request",
		set("<index/>"):                                          "bad-request",
		set("<index>999999999</index>"):                          "feature-not-implemented",
		set("<index>1</index><before/>"):                         "bad-request",
		set("<max>0</max><after>1</after>"):                      "item-not-found",
		set("<after>" + strings.Repeat("1", 1<<16) + "</after>"): "item-not-found",

		// What is looked for.
		fields("with", "@"):                                           "jid-malformed",
		fields("with", strings.Repeat("x", 1024)+"@y"):                "jid-malformed",
		form("submit", formType+`<field var='with'><value/></field>`): "jid-malformed",
		fields("start", "yesterday"):                                  "bad-request",
		fields("start", "99999-01-01T00:00:00Z"):                      "bad-request",
		fields("start", "-0001-01-01T00:00:00Z"):                      "bad-request",
		fields("start", "2026-02-30T00:00:00Z"):                       "bad-request",
		fields("start", "2026-01-01"):                                 "bad-request",
		fields("start", "2026-01-01T00:00:00"):                        "bad-request",
		fields("start", "1767225600"):                                 "bad-request",
		fields("end", "2026-01-01T25:00:00Z"):                         "bad-request",
		form("submit", formType+`<field var='end'><value/></field>`):  "bad-request",
		fields("ids", "1 2"):                                          "item-not-found",
		fields("ids", strings.Repeat("1 ", 10_000)):                   "policy-violation",
		form("submit", formType+`<field var='ids'><value/></field>`):  "item-not-found",
		fields("before-id", "+1"):                                     "item-not-found",
		fields("before-id", "01"):                                     "item-not-found",
		fields("after-id", "nonsense"):                                "item-not-found",
		fields("with", "a@localhost b@localhost"):                     "bad-request",
		fields("start", "2026-01-01T00:00:00Z 2026-01-01T00:00:00Z"):  "bad-request",
		fields("after-id", "1 2"):                                     "bad-request",
		fields("{urn:example}what", "x"):                              "feature-not-implemented",
		fields("{urn:example}what", ""):                               "feature-not-implemented",
		fields("include-groupchat", "true"):                           "feature-not-implemented", // it is not offered
		fields("withtext", "x"):                                       "feature-not-implemented",

		// Forms.
		form("submit", ""):                "bad-request",
		form("nonsense", formType):        "bad-request",
		form("", formType):                "bad-request",
		form("form", formType):            "bad-request",
		form("result", formType):          "bad-request",
		form("cancel", formType):          "bad-request",
		`<x xmlns='jabber:x:data'/>`:      "bad-request",
		form("submit", formType+formType): "bad-request",
		form("submit", `<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:1</value></field>`):  "bad-request",
		form("submit", `<field var='FORM_TYPE' type='hidden'/>`):                                      "bad-request",
		form("submit", `<field var='FORM_TYPE' type='text-single'><value>`+ns+`</value></field>`):     "bad-request",
		form("submit", formType+`<field><value>x</value></field>`):                                    "bad-request",
		form("submit", formType+`<field var='start'/><field var='start'/>`):                           "bad-request",
		form("submit", formType+many(10_000, "<field var='f#'><value>x</value></field>")):             "feature-not-implemented",
		form("submit", formType+many(10_000, "<field var='with'><value>#@localhost</value></field>")): "bad-request",
	} {
		refuses(t, romeo, query(inner), want)
	}
}

func TestBadRequests(t *testing.T) {
	romeo, _ := dialogue(t)
	for iq, want := range map[string]string{
		`<iq type='set' id='q'><query xmlns='` + ns + `' node='urn:x'/></iq>`: "item-not-found",
		`<iq type='set' id='q'><metadata xmlns='` + ns + `'/></iq>`:           "bad-request",
		`<iq type='set' id='q'><fin xmlns='` + ns + `'/></iq>`:                "bad-request",
		`<iq type='get' id='q'><else xmlns='` + ns + `'/></iq>`:               "bad-request",
	} {
		refuses(t, romeo, iq, want)
	}
}

// What is odd and yet makes sense is answered.
func TestOddQueries(t *testing.T) {
	romeo, _ := dialogue(t)
	all, _ := look(romeo, "")
	if bodies(all) != "1 2 3" {
		t.Fatal(all)
	}
	first, last := all[0].id, all[2].id
	for query, want := range map[string]string{
		// Ranges in which nothing can be.
		fields("start", "2100-01-01T00:00:00Z", "end", "1970-01-01T00:00:00Z"): "",
		fields("start", "9999-12-31T23:59:59Z"):                                "",
		fields("end", "0000-01-01T00:00:00Z"):                                  "",
		fields("after-id", last, "before-id", first):                           "",
		fields("ids", first, "after-id", last):                                 "",
		fields("ids", ""):                                                      "",
		fields("with", "localhost"):                                            "",
		set("<index>4</index>"):                                                "",
		set("<index>10000</index>"):                                            "",

		fields("start", "0000-01-01T00:00:00Z", "end", "9999-12-31T23:59:59+14:00"):                                          "1 2 3",
		fields("start", "", "with", "", "after-id", ""):                                                                      "1 2 3",
		fields("{urn:xmpp:fulltext:0}fulltext", ""):                                                                          "1 2 3",
		fields("ids", strings.Repeat(first+" ", 250)):                                                                        "1",
		fields("with", "JULIET@LocalHost"):                                                                                   "1 2 3",
		form("submit", formType+`<field var='{urn:xmpp:fulltext:0}fulltext'><value/></field>`):                               "1 2 3",
		form("submit", formType+`<field var='with' type='text-single'><value>juliet@localhost</value></field>`):              "1 2 3",
		form("submit", formType+`<field type='fixed'><value>Look for</value></field>`):                                       "1 2 3",
		form("submit", `<title>t</title><other xmlns='urn:x'/>`+formType+`<field var='ids'><value>`+last+`</value></field>`): "3",
		set("<after>" + first + "</after><before>" + last + "</before>"):                                                     "2",
		set("<after>" + last + "</after><before>" + first + "</before>"):                                                     "",
		set("<after>" + first + "</after><before/><max>1</max>"):                                                             "3",
		set("<max>2147483647</max>"):                                                                                         "1 2 3",
		set("<max>2</max><strange/><max xmlns='urn:x'>many</max>"):                                                           "1 2",
		"<set xmlns='urn:x'><max>many</max></set>":                                                                           "1 2 3",
		set("<max>2</max>") + "<flip-page>at once<max/></flip-page>":                                                         "2 1",
		"<unknown xmlns='urn:x'/>words":                                                                                      "1 2 3",
	} {
		list, fin := look(romeo, query)
		if got := bodies(list); fin == nil || fin.Name != "fin" || got != want {
			t.Errorf("%.300s: got %q, %v; want %q", query, got, fin, want)
		}
	}
}

// A queryid is whatever the client makes of it, and nobody else's business: two who
// use the same one get each their own. A long one makes pages short.
func TestQueryIDs(t *testing.T) {
	romeo, juliet := dialogue(t)
	juliet.Say(chat("tybalt@localhost", "4", "4"))
	ask := func(c *modtest.Client, attr string) (got []*xmpp.Stanza, fin *xmpp.Element) {
		c.Inbox()
		fin = c.Ask(`<iq type='set' id='q'><query xmlns='` + ns + `'` + attr + `/></iq>`).Payload()
		return c.Inbox(), fin
	}
	for _, id := range []string{"f", "'", "<>&\"", "\t\n", "☃", "%s%n", "../..", strings.Repeat("x", 1<<10)} {
		for c, want := range map[*modtest.Client]int{romeo: 3, juliet: 4} {
			got, _ := ask(c, ` queryid='`+escape(id)+`'`)
			if len(got) != want {
				t.Errorf("%q: %s has %d messages", id, c.JID, len(got))
			}
			for _, st := range got {
				if st.To != c.JID || st.Child(ns, "result").Attr("queryid") != id {
					t.Errorf("%q: %s got %v", id, c.JID, st)
				}
			}
		}
	}
	got, fin := ask(romeo, "")
	if _, named := got[0].Child(ns, "result").LookupAttr("queryid"); named || len(got) != 3 || fin.Attr("complete") != "true" {
		t.Errorf("without a queryid: %v, %v", got, fin)
	}
	long := strings.Repeat("x", 1<<20)
	if got, fin = ask(romeo, ` queryid='`+long+`'`); len(got) != 1 || got[0].Child(ns, "result").Attr("queryid") != long || fin.Attr("complete") != "" {
		t.Errorf("a queryid of a megabyte comes back %d times, %v", len(got), fin)
	}
}

// escape writes text as it stands in an attribute.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", "'", "&apos;", "\t", "&#9;", "\n", "&#10;").Replace(text)
}

func TestBadPreferences(t *testing.T) {
	romeo, _ := dialogue(t)
	want := romeo.Ask(prefs("always", "juliet@localhost", "")).Payload().XML()
	list := func(jids string) string {
		return `<iq type='set' id='p'><prefs xmlns='` + ns + `' default='never'><always>` + jids + `</always></prefs></iq>`
	}
	for iq, want := range map[string]string{
		prefs("sometimes", "", ""):                               "bad-request",
		prefs("", "", ""):                                        "bad-request",
		prefs("ALWAYS", "", ""):                                  "bad-request",
		prefs("always", "@", ""):                                 "jid-malformed",
		prefs("never", "", "a b@localhost"):                      "jid-malformed",
		prefs("never", "", "x@"+strings.Repeat("y", 2000)):       "jid-malformed",
		list("<jid/>"):                                           "jid-malformed",
		list(many(5000, "<jid>user#@localhost</jid>")):           "resource-constraint",
		`<iq type='set' id='p'><prefs xmlns='` + ns + `'/></iq>`: "bad-request",
	} {
		refuses(t, romeo, iq, want)
	}
	if got := romeo.Ask(`<iq type='get' id='p'><prefs xmlns='` + ns + `'/></iq>`).Payload().XML(); got != want {
		t.Errorf("what was refused has changed %s to %s", want, got)
	}
	if got := romeo.Ask(list(many(1000, "<jid>user#@localhost</jid>"))); got.Type != "result" {
		t.Errorf("a thousand addresses: %v", got)
	}
}
