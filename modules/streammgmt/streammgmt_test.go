package streammgmt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/streammgmt"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ns = "urn:xmpp:sm:3"

// wire is a client whose connection can count.
type wire struct {
	*modtest.Client
	how  *sm.Acks
	said []string
}

func (w *wire) Counts() bool { return w.how != nil }

func (w *wire) Tell(el *xmpp.Element) { w.said = append(w.said, el.XML()) }

func (w *wire) Count(how sm.Acks, el *xmpp.Element) bool {
	if w.how != nil {
		return false
	}
	w.how = &how
	if el != nil {
		w.Tell(el)
	}
	return true
}

func element(t *testing.T, text string) *xmpp.Element {
	t.Helper()
	el, err := xmpp.ParseElement([]byte(text), xmpp.NSClient)
	if err != nil {
		t.Fatal(err)
	}
	return el
}

// say says something that is no stanza, and returns the answer.
func say(t *testing.T, s *modtest.Server, w *wire, text string) (answer string, done bool) {
	t.Helper()
	w.said = nil
	session := sm.NewSession(xmpp.MustParse("romeo@localhost/orchard"), w)
	done = sm.Nonzas.Run(t.Context(), s.Parts.Hooks, false, sm.Nonza{Session: session, Element: element(t, text)})
	return strings.Join(w.said, ""), done
}

func TestEnable(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_stream_mgmt: {max_ack_queue: 7, ack_timeout: 9, resend_on_timeout: if_offline}}", streammgmt.Module)
	for text, want := range map[string]string{
		"<enable xmlns='" + ns + "'/>":                                           "<enabled xmlns='" + ns + "'/>",
		"<enable xmlns='" + ns + "' resume='true' max='600' x='y'><z/></enable>": "max='300' resume='true'/>",
		"<enable xmlns='" + ns + "' resume=' 1 ' max='9'/>":                      "max='9' resume='true'/>",
		"<enable xmlns='" + ns + "' resume='perhaps'/>":                          "bad-request",
		"<enable xmlns='" + ns + "' max='-1'/>":                                  "bad-request",
		"<enable xmlns='" + ns + "' resume='true' max='4294967296'/>":            "bad-request",
	} {
		w := new(wire)
		got, done := say(t, s, w, text)
		if !done || !strings.Contains(got, want) {
			t.Errorf("%s: %v %s", text, done, got)
		}
		if enabled := !strings.Contains(want, "bad"); w.Counts() != enabled {
			t.Errorf("%s: counts: %v", text, w.Counts())
			continue
		} else if !enabled {
			continue
		}
		if resumes := strings.Contains(want, "resume"); resumes != (len(w.how.ID) >= 26) || resumes != (w.how.Resume > 0) || !strings.Contains(got, w.how.ID) {
			t.Errorf("%s: %+v", text, *w.how)
		}
		if w.how.ID, w.how.Resume = "", 0; *w.how != (sm.Acks{MaxQueue: 7, Timeout: 9 * time.Second, Resend: sm.ResendIfOffline}) {
			t.Errorf("%s: %+v", text, *w.how)
		}
	}
}

