package push_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

const (
	submitted = `<x xmlns='jabber:x:data' type='submit'>%s</x>`
	formType  = `<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>`
)

// publishOptions is a form with these fields for each notification.
func publishOptions(fields string) string { return fmt.Sprintf(submitted, formType+fields) }

func TestBadForms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		phone := w.Login("juliet@localhost/phone")
		for text, want := range map[string]string{
			fmt.Sprintf(submitted, ""):                                 "bad-request",
			publishOptions(formType):                                   "bad-request",
			`<x xmlns='jabber:x:data'/>`:                               "bad-request",
			publishOptions(`<field/>`):                                 "bad-request",
			publishOptions(`<field var='a'/><field var='a'/>`):         "bad-request",
			strings.Replace(publishOptions(""), "submit", "cancel", 1): "bad-request",
			strings.Replace(publishOptions(""), "submit", "form", 1):   "bad-request",
			strings.Replace(publishOptions(""), "var='FORM_TYPE'", "var='FORM_TYPE' type='text-single'", 1):  "bad-request",
			publishOptions(`<field var='secret'><value>` + strings.Repeat("x", 16<<10) + `</value></field>`): "not-acceptable",
			publishOptions(strings.Repeat(`<field type='fixed'><value>x</value></field>`, 10_000)):           "not-acceptable",
		} {
			got := phone.Ask(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='bad'>` + text + `</enable></iq>`)
			if e := xmpp.ParseError(got); e == nil || string(e.Condition) != want {
				t.Errorf("%.200s: got %v, want %s", text, got, want)
			}
		}
		if text := w.explain(); strings.Contains(text, `node "bad"`) {
			t.Errorf("enabled:\n%s", text)
		}
	})
}

// TestFieldsGoBackAsTheyCame: what is in the form is between the app server and its
// client, whatever the types say.
func TestFieldsGoBackAsTheyCame(t *testing.T) {
	const fields = `<field var='yes' type='boolean'><value>perhaps</value></field><field var='who' type='jid-single'><value>@</value><value>b</value></field><field var='none'/>`
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		phone := w.Login("juliet@localhost/phone")
		w.enable(phone, "n1", publishOptions(fields))
		phone.Logout()
		w.chat("m1", "x")
		got := w.app.told()
		if len(got) != 1 {
			t.Fatalf("told %v", got)
		}
		if x := got[0].Payload().Child("", "publish-options").Child(form.NS, "x").XML(); !strings.Contains(x, "perhaps") || !strings.Contains(x, "<value>@</value><value>b</value>") || !strings.Contains(x, "var='none'") {
			t.Errorf("told %s", x)
		}
	})
}

// TestOddAnswers: the first answer of who was asked counts, as far as it is one. An
// error that does not ask to wait disables the node, as in ejabberd.
func TestOddAnswers(t *testing.T) {
	const (
		ok       = `<iq type='result' from='push.localhost' to='localhost' id='ID'/>`
		notFound = `<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>`
		refusal  = `<iq type='error' from='push.localhost' to='localhost' id='ID'><error type='cancel'>` + notFound + `</error></iq>`
		late     = "" // time for an answer passes
	)
	for name, x := range map[string]struct {
		answers []string
		left    bool
	}{
		"a result with a form that is none":   {[]string{`<iq type='result' from='push.localhost' to='localhost' id='ID'><x xmlns='jabber:x:data' type='nonsense'/></iq>`}, true},
		"a result and a refusal":              {[]string{ok, refusal}, true},
		"a refusal and a result":              {[]string{refusal, ok}, false},
		"two refusals":                        {[]string{refusal, refusal}, false},
		"a refusal that comes too late":       {[]string{late, refusal}, true},
		"an error without an error":           {[]string{`<iq type='error' from='push.localhost' to='localhost' id='ID'/>`}, false},
		"an error of no type":                 {[]string{strings.Replace(refusal, " type='cancel'", "", 1)}, false},
		"an error of an unknown type":         {[]string{strings.Replace(refusal, "'cancel'", "'strange'", 1)}, false},
		"an error that asks to wait":          {[]string{strings.Replace(refusal, "'cancel'", "'wait'", 1)}, true},
		"an unknown condition":                {[]string{strings.Replace(refusal, notFound, "<strange xmlns='urn:x'/>", 1)}, false},
		"a refusal with the question in it":   {[]string{strings.Replace(refusal, "<error", "<pubsub xmlns='http://jabber.org/protocol/pubsub'/><error", 1)}, false},
		"a refusal of another service":        {[]string{strings.Replace(refusal, "push.localhost", "push2.localhost", 1), late}, true},
		"a refusal of a user":                 {[]string{strings.Replace(refusal, "push.localhost", "romeo@localhost/orchard", 1), late}, true},
		"a refusal in the name of the host":   {[]string{strings.Replace(refusal, "push.localhost", "localhost", 1), late}, true},
		"a refusal of another question":       {[]string{strings.Replace(refusal, "ID", "IDx", 1), late}, true},
		"a refusal without an id":             {[]string{strings.Replace(refusal, " id='ID'", "", 1), late}, true},
		"a message in the place of an answer": {[]string{`<message type='error' from='push.localhost' to='localhost' id='ID'><error type='cancel'>` + notFound + `</error></message>`, late}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := start(t, "")
				w.app.set(nil, true)
				w.chat("m1", "x")
				iq := w.app.told()[0]
				for _, a := range x.answers {
					if a == late {
						time.Sleep(time.Minute)
						continue
					}
					st, err := xmpp.ParseXML([]byte(strings.Replace(a, "'ID", "'"+iq.ID, 1)))
					if err != nil {
						t.Fatal(err)
					}
					w.Router.Route(t.Context(), st)
					w.app.told()
				}
				if left := strings.Contains(w.explain(), `node "n1" of push.localhost, enabled by`); left != x.left {
					t.Errorf("enabled: %v\n%s", left, w.explain())
				}
				w.app.set(nil, false)
				w.chat("m2", "x")
				if got := w.app.told(); (len(got) == 1) != x.left {
					t.Errorf("then told %v", got)
				}
			})
		})
	}
}

// TestSecretsAreToldToNobodyElse: what the app server's client has given for the app
// server is not in logs and not explained, whatever comes of it.
func TestSecretsAreToldToNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		phone := w.Login("juliet@localhost/phone")
		w.enable(phone, "n1", publishOptions(`<field var='secret'><value>hush</value></field>`))
		phone.Logout()
		for _, answer := range []struct {
			refuses *xmpp.Error
			silent  bool
		}{{nil, false}, {xmpp.ResourceConstraint, false}, {nil, true}, {xmpp.Forbidden, false}} {
			w.app.set(answer.refuses, answer.silent)
			w.chat("m", "x")
			got := w.app.told()
			if len(got) != 1 || !strings.Contains(got[0].Element().XML(), "hush") {
				t.Fatalf("told %v", got)
			}
			time.Sleep(time.Minute)
		}
		explained, logged := w.explain(), w.Log()
		for _, text := range []string{explained, logged} {
			if strings.Contains(text, "hush") {
				t.Errorf("the secret is in\n%s", text)
			}
		}
		if !strings.Contains(logged, "refused a node") || strings.Count(explained, "is told") != 4 {
			t.Errorf("logged:\n%s\nexplained:\n%s", logged, explained)
		}
	})
}

// TestManyNodesOfOneUser: they are bounded, and others keep theirs.
func TestManyNodesOfOneUser(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		refused := 0
		for i := range 10 {
			c := w.Login(fmt.Sprint("tybalt@localhost/", i))
			for range 100 { // the same again is none more
				w.enable(c, "n0", "")
			}
			for k := range 100 {
				got := c.Ask(fmt.Sprintf(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push%d.localhost' node='n%d-%d'/></iq>`, k%7, i, k))
				if e := xmpp.ParseError(got); e != nil {
					if refused++; e.Condition != xmpp.ResourceConstraint.Condition {
						t.Errorf("refused with %v", e)
					}
				}
			}
			c.Logout()
		}
		text, err := w.Command("push_explain", "tybalt", "localhost")
		if n := strings.Count(text, ", enabled by"); n != 20 || err != nil {
			t.Errorf("%d nodes are left, %v", n, err)
		}
		if refused != 10*(100-15) {
			t.Errorf("%d were refused", refused)
		}
		w.chat("m1", "x")
		if got := w.app.told(); len(got) != 1 {
			t.Errorf("juliet's was told %v", got)
		}
	})
}
