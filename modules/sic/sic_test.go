package sic_test

import (
	"context"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/sic"
	"github.com/gabberd/gabberd/xmpp"
)

const ns0, ns1 = "urn:xmpp:sic:0", "urn:xmpp:sic:1"

func TestOwnAddress(t *testing.T) {
	s := modtest.Start(t, "", sic.Module)
	c := s.Login("romeo@localhost/orchard")
	for _, to := range []string{"localhost", "romeo@localhost"} {
		got := c.Ask(`<iq type='get' id='1' to='` + to + `'><address xmlns='` + ns1 + `'/></iq>`).Payload()
		if !got.Is(ns1, "address") || got.Child(ns1, "ip").Text() != "127.0.0.1" || got.Child(ns1, "port").Text() != "40000" {
			t.Errorf("%s says %v", to, got)
		}
		got = c.Ask(`<iq type='get' id='1' to='` + to + `'><ip xmlns='` + ns0 + `'/></iq>`).Payload()
		if !got.Is(ns0, "ip") || got.Text() != "127.0.0.1" {
			t.Errorf("%s says %v", to, got)
		}
	}
}

func TestNobodyIsToldSomebodyElsesAddress(t *testing.T) {
	s := modtest.Start(t, "", sic.Module)
	s.Available("juliet@localhost/balcony")
	paris := s.Login("paris@localhost/street")
	for _, ns := range []string{ns0, ns1} {
		for _, to := range []string{"juliet@localhost", "nobody@localhost"} {
			got := paris.Ask(`<iq type='get' id='1' to='` + to + `'><address xmlns='` + ns + `'/></iq>`)
			if e := xmpp.ParseError(got); e == nil || !e.Is(xmpp.Forbidden) {
				t.Errorf("paris asks %s and is told %v", to, got)
			}
		}
		if got := paris.Ask(`<iq type='set' id='1' to='localhost'><address xmlns='` + ns + `'/></iq>`); got.Type != "error" {
			t.Errorf("set is answered %v", got)
		}
	}
}

// catcher takes the stanzas for a domain.
type catcher chan *xmpp.Stanza

func (c catcher) Route(_ context.Context, st *xmpp.Stanza) { c <- st }

func TestStrangerIsToldNothing(t *testing.T) {
	s := modtest.Start(t, "", sic.Module)
	s.Login("juliet@localhost/balcony")
	away := make(catcher, 1)
	t.Cleanup(s.Router.Register("elsewhere.example", "elsewhere.example", away))
	from := xmpp.MustParse("tybalt@elsewhere.example/x")
	s.Send(context.Background(), xmpp.NewIQ("get", from, s.JID, "1", xmpp.El(ns1, "address")))
	if got := <-away; got.Type != "error" {
		t.Errorf("got %v", got)
	}
}
