package push_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/modules/push"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
	"github.com/gabberd/gabberd/xmpp/form"
)

// An app is an app server of somebody's client.
type app struct {
	s *modtest.Server

	mu      sync.Mutex
	got     []*xmpp.Stanza
	refuses *xmpp.Error // how it answers
	silent  bool        // it does not answer
}

// Route takes a notification.
func (a *app) Route(ctx context.Context, iq *xmpp.Stanza) {
	if !iq.IsRequest() {
		return
	}
	a.mu.Lock()
	a.got = append(a.got, iq)
	refuses, silent := a.refuses, a.silent
	a.mu.Unlock()
	switch {
	case silent:
	case refuses != nil:
		a.s.Router.Route(ctx, iq.Bounce(refuses))
	default:
		a.s.Router.Route(ctx, iq.Reply(nil))
	}
}

// told is what it was told since the last time.
func (a *app) told() []*xmpp.Stanza {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.got
	a.got = nil
	return got
}

func (a *app) set(refuses *xmpp.Error, silent bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuses, a.silent = refuses, silent
}

// world is a virtual host with an app server, romeo who is there, and juliet, whose
// phone has enabled notifications and is gone.
type world struct {
	*modtest.Server
	t       *testing.T
	app     *app
	unroute func() // takes the app server away
	romeo   *modtest.Client
}

func start(t *testing.T, options string, more ...modules.Module) *world {
	t.Helper()
	list := append([]modules.Module{disco.Module, offline.Module, roster.Module, push.Module}, more...)
	w := &world{Server: modtest.Start(t, "modules: {mod_push: {"+options+"}}", list...), t: t}
	w.app = &app{s: w.Server}
	w.unroute = w.Router.Register("push.localhost", "localhost", w.app)
	t.Cleanup(w.unroute)
	w.romeo = w.Available("romeo@localhost/orchard")
	phone := w.Login("juliet@localhost/phone")
	w.enable(phone, "n1", "")
	phone.Logout()
	return w
}

func (w *world) enable(c *modtest.Client, node, form string) {
	w.t.Helper()
	got := c.Ask(`<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='` + node + `'>` + form + `</enable></iq>`)
	if got.Type != "result" {
		w.t.Fatalf("enable: %v", got)
	}
	w.forget()
}

// forget lets time pass, so that no two sessions are of the same moment.
func (w *world) forget() { time.Sleep(time.Second) }

func (w *world) chat(id, body string) {
	w.t.Helper()
	w.romeo.Say(`<message to='juliet@localhost' type='chat' id='` + id + `'><body>` + body + `</body></message>`)
}

func (w *world) explain() string {
	w.t.Helper()
	synctest.Wait()
	text, err := w.Command("push_explain", "juliet", "localhost")
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// field is a field of the summary in a notification.
func field(iq *xmpp.Stanza, name string) string {
	n := iq.Payload().Child("", "publish").Child("", "item").Child("urn:xmpp:push:0", "notification")
	f, err := form.Find(n)
	if err != nil || f == nil {
		return "no form"
	}
	if f.FormType() != "urn:xmpp:push:summary" {
		return "another form"
	}
	return f.Value(name)
}

// bubble runs a test in which time passes when everybody waits.
func bubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }

func TestAStoredMessageIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.chat("m1", "It is the east")
		w.chat("m2", "and Juliet is the sun")
		got := w.app.told()
		if len(got) == 0 || len(got) > 2 {
			t.Fatalf("told %v", got)
		}
		iq := got[0]
		p := iq.Payload()
		if iq.Type != "set" || iq.From.String() != "localhost" || iq.To.String() != "push.localhost" || !p.Is("http://jabber.org/protocol/pubsub", "pubsub") ||
			p.Child("", "publish").Attr("node") != "n1" || p.Child("", "publish-options") != nil {
			t.Errorf("told %v", iq)
		}
		for name, want := range map[string]string{"last-message-body": "New message", "last-message-sender": "", "message-count": "1", "pending-subscription-count": ""} {
			if v := field(iq, name); v != want {
				t.Errorf("%s is %q, want %q", name, v, want)
			}
		}
		if text := w.explain(); !strings.Contains(text, `message of type chat with id m1 from romeo@localhost/orchard`) ||
			!strings.Contains(text, `push.localhost has taken it, for node "n1"`) {
			t.Errorf("explained:\n%s", text)
		}
	})
}

