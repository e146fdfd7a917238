package vcardxupdate_test

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gabberd/gabberd/config"
	"github.com/gabberd/gabberd/hooks"
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/vcard"
	"github.com/gabberd/gabberd/modules/vcardxupdate"
	"github.com/gabberd/gabberd/sm"
	"github.com/gabberd/gabberd/xmpp"
)

const ns = "vcard-temp:x:update"

// Hashes of the photos "AAAA" (three zero bytes) and "AA==" (one).
const (
	threeZeros = "29e2dcfbb16f63bb0254df7585a15bb6fb5e927d"
	oneZero    = "5ba93c9db0cff93f52b521d7420e43f6eda2784f"
)

type none struct{}

func (*none) Fields(*config.Fields) {}

// friends lets juliet have romeo's presence, and counts how often a vCard is
// wanted.
func friends(reads *atomic.Int64) modules.Module {
	return modules.Define("mod_test_friends", modules.Spec[none]{Start: func(h *modules.Host, _ none) error {
		sm.Subscriptions.Add(h, hooks.Normal, func(_ context.Context, c sm.Contacts, user xmpp.JID) (sm.Contacts, hooks.Flow) {
			if user.Local() == "romeo" {
				c.From = append(c.From, xmpp.MustParse("juliet@localhost"))
			}
			return c, hooks.Next
		})
		vcard.Wanted.Add(h, hooks.First, func(_ context.Context, a vcard.Answer, _ xmpp.JID) (vcard.Answer, hooks.Flow) {
			reads.Add(1)
			return a, hooks.Next
		})
		return nil
	}})
}

func set(c *modtest.Client, inner string) string {
	return c.Ask(`<iq type='set' id='v'><vCard xmlns='vcard-temp'>` + inner + `</vCard></iq>`).Type
}

// seen is what the presences that a client has got say about avatars.
func seen(c *modtest.Client) string {
	var out []string
	for _, st := range c.Inbox() {
		if st.Kind != xmpp.Presence {
			continue
		}
		all := ""
		for el := range st.Children() {
			if el.Is(ns, "x") {
				all += el.XML()
			}
		}
		all = strings.ReplaceAll(all, "<x xmlns='"+ns+"'", "<x")
		out = append(out, st.Type+all)
	}
	return strings.Join(out, " ")
}

func TestPresenceTellsTheHash(t *testing.T) {
	var reads atomic.Int64
	s := modtest.Start(t, "", vcard.Module, vcardxupdate.Module, friends(&reads))
	romeo, juliet := s.Login("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	say := func(presence, want string) {
		t.Helper()
		romeo.Say(presence)
		if got := seen(juliet); got != want {
			t.Errorf("%s: juliet sees %q, want %q", presence, got, want)
		}
	}
	lie := `<x xmlns='` + ns + `'><photo>ffff</photo></x>`
	say(`<presence/>`, `<x/>`)
	say(`<presence>`+lie+`</presence>`, `<x/>`)

	// Who sets a photo announces it at once, and for all contacts.
	if got := set(romeo, `<PHOTO><TYPE>image/png</TYPE><BINVAL>AA
	 AA</BINVAL></PHOTO>`); got != "result" {
		t.Fatalf("set: %s", got)
	}
	photo := `<x><photo>` + threeZeros + `</photo></x>`
	if got := seen(juliet); got != photo {
		t.Errorf("after the photo was set juliet sees %q", got)
	}
	say(`<presence><show>away</show></presence>`, photo)
	say(`<presence>`+lie+lie+`</presence>`, photo)
	say(`<presence to='juliet@localhost'/>`, photo)
	say(`<presence><x xmlns='`+ns+`'><photo/></x></presence>`, `<x><photo/></x>`)
	say(`<presence type='unavailable'/>`, `unavailable`)

	// Without presence nothing is announced.
	set(romeo, `<PHOTO><BINVAL>AA==</BINVAL></PHOTO>`)
	if got := seen(juliet); got != "" {
		t.Errorf("of an unavailable client juliet sees %q", got)
	}
	say(`<presence/>`, `<x><photo>`+oneZero+`</photo></x>`)
	for _, c := range []struct{ card, want string }{
		{`<PHOTO><EXTVAL>http://x.example/y</EXTVAL></PHOTO>`, ``},
		{`<PHOTO><BINVAL>no base64!</BINVAL></PHOTO>`, `<x><photo/></x>`},
		{`<FN>Romeo</FN>`, `<x><photo/></x>`},
	} {
		set(romeo, c.card)
		if got := seen(juliet); got != c.want {
			t.Errorf("%s: juliet sees %q, want %q", c.card, got, c.want)
		}
	}
}

func TestPresenceCostsNoRead(t *testing.T) {
	for _, c := range []struct {
		options string
		want    int
	}{{"{}", 1}, {"{use_cache: false}", 10}} {
		var reads atomic.Int64
		s := modtest.Start(t, "modules:\n  mod_vcard: {use_cache: false}\n  mod_vcard_xupdate: "+c.options, vcard.Module, vcardxupdate.Module, friends(&reads))
		romeo := s.Login("romeo@localhost/orchard")
		for range 10 {
			romeo.Say(`<presence/>`)
		}
		if got := int(reads.Load()); got != c.want {
			t.Errorf("%s: %d reads for ten presences, want %d", c.options, got, c.want)
		}
	}
}

