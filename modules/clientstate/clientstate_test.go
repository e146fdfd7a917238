package clientstate_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/clientstate"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const (
	active   = `<active xmlns='urn:xmpp:csi:0'/>`
	inactive = `<inactive xmlns='urn:xmpp:csi:0'/>`
)

func start(t testing.TB, options string) (*modtest.Server, *modtest.Client) {
	t.Helper()
	s := modtest.Start(t, "modules: {mod_client_state: {"+options+"}}", clientstate.Module)
	juliet := s.Available("juliet@localhost/balcony")
	if !juliet.SayNonza(inactive) {
		t.Fatal("nobody understands <inactive/>")
	}
	return s, juliet
}

// to routes a stanza to juliet; its id is how tests know it.
func to(t testing.TB, s *modtest.Server, xml string) {
	t.Helper()
	st, err := xmpp.ParseXML([]byte(strings.Replace(xml, " ", " xmlns='jabber:client' to='juliet@localhost/balcony' ", 1)))
	if err != nil {
		t.Fatal(err)
	}
	s.Router.Route(t.Context(), st)
}

func ids(c *modtest.Client) []string {
	var out []string
	for _, st := range c.Inbox() {
		out = append(out, st.ID)
	}
	return out
}

func want(t *testing.T, c *modtest.Client, list ...string) {
	t.Helper()
	if got := ids(c); !slices.Equal(got, list) {
		t.Errorf("got %q, want %q", got, list)
	}
}

const (
	composing = `<composing xmlns='http://jabber.org/protocol/chatstates'/>`
	paused    = `<paused xmlns='http://jabber.org/protocol/chatstates'/>`
)

func pep(node, item string) string {
	return `<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='` + node + `'><item id='` + item + `'/></items></event>`
}

func TestWhatWaits(t *testing.T) {
	muc := `<x xmlns='http://jabber.org/protocol/muc#user'><status code='%s'/></x>`
	for _, x := range []struct {
		name, xml string
		waits     bool
	}{
		{"presence", `<presence from='romeo@localhost/a' id='1'/>`, true},
		{"unavailable", `<presence from='romeo@localhost/a' type='unavailable' id='1'/>`, true},
		{"error", `<presence from='romeo@localhost/a' type='error' id='1'/>`, false},
		{"presence in a room", `<presence from='tomb@rooms/r' id='1'>` + fmt.Sprintf(muc, "100") + `</presence>`, true},
		{"own presence in a room", `<presence from='tomb@rooms/r' id='1'>` + fmt.Sprintf(muc, "110") + `</presence>`, false},
		{"own presence", `<presence from='juliet@localhost/balcony' id='1'/>`, false},
		{"chat state", `<message from='romeo@localhost/a' type='chat' id='1'>` + composing + `<thread>1</thread><no-store xmlns='urn:xmpp:hints'/></message>`, true},
		{"chat state with a text", `<message from='romeo@localhost/a' type='chat' id='1'>` + composing + `<body>x</body></message>`, false},
		{"chat state with something else", `<message from='romeo@localhost/a' type='chat' id='1'>` + composing + `<request xmlns='urn:xmpp:receipts'/></message>`, false},
		{"error about a chat state", `<message from='romeo@localhost/a' type='error' id='1'>` + composing + `</message>`, false},
		{"chat state of another device", `<message from='juliet@localhost/phone' type='chat' id='1'>` + composing + `</message>`, false},
		{"text", `<message from='romeo@localhost/a' type='chat' id='1'><body>x</body></message>`, false},
		{"subject", `<message from='romeo@localhost/a' type='chat' id='1'><subject>x</subject></message>`, false},
		{"nothing", `<message from='romeo@localhost/a' type='chat' id='1'/>`, false},
		{"mood", `<message from='romeo@localhost' id='1'>` + pep("mood", "1") + `</message>`, true},
		{"mood with a text", `<message from='romeo@localhost' id='1'><body>sad</body>` + pep("mood", "1") + `</message>`, false},
		{"event of a service", `<message from='pubsub.localhost' id='1'>` + pep("mood", "1") + `</message>`, false},
		{"event of a full address", `<message from='romeo@localhost/x' id='1'>` + pep("mood", "1") + `</message>`, false},
		{"retraction", `<message from='romeo@localhost' id='1'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='m'><retract id='1'/></items></event></message>`, false},
		{"purge", `<message from='romeo@localhost' id='1'><event xmlns='http://jabber.org/protocol/pubsub#event'><purge node='m'/></event></message>`, false},
		{"request", `<iq from='romeo@localhost/a' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>`, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			s, juliet := start(t, "")
			to(t, s, x.xml)
			if got := len(ids(juliet)) == 0; got != x.waits {
				t.Errorf("waits: %v, want %v", got, x.waits)
			}
			if !juliet.SayNonza(active) {
				t.Fatal("nobody understands <active/>")
			}
			if got := len(ids(juliet)) == 1; got != x.waits {
				t.Errorf("comes later: %v, want %v", got, x.waits)
			}
			to(t, s, x.xml)
			want(t, juliet, "1")
		})
	}
}