func TestWhatIsTold(t *testing.T) {
	for _, x := range []struct{ name, options, message, body, sender, explained string }{
		{"text and sender", "include_body: true, include_sender: true", `<body>It is the east</body>`, "It is the east", "romeo@localhost/orchard", ""},
		{"nothing", "include_body: false", `<body>It is the east</body>`, "", "", ""},
		{"another text", "include_body: Ring, notify_on: messages", `<body>It is the east</body>`, "Ring", "", ""},
		{"encrypted", "include_body: true", `<encrypted xmlns='eu.siacs.conversations.axolotl'/><body>You cannot read this</body>`, "(encrypted)", "", ""},
		{"no text", "", `<subject>x</subject><store xmlns='urn:xmpp:hints'/>`, "no form", "no form", ""},
		{"no text, messages only", "notify_on: messages", `<subject>x</subject><store xmlns='urn:xmpp:hints'/>`, "", "", "notify_on is messages"},
		{"chat state", "", `<composing xmlns='http://jabber.org/protocol/chatstates'/>`, "", "", "was not stored (bounce)"},
	} {
		t.Run(x.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := start(t, x.options)
				w.romeo.Say(`<message to='juliet@localhost' type='chat' id='m1'>` + x.message + `</message>`)
				got := w.app.told()
				if x.explained != "" {
					if text := w.explain(); len(got) != 0 || !strings.Contains(text, x.explained) {
						t.Errorf("told %v, explained\n%s", got, text)
					}
					return
				}
				if len(got) != 1 || field(got[0], "last-message-body") != x.body || field(got[0], "last-message-sender") != x.sender {
					t.Errorf("told %v", got)
				}
			})
		})
	}
}

func TestPublishOptionsGoAlong(t *testing.T) {
	const options = `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#publish-options</value></field><field var='secret'><value>x&lt;y</value></field></x>`
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		phone := w.Login("juliet@localhost/phone")
		w.enable(phone, "n1", options)
		phone.Logout()
		w.chat("m1", "x")
		got := w.app.told()
		if len(got) != 1 {
			t.Fatalf("told %v", got)
		}
		f, err := form.Find(got[0].Payload().Child("", "publish-options"))
		if err != nil || f == nil || f.Value("secret") != "x<y" {
			t.Errorf("told %v", got[0])
		}
	})
}

// TestTheLatestAloneWaits: while a service owes an answer it is told nothing, and
// then what has come last, with how many there are.
func TestTheLatestAloneWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "include_body: true")
		w.app.set(nil, true)
		for i := range 100 {
			w.chat(fmt.Sprint("m", i), fmt.Sprint("text ", i))
			if i == 0 && len(w.app.told()) != 1 {
				t.Fatal("the first was not told")
			}
		}
		if got := w.app.told(); len(got) != 0 {
			t.Fatalf("told %v", got)
		}
		time.Sleep(31 * time.Second)
		if got := w.app.told(); len(got) != 0 {
			t.Fatalf("too early: %v", got)
		}
		w.app.set(nil, false)
		time.Sleep(2 * time.Second)
		got := w.app.told()
		if len(got) != 1 || field(got[0], "last-message-body") != "text 99" || field(got[0], "message-count") != "100" {
			t.Errorf("told %v", got)
		}
		if text := w.explain(); !strings.Contains(text, "a later message takes its place") {
			t.Errorf("explained:\n%s", text)
		}
		w.chat("again", "x") // who has not answered stays enabled
		if len(w.app.told()) != 1 {
			t.Error("not told")
		}
	})
}

func TestErrorsOfTheService(t *testing.T) {
	for name, x := range map[string]struct {
		err  *xmpp.Error
		left bool
	}{
		"item-not-found":          {xmpp.ItemNotFound, false},
		"forbidden":               {xmpp.Forbidden, false},
		"service-unavailable":     {xmpp.ServiceUnavailable, false},
		"resource-constraint":     {xmpp.ResourceConstraint, true},
		"remote-server-timeout":   {xmpp.RemoteServerTimeout, true},
		"remote-server-not-found": {xmpp.RemoteServerNotFound, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := start(t, "")
				w.app.set(x.err, false)
				w.chat("m1", "x")
				if len(w.app.told()) != 1 {
					t.Fatal("not told")
				}
				w.app.set(nil, false)
				w.chat("m2", "x")
				if got := w.app.told(); (len(got) == 1) != x.left {
					t.Errorf("then told %v", got)
				}
				want := "no client of the user has enabled notifications"
				if x.left {
					want = "it stays enabled"
				}
				if text := w.explain(); !strings.Contains(text, want) {
					t.Errorf("explained:\n%s", text)
				}
			})
		})
	}
}

