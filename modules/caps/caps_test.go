package caps_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/caps"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/router"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

// presence is that of Exodus in XEP-0115 §5.2; honest is what it answers.
const (
	presence = `<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://exodus' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>`
	honest   = `<identity category='client' name='Exodus 0.9.1' type='pc'/>
	<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/caps'/>
	<feature var='http://jabber.org/protocol/muc'/><feature var='http://jabber.org/protocol/disco#items'/>`
)

type none struct{}

func (*none) Fields(*config.Fields) {}

// A recorder is a module that notes what the hooks tell, and what is sent away.
type recorder struct {
	mu             sync.Mutex
	added, updated []caps.Sighting
	routed         []*xmpp.Stanza
	friend         string // whose presence everybody gets
}

func (r *recorder) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *recorder) module() modules.Module {
	return modules.Define("mod_test_recorder", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
		caps.Add.Add(h, hooks.Normal, func(_ context.Context, s caps.Sighting) { r.note(func() { r.added = append(r.added, s) }) })
		caps.Update.Add(h, hooks.Normal, func(_ context.Context, s caps.Sighting) { r.note(func() { r.updated = append(r.updated, s) }) })
		router.Filter.Add(global{h}, hooks.Normal, func(_ context.Context, st *xmpp.Stanza, _ struct{}) (*xmpp.Stanza, hooks.Flow) {
			r.note(func() { r.routed = append(r.routed, st) })
			return st, hooks.Next
		})
		sm.JIDInfo.Add(h, hooks.Normal, func(_ context.Context, c sm.Contact, p sm.Pair) (sm.Contact, hooks.Flow) {
			if p.Other.String() == r.friend {
				c.Subscription = "to"
			}
			return c, hooks.Next
		})
		return nil
	}})
}

// global has handlers go into the server's table.
type global struct{ *modules.Host }

func (g global) Hooks() *hooks.Table { return g.Parts.Global }

// questions are those about features that c has got.
func questions(c *modtest.Client) (out []*xmpp.Stanza) {
	synctest.Wait()
	for _, st := range c.Inbox() {
		if st.Has(disco.NSInfo, "query") && st.Type == "get" {
			out = append(out, st)
		}
	}
	return out
}

func answer(c *modtest.Client, q *xmpp.Stanza, inner string) {
	c.Say(`<iq type='result' id='` + q.ID + `' to='localhost'><query xmlns='` + disco.NSInfo + `'>` + inner + `</query></iq>`)
	synctest.Wait()
}

func bubble(t *testing.T, f func(t *testing.T, s *modtest.Server, r *recorder)) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{friend: "friend@elsewhere.example"}
		f(t, modtest.Start(t, "", disco.Module, caps.Module, r.module()), r)
	})
}

func TestOnlyTheFirstClientIsAsked(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, r *recorder) {
		romeo, juliet := s.Login("romeo@localhost/orchard"), s.Login("juliet@localhost/balcony")
		romeo.Say(presence)
		q := questions(romeo)
		if len(q) != 1 || q[0].From != s.JID || q[0].Payload().Attr("node") != "http://exodus#QgayPKawpkPSDYmwT/WM94uAlu0=" {
			t.Fatalf("romeo is asked %v", q)
		}
		answer(romeo, q[0], honest)
		if len(r.added) != 1 || r.added[0].From != romeo.JID || r.added[0].To != romeo.JID || !slices.Contains(r.added[0].Features, "http://jabber.org/protocol/muc") {
			t.Errorf("the hook told %v", r.added)
		}
		juliet.Say(presence)
		if q := questions(juliet); len(q) != 0 {
			t.Errorf("juliet is asked %v", q)
		}
		if len(r.added) != 2 || r.added[1].From != juliet.JID || len(r.added[1].Features) != 4 {
			t.Errorf("the hook told %v", r.added)
		}
		juliet.Say(strings.Replace(presence, "<c ", "<show>away</show><c ", 1))
		if synctest.Wait(); len(r.added) != 2 || len(r.updated) != 0 {
			t.Errorf("the hooks told %v and %v of the same features", r.added, r.updated)
		}
	})
}

