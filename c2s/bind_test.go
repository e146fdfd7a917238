package c2s_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

func TestBind(t *testing.T) {
	h := newHouse(t, nil)
	for _, c := range []struct{ resource, want string }{
		{"orchard", "<jid>romeo@localhost/orchard</jid>"},
		{"two words", "<jid>romeo@localhost/two words</jid>"},
		{"a/b@c", "<jid>romeo@localhost/a/b@c</jid>"},
		{"&amp;&lt;", "<jid>romeo@localhost/&amp;&lt;</jid>"},
		{"", "<jid>romeo@localhost/"},
		{strings.Repeat("x", 1024), "<bad-request"},
		{"\u0085", "<bad-request"},
	} {
		s := h.connect()
		s.open()
		s.login("romeo")
		got := s.bind(c.resource)
		if !strings.Contains(got, c.want) || !strings.Contains(got, "id='bind'") {
			t.Errorf("%.20q: %s", c.resource, got)
		}
		if strings.Contains(got, "error") { // another wish may be granted
			s.bind("other")
		}
		s.send(farewell)
		s.rest()
	}
}

func TestRandomResourcesDiffer(t *testing.T) {
	h := newHouse(t, nil)
	seen := map[string]bool{}
	for range 3 {
		s := h.connect()
		s.open()
		s.login("romeo")
		_, res, _ := strings.Cut(s.bind(""), "/")
		res, _, _ = strings.Cut(res, "<")
		if len(res) < 12 || seen[res] {
			t.Errorf("resource %q", res)
		}
		seen[res] = true
	}
}

func TestConflicts(t *testing.T) {
	for _, c := range []struct {
		policy sm.Conflict
		bind   string // in the answer to the second
		first  string // how the first ends
	}{
		{sm.AcceptNew, "<jid>romeo@localhost/x</jid>", "conflict"},
		{sm.CloseOld, "<jid>romeo@localhost/x</jid>", "conflict"},
		{sm.CloseNew, "<conflict", "no error"},
		{sm.SetResource, "<jid>romeo@localhost/", "no error"},
	} {
		h := newHouse(t, nil)
		h.settings.conflict, h.settings.wait = c.policy, time.Minute
		first := h.client("romeo", "x")
		second := h.connect()
		second.open()
		second.login("romeo")
		got := second.bind("x")
		if !strings.Contains(got, c.bind) || c.policy == sm.SetResource && strings.Contains(got, "/x<") {
			t.Errorf("%s: the second got %s", c.policy, got)
		}
		if c.first == "no error" {
			first.send(farewell)
		}
		if got := ended(t, first.rest()); got != c.first {
			t.Errorf("%s: the first ended with %s", c.policy, got)
		}
	}
}

// A new connection does not wait for the old client to hang up, which it may
// never do.
func TestReplacedClientThatDoesNotHangUp(t *testing.T) {
	h := newHouse(t, nil)
	h.settings.wait = time.Hour
	h.client("romeo", "x") // never reads nor closes
	h.client("romeo", "x")
	h.session("romeo@localhost/x")
	if n := h.first().Sessions.Count(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestBindAnswerComesBeforeEverythingElse(t *testing.T) {
	h := newHouse(t, nil)
	// As soon as others know of the session somebody sends to it.
	sm.Opened.Add(h.hook(), hooks.Normal, func(ctx context.Context, s *sm.Session) {
		h.router.Route(context.Background(), message(s.JID.String(), "m", "hi"))
	})
	s := h.connect()
	s.open()
	s.login("romeo")
	if got := s.bind("x"); !strings.Contains(got, "<jid>") || strings.Contains(got, "<message") {
		t.Errorf("got %s", got)
	}
	s.until("</message>")
}

func TestLegacySession(t *testing.T) {
	h := newHouse(t, nil)
	const ask = "<iq type='set' id='s'%><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>"
	s := h.connect()
	s.open()
	s.login("romeo")
	s.bind("x")
	for _, to := range []string{"", " to='localhost'"} {
		s.send(strings.Replace(ask, "%", to, 1))
		if got := s.until(">"); !strings.Contains(got, "type='result'") {
			t.Errorf("%q: %s", to, got)
		}
	}
	juliet := h.client("juliet", "x")
	s.send(strings.Replace(ask, "%", " to='juliet@localhost/x'", 1))
	juliet.until("</iq>") // it is hers to answer
}

// broken is a store that takes nobody in.
type broken struct{ sm.Store }

func (broken) Add(context.Context, *sm.Session) ([]*sm.Session, error) {
	return nil, errors.New("redis is away")
}

func TestStoreThatTakesNobodyIn(t *testing.T) {
	h := newHouse(t, nil)
	host := h.first()
	host.Sessions = sm.New("localhost", sm.Parts{Hooks: host.Parts.Hooks, Router: h.router, Store: broken{sm.NewMemory()},
		Accounts: host.Auth, Settings: &h.settings, Log: host.Parts.Log})
	s := h.connect()
	s.open()
	s.login("romeo")
	s.bind("x")
	if got := ended(t, s.rest()); got != "internal-server-error" {
		t.Errorf("ended with %s", got)
	}
	if !strings.Contains(h.log.String(), "redis is away") {
		t.Error("the operator was not told")
	}
	if ok, err := host.Auth.Exists(context.Background(), xmpp.MustParse("romeo@localhost")); !ok || err != nil {
		t.Error(ok, err)
	}
}