func TestAHashDiesWithTheAccount(t *testing.T) {
	var reads atomic.Int64
	s := modtest.Start(t, "", vcard.Module, vcardxupdate.Module, friends(&reads))
	romeo, juliet := s.Available("romeo@localhost/orchard"), s.Available("juliet@localhost/balcony")
	set(romeo, `<PHOTO><BINVAL>AAAA</BINVAL></PHOTO>`)
	if err := s.Auth.Remove(t.Context(), romeo.JID.Bare()); err != nil {
		t.Fatal(err)
	}
	romeo.Logout()
	juliet.Inbox()
	s.Available("romeo@localhost/orchard")
	if got := seen(juliet); got != `<x/>` {
		t.Errorf("of the new romeo juliet sees %q", got)
	}
}

// A new photo is told by all clients of the user that are available, whoever has
// set it, but not by those that do not want to have one.
func TestAllClientsOfTheUserTellTheHash(t *testing.T) {
	var reads atomic.Int64
	s := modtest.Start(t, "", vcard.Module, vcardxupdate.Module, friends(&reads))
	a, b := s.Available("romeo@localhost/orchard"), s.Available("romeo@localhost/street")
	shy, away := s.Login("romeo@localhost/shy"), s.Available("romeo@localhost/away")
	s.Login("romeo@localhost/silent")
	shy.Say(`<presence><x xmlns='` + ns + `'><photo/></x></presence>`)
	away.Say(`<presence type='unavailable'/>`)
	b.Say(`<presence><show>dnd</show><priority>3</priority></presence>`)
	juliet := s.Available("juliet@localhost/balcony")
	tells := func(why, hash string) {
		t.Helper()
		got := map[string]string{}
		for _, st := range juliet.Inbox() {
			if st.Kind == xmpp.Presence {
				got[st.From.Resource()] += st.Child(ns, "x").Child(ns, "photo").Text() + st.Child(xmpp.NSClient, "show").Text()
			}
		}
		if want := map[string]string{"orchard": hash, "street": hash + "dnd"}; !maps.Equal(got, want) {
			t.Errorf("%s: juliet sees %v, want %v", why, got, want)
		}
	}
	juliet.Inbox()
	set(a, `<PHOTO><BINVAL>AAAA</BINVAL></PHOTO>`)
	tells("one of them sets it", threeZeros)
	card, err := xmpp.ParseElement([]byte(`<vCard xmlns='vcard-temp'><PHOTO><BINVAL>AA==</BINVAL></PHOTO></vCard>`), vcard.NS)
	if err != nil {
		t.Fatal(err)
	}
	vcard.Set.Run(t.Context(), s.Hooks, vcard.Update{Card: card}, vcard.Setting{User: a.JID.Bare()})
	tells("an operator sets it", oneZero)
	if p, _ := s.Sessions.Find(b.JID).Priority(); p != 3 {
		t.Errorf("the priority is %d", p)
	}
	if p, _ := s.Sessions.Find(away.JID).Presence(); p != nil {
		t.Errorf("who was unavailable says %s", p.XML())
	}
	if p, _ := s.Sessions.Find(shy.JID).Presence(); p.Child(ns, "x").XML() != "<x xmlns='"+ns+"'><photo/></x>" {
		t.Errorf("who wants no avatar says %s", p.XML())
	}
	a.Logout()
	juliet.Inbox()
	set(b, `<PHOTO><BINVAL>AAAA</BINVAL></PHOTO>`)
	if got := seen(juliet); strings.Count(got, threeZeros) != 1 {
		t.Errorf("after one has left juliet sees %q", got)
	}
}

// Whatever a client says while its presence is repeated for it is what holds in the
// end, and one that leaves is gone.
func TestTheClientHasTheLastWord(t *testing.T) {
	var reads atomic.Int64
	s := modtest.Start(t, "", vcard.Module, vcardxupdate.Module, friends(&reads))
	a := s.Available("romeo@localhost/orchard")
	for i := range 50 {
		b := s.Available("romeo@localhost/street")
		session := s.Sessions.Find(b.JID)
		var wg sync.WaitGroup
		wg.Go(func() { set(a, "<PHOTO><BINVAL>"+[]string{"AAAA", "AA=="}[i%2]+"</BINVAL></PHOTO>") })
		b.Say(`<presence><show>away</show></presence>`)
		if i%3 == 0 {
			b.Say(`<presence type='unavailable'/>`)
		}
		if i%3 == 1 {
			b.Logout()
		}
		wg.Wait()
		p, _ := session.Presence()
		switch {
		case i%3 != 2 && p != nil:
			t.Fatalf("round %d: a client that has left says %s", i, p.XML())
		case i%3 == 2 && p.Child(xmpp.NSClient, "show").Text() != "away":
			t.Fatalf("round %d: the client's last word is lost: %s", i, p.XML())
		}
		if i%3 != 1 {
			b.Logout()
		}
	}
}