func TestLiarIsNotBelieved(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, r *recorder) {
		liar, honestOne := s.Login("tybalt@localhost/x"), s.Login("romeo@localhost/orchard")
		liar.Say(presence)
		q := questions(liar)
		if len(q) != 1 {
			t.Fatalf("asked %v", q)
		}
		answer(liar, q[0], honest+`<feature var='urn:evil+notify'/>`)
		liar.Say(presence)
		if q := questions(liar); len(q) != 0 {
			t.Errorf("a liar is asked again: %v", q)
		}
		if len(r.added) != 0 {
			t.Errorf("a liar is believed: %v", r.added)
		}
		honestOne.Say(presence)
		if q = questions(honestOne); len(q) != 1 {
			t.Fatalf("after a liar others are asked %v", q)
		}
		answer(honestOne, q[0], honest)
		if len(r.added) != 1 || slices.Contains(r.added[0].Features, "urn:evil+notify") {
			t.Errorf("the hook told %v", r.added)
		}
	})
}

func TestSilentClientDoesNotKeepOthersFromBeingAsked(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, r *recorder) {
		silent, romeo := s.Login("tybalt@localhost/x"), s.Login("romeo@localhost/orchard")
		silent.Say(presence)
		romeo.Say(presence)
		if q := questions(romeo); len(q) != 0 {
			t.Fatalf("two are asked at the same time: %v", q)
		}
		time.Sleep(30 * time.Second)
		q := questions(romeo)
		if len(q) != 1 {
			t.Fatalf("romeo is asked %v", q)
		}
		answer(romeo, q[0], honest)
		if len(r.added) != 2 {
			t.Errorf("the hook told %v", r.added)
		}
	})
}

func TestOneUserCannotHaveEndlessQuestionsAsked(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, r *recorder) {
		c := s.Login("tybalt@localhost/x")
		asked := 0
		for i := range 100 {
			c.Say(strings.Replace(presence, "http://exodus", fmt.Sprintf("http://exodus%d", i), 1))
			for _, q := range questions(c) {
				asked++
				answer(c, q, honest)
			}
		}
		if asked != 20 {
			t.Errorf("asked %d times", asked)
		}
		if len(r.updated) != 19 {
			t.Errorf("the hook told of %d changes", len(r.updated))
		}
	})
}

func TestOnlyContactsOfOtherServersAreAsked(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, r *recorder) {
		romeo := s.Available("romeo@localhost/orchard")
		come := func(from string) int {
			st, err := xmpp.ParseXML([]byte(strings.Replace(presence, "<presence", "<presence xmlns='jabber:client'", 1)))
			if err != nil {
				t.Fatal(err)
			}
			r.routed = nil
			s.Send(context.Background(), st.Readdressed(xmpp.MustParse(from), romeo.JID))
			synctest.Wait()
			n := 0
			for _, st := range r.routed {
				if st.Kind == xmpp.IQ && st.To.String() == from {
					n++
				}
			}
			return n
		}
		if n := come("stranger@elsewhere.example/x"); n != 0 {
			t.Error("a stranger was asked, and knows now that romeo is there")
		}
		if n := come("friend@elsewhere.example/x"); n != 1 {
			t.Errorf("a contact was asked %d times", n)
		}
	})
}

func TestServerAnnouncesItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T, s *modtest.Server, _ *recorder) {
		got := sm.PostAuth.Run(context.Background(), s.Hooks, nil, &sm.Stream{Sessions: s.Sessions})
		if len(got) != 1 || !got[0].Is("http://jabber.org/protocol/caps", "c") || got[0].Attr("hash") != "sha-1" {
			t.Fatalf("stream features are %v", got)
		}
		c := s.Login("romeo@localhost/orchard")
		node := got[0].Attr("node") + "#" + got[0].Attr("ver")
		whole := c.Ask(`<iq type='get' id='1' to='localhost'><query xmlns='` + disco.NSInfo + `'/></iq>`).Payload()
		byNode := c.Ask(`<iq type='get' id='2' to='localhost'><query xmlns='` + disco.NSInfo + `' node='` + node + `'/></iq>`).Payload()
		if byNode.Attr("node") != node {
			t.Errorf("got %v", byNode)
		}
		a, b := string(whole.Inner()), string(byNode.Inner())
		if a != b || !strings.Contains(a, "http://jabber.org/protocol/caps") {
			t.Errorf("the node says\n%s\nthe server\n%s", b, a)
		}
	})
}