// A client is told where to reconnect if an operator has said so; what is no place is
// a mistake.
func TestLocation(t *testing.T) {
	s, w := modtest.Start(t, "modules: {mod_stream_mgmt: {location: 'one.example.org:5222'}}", streammgmt.Module), new(wire)
	if got, _ := say(t, s, w, "<enable xmlns='"+ns+"' resume='true'/>"); !strings.Contains(got, " location='one.example.org:5222'") {
		t.Errorf("enabled by %s", got)
	}
	if got, _ := say(t, s, new(wire), "<enable xmlns='"+ns+"'/>"); strings.Contains(got, "location") {
		t.Errorf("who cannot resume is told %s", got)
	}
	for _, bad := range []string{"", "a b", ":5222", "host:", "me@host"} {
		n, err := config.Parse("test.yml", []byte("location: '"+bad+"'"))
		if err != nil {
			t.Fatal(err)
		}
		var mistakes []error
		streammgmt.Module.Prepare(func(d config.Declarer) { mistakes, _ = config.Decode(n, d) })
		if got := errors.Join(mistakes...); got == nil || !strings.Contains(got.Error(), "HOST or HOST:PORT") {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestBind2Counts(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_stream_mgmt: {max_ack_queue: 7}}", streammgmt.Module)
	if in := sm.InlineFeatures.Run(t.Context(), s.Parts.Hooks, sm.Inline{}, nil); len(in.Bind) != 1 || in.Bind[0] != ns || len(in.Login) != 1 {
		t.Errorf("offered: %+v", in)
	}
	for text, want := range map[string]string{
		"<enable xmlns='" + ns + "' resume='true'/>": "<enabled xmlns='" + ns + "' id='",
		"<enable xmlns='" + ns + "'/>":               "<enabled xmlns='" + ns + "'/>",
		"<enable xmlns='" + ns + "' resume='?'/>":    "bad-request",
		"": "",
	} {
		w := new(wire)
		a := sm.InlineBind.Run(t.Context(), s.Parts.Hooks, nil, sm.Binding{
			Session: sm.NewSession(xmpp.MustParse("romeo@localhost/orchard"), w), Request: element(t, "<bind xmlns='urn:xmpp:bind:0'>"+text+"</bind>"),
		})
		got := ""
		for _, el := range a {
			got += el.XML()
		}
		if !strings.Contains(got, want) || want == "" && got != "" || len(w.said) != 0 {
			t.Errorf("%s: %s, and beside it %q", text, got, w.said)
		}
		if w.Counts() != strings.HasPrefix(want, "<enabled") {
			t.Errorf("%s: counts: %v", text, w.Counts())
		}
	}
}

func TestDefaults(t *testing.T) {
	for yaml, want := range map[string]sm.Acks{
		"": {MaxQueue: 5000, Timeout: time.Minute, Resend: sm.ResendAlways},
		"modules: {mod_stream_mgmt: {max_ack_queue: infinity, ack_timeout: infinity, resend_on_timeout: false}}": {Resend: sm.ResendNever},
	} {
		s, w := modtest.Start(t, yaml, streammgmt.Module), new(wire)
		say(t, s, w, "<enable xmlns='"+ns+"'/>")
		if w.how == nil || *w.how != want {
			t.Errorf("%s: %+v", yaml, w.how)
		}
	}
}

// A client whose stream has ended is told how much was handled; nobody else is.
func TestFailedSaysHowMuchWasHandled(t *testing.T) {
	s := modtest.Start(t, "modules: {mod_stream_mgmt: {cache_size: 1, resume_timeout: 0}}", streammgmt.Module)
	w := new(wire)
	if got, _ := say(t, s, w, "<enable xmlns='"+ns+"' resume='true'/>"); got != "<enabled xmlns='"+ns+"'/>" {
		t.Errorf("resume_timeout 0: %s", got)
	}
	romeo, juliet := xmpp.MustParse("romeo@localhost"), xmpp.MustParse("juliet@localhost")
	s.Sessions.StreamEnded("forgotten", romeo, 5)
	s.Sessions.StreamEnded("id", romeo, 7)
	for _, c := range []struct {
		user     xmpp.JID
		id, want string
	}{{romeo, "id", "<failed xmlns='" + ns + "' h='7'>"}, {juliet, "id", "<failed xmlns='" + ns + "'>"}, {romeo, "forgotten", "<failed xmlns='" + ns + "'>"}} {
		n := sm.EarlyNonza{Stream: &sm.Stream{User: c.user, Sessions: s.Sessions}, Element: element(t, "<resume xmlns='"+ns+"' previd='"+c.id+"' h='0'/>")}
		if got := sm.EarlyNonzas.Run(t.Context(), s.Parts.Hooks, nil, n); got == nil || !strings.HasPrefix(got.XML(), c.want) {
			t.Errorf("%s %s: %v", c.user, c.id, got)
		}
	}
}

// What cannot be done is answered, and the stream goes on.
func TestRefused(t *testing.T) {
	s := modtest.Start(t, "", streammgmt.Module)
	before, after := new(wire), &wire{how: &sm.Acks{}}
	for _, c := range []struct {
		w          *wire
		text, want string
	}{
		{before, "<r xmlns='" + ns + "'/>", "unexpected-request"},
		{before, "<a xmlns='" + ns + "' h='0'/>", "unexpected-request"},
		{before, "<resume xmlns='" + ns + "' previd='x' h='0'/>", "unexpected-request"},
		{after, "<enable xmlns='" + ns + "'/>", "unexpected-request"},
		{after, "<resume xmlns='" + ns + "' previd='x' h='0'/>", "unexpected-request"},
		{after, "<a xmlns='" + ns + "' h='-1'/>", "bad-request"},
		{after, "<a xmlns='" + ns + "' h='4294967296'/>", "bad-request"},
		{after, "<a xmlns='" + ns + "'/>", "bad-request"},
	} {
		got, done := say(t, s, c.w, c.text)
		if !done || !strings.HasPrefix(got, "<failed xmlns='"+ns+"'><"+c.want+" xmlns='"+xmpp.NSStanzas+"'/>") {
			t.Errorf("%s: %v %s", c.text, done, got)
		}
	}
	for _, text := range []string{"<x xmlns='" + ns + "'/>", "<enable xmlns='urn:xmpp:sm:1'/>", "<r xmlns='other'/>"} {
		if got, done := say(t, s, before, text); done || got != "" {
			t.Errorf("%s: %v %s", text, done, got)
		}
	}
}

// Before there is a session (XEP-0198 §3): nothing can be enabled, and there is
// nothing to resume.
func TestTooEarly(t *testing.T) {
	s := modtest.Start(t, "", streammgmt.Module)
	romeo := xmpp.MustParse("romeo@localhost")
	for _, c := range []struct {
		user       xmpp.JID
		text, want string
	}{
		{xmpp.JID{}, "<enable xmlns='" + ns + "'/>", "not-authorized"},
		{xmpp.JID{}, "<resume xmlns='" + ns + "' previd='x' h='0'/>", "not-authorized"},
		{romeo, "<enable xmlns='" + ns + "'/>", "unexpected-request"},
		{romeo, "<a xmlns='" + ns + "' h='0'/>", "unexpected-request"},
		{romeo, "<resume xmlns='" + ns + "' previd='x' h='0'/>", "item-not-found"},
		{romeo, "<resume xmlns='" + ns + "' previd='x' h='-1'/>", "bad-request"},
		{romeo, "<resume xmlns='" + ns + "' previd='x' h='4294967296'/>", "bad-request"},
		{romeo, "<resume xmlns='" + ns + "' previd='x'/>", "bad-request"},
		{romeo, "<resume xmlns='" + ns + "' h='1'/>", "bad-request"},
		{romeo, "<resume xmlns='" + ns + "' previd='" + strings.Repeat("x", 1<<16) + "' h='4294967295'/>", "item-not-found"},
		{romeo, "<other xmlns='" + ns + "'/>", ""},
		{romeo, "<enable xmlns='other'/>", ""},
	} {
		got := sm.EarlyNonzas.Run(context.Background(), s.Parts.Hooks, nil, sm.EarlyNonza{Stream: &sm.Stream{User: c.user}, Element: element(t, c.text)})
		if (got == nil) != (c.want == "") || got != nil && !strings.Contains(got.XML(), "<failed xmlns='"+ns+"'><"+c.want+" ") {
			t.Errorf("%s: %v", c.text, got)
		}
	}
}

func TestOffered(t *testing.T) {
	s := modtest.Start(t, "", streammgmt.Module)
	list := sm.PostAuth.Run(context.Background(), s.Parts.Hooks, nil, &sm.Stream{})
	if len(list) != 1 || list[0].XML() != "<sm xmlns='"+ns+"'/>" {
		t.Errorf("offered: %v", list)
	}
	s.Stop()
	if list := sm.PostAuth.Run(context.Background(), s.Parts.Hooks, nil, &sm.Stream{}); len(list) != 0 {
		t.Errorf("a module that has stopped offers %v", list)
	}
}

// A connection that cannot count leaves the element to others.
func TestConnectionThatCannotCount(t *testing.T) {
	s := modtest.Start(t, "", streammgmt.Module)
	romeo := s.Login("romeo@localhost/orchard")
	if sm.Nonzas.Run(t.Context(), s.Parts.Hooks, false, sm.Nonza{Session: romeo.Session, Element: element(t, "<enable xmlns='"+ns+"'/>")}) {
		t.Error("somebody has dealt with it")
	}
}