func TestEnableAndDisable(t *testing.T) {
	const bad = `<x xmlns='jabber:x:data' type='%s'><field var='FORM_TYPE'><value>%s</value></field></x>`
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		juliet := w.Login("juliet@localhost/balcony")
		for _, x := range []struct{ typ, to, el, want string }{
			{"set", "", `<enable xmlns='urn:xmpp:push:0' node='n'/>`, "bad-request"},
			{"set", "", `<enable xmlns='urn:xmpp:push:0' jid='@' node='n'/>`, "bad-request"},
			{"set", "", `<enable xmlns='urn:xmpp:push:0' jid='push.localhost'/>`, "feature-not-implemented"},
			{"get", "", `<enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n'/>`, "not-allowed"},
			{"set", "", `<explode xmlns='urn:xmpp:push:0' jid='push.localhost' node='n'/>`, "bad-request"},
			{"set", "romeo@localhost", `<enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n'/>`, "forbidden"},
			{"set", "romeo@localhost", `<disable xmlns='urn:xmpp:push:0' jid='push.localhost'/>`, "forbidden"},
			{"set", "", `<enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n'>` + fmt.Sprintf(bad, "submit", "urn:other") + `</enable>`, "bad-request"},
			{"set", "", `<enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n'>` + fmt.Sprintf(bad, "result", "http://jabber.org/protocol/pubsub#publish-options") + `</enable>`, "bad-request"},
			{"set", "", `<enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n'><x xmlns='jabber:x:data' type='strange'/></enable>`, "bad-request"},
			{"set", "", `<enable xmlns='urn:xmpp:push:0' jid='push.localhost' node='` + strings.Repeat("n", 1025) + `'/>`, "not-acceptable"},
			{"set", "", `<disable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n'/>`, "item-not-found"},
			{"set", "", `<disable xmlns='urn:xmpp:push:0' jid='another.localhost'/>`, "item-not-found"},
			{"set", "", `<disable xmlns='urn:xmpp:push:0' jid='push.localhost' node='n1'/>`, ""},
		} {
			to := ""
			if x.to != "" {
				to = ` to='` + x.to + `'`
			}
			got := juliet.Ask(`<iq type='` + x.typ + `' id='1'` + to + `>` + x.el + `</iq>`)
			if e := xmpp.ParseError(got); x.want == "" && e != nil || x.want != "" && (e == nil || string(e.Condition) != x.want) {
				t.Errorf("%s: got %v, want %s", x.el, got, x.want)
			}
		}
		juliet.Logout()
		w.chat("m1", "x")
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("told %v", got)
		}
	})
}

// TestWhatWaitsForARefusalIsNotTold: a service that refuses is told nothing more,
// not even what has waited for its answer.
func TestWhatWaitsForARefusalIsNotTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.app.set(nil, true)
		w.chat("m1", "x")
		iq := w.app.told()[0]
		w.chat("m2", "x")
		synctest.Wait() // until it waits for the answer
		w.app.set(nil, false)
		w.Router.Route(t.Context(), iq.Bounce(xmpp.ItemNotFound))
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("told %v", got)
		}
		if text := w.explain(); !strings.Contains(text, "was disabled in the meantime") {
			t.Errorf("explained:\n%s", text)
		}
	})
}

// TestManySilentServices: a user whose services never answer leaves others theirs.
func TestManySilentServices(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.app.set(nil, true)
		tybalt := w.Login("tybalt@localhost/x")
		for i := range 16 {
			w.enable(tybalt, fmt.Sprint("n", i), "")
		}
		tybalt.Logout()
		for range 50 {
			w.romeo.Say(`<message to='tybalt@localhost' type='chat'><body>x</body></message>`)
		}
		if got := w.app.told(); len(got) != 16 {
			t.Errorf("for 16 nodes %d were told", len(got))
		}
		w.app.set(nil, false)
		w.chat("m1", "x")
		if got := w.app.told(); len(got) != 1 {
			t.Errorf("juliet's was told %v", got)
		}
	})
}

// TestOthersSpeakForNobody: an answer that does not come from the service is none.
func TestOthersSpeakForNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.app.set(nil, true)
		w.chat("m1", "x")
		iq := w.app.told()[0]
		w.romeo.Say(`<iq type='error' to='localhost' id='` + iq.ID + `'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>`)
		time.Sleep(time.Minute)
		w.app.set(nil, false)
		w.chat("m2", "x")
		if len(w.app.told()) != 1 {
			t.Error("somebody else has disabled it")
		}
	})
}

func TestRequestsAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.romeo.Say(`<presence to='juliet@localhost' type='subscribe'/>`)
		w.chat("m1", "x")
		got := w.app.told()
		if len(got) != 1 || field(got[0], "pending-subscription-count") != "1" {
			t.Errorf("told %v", got)
		}
		w.Available("juliet@localhost/balcony").Logout() // has seen the first one
		w.chat("m2", "x")
		if got := w.app.told(); len(got) != 1 || field(got[0], "message-count") != "1" {
			t.Errorf("told %v", got)
		}
	})
}