func TestOptions(t *testing.T) {
	for option, xml := range map[string]string{
		"queue_presence":    `<presence from='romeo@localhost/a' id='1'/>`,
		"queue_chat_states": `<message from='romeo@localhost/a' type='chat' id='1'>` + composing + `</message>`,
		"queue_pep":         `<message from='romeo@localhost' id='1'>` + pep("mood", "1") + `</message>`,
	} {
		s, juliet := start(t, option+": false")
		to(t, s, xml)
		if got := ids(juliet); len(got) != 1 {
			t.Errorf("%s: false, and still it waits", option)
		}
	}
}

func TestTheLastReplacesTheOthers(t *testing.T) {
	s, juliet := start(t, "")
	to(t, s, `<presence from='romeo@localhost/a' id='p1'/>`)
	to(t, s, `<presence from='romeo@localhost/b' id='p2'/>`)
	to(t, s, `<message from='romeo@localhost/a' type='chat' id='c1'>`+composing+`</message>`)
	to(t, s, `<message from='romeo@localhost' id='e1'>`+pep("mood", "1")+`</message>`)
	to(t, s, `<message from='romeo@localhost' id='e2'>`+pep("tune", "1")+`</message>`)
	to(t, s, `<message from='romeo@localhost' id='e3'>`+pep("mood", "2")+`</message>`)
	to(t, s, `<presence from='nurse@localhost/a' id='p3'/>`)
	to(t, s, `<presence from='romeo@localhost/a' type='unavailable' id='p4'/>`)
	to(t, s, `<message from='romeo@localhost/a' type='chat' id='c2'>`+paused+`</message>`)
	to(t, s, `<message from='romeo@localhost' id='e4'>`+pep("mood", "1")+`</message>`)
	want(t, juliet)
	juliet.SayNonza(active)
	got := juliet.Inbox()
	var list []string
	for _, st := range got {
		list = append(list, st.ID)
		if d := st.Child("urn:xmpp:delay", "delay"); d.Attr("from") != "localhost" || d.Attr("stamp") == "" {
			t.Errorf("it does not say when it came: %v", st)
		}
	}
	if !slices.Equal(list, []string{"p2", "e2", "e3", "p3", "p4", "c2", "e4"}) {
		t.Errorf("got %q", list)
	}
	juliet.SayNonza(active)
	want(t, juliet)
}

// TestNothingOvertakes: before something from a contact comes what he has sent
// before, and nothing of others.
func TestNothingOvertakes(t *testing.T) {
	s, juliet := start(t, "")
	to(t, s, `<presence from='romeo@localhost/a' id='p1'/>`)
	to(t, s, `<presence from='nurse@localhost/a' id='p2'/>`)
	to(t, s, `<presence from='romeo@localhost/b' id='p3'/>`)
	to(t, s, `<message from='romeo@localhost/b' type='chat' id='m1'><body>x</body></message>`)
	want(t, juliet, "p1", "p3", "m1")
	to(t, s, `<message from='romeo@localhost/b' type='chat' id='m2'><body>x</body></message>`)
	want(t, juliet, "m2")
	juliet.SayNonza(active)
	want(t, juliet, "p2")
}

func TestWhatIsHeldIsBounded(t *testing.T) {
	s, juliet := start(t, "")
	for i := range 1000 {
		to(t, s, fmt.Sprintf(`<presence from='romeo@localhost/%d' id='p%d'/>`, i, i))
	}
	want(t, juliet)
	to(t, s, `<presence from='romeo@localhost/last' id='last'/>`)
	got := ids(juliet)
	if len(got) != 1001 || got[0] != "p0" || got[1000] != "last" {
		t.Errorf("%d came", len(got))
	}
	big := strings.Repeat("x", 100_000)
	for i := range 11 {
		to(t, s, fmt.Sprintf(`<presence from='romeo@localhost/%d' id='p%d'><status>%s</status></presence>`, i, i, big))
	}
	if got := ids(juliet); len(got) != 11 {
		t.Errorf("of more than 1 MiB %d came", len(got))
	}
	to(t, s, `<presence from='romeo@localhost/last' id='last'/>`)
	want(t, juliet)
}

// TestMuchAtOnce: many send while the client wakes and rests; each sender's stanzas
// come in order.
func TestMuchAtOnce(t *testing.T) {
	s, juliet := start(t, "")
	const senders, each = 8, 200
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			for n := range each {
				xml := fmt.Sprintf(`<message from='r%d@localhost/a' type='chat' id='%d-%d'><body>x</body></message>`, i, i, n)
				if n%2 == 0 { // each is from another device, so none replaces another
					xml = fmt.Sprintf(`<presence from='r%d@localhost/%d' id='%d-%d'/>`, i, n, i, n)
				}
				to(t, s, xml)
			}
		})
	}
	for range 50 {
		juliet.SayNonza(active)
		juliet.SayNonza(inactive)
	}
	all.Wait()
	juliet.SayNonza(active)
	next := map[string]int{}
	got := ids(juliet)
	for _, id := range got {
		who, n, _ := strings.Cut(id, "-")
		if n != fmt.Sprint(next[who]) {
			t.Fatalf("of %s came %s, want %d", who, n, next[who])
		}
		next[who]++
	}
	if len(got) != senders*each {
		t.Errorf("%d came", len(got))
	}
}

func TestOthersHearOfIt(t *testing.T) {
	var told []string
	listener := modules.Define("mod_test_listener", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
		clientstate.Changed.Add(h, hooks.Normal, func(_ context.Context, a clientstate.Activity) { told = append(told, a.String()) })
		return nil
	}})
	s := modtest.Start(t, "", clientstate.Module, listener)
	juliet := s.Available("juliet@localhost/balcony")
	juliet.SayNonza(inactive)
	juliet.SayNonza(active)
	if juliet.SayNonza(`<sleepy xmlns='urn:xmpp:csi:0'/>`) || juliet.SayNonza(`<inactive xmlns='urn:other'/>`) {
		t.Error("nobody knows this")
	}
	if !slices.Equal(told, []string{"juliet@localhost/balcony inactive", "juliet@localhost/balcony active"}) {
		t.Errorf("told %q", told)
	}
	features := sm.PostAuth.Run(t.Context(), s.Parts.Hooks, nil, &sm.Stream{Sessions: s.Sessions})
	if len(features) != 1 || !features[0].Is("urn:xmpp:csi:0", "csi") {
		t.Errorf("offered: %v", features)
	}
}

type none struct{}

func (*none) Fields(*config.Fields) {}

func TestNothingIsKeptBackWhenItStops(t *testing.T) {
	s, juliet := start(t, "")
	to(t, s, `<presence from='romeo@localhost/a' id='p1'/>`)
	s.Stop()
	want(t, juliet, "p1")
	to(t, s, `<presence from='romeo@localhost/a' id='p2'/>`)
	want(t, juliet, "p2")
}

func TestWhatIsHeldGoesWithTheSession(t *testing.T) {
	s, juliet := start(t, "")
	to(t, s, `<presence from='romeo@localhost/a' id='p1'/>`)
	to(t, s, `<message from='romeo@localhost/b' type='chat' id='c1'>`+composing+`</message>`)
	juliet.Logout()
	again := s.Available("juliet@localhost/balcony")
	again.SayNonza(active)
	want(t, again)
	to(t, s, `<presence from='romeo@localhost/a' id='p2'/>`)
	want(t, again, "p2")
}

// A resumed stream is active (XEP-0352 §5.2).
func TestWhoResumesIsActive(t *testing.T) {
	s, juliet := start(t, "")
	to(t, s, `<presence from='romeo@localhost/a' id='p1'/>`)
	want(t, juliet)
	sm.SessionResumed.Run(t.Context(), s.Parts.Hooks, juliet.Session)
	want(t, juliet, "p1")
	to(t, s, `<presence from='romeo@localhost/a' id='p2'/>`)
	want(t, juliet, "p2")
}

func TestBind2BeginsInactive(t *testing.T) {
	s := modtest.Start(t, "", clientstate.Module)
	if in := sm.InlineFeatures.Run(t.Context(), s.Parts.Hooks, sm.Inline{}, nil); !slices.Equal(in.Bind, []string{"urn:xmpp:csi:0"}) {
		t.Errorf("offered: %q", in.Bind)
	}
	juliet := s.Available("juliet@localhost/balcony")
	sm.InlineBind.Run(t.Context(), s.Parts.Hooks, nil, sm.Binding{Session: juliet.Session, Request: xmpp.El("urn:xmpp:bind:0", "bind", xmpp.El("urn:xmpp:csi:0", "inactive"))})
	to(t, s, `<presence from='romeo@localhost/a' id='p1'/>`)
	want(t, juliet)
	juliet.SayNonza(active)
	want(t, juliet, "p1")
}