// TestTheArchiveTellsWhoIsAway: a desktop is there; the phone is not. A message that
// is both archived and stored is told once.
func TestTheArchiveTellsWhoIsAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		archive := modules.Define("mod_test_archive", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
			sm.Receive.Add(h, hooks.Normal, func(ctx context.Context, st *xmpp.Stanza, ss *sm.Sessions) (*xmpp.Stanza, hooks.Flow) {
				if st.Kind == xmpp.Message && st.Type == "chat" {
					st = ss.Stamped(st)
					sm.Storing.Run(ctx, h.Hooks(), nil, sm.Storage{Table: "archive", User: st.To.Bare(), Peer: st.From, Direction: sm.In, Stanza: st})
				}
				return st, hooks.Next
			})
			return nil
		}})
		w := start(t, "", archive)
		w.chat("m1", "x") // nobody is there
		if got := w.app.told(); len(got) != 1 {
			t.Errorf("told %v", got)
		}
		desktop := w.Available("juliet@localhost/desktop")
		w.chat("m2", "x")
		if got := w.app.told(); len(got) != 1 {
			t.Errorf("of what the desktop gets the phone was told %v", got)
		}
		phone := w.Login("juliet@localhost/phone")
		w.enable(phone, "n1", "")
		w.chat("m3", "x")
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("the phone is there, and its service was told %v", got)
		}
		if text := w.explain(); !strings.Contains(text, "is that of a client that is connected") || !strings.Contains(text, "juliet@localhost/phone, which is connected") {
			t.Errorf("explained:\n%s", text)
		}
		desktop.Logout()
	})
}

type none struct{}

func (*none) Fields(*config.Fields) {}

func TestHandlersMayChangeAndDrop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		drop := false
		listener := modules.Define("mod_test_listener", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
			push.Send.Add(h, hooks.Normal, func(_ context.Context, iq *xmpp.Stanza, n push.Notification) (*xmpp.Stanza, hooks.Flow) {
				if drop {
					return nil, hooks.Stop
				}
				return iq.With(xmpp.El("urn:more", n.Stanza.ID)), hooks.Next
			})
			return nil
		}})
		w := start(t, "", listener)
		w.chat("m1", "x")
		if got := w.app.told(); len(got) != 1 || !got[0].Has("urn:more", "m1") {
			t.Errorf("told %v", got)
		}
		drop = true
		w.chat("m2", "x")
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("told %v", got)
		}
	})
}

func TestCommandsAndRemoval(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		if text, err := w.Command("push_explain", "nobody", "localhost"); err != nil || !strings.Contains(text, "no client has enabled notifications") {
			t.Errorf("%q, %v", text, err)
		}
		if _, err := w.Command("push_explain", "@", "localhost"); err == nil {
			t.Error("a name that is none was taken")
		}
		if _, err := w.Command("delete_old_push_sessions", "1"); err != nil {
			t.Error(err)
		}
		w.chat("m1", "x")
		if len(w.app.told()) != 1 {
			t.Error("what is young was deleted")
		}
		time.Sleep(25 * time.Hour)
		if _, err := w.Command("delete_old_push_sessions", "1"); err != nil {
			t.Error(err)
		}
		w.chat("m2", "x")
		if got := w.app.told(); len(got) != 0 {
			t.Errorf("told %v", got)
		}
		phone := w.Login("juliet@localhost/phone")
		w.enable(phone, "n2", "")
		phone.Logout()
		if err := w.Auth.Remove(t.Context(), phone.JID.Bare()); err != nil {
			t.Fatal(err)
		}
		w.Register("juliet@localhost", "secret")
		if text := w.explain(); !strings.HasPrefix(text, "no client has enabled notifications\nnothing had to be decided") {
			t.Errorf("explained:\n%s", text)
		}
	})
}

// TestWhatIsExplainedIsBounded: whatever others write.
func TestWhatIsExplainedIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		for i := range 30 {
			w.chat(fmt.Sprint(i, "&#10;", strings.Repeat("x", 10_000)), "x")
			w.app.told()
		}
		text := w.explain()
		if n := strings.Count(text, "message of type chat"); n != 10 {
			t.Errorf("%d messages are explained", n)
		}
		if len(text) > 20_000 {
			t.Errorf("%d bytes", len(text))
		}
	})
}

func TestNothingIsLeftWhenItStops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := start(t, "")
		w.app.set(nil, true)
		w.chat("m1", "x")
		w.app.told()
		w.Stop() // does not wait for the answer
		if got := w.UserFeatures(); len(got) != 0 {
			t.Errorf("features left: %v", got)
		}
	})
}
